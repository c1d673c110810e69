"""The benchmark's JSON file: written after every group, read again by a run that goes on."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from step_ros.evaluation.latency.aims import aims
from step_ros.evaluation.provenance import provenance
from step_ros.policy.errors import ConfigError

FORMAT = "step_ros latency 1"


class Results:
    """What has been measured so far.

    Attributes:
        content: what the file holds: `sizes` (what `MachineWorker.prepare` said), `groups` (what
            `measure_group` returned, each with `size`, `threads`, `asked`, its own commit and time),
            `cold_start` (rows of `measure_cold_start` with the same additions) and `aims`.

    Raises:
        ConfigError: `path` holds something else, or was measured with other settings or on another machine.
    """

    def __init__(self, path: Path, settings: Mapping[str, object]) -> None:
        self.path = path
        self._head = {"format": FORMAT, "settings": dict(settings)}
        self.content: dict = {**self._head, "sizes": {}, "groups": [], "cold_start": [], "aims": []}
        if path.exists():
            self._read()

    def has_group(self, size: str, threads: int, asked: Iterable[str]) -> bool:
        """Whether all that is asked of one size and number of threads has been measured together."""
        return any(
            (group["size"], group["threads"]) == (size, threads) and set(asked) <= set(group["asked"])
            for group in self.content["groups"]
        )

    def has_cold_start(self, size: str, candidates: Iterable[str]) -> bool:
        """Whether all candidates of one size have been brought up."""
        rows = [row for row in self.content["cold_start"] if row["size"] == size]
        return set(candidates) <= {row["candidate"] for row in rows}

    def add_group(
        self, size: str, described: Mapping, threads: int, asked: Sequence[str], measured: Mapping
    ) -> None:
        """Keep a group in place of an earlier one of the same size and threads, and write the file."""
        self.content["sizes"][size] = described
        self._replace(
            "groups",
            lambda group: (group["size"], group["threads"]) == (size, threads),
            [{"size": size, "threads": threads, "asked": list(asked), **_stamp(), **measured}],
        )

    def add_cold_start(self, size: str, rows: Sequence[Mapping]) -> None:
        """Keep the rows of one size in place of earlier ones, and write the file."""
        stamped = [{"size": size, **_stamp(), **row} for row in rows]
        self._replace("cold_start", lambda row: row["size"] == size, stamped)

    def _replace(self, name: str, old: Callable[[Mapping], bool], new: list[dict]) -> None:
        self.content[name] = [entry for entry in self.content[name] if not old(entry)] + new
        found = aims(self.content["groups"], self.content["cold_start"])
        self.content |= {**provenance(), "aims": [aim.to_dict() for aim in found]}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.content, indent=1) + "\n")
        part.replace(self.path)

    def _read(self) -> None:
        try:
            found = json.loads(self.path.read_text())
            head = {"format": found["format"], "settings": found["settings"]}
            processor = found["processor"]
            for name in self.content:
                found[name]
        except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
            accepted = "the result of an earlier `step-ros bench latency`"
            raise ConfigError("content", repr(error), accepted, self.path) from None
        here = provenance()["processor"]
        if head != self._head:
            raise ConfigError("settings", head, f"{self._head}; choose another file", self.path)
        if processor != here:
            raise ConfigError("processor", processor, f"{here}; choose another file", self.path)
        self.content = found


def _stamp() -> dict[str, object]:
    now = datetime.datetime.now(datetime.timezone.utc)
    return {"commit": provenance()["commit"], "time": now.isoformat(timespec="seconds")}
