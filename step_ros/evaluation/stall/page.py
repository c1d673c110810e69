"""What `step-ros bench stall` found, as Markdown: a section for each task and arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from step_ros.evaluation.markdown import difference, figures, share, table
from step_ros.evaluation.stall.cells import ALWAYS, NONE, OURS, WRITTEN

RULES = {
    NONE: "no rule",
    WRITTEN: "Eq. 14, while stalled",
    ALWAYS: "Eq. 14, in every cycle",
    OURS: "motion and push, defaults",
}
HEADER = (
    "rule",
    "steps",
    "sigma_stall, sigma_scale",
    "success, % (95 %)",
    "seconds an episode",
    "fired, % of cycles",
    "deadlocks, %",
)


def stall_page(results: Mapping, source: str, images: str) -> str:
    """Tables of the final cells, what ours comes to beside the best of them, and the plots.

    Args:
        results: what `bench_stall` returns.
        source: its JSON file as the page names it.
        images: folder of the plots as the page names it.
    """
    settings = results["settings"]
    parts = [
        f"From [{PurePosixPath(source).name}]({source}): seeds from {settings['seed']} on, "
        f"{settings['episodes']} episodes a cell of the grids, at least {settings['finals']} for these "
        f"tables, commit {results['commit']}, {results['processor']}."
    ]
    for task, arms in results["tasks"].items():
        for arm, entry in arms.items():
            parts.append(f"### {task}, {arm} arm (`{entry['servo']}`)")
            if "final" in entry:
                parts += [_cells(entry["final"]), _judgement(entry)]
                parts.append(f"![success over the factors, and time]({images}/stall_{task}_{arm}.png)")
            else:
                quiet, interval = (entry[f"episodes_without_firing{end}"] for end in ("", "_interval_95"))
                parts += [
                    _cells(entry["cells"]),
                    f"Ours did not fire in {share(quiet, interval)} % of the episodes.",
                ]
    return "\n\n".join(parts)


def _cells(cells: Sequence[Mapping]) -> str:
    return table(HEADER, (_row(cell) for cell in cells))


def _row(cell: Mapping) -> list[str]:
    factors = (cell["sigma_stall"], cell["sigma_scale"])
    return [
        RULES[cell["rule"]],
        str(cell["steps"]),
        "-" if None in factors else f"{factors[0]:g}, {factors[1]:g}",
        share(cell["success_rate"], cell["success_interval_95"]),
        figures(cell["seconds"]),
        figures(100 * cell["fired"]),
        figures(100 * cell["deadlocks"]),
    ]


def _judgement(entry: Mapping) -> str:
    best = entry["best_tuned"]
    return (
        f"Ours less the best tuned cell ({RULES[best['rule']]}, {best['sigma_stall']:g}, "
        f"{best['sigma_scale']:g}): {difference(entry['ours_minus_best'], 'success')} points; less no rule: "
        f"{difference(entry['ours_minus_none'], 'success')} points. Time of an episode against no rule: "
        f"ours {figures(entry['seconds_ours_over_none'])} times, the best tuned cell "
        f"{figures(entry['seconds_best_over_none'])} times."
    )
