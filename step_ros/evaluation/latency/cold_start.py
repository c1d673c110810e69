"""How long a policy takes to come up, with an empty and a filled compile cache, and what it holds then."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Mapping

from step_ros.evaluation.latency.child import RefusedError
from step_ros.evaluation.latency.measure import start
from step_ros.evaluation.latency.plan import Candidate

CYCLES = 100
LAST = 50
"""The cycles at the end of the hundred that the first one is held against."""


def measure_cold_start(
    size: Mapping[str, object],
    candidate: Candidate,
    environment: Callable[[str], Mapping[str, str]],
    refused: dict[str, str],
    threads: int = 1,
) -> list[dict[str, object]]:
    """Configure a policy twice, each time in a fresh process: one row per state of the compile cache.

    Args:
        size: what `MachineWorker.prepare` returned.
        environment: variables that make a process use a given cache folder.
        refused: reasons by what this machine does not have; found ones are added, as in `measure_group`.

    Returns:
        Rows; or one row with the reason, where the engine is not to be had.
    """
    name = {"candidate": candidate.by_default, "threads": threads}
    known = [refused[key] for key in candidate.needs if key in refused]
    if known:
        return [{**name, "unavailable": known[0]}]
    with tempfile.TemporaryDirectory(prefix="step_ros_cold_") as cache:
        try:
            return [
                {**name, "cache": state, **_come_up(size, candidate, environment(cache), threads)}
                for state in ("empty", "filled")
            ]
        except RefusedError as error:
            refused[candidate.needs[0]] = str(error)
            return [{**name, "unavailable": str(error)}]


def _come_up(
    size: Mapping[str, object], candidate: Candidate, environment: Mapping[str, str], threads: int
) -> dict[str, object]:
    with start(candidate, str(size["checkpoint"]), threads, environment) as child:
        configured = child.ask("memory")
        seconds = child.ask("describe")["seconds"]
        total = child.ask("first_cycles", count=CYCLES)["total"]
        return {
            "seconds": seconds,
            "first_ms": total[0],
            "hundredth_ms": statistics.median(total[-LAST:]),
            "slowest_of_last_ms": max(total[-LAST:]),
            "resident_mib": configured["resident_mib"],
            "peak_mib": configured["peak_mib"],
            "resident_after_mib": child.ask("memory")["resident_mib"],
        }
