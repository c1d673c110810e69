"""The replay report's figures, as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from step_ros.evaluation.figures import BAR, INK, SEAM, plain, png

COLOURS = ("#e4572e", "#2e86ab", "#3a7d44", "#8e5ea2", "#c9a227", "#5b7083", "#d16ba5", "#17a398")
"""One per method, in order, here and in the page's traces."""


def error_figure(methods: Mapping[str, Mapping], joint_names: Sequence[str], fps: float) -> bytes:
    """Mean error against the recorded actions, over the horizon and per joint."""
    figure = Figure(figsize=(9.6, 3.2), layout="constrained")
    horizon, joints = figure.subplots(1, 2)
    width = 0.8 / len(methods)
    for k, (label, values) in enumerate(methods.items()):
        colour = COLOURS[k % len(COLOURS)]
        rows = np.array(values["error"]["mean_abs_per_row"], dtype=float)
        horizon.plot((np.arange(len(rows)) + 1) / fps, rows, color=colour, lw=1.4, marker=".", label=label)
        heights = np.array([values["error"]["mean_abs_per_joint"][name] for name in joint_names], dtype=float)
        joints.bar(np.arange(len(joint_names)) + (k + 0.5) * width - 0.4, heights, width, color=colour)
    horizon.set_xlabel("seconds after the observation", fontsize=8)
    horizon.set_ylabel("mean |error|, rad", fontsize=8)
    horizon.set_ylim(bottom=0)
    horizon.legend(frameon=False, fontsize=8)
    joints.set_xticks(range(len(joint_names)), [n.replace("_", "\n") for n in joint_names], fontsize=8)
    for axis in (horizon, joints):
        plain(axis)
    return png(figure)


def latency_figure(milliseconds: Mapping[str, Sequence[float]], deadline_ms: float) -> bytes:
    """Share of chunks that are ready within a time, per method, and when the next cycle is due."""
    figure = Figure(figsize=(9.6, 2.9), layout="constrained")
    axis = figure.subplots()
    for k, (label, values) in enumerate(milliseconds.items()):
        ordered = np.sort(values)
        share = (np.arange(len(ordered)) + 1) / len(ordered)
        axis.step(ordered, share, where="post", color=COLOURS[k % len(COLOURS)], lw=1.4, label=label)
    axis.axvline(
        deadline_ms, color=INK, lw=1.2, ls=(0, (4, 1.5)), label=f"next cycle due: {deadline_ms:.0f} ms"
    )
    axis.set_xscale("log")
    _plain_numbers(axis.xaxis)
    axis.set_xlabel("milliseconds that a chunk takes on this machine", fontsize=8)
    axis.set_ylabel("share of chunks", fontsize=8)
    axis.legend(frameon=False, fontsize=8)
    plain(axis)
    return png(figure)


def sweep_figure(swept: Mapping[str, list], threshold: float) -> bytes:
    """The stall distance over the recording, and how many cycles fire per threshold and patience."""
    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    line, counts = figure.subplots(2, 1)
    times = np.array(swept["stamps"]) - swept["stamps"][0]
    values = np.array([np.nan if v is None else v for v in swept["distances"]], dtype=float)
    line.semilogy(times, values, ".", ms=3, color=INK, label="stall distance of a cycle")
    pauses = np.array(swept["pauses"], bool)
    line.fill_between(
        times, 0, 1, where=pauses, transform=line.get_xaxis_transform(), color=BAR, alpha=0.5, lw=0,
        label="recorded command still",
    )  # fmt: skip
    line.axhline(threshold, color=COLOURS[0], lw=1.2, label=f"stall_threshold in force: {threshold:g}")
    line.set_xlabel("seconds", fontsize=8)
    line.set_ylabel("RMS change, normalised", fontsize=8)
    line.legend(frameon=False, fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    patiences = sorted({entry["patience"] for entry in swept["grid"]})
    for k, patience in enumerate(patiences):
        entries = [entry for entry in swept["grid"] if entry["patience"] == patience]
        at = [entry["threshold"] for entry in entries]
        moving = [entry["fired"] - entry["fired_in_pauses"] for entry in entries]
        colour = COLOURS[k % len(COLOURS)]
        counts.plot(at, moving, color=colour, lw=1.4, label=f"patience {patience}, moving")
        still = [entry["fired_in_pauses"] for entry in entries]
        counts.plot(at, still, color=colour, lw=1.0, ls=":", label=f"patience {patience}, in pauses")
    counts.axvline(threshold, color=SEAM, lw=1.2)
    counts.set_xscale("log")
    _plain_numbers(counts.xaxis)
    _plain_numbers(line.yaxis)
    counts.set_xlabel("stall_threshold, normalised units", fontsize=8)
    counts.set_ylabel("cycles in which the rule fires", fontsize=8)
    counts.legend(frameon=False, fontsize=7, ncols=len(patiences), loc="lower left", bbox_to_anchor=(0, 1))
    for axis in (line, counts):
        plain(axis)
    return png(figure)


def _plain_numbers(axis: Axis) -> None:
    """1, 2 and 5 of every decade on a logarithmic axis, without powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())
