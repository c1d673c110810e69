"""`step-ros bench latency`: measure group by group, resumable, and write JSON, page and plot."""

from __future__ import annotations

import dataclasses
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from step_ros.evaluation.latency.aims import LARGE
from step_ros.evaluation.latency.child import Child
from step_ros.evaluation.latency.cold_start import measure_cold_start
from step_ros.evaluation.latency.document import significant, write_document
from step_ros.evaluation.latency.measure import Options, measure_group
from step_ros.evaluation.latency.plan import (
    CASES,
    ENGINES,
    SHIPPED,
    SIZES,
    Candidate,
    all_threads,
    candidates,
    chosen,
)
from step_ros.evaluation.latency.results import Results
from step_ros.paths import share_path
from step_ros.policy.errors import ConfigError

QUICK = Options(rounds=2, seconds=0.05, longest=0.4)
QUICK_SIZES = (SHIPPED, "64-128-256")
COLD_SIZES = (SHIPPED, LARGE)
CACHE_VARIABLE = "STEP_ROS_CACHE"
"""`policy.compile_cache.FOLDER_VARIABLE`; importing it would load torch into the process that only waits."""


def bench_latency(
    engines: Sequence[str] | None = None,
    sizes: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
    threads: Sequence[int] | None = None,
    repeats: int = 5,
    quick: bool = False,
    cold_start: bool = True,
    lerobot_python: Path | None = None,
    out: Path = Path("results/latency.json"),
    doc: Path = Path("docs/latency.md"),
) -> dict:
    """Measure what `out` does not hold yet, then write `out`, `doc` and its plot; returns what `out` holds.

    Args:
        engines, sizes, methods, threads: what to measure; by default all.
        repeats: rounds over all rows of a group.
        quick: two short rounds, no cold start, and unless they are named two sizes and one thread.
        cold_start: also measure how the shipped and the largest policy come up.
        lerobot_python: interpreter that has LeRobot; by default it is not measured.

    Raises:
        ConfigError: an unknown engine, size or method, more threads than this machine has, or a file of
            another run.
        ChildError: a candidate of this package broke down.
    """
    chosen(
        ("--engine", engines or (), ENGINES),
        ("--size", sizes or (), SIZES),
        ("--method", methods or (), CASES),
    )
    for count in threads or ():
        if not 1 <= count <= all_threads():
            raise ConfigError("--threads", count, f"1 to {all_threads()} on this machine")
    sizes = sizes or (QUICK_SIZES if quick else tuple(SIZES))
    threads = threads or ((1,) if quick else tuple(sorted({1, all_threads()})))
    checkpoint = share_path("models", "policies", "pick_place")
    options = dataclasses.replace(
        QUICK if quick else Options(rounds=repeats),
        cases=tuple(name for name in CASES if not methods or name in methods),
        lerobot_python=str(lerobot_python) if lerobot_python else None,
    )
    timing = {name: getattr(options, name) for name in ("rounds", "seconds", "longest")}
    results = Results(out, {"checkpoint": checkpoint.name, **timing})

    peers = [Candidate("diffusers", "torch"), *([Candidate("lerobot", "torch")] if lerobot_python else [])]
    entrants = {
        size: [each for each in (*candidates(engines or ENGINES, size), *peers) if each.cases(options.cases)]
        for size in sizes
    }
    asked = {
        size: [f"{entrant.name} {case.name}" for entrant in found for case in entrant.cases(options.cases)]
        for size, found in entrants.items()
    }
    groups = [
        (size, count)
        for size in sizes
        for count in threads
        if not results.has_group(size, count, asked[size])
    ]
    coming_up = [each for each in candidates(engines or ENGINES, LARGE) if each.comes_up]
    cold = [
        size
        for size in COLD_SIZES
        if cold_start
        and not quick
        and size in sizes
        and not results.has_cold_start(size, [c.by_default for c in coming_up])
    ]
    columns = TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()
    with _ended_by_sigterm(), Progress(*columns) as progress:
        bar = _Bar(progress, len(groups) + len(cold))
        refused: dict[str, str] = {}
        for size in dict.fromkeys([size for size, _ in groups] + cold):
            with tempfile.TemporaryDirectory(prefix="step_ros_bench_") as scratch:
                bar.tick(f"{size}: weights", 0.0)
                prepared = _prepare(checkpoint, size, scratch)
                described = {name: value for name, value in prepared.items() if name != "checkpoint"}
                cache = cache_environment(str(Path(scratch, "cache")))
                for count in [count for name, count in groups if name == size]:
                    tick = bar.part(f"{size}, threads: {count}")
                    group = measure_group(prepared, count, entrants[size], options, cache, refused, tick)
                    results.add_group(size, described, count, asked[size], group)
                    bar.next()
                if size in cold:
                    rows = []
                    for index, candidate in enumerate(coming_up):
                        bar.tick(f"{size}, coming up: {candidate.name}", index / len(coming_up))
                        rows += measure_cold_start(prepared, candidate, cache_environment, refused)
                    results.add_cold_start(size, rows)
                    bar.next()
    write_document(doc, results.content, out)
    _print(results.content)
    return results.content


def cache_environment(folder: str) -> dict[str, str]:
    """Variables that keep a process's compiled models in `folder`, away from the user's own."""
    return {CACHE_VARIABLE: folder}


def _prepare(checkpoint: Path, size: str, scratch: str) -> dict:
    """What `MachineWorker.prepare` says, in a process that then gives its memory back."""
    with Child("MachineWorker", all_threads()) as child:
        folder = str(Path(scratch, "checkpoint"))
        return child.ask("prepare", source=str(checkpoint), size=size, folder=folder)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """A termination ends the run like an interrupt, so that gigabytes of weights do not stay behind."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Bar:
    """Progress over groups, each worth one."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._done = progress, 0
        self._task = progress.add_task("bench", total=total)

    def tick(self, what: str, share: float) -> None:
        self._progress.update(self._task, description=what, completed=self._done + share)

    def part(self, name: str) -> Callable[[str, float], None]:
        return lambda what, share: self.tick(f"{name}: {what}", share)

    def next(self) -> None:
        self._done += 1


def _print(content: Mapping) -> None:
    table = Table("aim", "asked", "measured", "met")
    for aim in content["aims"]:
        sign = "≥" if aim["at_least"] else "≤"
        value = "" if aim["value"] is None else significant(aim["value"])
        met = aim["note"] if aim["met"] is None else "yes" if aim["met"] else "no"
        table.add_row(aim["text"], f"{sign} {significant(aim['bound'])}", value, met)
    Console().print(table)
