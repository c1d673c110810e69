"""`step-ros bench stall`: does an arm that sticks stall, and what do the paper's rule and ours make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from os.path import relpath
from pathlib import Path

from rich.console import Console
from rich.table import Table

from step_ros.evaluation.commands import evaluate
from step_ros.evaluation.comparison.markers import fill
from step_ros.evaluation.provenance import provenance
from step_ros.evaluation.runs import write_json
from step_ros.evaluation.stall.cells import (
    GRID_STEPS,
    NONE,
    OURS,
    SIGMA_SCALES,
    SIGMA_STALLS,
    STEPS,
    Cell,
    grid,
    ideal_cells,
)
from step_ros.evaluation.stall.figure import stall_figure
from step_ros.evaluation.stall.findings import Rows, compare, false_firings, rows_of, tuned_best
from step_ros.evaluation.stall.page import stall_page
from step_ros.paths import share_path
from step_ros.sim.environments import IDEAL_SERVO

ARMS = {
    "sticky": "sticky",
    "dead_band": "sticky:dead_band=0.05",
    "stiff": "sts3215:dead_band=0.05",
}
"""Servo by the name that results call an arm by: as measured, with the dead band of a worn or badly set one,
and with that alone on a servo that follows at once."""
IDEAL = "ideal"
SHOWN = (
    "rule",
    "steps",
    "sigma_stall",
    "sigma_scale",
    "success_rate",
    "success_interval_95",
    "seconds",
    "fired",
    "episodes_fired",
    "deadlocks",
)


def bench_stall(
    out: Path,
    *,
    tasks: Sequence[str] = ("pick_place", "stack_cube"),
    arms: Mapping[str, str] = ARMS,
    checkpoints: Mapping[str, Path] | None = None,
    episodes: int = 50,
    finals: int = 200,
    finalists: int = 3,
    seed: int = 0,
    threshold: float = 0.06,
    sigma_stalls: Sequence[float] = SIGMA_STALLS,
    sigma_scales: Sequence[float] = SIGMA_SCALES,
    steps: Sequence[int] = STEPS,
    workers: int = 2,
    engine: str = "auto",
    images: Path | None = None,
    page: Path | None = None,
    console: Console | None = None,
) -> dict[str, object]:
    """Run the grids on every task and arm; returns what is written to `out`.

    Episodes lie in a folder beside `out` that is called like it, one file per task and arm, and are not run
    again. Cells are compared on the same seeds.

    Args:
        out: JSON file of the findings.
        tasks, arms: what is run; arms are servos by name.
        checkpoints: folder of the policy per task, where it is not the shipped one.
        episodes: per cell of the grids, from `seed` on.
        finals: of the best `finalists` cells that somebody has to tune, of no rule and of ours; and on the
            ideal arm.
        threshold: `stall_threshold` of the rule as written.
        sigma_stalls, sigma_scales, steps: the grids.
        images: folder of the plots, one per task and arm; None draws nothing.
        page: its generated part called `stall` is filled.

    Raises:
        ReportError: `page` has no such part.
    """
    console = console or Console()
    found: dict[str, dict[str, object]] = {}
    for task in tasks:
        checkpoint = (checkpoints or {}).get(task) or share_path("models", "policies", task)
        run = partial(
            _run,
            out.with_suffix(""),
            task,
            checkpoint,
            seed=seed,
            threshold=threshold,
            workers=workers,
            engine=engine,
        )
        found[task] = {}
        for arm, servo in arms.items():
            rows = run(arm, servo, grid(sigma_stalls, sigma_scales, steps), episodes)
            kept = [*tuned_best(rows, finalists), Cell(NONE, GRID_STEPS), Cell(OURS, GRID_STEPS)]
            final = run(arm, servo, kept, max(finals, episodes))
            found[task][arm] = {"servo": servo, **compare(rows, final)}
            if images is not None:
                images.mkdir(parents=True, exist_ok=True)
                title = f"{task} on an arm with servo {servo}: {episodes} episodes a cell"
                (images / f"stall_{task}_{arm}.png").write_bytes(stall_figure(found[task][arm], title))
        ideal = run(IDEAL, IDEAL_SERVO, ideal_cells(), max(finals, episodes))
        found[task][IDEAL] = {"servo": IDEAL_SERVO, **false_firings(ideal)}
    settings = {
        "episodes": episodes,
        "finals": finals,
        "finalists": finalists,
        "seed": seed,
        "stall_threshold": threshold,
        "engine": engine,
    }
    results = {"benchmark": "stall", **provenance(), "settings": settings, "tasks": found}
    write_json(out, results)
    if page is not None:
        beside = page.parent.resolve()
        named = (relpath(path.resolve(), beside) for path in (out, images or beside))
        fill(page, {"stall": stall_page(results, *named)})
    for task, by_arm in found.items():
        for arm, entry in by_arm.items():
            console.print(_table(f"{task}, {arm}", entry.get("final", entry["cells"])))
    return results


def _run(
    folder: Path,
    task: str,
    checkpoint: Path,
    arm: str,
    servo: str,
    cells: Sequence[Cell],
    episodes: int,
    *,
    seed: int,
    threshold: float,
    workers: int,
    engine: str,
) -> Rows:
    """Run what is missing of some cells; their episodes."""
    words = {cell: cell.word(threshold) for cell in cells}
    results = evaluate(
        task,
        checkpoint,
        list(words.values()),
        episodes,
        folder / f"{task}.{arm}.json",
        seed=seed,
        workers=workers,
        engine=engine,
        servo=servo,
    )
    return {cell: rows_of(results, word, seed, episodes) for cell, word in words.items()}


def _table(title: str, rows: Sequence[Mapping[str, object]]) -> Table:
    table = Table(*(name.replace("_", " ") for name in SHOWN), title=title)
    for row in rows:
        table.add_row(*(_text(row[name]) for name in SHOWN))
    return table


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return " to ".join(f"{part:.2f}" for part in value)
    return f"{value:.2f}" if isinstance(value, float) else str(value)
