"""The plots of the paper's Tables 8 and 9 and Figure 7, for one task on one arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from step_ros.evaluation.figures import INK, SEAM, plain, png
from step_ros.evaluation.stall.cells import ALWAYS, GRID_STEPS, LINE_SCALE, NONE, OURS, WRITTEN

TITLES = {WRITTEN: "perturbed while stalled (Eq. 14)", ALWAYS: "perturbed in every cycle"}
COLOURS = {NONE: "#9fb3c8", WRITTEN: "#1d5d9b", ALWAYS: "#b5179e", OURS: "#e4572e"}
NAMES = {NONE: "no rule", WRITTEN: "Eq. 14, best cell", ALWAYS: "always, best cell", OURS: "ours, defaults"}
STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)))

Cells = Sequence[Mapping]


def stall_figure(entry: Mapping, title: str) -> bytes:
    """Success over both factors, over the noise amplitude by steps, and the time of an episode, as PNG.

    Args:
        entry: what `findings.compare` returns.
        title: of the whole figure.
    """
    cells = entry["cells"]
    figure = Figure(figsize=(11.2, 7.6), layout="constrained")
    figure.suptitle(title, fontsize=11, color=INK)
    (above, below) = figure.subplots(2, 2)
    for axis, rule in zip(above, (WRITTEN, ALWAYS), strict=True):
        _table(axis, [cell for cell in cells if cell["rule"] == rule and cell["steps"] == GRID_STEPS])
        axis.set_title(f"success, {GRID_STEPS} steps, {TITLES[rule]}", fontsize=9, loc="left", color=INK)
    _lines(below[0], cells)
    _times(below[1], cells)
    return png(figure)


def _table(axis: Axes, cells: Cells) -> None:
    """Success in % in every cell; both factors as in Table 9."""
    stalls = sorted({cell["sigma_stall"] for cell in cells})
    scales = sorted({cell["sigma_scale"] for cell in cells})
    values = np.full((len(scales), len(stalls)), np.nan)
    for cell in cells:
        values[scales.index(cell["sigma_scale"]), stalls.index(cell["sigma_stall"])] = cell["success_rate"]
    axis.imshow(values, vmin=0.0, vmax=1.0, cmap="Blues", aspect="auto", origin="lower")
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            colour = "white" if value > 0.6 else INK
            axis.text(column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=8, color=colour)
    axis.set_xticks(range(len(stalls)), [f"{value:g}" for value in stalls])
    axis.set_yticks(range(len(scales)), [f"{value:g}" for value in scales])
    axis.tick_params(labelsize=8, length=0, labelcolor=INK)
    axis.spines[:].set_visible(False)
    axis.set_xlabel("sigma_stall, normalised units", fontsize=8)
    axis.set_ylabel("sigma_scale", fontsize=8)


def _lines(axis: Axes, cells: Cells) -> None:
    """Success over the noise amplitude at one `sigma_scale`, by steps, as in Table 8."""
    steps = sorted({cell["steps"] for cell in cells})
    for rule in (WRITTEN, ALWAYS):
        for count, style in zip(steps, STYLES, strict=False):
            line = sorted(
                (cell["sigma_stall"], 100 * cell["success_rate"])
                for cell in cells
                if (cell["rule"], cell["steps"], cell["sigma_scale"]) == (rule, count, LINE_SCALE)
            )
            if line:
                name = f"{rule}, {count} steps"
                axis.plot(*zip(*line, strict=True), color=COLOURS[rule], ls=style, lw=1.4, label=name)
    for rule in (NONE, OURS):
        found = _one(cells, rule, GRID_STEPS)
        low, high = (100 * end for end in found["success_interval_95"])
        axis.axhspan(low, high, color=COLOURS[rule], alpha=0.15, lw=0)
        name = f"{NAMES[rule]}, {GRID_STEPS} steps"
        axis.axhline(100 * found["success_rate"], color=COLOURS[rule], lw=2.0, label=name)
    axis.set_ylim(0, 103)
    axis.set_xlabel(f"sigma_stall, normalised units (sigma_scale {LINE_SCALE:g})", fontsize=8)
    axis.set_ylabel("success, %", fontsize=8)
    axis.set_title("success by noise and steps; bands: 95 %", fontsize=9, loc="left", color=INK)
    axis.legend(frameon=False, fontsize=7, ncols=2, loc="lower left")
    plain(axis)


def _times(axis: Axes, cells: Cells) -> None:
    """Mean time of an episode by steps, without and with perturbation, as in Figure 7."""
    steps = sorted({cell["steps"] for cell in cells})
    rules = (NONE, WRITTEN, ALWAYS, OURS)
    width = 0.8 / len(rules)
    for number, rule in enumerate(rules):
        bars = [_best(cells, rule, count) for count in steps]
        left = np.arange(len(steps)) + (number - (len(rules) - 1) / 2) * width
        heights = [bar["seconds"] for bar in bars]
        axis.bar(left, heights, 0.92 * width, color=COLOURS[rule], label=NAMES[rule])
        for place, bar in zip(left, bars, strict=True):
            text = f"{100 * bar['success_rate']:.0f} %"
            axis.text(place, bar["seconds"] + 0.1, text, ha="center", fontsize=7, color=INK)
    axis.set_xticks(range(len(steps)), [f"{count} steps" for count in steps])
    axis.set_ylabel("seconds an episode", fontsize=8)
    axis.set_ylim(0, 1.25 * max(cell["seconds"] for cell in cells))
    axis.set_title("time of an episode, success above the bar", fontsize=9, loc="left", color=INK)
    axis.legend(frameon=False, fontsize=7, ncols=2, loc="upper left")
    plain(axis)
    axis.spines["bottom"].set_color(SEAM)


def _one(cells: Cells, rule: str, steps: int) -> Mapping:
    return next(cell for cell in cells if (cell["rule"], cell["steps"]) == (rule, steps))


def _best(cells: Cells, rule: str, steps: int) -> Mapping:
    """The cell of a rule with most successes, of equals the fastest."""
    some = [cell for cell in cells if (cell["rule"], cell["steps"]) == (rule, steps)]
    return max(some, key=lambda cell: (cell["success_rate"], -cell["seconds"]))
