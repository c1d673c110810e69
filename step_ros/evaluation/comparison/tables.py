"""Runs as Markdown tables: all at a glance, success and cost, motion and distance to DDPM, which way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from step_ros.evaluation.markdown import NONE, difference, figures, share, table
from step_ros.evaluation.summary import difference as paired

STEP = "step"
"""Label of the method that this package is named after, with its default settings."""


@dataclass(frozen=True)
class Shown:
    """A run as it is shown.

    Attributes:
        key: name of its file without `.json`.
        title: of its section.
        source: the file as pages name it.
        results: its content.
        names: what readers call its methods, by label, in the order in which they are shown.
        paper: the row (method, steps) of the paper's tables that a method answers, by label.
        ablation: it is about the parts and settings of STEP, and is shown apart.
    """

    key: str
    title: str
    source: str
    results: Mapping
    names: Mapping[str, str]
    paper: Mapping[str, tuple[str, str]]
    ablation: bool = False

    @property
    def methods(self) -> dict[str, Mapping]:
        """Entries by the reader's name: those that are named first, in order, then what else was run."""
        found = self.results["methods"]
        order = [label for label in self.names if label in found]
        order += [label for label in found if label not in order]
        return {self.names.get(label, label): found[label] for label in order}

    @property
    def graded(self) -> bool:
        """Whether scores lie between 0 and 1, as coverage does, so that they say more than success."""
        rows = (row for entry in self.results["methods"].values() for row in entry["episodes"])
        return any(row.get("score", row["success"]) not in (0, 1) for row in rows)

    def milliseconds(self, summary: Mapping) -> float:
        """Time of a cycle: measured alone if that holds for every method of the run, else in rollouts."""
        summaries = [entry["summary"] for entry in self.results["methods"].values()]
        alone = all("alone_ms_median" in other for other in summaries)
        return summary["alone_ms_median" if alone else "policy_ms_median"]


def overview_table(runs: Sequence[Shown]) -> str:
    """Success in per cent of every method (rows) in every run (columns), a dash where it was not run.

    Rows stand in the order of the run with the most methods, then as the others bring more.
    """
    fullest = sorted(runs, key=lambda run: -len(run.methods))
    methods = dict.fromkeys(name for run in fullest for name in run.methods)

    def cell(run: Shown, name: str) -> str:
        entry = run.methods.get(name)
        return share(entry["summary"]["success_rate"], None) if entry else NONE

    rows = ([name, *(cell(run, name) for run in runs)] for name in methods)
    return table(["method", *(run.title for run in runs)], rows)


def success_table(run: Shown) -> str:
    """What a method achieves and what it costs."""
    baseline = run.results.get("baseline")
    columns: dict[str, Callable[[Mapping], str]] = {
        "success, % (95 %)": lambda s: share(s["success_rate"], s["success_interval_95"]),
    }
    if baseline:
        name = run.names.get(baseline, baseline)
        columns[f"minus {name}, points (95 %)"] = lambda s: difference(s.get("difference"), "success")
    if run.graded:
        columns["score, % (95 %)"] = lambda s: share(s["mean_score"], s.get("mean_score_interval_95"))
        if baseline:
            columns[f"score minus {name}, points (95 %)"] = lambda s: difference(s.get("difference"), "score")
    columns |= {
        "evaluations a cycle": lambda s: _evaluations(s),
        "evaluations an action": lambda s: figures(s.get("nfe_per_action")),
        "ms a cycle": lambda s: figures(run.milliseconds(s)),
        "ms an action": lambda s: figures(s.get("policy_ms_per_action")),
        "ticks": lambda s: figures(s["mean_ticks"]),
    }
    return _table(run, columns)


