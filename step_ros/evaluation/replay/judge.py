"""Two ways to judge a replay: against thresholds in a file, and against an earlier replay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from step_ros.evaluation.replay.errors import ReplayError

MUST_AGREE = ("bag", "cycles", "reference", "reference_every")
"""What two replays that are compared have in common."""


@dataclass(frozen=True)
class Verdict:
    """One threshold: where, what was found, what is allowed (either end may be None), and the outcome."""

    where: str
    name: str
    found: float | None
    low: float | None
    high: float | None

    @property
    def passed(self) -> bool:
        """What was not measured has not passed."""
        if self.found is None:
            return False
        return (self.low is None or self.found >= self.low) and (self.high is None or self.found <= self.high)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "passed": self.passed}


def judge(results: Mapping[str, object], path: Path) -> list[Verdict]:
    """Check a replay's results against a YAML file.

    The file holds `replay:` with names of results, and `methods:` with a mapping for each method's label;
    below each a dotted name of a number and `{min: …, max: …}`.

    Raises:
        ReplayError: the file is missing or no such mapping, or names what the results do not have.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ReplayError(f"{path}: found nothing; accepted: a YAML file of thresholds") from None
    except yaml.YAMLError as error:
        raise ReplayError(f"{path}: found {error}; accepted: YAML") from None
    sections = _mapping(content, path, "the file")
    unknown = set(sections) - {"replay", "methods"}
    if unknown or not sections:
        raise ReplayError(f"{path}: found {sorted(unknown) or 'nothing'}; accepted: replay, methods")
    verdicts = _section(sections.get("replay") or {}, numbers(results), path, "replay")
    methods = results["methods"]
    for label, wanted in _mapping(sections.get("methods") or {}, path, "methods").items():
        if label not in methods:
            raise ReplayError(f"{path}: methods: found {label}; accepted: {', '.join(methods)}")
        verdicts += _section(wanted, numbers(methods[label]), path, label)
    return verdicts


def compare(results: Mapping[str, object], path: Path) -> dict[str, object]:
    """This replay's numbers beside those of an earlier one, for the methods that both have.

    Returns:
        `with` (name of the file), `checkpoint` of the other, and `methods`: label -> number's dotted name ->
        `this`, `other`, `change`.

    Raises:
        ReplayError: the file is no replay's result, or the two replays are not of the same recording.
    """
    try:
        other = json.loads(path.read_text())
        found = {name: other[name] for name in MUST_AGREE}
        other_methods, checkpoint = other["methods"], other["checkpoint"]
    except (OSError, json.JSONDecodeError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ReplayError(f"{path}: found {reason}; accepted: JSON of `step-ros replay`") from None
    wanted = {name: results[name] for name in MUST_AGREE}
    if found != wanted:
        raise ReplayError(f"{path}: found {found}; accepted: a replay of the same cycles, {wanted}")
    shared = [label for label in results["methods"] if label in other_methods]
    if not shared:
        wanted = ", ".join(results["methods"])
        raise ReplayError(f"{path}: found methods {', '.join(other_methods)}; accepted: one of {wanted}")
    return {
        "with": path.name,
        "checkpoint": checkpoint,
        "methods": {
            label: _changes(numbers(results["methods"][label]), numbers(other_methods[label]))
            for label in shared
        },
    }


def numbers(values: Mapping[str, object], prefix: str = "") -> dict[str, float | None]:
    """Every number below `values` by its dotted name, without settings, methods and lists."""
    found: dict[str, float | None] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and name not in ("settings", "methods"):
            found |= numbers(value, f"{prefix}{name}.")
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            found[prefix + name] = value
    return found


def _changes(this: Mapping[str, float | None], other: Mapping[str, float | None]) -> dict[str, object]:
    return {
        name: {"this": value, "other": other[name], "change": value - other[name]}
        for name, value in this.items()
        if value is not None and other.get(name) is not None
    }


def _section(wanted: object, found: Mapping[str, float | None], path: Path, where: str) -> list[Verdict]:
    verdicts = []
    for name, bounds in _mapping(wanted, path, where).items():
        if name not in found:
            raise ReplayError(f"{path}: {where}: found {name}; accepted: {', '.join(found)}")
        bounds = _mapping(bounds, path, f"{where}.{name}")
        numeric = all(isinstance(b, int | float) and not isinstance(b, bool) for b in bounds.values())
        if not bounds or set(bounds) - {"min", "max"} or not numeric:
            raise ReplayError(f"{path}: {where}.{name}: found {bounds}; accepted: numbers under min and max")
        verdicts.append(Verdict(where, name, found[name], bounds.get("min"), bounds.get("max")))
    return verdicts


def _mapping(value: object, path: Path, where: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ReplayError(f"{path}: {where}: found {type(value).__name__}; accepted: a mapping")
    return value
