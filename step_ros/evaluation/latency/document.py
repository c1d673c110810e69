"""The benchmark as a page: aims, tables and plot, all made from the JSON file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from step_ros.evaluation.latency.figure import latency_plot
from step_ros.evaluation.latency.plan import CASES, SIZES

TEMPLATES = Path(__file__).parents[1] / "templates"
PLOT = Path("images", "latency.png")


def write_document(path: Path, results: Mapping[str, object], source: Path) -> None:
    """Write the page to `path` and its plot to `images/latency.png` beside it.

    Args:
        results: what `Results.write` returned.
        source: the JSON file, which the page links to.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"ms": milliseconds, "sig": significant}
    order = list(SIZES)
    groups = sorted(results["groups"], key=lambda group: (order.index(group["size"]), group["threads"]))
    page = environment.get_template("latency.md.j2").render(
        results=results,
        groups=groups,
        sizes={name: results["sizes"][name] for name in order if name in results["sizes"]},
        methods=[
            name for name in CASES if any(row["method"] == name for group in groups for row in group["rows"])
        ],
        overview=overview,
        missing=missing,
        source=os.path.relpath(source.resolve(), path.resolve().parent),
        plot=PLOT.as_posix(),
    )
    image = path.parent / PLOT
    image.parent.mkdir(parents=True, exist_ok=True)
    image.write_bytes(latency_plot(results["sizes"], groups))
    path.write_text(page, encoding="utf-8")


def overview(group: Mapping[str, object], methods: Sequence[str]) -> list[tuple[str, list[str]]]:
    """A table's rows: candidate, and per method the p50 of the whole cycle; `~` marks an estimate."""
    cells: dict[str, dict[str, str]] = {}
    for row in group["rows"]:
        mark = "~" if row["estimated"] else ""
        text = mark + milliseconds(row["milliseconds"]["total"]["p50"])
        cells.setdefault(row["candidate"], {})[row["method"]] = text
    return [(name, [found.get(method, "") for method in methods]) for name, found in sorted(cells.items())]


def missing(group: Mapping[str, object]) -> list[str]:
    """Reasons why candidates were not measured, each once, after all that it holds for."""
    names: dict[str, list[str]] = {}
    for candidate, reason in group["unavailable"].items():
        names.setdefault(reason, []).append(candidate)
    return [f"{'; '.join(found)} ({reason})" for reason, found in names.items()]


def milliseconds(value: float) -> str:
    """Three figures that count: 0.412, 4.12, 41.2, 412, 4120."""
    decimals = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{decimals}f}"


def significant(value: float) -> str:
    """Three figures that count, without an exponent below a million."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