def step_table(run: Shown) -> str | None:
    """STEP with its defaults less every other method, on the starts that both have run; None without STEP."""
    methods = run.results["methods"]
    if STEP not in methods or len(methods) == 1:
        return None
    name, rows = run.names.get(STEP, STEP), []
    for other, entry in run.methods.items():
        if entry is methods[STEP]:
            continue
        found = paired(methods[STEP]["episodes"], entry["episodes"])
        alone = [str(found[key]) if found else NONE for key in ("only_here", "only_baseline", "pairs")]
        rows.append([other, _evaluations(entry["summary"]), difference(found, "success"), *alone])
    header = ["method", "evaluations a cycle", f"{name} less it, points (95 %)"]
    return table([*header, f"starts that only {name} solves", "that only the other solves", "of"], rows)


def motion_table(run: Shown) -> str:
    """How a method moves, and how near its chunks are to DDPM's."""
    motion = _table(
        run,
        {
            "seam, position": lambda s: figures(s.get("seam_position")),
            "seam, velocity per s": lambda s: figures(s.get("seam_velocity")),
            "jerk per tick³": lambda s: figures(s.get("jerk")),
            "stalls an episode": lambda s: figures(s.get("stalls_per_episode")),
            "chunk to DDPM's of the same noise": lambda s: figures(s.get("chunk_distance")),
            "to the nearest of DDPM's": lambda s: figures(s.get("chunk_nearest")),
        },
    )
    floor = run.results.get("floor_summary")
    if not floor:
        return motion
    return (
        f"{motion}\n\nAnother draw of DDPM itself: {figures(floor['chunk_distance'])} to its first draw, "
        f"{figures(floor['chunk_nearest'])} to the nearest, over {floor['agreement_cycles']} observations."
    )


def ways_table(run: Shown) -> str | None:
    """Which way each method takes; None for tasks that have one way."""
    told = [entry["summary"].get("mode_share", {}) for entry in run.results["methods"].values()]
    modes = sorted({mode for shares in told for mode in shares})
    if not modes:
        return None

    def taken(mode: str) -> Callable[[Mapping], str]:
        def cell(summary: Mapping) -> str:
            if "mode_share" not in summary:
                return NONE
            interval = summary.get("mode_interval_95", {}).get(mode)
            return share(summary["mode_share"].get(mode, 0.0), interval)

        return cell

    columns = {f"{mode.replace('_', ' ')}, % (95 %)": taken(mode) for mode in modes}
    columns["changes of heading before"] = lambda s: figures(s.get("indecision_per_episode"))
    columns["changes of way after"] = lambda s: figures(s.get("mode_switches_per_episode"))
    return _table(run, columns)


def source_line(run: Shown) -> str:
    """Where a run's figures come from, in one line."""
    results = run.results
    rows = [row for entry in results["methods"].values() for row in entry["episodes"]]
    counts = sorted({entry["summary"]["episodes"] for entry in results["methods"].values()})
    commits = sorted({row.get("commit") or results.get("commit") or "unknown" for row in rows})
    seeds = [row["seed"] for row in rows]
    denoisers = {entry["denoiser"] for entry in results.get("checkpoints", {}).values()}
    shared = " All checkpoints hold the same denoiser and encoders." if len(denoisers) == 1 else ""
    return (
        f"From [{run.source.rsplit('/', 1)[-1]}]({run.source}): {_range(counts)} episodes a method, seeds "
        f"{min(seeds)} to {max(seeds)}, engine {results['engine']}, servo {results['servo']}, "
        f"{results.get('processor', 'unknown processor')}, commits {', '.join(commits)}.{shared}"
    )


def _table(run: Shown, columns: Mapping[str, Callable[[Mapping], str]]) -> str:
    rows = (
        [name, *(cell(entry["summary"]) for cell in columns.values())] for name, entry in run.methods.items()
    )
    return table(["method", *columns], rows)


def _evaluations(summary: Mapping) -> str:
    small = summary.get("aux_nfe_per_cycle")
    return figures(summary["nfe_per_cycle"]) + (f" + {figures(small)} small" if small else "")


def _range(counts: Sequence[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
