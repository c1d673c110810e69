"""What STEP's settings are worth: success over entry level and number of steps, and by predictor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

from matplotlib.axes import Axes

from step_ros.evaluation.comparison.tables import STEP, Shown
from step_ros.evaluation.figures import INK, MEASURED, error_bars, panels, plain, png

SHADES = ("#f2a65a", "#e4572e", "#8c1c13", "#4a0d0d")
"""Few steps to many."""
BESIDE = 0.6
"""Lines of several numbers of steps stand beside each other at a level, by so many levels."""

Grid = Mapping[int, Mapping[int, Mapping]]
"""Summaries by number of steps and entry level."""


def grid(run: Shown) -> Grid:
    """Summaries of STEP with the run's own predictor, by number of steps and entry level, both rising."""
    found: dict[int, dict[int, Mapping]] = defaultdict(dict)
    for entry in run.results["methods"].values():
        if entry["method"] == STEP and entry["checkpoint"] == run.results["checkpoint"]:
            settings = entry["in_force"]
            found[settings["num_inference_steps"]][settings["entry_timestep"]] = entry["summary"]
    return {steps: dict(sorted(levels.items())) for steps, levels in sorted(found.items())}


def predictors(run: Shown) -> dict[str, Mapping]:
    """Summaries by the reader's name: STEP's defaults first, then with other predictors."""
    default = {
        name: entry["summary"]
        for name, entry in run.methods.items()
        if entry is run.results["methods"].get(STEP)
    }
    others = {
        name: entry["summary"]
        for name, entry in run.methods.items()
        if entry["checkpoint"] != run.results["checkpoint"]
    }
    return default | others


def ablation_plot(runs: Sequence[Shown]) -> bytes:
    """Success as PNG: over the entry level, a line per number of steps, and by predictor.

    A run has a panel for each of the two, but none for a single point.
    """
    drawn = []
    for run in runs:
        if sum(len(levels) for levels in grid(run).values()) > 1:
            drawn.append((run.title, partial(_draw_levels, found=grid(run))))
        if len(predictors(run)) > 1:
            drawn.append((run.title, partial(_draw_predictors, found=predictors(run))))
    figure, axes = panels(len(drawn))
    for axis, (title, draw) in zip(axes, drawn, strict=True):
        draw(axis)
        axis.set_ylim(0, None)
        axis.set_ylabel("success, % (95 % interval)", fontsize=8)
        axis.set_title(title, fontsize=9, loc="left", color=INK)
    return png(figure)


def _draw_levels(axis: Axes, found: Grid) -> None:
    plain(axis)
    middle = (len(found) - 1) / 2
    for number, (steps, levels) in enumerate(found.items()):
        shares = [_percent(summary) for summary in levels.values()]
        axis.errorbar(
            [level + BESIDE * (number - middle) for level in levels],
            [share for share, _, _ in shares],
            yerr=error_bars(shares),
            fmt="o-",
            ms=4,
            lw=1.3,
            elinewidth=0.8,
            color=SHADES[min(number, len(SHADES) - 1)],
            label=f"{steps} step{'s' if steps > 1 else ''}",
        )
    axis.set_xticks(sorted({level for levels in found.values() for level in levels}))
    axis.set_xlabel("entry level of 100 (the noise that the predicted chunk is given)", fontsize=8)
    axis.legend(frameon=False, fontsize=8, loc="upper left")


def _draw_predictors(axis: Axes, found: Mapping[str, Mapping]) -> None:
    plain(axis)
    shares = [_percent(summary) for summary in found.values()]
    axis.errorbar(
        range(len(found)),
        [share for share, _, _ in shares],
        yerr=error_bars(shares),
        fmt="o",
        ms=5,
        elinewidth=0.8,
        color=MEASURED,
    )
    axis.set_xticks(range(len(found)), list(found), rotation=25, ha="right")
    axis.set_xlim(-0.5, len(found) - 0.5)


def _percent(summary: Mapping) -> tuple[float, float, float]:
    """Success and the ends of its interval."""
    share, (low, high) = summary["success_rate"], summary["success_interval_95"]
    return 100 * share, 100 * low, 100 * high
