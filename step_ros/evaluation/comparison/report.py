"""`step-ros report`: runs of `step-ros eval` as tables, a Pareto plot, and ours beside the paper's tables."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from step_ros.evaluation.comparison.markers import fill
from step_ros.evaluation.comparison.paper import paper_tables, usual_rows
from step_ros.evaluation.comparison.pareto import pareto_plot
from step_ros.evaluation.comparison.plan import Plan, Run
from step_ros.evaluation.comparison.tables import (
    Shown,
    motion_table,
    source_line,
    step_table,
    success_table,
    ways_table,
)
from step_ros.evaluation.runs import read_run

PLOT = "pareto.png"
TABLES = "tables.md"


def report(
    results: Sequence[Path],
    out: Path,
    page: Path | None = None,
    plan: Plan | None = None,
) -> list[Path]:
    """Write `tables.md` and `pareto.png` into `out`; returns what was written.

    Args:
        results: files of `step-ros eval`.
        page: also fill the generated parts of this page: `success`, `step`, `motion`, `ways`, `pareto`,
            `paper`.
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
    plot, tables = out / PLOT, out / TABLES

    def parts_for(folder: Path) -> dict[str, str]:
        shown = [_shown(name, found[name], files[name], folder, planned.get(name)) for name in order]
        return _parts(shown, _relative(plot, folder))

    plot.write_bytes(pareto_plot([_shown(n, found[n], files[n], out, planned.get(n)) for n in order]))
    titles = {"success": "Success and cost", "step": "STEP against each of the others"}
    titles |= {"motion": "Motion, and distance to DDPM", "ways": "Which way"}
    titles |= {"pareto": "Success against time", "paper": "Beside the paper's tables"}
    parts = parts_for(out)
    text = "\n\n".join(f"## {titles[name]}\n\n{part}" for name, part in parts.items())
    tables.write_text(f"# Comparison of methods\n\n{text}\n", encoding="utf-8")
    if page:
        fill(page, parts_for(page.parent))
    return [tables, plot, *([page] if page else [])]


def _shown(name: str, results: Mapping, file: Path, folder: Path, run: Run | None) -> Shown:
    title = run.title if run else name.replace("_", " ")
    names, paper = (run.names, run.paper_rows) if run else ({}, usual_rows(results["methods"]))
    return Shown(name, title, _relative(file, folder), results, names, paper)


def _parts(runs: Sequence[Shown], plot: str) -> dict[str, str]:
    """The generated parts of a page by name."""
    ways = {run.title: table for run in runs if (table := ways_table(run))}
    step = {run.title: table for run in runs if (table := step_table(run))}
    return {
        "success": _sections({run.title: f"{success_table(run)}\n\n{source_line(run)}" for run in runs}),
        "step": _sections(step) if step else "No run of STEP beside another method.",
        "pareto": f"![Success against milliseconds a cycle, one panel per task]({plot})",
        "motion": _sections({run.title: motion_table(run) for run in runs}),
        "ways": _sections(ways) if ways else "No run of a task with several ways.",
        "paper": paper_tables(runs),
    }


def _sections(texts: Mapping[str, str]) -> str:
    return "\n\n".join(f"### {title}\n\n{text}" for title, text in texts.items())


def _relative(file: Path, folder: Path) -> str:
    return Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
