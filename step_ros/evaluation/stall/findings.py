"""What the episodes of the cells come to: success, time, how often the rule fired, whether the arm stood."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from step_ros.evaluation.stall.cells import GRID_STEPS, NONE, OURS, Cell
from step_ros.evaluation.statistics import wilson
from step_ros.evaluation.summary import difference
from step_ros.sim.scene import CONTROL_RATE

STOOD = 2 * CONTROL_RATE
"""Ticks for which an arm has to stand for a deadlock."""

Episodes = Sequence[Mapping]
Rows = Mapping[Cell, Episodes]
"""Episodes by cell; those of different cells are of the same seeds."""


def rows_of(results: Mapping, word: str, seed: int, count: int) -> list[Mapping]:
    """The episodes of one method in what `evaluate` returned, of `count` seeds from `seed` on."""
    wanted = range(seed, seed + count)
    return [row for row in results["methods"][word]["episodes"] if row["seed"] in wanted]


def summary(cell: Cell, rows: Episodes) -> dict[str, object]:
    """One cell: its settings and what its episodes came to.

    `seconds` is the mean time of an episode, failed ones counted with their whole time; `fired` the share of
    cycles, `episodes_fired` that of episodes in which the rule fired; `deadlocks` the share of episodes that
    failed with the arm at rest for 2 s; `longest_stand` the mean longest time of standing, in seconds.
    """
    successes = sum(row["success"] for row in rows)
    return {
        **dataclasses.asdict(cell),
        "episodes": len(rows),
        "success_rate": successes / len(rows),
        "success_interval_95": wilson(successes, len(rows)),
        "seconds": float(np.mean([row["ticks"] for row in rows])) / CONTROL_RATE,
        "fired": sum(row["stalls"] for row in rows) / sum(row["cycles"] for row in rows),
        "episodes_fired": float(np.mean([row["stalls"] > 0 for row in rows])),
        "deadlocks": float(np.mean([not row["success"] and row["final_stand"] >= STOOD for row in rows])),
        "longest_stand": float(np.mean([row["longest_stand"] for row in rows])) / CONTROL_RATE,
        "jerk": float(np.mean([row["jerk"] for row in rows])),
    }


def tuned_best(rows: Rows, count: int) -> list[Cell]:
    """The `count` cells, of those that somebody has to tune, with most successes; of equals the fastest."""
    tuned = [cell for cell in rows if cell.tuned and cell.steps == GRID_STEPS]
    return sorted(tuned, key=lambda cell: _merit(rows[cell]), reverse=True)[:count]


def compare(grid: Rows, final: Rows) -> dict[str, object]:
    """The grids' cells, and ours against the best of the tuned cells over more episodes.

    The best is chosen on the episodes that it is then judged by, which favours it.
    """
    best = tuned_best(final, 1)[0]
    ours, none = Cell(OURS, GRID_STEPS), Cell(NONE, GRID_STEPS)
    return {
        "cells": [summary(cell, rows) for cell, rows in grid.items()],
        "final": [summary(cell, rows) for cell, rows in final.items()],
        "best_tuned": dataclasses.asdict(best),
        "ours_minus_best": difference(final[ours], final[best]),
        "ours_minus_none": difference(final[ours], final[none]),
        "seconds_ours_over_none": _seconds(final[ours]) / _seconds(final[none]),
        "seconds_best_over_none": _seconds(final[best]) / _seconds(final[none]),
    }


def false_firings(rows: Rows) -> dict[str, object]:
    """The cells of an arm on which nothing should fire, and in what share of its episodes ours did not."""
    cells = [summary(cell, episodes) for cell, episodes in rows.items()]
    ours = rows[Cell(OURS, GRID_STEPS)]
    quiet = sum(row["stalls"] == 0 for row in ours)
    return {
        "cells": cells,
        "episodes_without_firing": quiet / len(ours),
        "episodes_without_firing_interval_95": wilson(quiet, len(ours)),
    }


def _merit(rows: Episodes) -> tuple[float, float]:
    return float(np.mean([row["success"] for row in rows])), -_seconds(rows)


def _seconds(rows: Episodes) -> float:
    return float(np.mean([row["ticks"] for row in rows])) / CONTROL_RATE
