"""One page that shows a replay; everything it needs is inside the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from step_ros.evaluation.replay.figures import COLOURS, error_figure, latency_figure, sweep_figure
from step_ros.evaluation.replay.traces import Traces
from step_ros.evaluation.report import data_url, template
from step_ros.evaluation.video import encode_mp4

FILM_RATE = 8
"""Cycles that the film shows per second: about twice as fast as they were."""
DIGITS = 4
COMPARED = (
    "error.rms",
    "agreement.rms",
    "seam_jump.p95",
    "jerk",
    "stalls",
    "limited_chunks",
    "latency_ms.p50",
    "latency_ms.p95",
    "late_share",
)
"""The numbers of a comparison that the page shows; the JSON has all."""


def write_replay_report(
    path: Path,
    results: Mapping[str, object],
    traces: Traces,
    milliseconds: Mapping[str, Sequence[float]],
    deadline_ms: float,
) -> None:
    """Write the page of a replay.

    Args:
        path: HTML file to write.
        results: as written to JSON, provenance included; `sweep`, `gate` and `comparison` where there are.
        traces: what is drawn over time.
        milliseconds: per method the time of every chunk.
        deadline_ms: when the next cycle is due after an observation.
    """
    config = traces.config
    swept = results.get("sweep")
    page = template("replay.html.j2").render(
        results=results,
        colours=dict(zip(results["methods"], COLOURS * len(results["methods"]), strict=False)),
        compared=COMPARED,
        complete=traces.complete,
        film=data_url("video/mp4", encode_mp4(traces.pictures, FILM_RATE)) if traces.pictures else None,
        traces=trace_data(traces),
        errors=data_url("image/png", error_figure(results["methods"], config.action_names, config.fps)),
        latency=data_url("image/png", latency_figure(milliseconds, deadline_ms)),
        sweep=data_url("image/png", sweep_figure(swept, swept["in_force"])) if swept else None,
    )
    path.write_text(page, encoding="utf-8")


def trace_data(traces: Traces) -> dict[str, object]:
    """What the page's script draws; times in s after the first cycle, angles in rad, null if unknown."""
    start = traces.stamps[0]
    return {
        "rate": FILM_RATE,
        "fps": traces.config.fps,
        "joints": list(traces.config.action_names),
        "times": [round(stamp - start, DIGITS) for stamp in traces.stamps],
        "first": traces.first,
        "pauses": traces.pauses,
        "measured": [_rounded(row) for row in traces.measured],
        "recorded": [_rounded(rows) for rows in traces.recorded],
        "methods": [
            {"label": label, "colour": COLOURS[k % len(COLOURS)], "chunks": [_rounded(c) for c in chunks]}
            for k, (label, chunks) in enumerate(traces.executed.items())
        ],
    }


def _rounded(values: np.ndarray) -> list:
    rounded = np.round(np.asarray(values, dtype=float), DIGITS)
    return np.where(np.isfinite(rounded), rounded, None).tolist()
