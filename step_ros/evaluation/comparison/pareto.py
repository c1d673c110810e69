"""Success against time: one panel per run, its Pareto front drawn through the methods that none dominates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from step_ros.evaluation.comparison.tables import Shown
from step_ros.evaluation.figures import INK, SEAM, error_bars, panels, plain, png

FROM_NOISE = ("#1d5d9b", "solvers from noise")
FAMILIES = {
    "step": ("#e4572e", "STEP"),
    "ddim": FROM_NOISE,
    "dpmsolver_defaults": FROM_NOISE,
    "ddpm": ("#22303c", "DDPM-100"),
    "predictor": ("#3a7d44", "predictor alone"),
}
"""Colour and name by method; every other method is a warm start of somebody else's."""
OTHER = ("#b5179e", "other warm starts")


@dataclass(frozen=True)
class Point:
    """A method: name, its family's colour and name, milliseconds a cycle, success in % with its interval."""

    name: str
    colour: str
    family: str
    milliseconds: float
    success: float
    low: float
    high: float


def pareto_plot(runs: Sequence[Shown]) -> bytes:
    """One panel per run as PNG, time on a logarithmic axis; methods on the front are numbered and named."""
    figure, axes = panels(len(runs))
    labelled: dict[str, object] = {}
    for axis, run in zip(axes, runs, strict=True):
        labelled |= _panel(axis, points(run))
        axis.set_title(run.title, fontsize=9, loc="left", color=INK)
    # Five names are as wide as two panels.
    wide = 5 if len(runs) > 1 else 3
    figure.legend(
        labelled.values(), labelled.keys(), loc="outside upper center", ncols=wide, frameon=False, fontsize=8
    )
    return png(figure)


def points(run: Shown) -> list[Point]:
    """Every method of a run."""
    return [_point(run, name, entry) for name, entry in run.methods.items()]


def front(candidates: Sequence[Point]) -> list[Point]:
    """Those that no other beats in success at no more time, fastest first."""
    kept: list[Point] = []
    for point in sorted(candidates, key=lambda point: (point.milliseconds, -point.success)):
        if not kept or point.success > kept[-1].success:
            kept.append(point)
    return kept


def _point(run: Shown, name: str, entry: Mapping) -> Point:
    summary = entry["summary"]
    low, high = summary["success_interval_95"]
    colour, family = FAMILIES.get(entry.get("method", ""), OTHER)
    shares = (100 * value for value in (summary["success_rate"], low, high))
    return Point(name, colour, family, run.milliseconds(summary), *shares)


def _panel(axis: Axes, found: Sequence[Point]) -> dict[str, object]:
    """Draw; returns the legend's handles by family."""
    plain(axis)
    axis.set_xscale("log")
    handles = {}
    for point in found:
        handles[point.family] = axis.errorbar(
            point.milliseconds,
            point.success,
            yerr=error_bars([(point.success, point.low, point.high)]),
            fmt="o",
            ms=5,
            lw=0.8,
            color=point.colour,
            alpha=0.85,
        )
    best = front(found)
    # The front goes on to the right: a slower method is no reason to succeed less.
    slowest = max(point.milliseconds for point in found)
    axis.step(
        [*(point.milliseconds for point in best), slowest],
        [*(point.success for point in best), best[-1].success],
        where="post",
        color=SEAM,
        lw=1.2,
        zorder=0,
    )
    for number, point in enumerate(best, start=1):
        axis.annotate(
            str(number),
            (point.milliseconds, point.success),
            xytext=(-4, 5),
            textcoords="offset points",
            ha="right",
            fontsize=7,
            color=INK,
        )
    axis.text(
        0.98,
        0.03,
        "\n".join(f"{number}  {point.name}" for number, point in enumerate(best, start=1)),
        transform=axis.transAxes,
        ha="right",
        va="bottom",
        multialignment="left",
        fontsize=7,
        color=INK,
        bbox={"facecolor": "white", "edgecolor": SEAM, "alpha": 0.85},
    )
    lowest = min(point.low for point in found)
    axis.set_ylim(max(-3, lowest - 0.3 * (106 - lowest)), 106)
    axis.set_yticks([tick for tick in axis.get_yticks() if axis.get_ylim()[0] < tick <= 100 and tick >= 0])
    axis.margins(x=0.12)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("milliseconds a cycle, median", fontsize=8)
    axis.set_ylabel("success, % (95 % interval)", fontsize=8)
    return handles
