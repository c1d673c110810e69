"""The JSON file of a comparison: what was run, and one row per episode with the commit that it comes from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors import safe_open

from step_ros.evaluation.summary import difference, summarise, summarise_agreement
from step_ros.policy.errors import ConfigError

ROW_LISTS = ("episodes", "agreement", "floor")
"""Lists whose entries take one line each."""
HEAD = ("command", "commit", "versions", "processor", "observations")
"""Of the call that last ran something."""
DESCRIPTION = ("method", "checkpoint", "settings", "in_force")
LATER_FIELDS = {"precision": "fp32", "max_ticks": None}
"""Parts of a run's description that files from before there was a choice do not name, and what held then."""
DDPM = "ddpm"
"""Label of the method that chunks are compared with; its own chunks are the floor's."""
SAME_NETWORKS = ("denoiser.", "encoders.")

Rows = dict[str, dict[int, dict]]
"""Rows by method's label and seed."""


@dataclass
class RunFile:
    """What one file holds, and how it is written.

    Attributes:
        path: the file.
        run: what must be equal for episodes to belong together: task, checkpoint, engine, servo ...
        checkpoints: fingerprint of every checkpoint folder by its name.
        methods: description of every method by its label.
        episodes: rollouts.
        agreement: chunks compared with DDPM's on the same observations, by episode.
        floor: DDPM compared with itself, by seed.
        head: where the newest rows come from (`HEAD`).
    """

    path: Path
    run: dict[str, object]
    checkpoints: dict[str, dict]
    methods: dict[str, dict] = field(default_factory=dict)
    episodes: Rows = field(default_factory=dict)
    agreement: Rows = field(default_factory=dict)
    floor: dict[int, dict] = field(default_factory=dict)
    head: dict[str, object] = field(default_factory=dict)

    def read(self) -> None:
        """Take over what the file holds already, if there is one.

        Raises:
            ConfigError: the file holds something else, another run, or a checkpoint has changed since.
        """
        if not self.path.exists():
            return
        found = read_run(self.path)
        run = {name: found.get(name) for name in self.run}
        if run != self.run:
            raise ConfigError("run", run, f"{self.run}; choose another file", self.path)
        for name, earlier in found.get("checkpoints", {}).items():
            here = self.checkpoints.setdefault(name, earlier)["weights"]
            if here != earlier["weights"]:
                accepted = (
                    f"{earlier['weights']}, which the file's episodes were run with; choose another file"
                )
                raise ConfigError(f"checkpoint {name}", here, accepted, self.path)
        self.head = {name: found[name] for name in HEAD if name in found}
        for label, entry in found["methods"].items():
            self._take(label, entry, found.get("commit"))
        self.floor = {row["seed"]: row for row in found.get("floor", [])}

    def _take(self, label: str, entry: Mapping, commit: str | None) -> None:
        """Rows of one method; those without a commit are from files that had one for all of them."""
        earlier = {name: entry[name] for name in DESCRIPTION if name in entry}
        asked = self.methods.setdefault(label, earlier)
        for name, value in earlier.get("in_force", {}).items():
            now = asked.get("in_force", {}).get(name, value)
            if json.loads(json.dumps(now)) != value:
                accepted = f"{value}, which the file's episodes were run with; choose another file"
                raise ConfigError(f"{label}: {name}", now, accepted, self.path)
        self.episodes[label] = {row["seed"]: {"commit": commit} | row for row in entry["episodes"]}
        self.agreement[label] = {row["seed"]: row for row in entry.get("agreement", [])}

    def content(self, baseline: str | None) -> dict:
        """All that is written, with summaries and, where the baseline has rows, differences from it."""
        compared = _sorted(self.episodes.get(baseline or "", {}))
        floor = _sorted(self.floor)
        by_itself = summarise_agreement(floor) if floor else {}
        methods = {}
        for label, described in self.methods.items():
            rows = _sorted(self.episodes.get(label, {}))
            if not rows:
                continue
            summary = summarise(rows)
            if compared and label != baseline:
                summary["difference"] = difference(rows, compared)
            agreement = _sorted(self.agreement.get(label, {}))
            if agreement:
                summary |= summarise_agreement(agreement)
            if label == DDPM and by_itself:
                summary["alone_ms_median"] = by_itself["alone_ms_median"]
            methods[label] = {**described, "summary": summary, "episodes": rows}
            if agreement:
                methods[label]["agreement"] = agreement
        found = {**self.run, "baseline": baseline if compared else None, **self.head}
        found["checkpoints"] = self.checkpoints
        if floor:
            found |= {"floor_summary": by_itself, "floor": floor}
        return {**found, "methods": methods}

    def write(self, baseline: str | None) -> dict:
        """Write the file, whole or not at all; returns its content."""
        content = self.content(baseline)
        write_json(self.path, content)
        return content


def read_run(path: Path) -> dict:
    """The content of a file that `step-ros eval` wrote, this version's or an earlier one's.

    Raises:
        ConfigError: the file is missing or something else.
    """
    try:
        found = {**LATER_FIELDS, **json.loads(path.read_text())}
        for name in ("task", "checkpoint", "engine"):
            found[name]
        for entry in found["methods"].values():
            for row in entry["episodes"]:
                row["seed"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError("content", repr(error), "the result of an earlier `step-ros eval`", path) from None
    return found


def write_json(path: Path, content: Mapping) -> None:
    """Write JSON for people and for diffs: indented, rows on one line each, six figures that count."""
    lines: list[str] = []

    def held(value: object, key: str = "") -> object:
        if isinstance(value, Mapping):
            return {name: held(part, name) for name, part in value.items()}
        if key in ROW_LISTS and isinstance(value, Sequence) and not isinstance(value, str):
            marks = []
            for row in value:
                marks.append(f"@row{len(lines)}")
                lines.append(json.dumps({name: _short(part) for name, part in row.items()}))
            return marks
        return value

    text = json.dumps(held(content), indent=1)
    text = re.sub(r'"@row(\d+)"', lambda mark: lines[int(mark[1])], text)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text + "\n")
    part.replace(path)


def fingerprint(folder: Path) -> dict[str, str | None]:
    """Digests of a checkpoint: `weights` of all its files, `denoiser` of what every method has to share."""
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors"):
        digest.update((folder / name).read_bytes())
    return {"weights": digest.hexdigest()[:16], "denoiser": _denoiser(folder / "model.safetensors")}


def _denoiser(file: Path) -> str | None:
    """Of denoiser and image encoders; None where tensors have other names, as LeRobot's have."""
    digest, found = hashlib.sha256(), False
    with safe_open(file, "np") as tensors:
        for name in sorted(tensors.keys()):
            if name.startswith(SAME_NETWORKS):
                found = True
                digest.update(name.encode() + tensors.get_tensor(name).tobytes())
    return digest.hexdigest()[:16] if found else None


def _sorted(rows: Mapping[int, dict]) -> list[dict]:
    return [rows[seed] for seed in sorted(rows)]


def _short(value: object) -> object:
    return float(f"{value:.6g}") if isinstance(value, float) else value
