"""Where a result comes from: commit, versions, machine, command."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from step_ros import __version__

_MODULE, _PROGRAM = "cli.py", "step-ros"
"""`python -m step_ros.cli` is the same program under another name."""
_DECIDING = ("step_ros", "config", "models", "requirements.txt")
"""What a result depends on; the files that runs write change while they are under way."""
_PACKAGES = ("torch", "openvino", "mujoco", "numpy", "diffusers", "mink", "ros-rclpy")


def provenance() -> dict[str, object]:
    """What a reader needs to run a result again; unknown parts are None."""
    return {
        "command": shlex.join([Path(sys.argv[0]).name.replace(_MODULE, _PROGRAM), *sys.argv[1:]]),
        "commit": commit_of(Path(__file__).parents[2]),
        "versions": {"step_ros": __version__, "python": platform.python_version()} | versions(),
        "processor": _processor(),
    }


def versions() -> dict[str, str | None]:
    """Installed versions of the packages that decide a result."""
    return {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def commit_of(checkout: Path) -> str | None:
    """A checkout's commit, with `-dirty` where what decides a result differs from it; None outside git."""
    commit = _git(checkout, "describe", "--always", "--abbrev=12")
    changed = _git(checkout, "status", "--porcelain", "--untracked-files=no", "--", *_DECIDING)
    return f"{commit}-dirty" if commit and changed else commit


def _git(checkout: Path, *words: str) -> str | None:
    answer = subprocess.run(["git", *words], cwd=checkout, capture_output=True, text=True, check=False)
    return answer.stdout.strip() or None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()
