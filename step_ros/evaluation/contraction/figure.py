"""The plot of where the reverse process contracts: the factor of every level, and what Eq. 18 comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from step_ros.evaluation.contraction.measure import ENTRIES, KINDS
from step_ros.evaluation.figures import INK, plain, png

COLOURS = {"ddim": "#1d5d9b", "ddpm": "#3a7d44", "dpmsolver++": "#b5179e"}
NAMES = {"ddim": "DDIM", "ddpm": "DDPM, mean", "dpmsolver++": "DPM-Solver++"}
STYLES = {"white": "-", "offset": (0, (5, 2)), "largest": (0, (1, 1.5))}
KIND_NAMES = {"white": "white noise", "offset": "offset of a joint", "largest": "worst direction"}
SHADES = ("#cfe0ef", "#8fb8de", "#4f8fc6", "#1d5d9b", "#12365a")


def contraction_figure(results: Mapping) -> bytes:
    """PNG of what `bench_contraction` wrote."""
    settings = results["settings"]
    figure = Figure(figsize=(13.6, 7.2), layout="constrained")
    predicts = {"sample": "the clean chunk", "epsilon": "the noise"}[settings["prediction_type"]]
    figure.suptitle(
        f"{settings['task']}: a denoiser that predicts {predicts}, {settings['observations']} observations",
        fontsize=11,
        color=INK,
    )
    above, below = figure.subplots(2, 2)
    for axis, kinds in zip(above, (KINDS, ("largest",)), strict=True):
        _factors(axis, results["levels"], kinds)
    for axis, kind in zip(below, KINDS, strict=True):
        _ratios(axis, results["eq18"], kind)
    return png(figure)


def _factors(axis: Axes, rows: Sequence[Mapping], kinds: Sequence[str]) -> None:
    for solver, colour in COLOURS.items():
        mine = [row for row in rows if row["solver"] == solver]
        for kind in kinds:
            label = f"{NAMES[solver]}, {KIND_NAMES[kind]}"
            values = [row[kind] for row in mine]
            axis.plot(
                [row["level"] for row in mine],
                values,
                color=colour,
                ls=STYLES[kind],
                lw=1.4,
                marker=".",
                ms=4,
                label=label,
            )
    axis.set_xlabel("noise level k", fontsize=8)
    axis.set_ylabel("c_k: error after the update over error before", fontsize=8)
    names = " and ".join(KIND_NAMES[kind] for kind in kinds)
    axis.set_title(f"one level down: {names}", fontsize=9, loc="left", color=INK)
    _finish(axis)


def _ratios(axis: Axes, rows: Sequence[Mapping], kind: str) -> None:
    for entry, shade in zip(ENTRIES, SHADES, strict=True):
        for steps, style in (("2 steps", "-"), ("every level", (0, (1, 1.5)))):
            line = [
                (row["distance"], row["ratio"])
                for row in rows
                if (row["solver"], row["steps"], row["entry"], row["kind"]) == ("ddim", steps, entry, kind)
                and "ratio" in row
            ]
            if line:
                label = f"from level {entry}, {steps}"
                axis.plot(
                    *zip(*line, strict=True), color=shade, ls=style, lw=1.5, marker=".", ms=4, label=label
                )
    axis.set_xscale("log")
    axis.set_xlabel("distance of the start from DDPM's state, RMS, normalised units", fontsize=8)
    axis.set_ylabel("error at the end over error at the start", fontsize=8)
    axis.set_title(f"Eq. 18 measured, DDIM: {KIND_NAMES[kind]}", fontsize=9, loc="left", color=INK)
    _finish(axis)


def _finish(axis: Axes) -> None:
    axis.set_yscale("log")
    axis.axhline(1.0, color=INK, lw=0.8)
    for word, below in (("grows", 3), ("contracts", -9)):
        axis.annotate(
            word,
            (0.5, 1.0),
            (0, below),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="center",
            fontsize=7,
            color=INK,
        )
    axis.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    plain(axis)
