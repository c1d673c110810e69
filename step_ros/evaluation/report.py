"""One page that shows what a run came to; everything it needs is inside the file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from step_ros.evaluation.figures import joints_figure, latency_figure
from step_ros.evaluation.recording import Recording
from step_ros.evaluation.video import SPEED, Film

TEMPLATES = Path(__file__).parent / "templates"


def write_report(
    path: Path,
    summary: Mapping[str, object],
    cycle_ms: Sequence[float],
    shown: int,
    episode: Recording,
    film: Film,
) -> None:
    """Write the report of a run.

    Args:
        path: HTML file to write.
        summary: as in summary.json (see `step_ros.demo.run_demo`).
        cycle_ms: latency of every cycle, milliseconds.
        shown: which episode (row of the summary, from 0) `episode` is.
        episode: the recording of the episode whose joints are drawn.
        film: all episodes, in the order of the rows.
    """
    scenes = [
        {"start": scene.start, "end": scene.end, "seed": row["seed"], "success": row["success"]}
        for scene, row in zip(film.scenes, summary["rows"], strict=True)
    ]
    page = template("report.html.j2").render(
        summary=summary,
        shown=shown,
        scenes=scenes,
        speed=SPEED,
        film=data_url("video/mp4", film.mp4),
        joints=data_url("image/png", joints_figure(episode)),
        latency=data_url("image/png", latency_figure(cycle_ms, summary["policy_ms_p50"])),
    )
    path.write_text(page, encoding="utf-8")


def template(name: str) -> Template:
    """A page's template; what it does not find is an error."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(name)


def data_url(kind: str, content: bytes) -> str:
    """A file's content as an address that the page itself holds."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
