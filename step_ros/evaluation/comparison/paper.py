"""The STEP paper's tables with our columns beside its figures: for their shape, nothing else is the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from step_ros.evaluation.comparison.tables import Shown
from step_ros.evaluation.markdown import figures
from step_ros.paths import share_path

WARNING = (
    "**Other robots, tasks, networks, data and machines.** The paper's columns come from its authors' runs, "
    "ours from the simulated SO-ARM101 and Push-T of this package; what can be compared is how methods rank "
    "within a column, not one column with another."
)
_THEIRS = {"ddim": "DDIM", "step": "STEP", "spatial_prior": "BRIDGER", "falcon": "Falcon"}
"""The paper's names of methods with a number of steps, by ours."""
OURS_ALONE = "not in the paper"


def paper_tables(runs: Sequence[Shown], source: Path | None = None) -> str:
    """The paper's tables as Markdown, each beside our runs from the same kind of observations.

    A cell is success, for Push-T (its and ours) the mean of the best coverage, then milliseconds a cycle.
    Where several of our methods answer a row, each gets a row of its own.
    """
    tables = yaml.safe_load((source or share_path("config", "paper_tables.yaml")).read_text())["tables"]
    return "\n\n".join([WARNING, *(_table(table, runs) for table in tables)])


def usual_rows(methods: Mapping[str, Mapping]) -> dict[str, tuple[str, str]]:
    """Rows of the paper's tables that a run's methods answer, by label, where nobody says which."""
    rows = {}
    for label, entry in methods.items():
        method, settings = entry.get("method"), entry.get("in_force", {})
        steps = len(settings.get("timesteps") or ()) or settings.get("num_inference_steps")
        if method == "ddpm":
            rows[label] = ("Vanilla (DDPM)", "100")
        elif method == "rti":
            rows[label] = ("RTI-DP", "-")
        elif method == "ddim" and settings.get("solver") == "dpmsolver++":
            rows[label] = ("DPM-Solver++", str(steps))
        elif method in _THEIRS:
            rows[label] = (_THEIRS[method], str(steps))
    return rows


def _table(table: Mapping, runs: Sequence[Shown]) -> str:
    # Ablations answer no row of the paper; the page shows them elsewhere.
    ours = [run for run in runs if run.paper and run.results.get("observations") == table["observations"]]
    head = ["method", "steps", *(f"paper: {task}" for task in table["tasks"])]
    head += ["our method", *(f"ours: {run.title}" for run in ours)]
    lines = [head, ["---", "---:", *["---:"] * len(table["tasks"]), "---", *["---:"] * len(ours)]]
    rows = [
        (str(method), str(steps), [_cell(*cell) for cell in cells]) for method, steps, cells in table["rows"]
    ]
    known = {(method, steps) for method, steps, _ in rows}
    for method, steps, cells in rows:
        answers = _answers(ours, (method, steps)) or [""]
        for number, name in enumerate(answers):
            theirs = cells if number == 0 else [""] * len(cells)
            lines.append([method, steps, *theirs, name, *(_ours(run, name) for run in ours)])
    for name in _unanswered(ours, known):
        lines.append([OURS_ALONE, "", *[""] * len(table["tasks"]), name, *(_ours(run, name) for run in ours)])
    body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"The paper's Table {table['number']} ({table['caption']}), and ours:\n\n{body}"


def _answers(runs: Sequence[Shown], row: tuple[str, str]) -> list[str]:
    """Names of our methods that answer a row of the paper, each once."""
    return list(
        dict.fromkeys(
            run.names.get(label, label)
            for run in runs
            for label, found in run.paper.items()
            if found == row and label in run.results["methods"]
        )
    )


def _unanswered(runs: Sequence[Shown], known: set[tuple[str, str]]) -> list[str]:
    """Names of our methods that no row of the paper has, each once."""
    return list(
        dict.fromkeys(
            run.names.get(label, label)
            for run in runs
            for label in run.results["methods"]
            if run.paper.get(label) not in known
        )
    )


def _ours(run: Shown, name: str) -> str:
    entry = run.methods.get(name)
    if entry is None:
        return ""
    summary = entry["summary"]
    return _cell(summary["mean_score" if run.graded else "success_rate"], run.milliseconds(summary))


def _cell(success: float, milliseconds: float) -> str:
    return f"{success:.2f}, {figures(milliseconds)} ms"
