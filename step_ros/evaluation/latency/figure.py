"""The benchmark's plot: time of a cycle over the size of the denoiser, beside the machine's limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from step_ros.evaluation.figures import INK, plain, png
from step_ros.evaluation.latency.plan import SIZES

_LINES = (
    ("DDPM-100", "diffusers", "#8d5524", "diffusers loop, DDPM-100"),
    ("DDIM-10", "diffusers", "#c68642", "diffusers loop, DDIM-10"),
    ("DDIM-2", "diffusers", "#e0ac69", "diffusers loop, DDIM-2"),
    ("DDIM-2", "lerobot", "#b5179e", "LeRobot, DDIM-2"),
    ("STEP-2", "torch", "#e4572e", "STEP-2, eager torch"),
    ("STEP-2", "onnx", "#3a7d44", "STEP-2, ONNX Runtime"),
    ("STEP-2", "cuda", "#6a4c93", "STEP-2, GPU"),
    ("STEP-2", "openvino", "#1d5d9b", "STEP-2, OpenVINO"),
    ("STEP-2", "openvino bf16", "#5fa8e8", "STEP-2, OpenVINO bf16"),
    ("STEP-2", "openvino int8", "#2a9d8f", "STEP-2, OpenVINO int8"),
)
_GRAPH = ", one graph"


def latency_plot(sizes: Mapping[str, Mapping], groups: Sequence[Mapping]) -> bytes:
    """One panel per number of threads, as PNG: p50 of the whole cycle, both axes logarithmic."""
    threads = sorted({group["threads"] for group in groups})
    figure = Figure(figsize=(4.9 * len(threads) + 2.2, 4.8), layout="constrained")
    panels = figure.subplots(1, len(threads), sharey=True, squeeze=False)[0]
    for axis, count in zip(panels, threads, strict=True):
        _panel(axis, sizes, [group for group in groups if group["threads"] == count])
        axis.set_title(f"{count} thread{'s' if count > 1 else ''}", fontsize=9, loc="left", color=INK)
    panels[0].set_ylabel("milliseconds per cycle, p50", fontsize=8)
    labelled = {
        label: handle
        for axis in panels
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(labelled.values(), labelled.keys(), loc="outside right upper", frameon=False, fontsize=8)
    return png(figure)


def _panel(axis: Axes, sizes: Mapping[str, Mapping], groups: Sequence[Mapping]) -> None:
    by_size = {group["size"]: group["rows"] for group in groups}
    millions = {name: sizes[name]["unet_parameters"] / 1e6 for name in SIZES if name in by_size}
    names = sorted(millions, key=millions.__getitem__)
    for method, candidate, colour, label in _LINES:
        points = []
        for name in names:
            rows = {row["candidate"]: row for row in by_size[name] if row["method"] == method}
            row = rows.get(candidate + _GRAPH) or rows.get(candidate)
            if row:
                points.append((millions[name], row["milliseconds"]["total"]["p50"]))
        if points:
            axis.plot(*zip(*points, strict=True), color=colour, lw=1.5, marker="o", ms=4, label=label)
    least = [
        (millions[name], row["limit_ms"]["total"])
        for name in names
        for row in by_size[name]
        if row["method"] == "STEP-2" and row["candidate"] in ("torch", "openvino")
    ]
    if least:
        axis.plot(
            *zip(*least, strict=True),
            color=INK,
            lw=1.2,
            ls=(0, (4, 2)),
            label="physical limit of STEP-2, fp32",
        )
    plain(axis)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks([millions[name] for name in names], [f"{millions[name]:.3g}" for name in names])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.minorticks_off()
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xlabel("parameters of the U-Net, millions", fontsize=8)
