"""Where a result comes from: commit, versions, machine, command."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from step_ros import __version__

_MODULE, _PROGRAM = "cli.py", "step-ros"
"""`python -m step_ros.cli` is the same program under another name."""
_PACKAGES = ("torch", "openvino", "mujoco", "numpy", "diffusers", "mink", "ros-rclpy")


def provenance() -> dict[str, object]:
    """What a reader needs to run a result again; unknown parts are None."""
    return {
        "command": " ".join([Path(sys.argv[0]).name.replace(_MODULE, _PROGRAM), *sys.argv[1:]]),
        "commit": _commit(),
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


def _commit() -> str | None:
    answer = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip() or None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.processor()
