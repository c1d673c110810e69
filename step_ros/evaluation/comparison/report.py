"""`step-ros report`: runs of `step-ros eval` as tables, a Pareto plot, and ours beside the paper's tables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from step_ros.evaluation.comparison.ablations import ablation_plot
from step_ros.evaluation.comparison.markers import fill
from step_ros.evaluation.comparison.paper import paper_tables, usual_rows
from step_ros.evaluation.comparison.pareto import pareto_plot
from step_ros.evaluation.comparison.plan import Plan, Run
from step_ros.evaluation.comparison.tables import (
    Shown,
    motion_table,
    overview_table,
    source_line,
    step_table,
    success_table,
    ways_table,
)
from step_ros.evaluation.runs import read_run

PLOT = "pareto.png"
ABLATION_PLOT = "ablations.png"
TABLES = "tables.md"


def report(
    results: Sequence[Path],
    out: Path,
    page: Path | None = None,
    plan: Plan | None = None,
) -> list[Path]:
    """Write `tables.md`, `pareto.png` and, for ablations, `ablations.png` into `out`; returns their paths.

    Args:
        results: files of `step-ros eval`.
        page: also fill the generated parts of this page: `overview`, `success`, `step`, `motion`, `ways`,
            `pareto`, `paper`, `ablations`.
        plan: description of the published set, which knows titles, names and their order; without it methods
            are called as they were on the command line.

    Raises:
        ConfigError: a file that is not the result of `step-ros eval`.
        ReportError: a page without markers.
    """
    planned = plan.runs if plan else {}
    files = {path.stem: path for path in results}
    order = [name for name in planned if name in files] + [name for name in files if name not in planned]
    found = {name: read_run(files[name]) for name in order}
    out.mkdir(parents=True, exist_ok=True)

    def shown_from(folder: Path) -> tuple[list[Shown], list[Shown]]:
        """Comparisons, and ablations of STEP."""
        runs = [_shown(name, found[name], files[name], folder, planned.get(name)) for name in order]
        return [run for run in runs if not run.ablation], [run for run in runs if run.ablation]

    comparisons, ablations = shown_from(out)
    plots = {}
    if comparisons:
        plots[out / PLOT] = pareto_plot(comparisons)
    if ablations:
        plots[out / ABLATION_PLOT] = ablation_plot(ablations)
    for plot, content in plots.items():
        plot.write_bytes(content)
    titles = {"overview": "Success at a glance, %"}
    titles |= {"success": "Success and cost", "step": "STEP against each of the others"}
    titles |= {"motion": "Motion, and distance to DDPM", "ways": "Which way"}
    titles |= {"pareto": "Success against time", "paper": "Beside the paper's tables"}
    titles |= {"ablations": "STEP's parts and settings"}
    parts = _parts(*shown_from(out), out, out)
    text = "\n\n".join(f"## {titles[name]}\n\n{part}" for name, part in parts.items())
    tables = out / TABLES
    tables.write_text(f"# Comparison of methods\n\n{text}\n", encoding="utf-8")
    if page:
        fill(page, _parts(*shown_from(page.parent), out, page.parent))
    return [tables, *plots, *([page] if page else [])]


def _shown(name: str, results: Mapping, file: Path, folder: Path, run: Run | None) -> Shown:
    title = run.title if run else name.replace("_", " ")
    names, paper = (run.names, run.paper_rows) if run else ({}, usual_rows(results["methods"]))
    ablation = run is not None and run.ablation
    return Shown(name, title, _relative(file, folder), results, names, paper, ablation)


def _parts(runs: Sequence[Shown], ablations: Sequence[Shown], plots: Path, folder: Path) -> dict[str, str]:
    """The generated parts of a page in `folder` by name; `plots` is where the plots are."""
    ways = {run.title: table for run in runs if (table := ways_table(run))}
    step = {run.title: table for run in runs if (table := step_table(run))}
    none = "No run of this kind."

    def success(shown: Sequence[Shown]) -> str:
        return _sections({run.title: f"{success_table(run)}\n\n{source_line(run)}" for run in shown})

    def image(title: str, name: str) -> str:
        return f"![{title}]({_relative(plots / name, folder)})"

    ablated = [
        image("Success over entry level and steps, and by predictor", ABLATION_PLOT),
        success(ablations),
    ]
    return {
        "overview": overview_table(runs) if runs else none,
        "success": success(runs) or none,
        "step": _sections(step) or "No run of STEP beside another method.",
        "pareto": image("Success against milliseconds a cycle, one panel per task", PLOT) if runs else none,
        "motion": _sections({run.title: motion_table(run) for run in runs}) or none,
        "ways": _sections(ways) or "No run of a task with several ways.",
        "paper": paper_tables(runs),
        "ablations": "\n\n".join(ablated) if ablations else none,
    }


def _sections(texts: Mapping[str, str]) -> str:
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in texts.items())


def _relative(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
