"""The report's figures, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from step_ros.control.joints import JOINT_NAMES
from step_ros.evaluation.recording import Recording

INK, COMMANDED, MEASURED, SEAM, BAR = "#22303c", "#22303c", "#e4572e", "#9fb3c8", "#8fb8de"
DPI = 150


def joints_figure(episode: Recording) -> bytes:
    """Commanded against measured positions of every joint over one episode, seams as ticks."""
    commanded, seams = episode.commanded()
    times = episode.state_times - episode.state_times[0]
    ticks = np.array(seams) - episode.state_times[0]
    figure = Figure(figsize=(9.6, 6.4), layout="constrained")
    axes = figure.subplots(3, 2, sharex=True)
    for axis, name, wanted, reached in zip(
        axes.flat, JOINT_NAMES, commanded.T, episode.positions.T, strict=True
    ):
        axis.vlines(ticks, 0, 0.12, transform=axis.get_xaxis_transform(), color=SEAM, lw=1.2, label="seam")
        axis.plot(times, wanted, color=COMMANDED, lw=1.1, ls=(0, (4, 1.5)), label="commanded")
        axis.plot(times, reached, color=MEASURED, lw=1.3, alpha=0.9, label="measured")
        axis.set_title(name.replace("_", " "), fontsize=9, loc="left", color=INK)
        axis.set_ylabel("rad", fontsize=8)
        plain(axis)
    for axis in axes[-1]:
        axis.set_xlabel("seconds", fontsize=8)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3, frameon=False, fontsize=9)
    return png(figure)


def latency_figure(cycle_ms: Sequence[float], policy_ms_p50: float | None) -> bytes:
    """Histogram of the time from image stamp to published trajectory, with its percentiles."""
    p50, p95 = np.percentile(cycle_ms, [50, 95])
    figure = Figure(figsize=(9.6, 2.9), layout="constrained")
    axis = figure.subplots()
    # A single straggler must not squeeze everything else into one bar.
    limit = max(1.6 * p95, 1.05 * p50)
    axis.hist(np.minimum(cycle_ms, limit), bins=np.linspace(0, limit, 60), color=BAR)
    marks = [("p50", p50, INK), ("p95", p95, MEASURED)]
    if policy_ms_p50 is not None:
        marks.append(("policy alone, p50", policy_ms_p50, "#3a7d44"))
    for name, value, colour in marks:
        axis.axvline(value, color=colour, lw=1.4, label=f"{name}: {value:.1f} ms")
    axis.set_xlim(0, limit)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("milliseconds from image stamp to published trajectory", fontsize=8)
    axis.set_ylabel("cycles", fontsize=8)
    axis.legend(frameon=False, fontsize=9)
    plain(axis)
    return png(figure)


def plain(axis: Axes) -> None:
    """Light axes with horizontal lines."""
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines[["left", "bottom"]].set_color(SEAM)
    axis.tick_params(labelsize=8, color=SEAM, labelcolor=INK)
    axis.grid(axis="y", color="#eef2f6", lw=0.8)
    axis.set_axisbelow(True)


def panels(count: int, size: tuple[float, float] = (5.4, 4.4), columns: int = 2) -> tuple[Figure, list[Axes]]:
    """A figure of so many axes in rows, each of `size` (width, height) inches; the last row may be short."""
    rows, columns = max(1, -(-count // columns)), max(1, min(columns, count))
    figure = Figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[count:]:
        axis.set_visible(False)
    return figure, axes[:count]


def error_bars(shares: Sequence[tuple[float, float, float]]) -> list[list[float]]:
    """What intervals add to their shares, (share, low, high) each, as `yerr` of matplotlib wants it."""
    # Rounding may put a limit at 100 % a little below the share itself.
    return [
        [max(0.0, share - low) for share, low, _ in shares],
        [max(0.0, high - share) for share, _, high in shares],
    ]


def png(figure: Figure) -> bytes:
    """The figure as a PNG file's content."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    return buffer.getvalue()
