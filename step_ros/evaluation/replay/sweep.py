"""Where the stall rule would have fired on a recording, for a range of thresholds and patiences.

The distances come from one replay with the rule switched off. On the arm a perturbation changes the chunks
that follow it, which a recording cannot show: read the sweep as where the rule would have fired first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from step_ros.evaluation.replay.errors import ReplayError
from step_ros.policy.stall import StallRule

THRESHOLDS = 24
PATIENCES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Distances:
    """Per cycle: stamp [s], whether an episode begins, whether the recorded command pauses, and the stall
    distance (RMS change of executed chunks, normalised units; None where there is none)."""

    stamps: Sequence[float]
    first: Sequence[bool]
    pauses: Sequence[bool]
    values: Sequence[float | None]


def sweep(distances: Distances, thresholds: Sequence[float] | None = None) -> dict[str, object]:
    """Count firings for every threshold and patience.

    Args:
        thresholds: by default `THRESHOLDS` values that span the distances found.

    Returns:
        `stamps`, `distances`, `pauses` per cycle, and `grid`: per threshold and patience the cycles `fired`,
        `fired_in_pauses`, and `stretches`, [first, last] stamp of each stretch of firing.

    Raises:
        ReplayError: there is no distance at all.
    """
    known = [value for value in distances.values if value is not None]
    if not known:
        raise ReplayError("sweep: found no two chunks in a row of one episode; accepted: a longer recording")
    if thresholds is None:
        low = max(min(known), 1e-4)
        thresholds = np.geomspace(low, max(max(known), 2 * low), THRESHOLDS).tolist()
    return {
        "stamps": list(distances.stamps),
        "distances": list(distances.values),
        "pauses": list(distances.pauses),
        "grid": [
            _entry(distances, StallRule(threshold, patience))
            for threshold in thresholds
            for patience in PATIENCES
        ],
    }


def _entry(distances: Distances, rule: StallRule) -> dict[str, object]:
    still, fired, stretches = 0, [], []
    before = False
    for stamp, first, value in zip(distances.stamps, distances.first, distances.values, strict=True):
        still = rule.still_cycles(value, 0 if first else still)
        fires = rule.stalled(still)
        fired.append(fires)
        if fires and before and not first:
            stretches[-1][1] = stamp
        elif fires:
            stretches.append([stamp, stamp])
        before = fires
    in_pauses = sum(fires and pause for fires, pause in zip(fired, distances.pauses, strict=True))
    return {
        "threshold": rule.threshold,
        "patience": rule.patience,
        "fired": sum(fired),
        "fired_in_pauses": in_pauses,
        "stretches": stretches,
    }
