"""`step-ros results`, which `make results` calls: makes the published set, and skips what is finished.

A run whose file is complete needs nothing, not even its checkpoints, so they are only trained where episodes
are missing. Every command continues its own work when it was interrupted, so hours may be spread over several
calls.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import typer.main
from rich.console import Console

from step_ros.evaluation.commands import evaluate
from step_ros.evaluation.comparison.errors import ReportError
from step_ros.evaluation.comparison.plan import SEED, Plan, Run, Step, read_plan
from step_ros.evaluation.comparison.report import report
from step_ros.evaluation.runs import DDPM, read_run
from step_ros.paths import share_path

OUT = Path("results", "comparison")
WORK = Path("runs")


def make_results(
    plan: Path | None = None,
    size: str = "full",
    out: Path = OUT,
    work: Path = WORK,
    page: Path | None = None,
    only: Sequence[str] | None = None,
    workers: int = 2,
    max_minutes: float | None = None,
    dry: bool = False,
) -> bool:
    """Make what the plan describes and is not finished, then the report over all runs that there are.

    Args:
        plan: description, by default `config/results.yaml`.
        size: of its `sizes`.
        out: folder of the JSON files, with the report in `report/`.
        work: folder of data and checkpoints.
        page: filled with the tables, as for `report`.
        only: names of runs and steps; by default what the plan has results for.
        max_minutes: stop after so long; trainings are not cut, and run to their end.
        dry: only say what is finished and what there is to do.

    Returns:
        Whether everything that was asked for is finished.

    Raises:
        ReportError: a plan that cannot be read or a name that it does not have.
    """
    plan = plan or share_path("config", "results.yaml")

    def read() -> Plan:
        return read_plan(plan, size, out, work)

    found = read()
    unknown = sorted(set(only or ()) - {*found.runs, *found.steps})
    if unknown:
        known = ", ".join([*found.runs, *found.steps])
        raise ReportError(f"only: found {', '.join(unknown)}; accepted: {known}")
    deadline = time.monotonic() + 60 * max_minutes if max_minutes else float("inf")
    maker = _Maker(read, out, work, workers, deadline, Console())
    asked = only or found.results
    # What is late keeps nothing else from being made, so every name is tried.
    states = [maker.show(name) if dry else maker.make(name) for name in asked]
    if dry:
        return all(states)
    files = [out / f"{name}.json" for name in found.runs]
    present = [file for file in files if file.exists()]
    if present:
        for file in report(present, out / "report", page, read()):
            maker.say(f"[green]written[/] {file}")
    return all(states)


@dataclass
class _Maker:
    """Makes parts of a plan by name.

    Attributes:
        read: reads the plan; searches that have finished since say more of it.
        deadline: on the monotonic clock [s]; nothing is begun after it.
    """

    read: Callable[[], Plan]
    out: Path
    work: Path
    workers: int
    deadline: float
    console: Console
    _made: dict[str, bool] = field(default_factory=dict)

    def make(self, name: str) -> bool:
        """Make a run or a step with all that it needs; returns whether it is finished."""
        if name not in self._made:
            self._made[name] = self._finished(self._part(name)) or self._begin(name)
        return self._made[name]

    def show(self, name: str) -> bool:
        """Say what there is to do for a run or a step; returns whether it is finished."""
        part = self._part(name)
        finished = self._finished(part)
        if not finished:
            for need in part.needs:
                if need not in self._made:
                    self._made[need] = self.show(need)
        lacking = missing(part, self._file(part)) if isinstance(part, Run) else []
        left = f": {', '.join(lacking)}" if lacking else ""
        self.say(f"[green]finished[/] {name}" if finished else f"[yellow]to do[/]    {name}{left}")
        return finished

    def say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True, highlight=False)

    def _part(self, name: str) -> Run | Step:
        plan = self.read()
        return plan.runs.get(name) or plan.steps[name]

    def _begin(self, name: str) -> bool:
        needs = [self.make(need) for need in self._part(name).needs]
        if not all(needs) or time.monotonic() > self.deadline:
            return False
        part = self._part(name)
        self.say(f"[bold]{name}[/]")
        if isinstance(part, Run):
            self._evaluate(part)
        else:
            self._run(part)
        return self._finished(part)

    def _evaluate(self, run: Run) -> None:
        left = self.deadline - time.monotonic()
        evaluate(
            run.task,
            run.checkpoint,
            list(run.methods),
            run.episodes,
            self._file(run),
            SEED,
            self.workers,
            run.engine,
            run.servo,
            baseline=run.baseline,
            agreement=run.agreement,
            max_ticks=run.max_ticks,
            max_minutes=None if left == float("inf") else max(left / 60, 1e-3),
        )

    def _run(self, step: Step) -> None:
        for words in step.commands:
            if time.monotonic() > self.deadline:
                return
            self.say(f"step-ros {' '.join(words)}")
            _step_ros(words)
        stamp = self._stamp(step)
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(_text(step))

    def _finished(self, part: Run | Step) -> bool:
        if isinstance(part, Run):
            return not missing(part, self._file(part))
        if not all(path.exists() for path in part.makes):
            return False
        if part.complete:
            return all(part.completes(json.loads(path.read_text())) for path in part.makes)
        stamp = self._stamp(part)
        return stamp.exists() and stamp.read_text() == _text(part)

    def _file(self, run: Run) -> Path:
        return self.out / f"{run.name}.json"

    def _stamp(self, step: Step) -> Path:
        """Holds the commands that made a step, so that changed ones run again."""
        return self.work / ".finished" / step.name


def missing(run: Run, file: Path) -> list[str]:
    """The methods for which a run's file lacks episodes or comparisons with DDPM: their labels, or the names
    of those that wait for a search."""
    if not file.exists():
        return [*run.names, *run.pending]
    methods = read_run(file)["methods"]
    seeds = set(range(SEED, SEED + run.episodes))
    compared = set(range(SEED, SEED + min(run.agreement, run.episodes)))

    def lacks(label: str) -> bool:
        entry = methods.get(label, {"episodes": []})
        agreement = {row["seed"] for row in entry.get("agreement", [])}
        return bool(
            seeds - {row["seed"] for row in entry["episodes"]} or (label != DDPM and compared - agreement)
        )

    return [*(label for label in run.names if lacks(label)), *run.pending]


def _text(step: Step) -> str:
    return "\n".join(" ".join(words) for words in step.commands) + "\n"


def _step_ros(words: Sequence[str]) -> None:
    """Run a command of `step-ros` in this process; what it refuses is raised."""
    from step_ros.cli import app

    command = typer.main.get_command(app)
    status = command.main(args=list(words), prog_name="step-ros", standalone_mode=False)
    if status:
        raise ReportError(f"step-ros {' '.join(words)}: ended with status {status}")
