"""What the episodes of a method come to: shares and means with their intervals, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from step_ros.evaluation.statistics import mean_interval, tango, wilson

MEANS = {
    "mean_ticks": "ticks",
    "nfe_per_cycle": "nfe_per_cycle",
    "aux_nfe_per_cycle": "aux_nfe_per_cycle",
    "stalls_per_episode": "stalls",
    "jerk": "jerk",
    "seam_position": "seam_position",
    "seam_velocity": "seam_velocity",
}
"""Means over episodes: name in the summary, name in a row."""


def summarise(rows: Sequence[Mapping]) -> dict:
    """Success with its Wilson interval, and means over the episodes that know a value; None where none does.

    Evaluations and milliseconds per action count whole episodes, their cold cycles included; those per cycle
    are of warm cycles.
    """
    successes = sum(row["success"] for row in rows)
    scores = [float(row.get("score", row["success"])) for row in rows]
    return {
        "episodes": len(rows),
        "successes": successes,
        "success_rate": successes / len(rows),
        "success_interval_95": wilson(successes, len(rows)),
        "mean_score": float(np.mean(scores)),
        "mean_score_interval_95": mean_interval(scores),
        **{name: _mean(_known(rows, field)) for name, field in MEANS.items()},
        "nfe_per_action": _per_tick(rows, "nfe_total"),
        "policy_ms_median": float(np.median([row["policy_ms"] for row in rows])),
        "policy_ms_per_action": _per_tick(rows, "policy_ms_total"),
        **_ways(rows),
    }


def difference(rows: Sequence[Mapping], baseline: Sequence[Mapping]) -> dict | None:
    """Success and score minus the baseline's on the seeds that both have; None where there is no such seed.

    `success_interval_95` is Tango's score interval, `score_interval_95` that of a mean of differences.
    """
    others = {row["seed"]: row for row in baseline}
    pairs = [(row, others[row["seed"]]) for row in rows if row["seed"] in others]
    if not pairs:
        return None
    here = sum(row["success"] and not other["success"] for row, other in pairs)
    there = sum(other["success"] and not row["success"] for row, other in pairs)
    scores = [
        float(row.get("score", row["success"])) - other.get("score", other["success"]) for row, other in pairs
    ]
    return {
        "pairs": len(pairs),
        "only_here": here,
        "only_baseline": there,
        "success": (here - there) / len(pairs),
        "success_interval_95": tango(here, there, len(pairs)),
        "score": float(np.mean(scores)),
        "score_interval_95": mean_interval(scores),
    }


def summarise_agreement(rows: Sequence[Mapping]) -> dict:
    """Distances of chunks to DDPM's, normalised, means over episodes, and the time of a cycle by itself."""
    return {
        "chunk_distance": float(np.mean([row["distance"] for row in rows])),
        "chunk_nearest": float(np.mean([row["nearest"] for row in rows])),
        "alone_ms_median": float(np.median([row["ms"] for row in rows])),
        "agreement_cycles": sum(row["cycles"] for row in rows),
    }


def _ways(rows: Sequence[Mapping]) -> dict:
    """How tasks with several ways were done; empty where no way can be told."""
    told = [row for row in rows if row.get("mode")]
    if not told:
        return {}
    modes = [row["mode"] for row in told]
    counts = {mode: modes.count(mode) for mode in sorted(set(modes))}
    return {
        "mode_told": len(told),
        "mode_share": {mode: count / len(told) for mode, count in counts.items()},
        "mode_interval_95": {mode: wilson(count, len(told)) for mode, count in counts.items()},
        "indecision_per_episode": float(np.mean([row["indecision"] for row in told])),
        "mode_switches_per_episode": float(np.mean([row["mode_switches"] for row in told])),
    }


def _known(rows: Sequence[Mapping], name: str) -> list[float]:
    return [row[name] for row in rows if row.get(name) is not None]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _per_tick(rows: Sequence[Mapping], name: str) -> float | None:
    known = [row for row in rows if row.get(name) is not None]
    ticks = sum(row["ticks"] for row in known)
    return sum(row[name] for row in known) / ticks if ticks else None
