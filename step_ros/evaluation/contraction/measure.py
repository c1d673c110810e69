"""The factor of every level and the error ratio of Eq. 18, under one observation.

Errors are of two kinds: `white`, new noise in every element, which is what a perturbed warm start differs by,
and `offset`, a constant shift of every joint through the whole chunk, which is what a predicted chunk is
rather wrong by. Sizes are root mean squares in normalised units.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from step_ros.policy.probe import Probe

SOLVERS = ("ddim", "ddpm", "dpmsolver++")
KINDS = ("white", "offset")
LEVELS = (0, 1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50, 60, 70, 80, 90, 95, 99)
SMALL = 0.01
"""Size of the errors that a level's factor is measured with."""
DRAWS = 4
DISTANCES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
ENTRIES = (5, 10, 20, 40, 80)
EVERY_LEVEL_UP_TO = 40
"""Highest entry level from which a walk through every level is measured too."""
FEW = 2

Row = dict[str, object]


def level_rows(probe: Probe, states: np.ndarray, rng: np.random.Generator) -> Iterator[Row]:
    """One row per solver and level: the mean factor of each kind of error, and the largest of any.

    Args:
        probe: under the observation.
        states: (T, Tp, A) DDPM's states there.
    """
    for level in (level for level in LEVELS if level < len(states)):
        for solver in SOLVERS:
            row: Row = {"solver": solver, "level": level}
            for kind in KINDS:
                errors = SMALL * _directions(rng, kind, DRAWS, states.shape[1:])
                row[kind] = float(probe.factors(solver, level, states[level], errors).mean())
            row["largest"] = probe.largest_factor(solver, level, states[level])
            yield row


def ratio_rows(
    probe: Probe, states: np.ndarray, chunk: np.ndarray, rng: np.random.Generator
) -> Iterator[Row]:
    """One row per solver, list of levels, entry, kind and distance of the start from DDPM's state.

    `ratio` is what of the distance is left at the end: to where the same solver comes from DDPM's state, as
    in Eq. 18; None at no distance. `to_ddpm` is the distance to DDPM's own chunk.

    Args:
        probe: under the observation.
        states, chunk: DDPM's states (T, Tp, A) and its chunk (Tp, A) there.
    """
    for entry in (entry for entry in ENTRIES if entry < len(states)):
        for kind in KINDS:
            direction = _directions(rng, kind, 1, states.shape[1:])[0]
            starts = np.stack([states[entry] + distance * direction for distance in DISTANCES])
            for solver in SOLVERS:
                for steps, levels in _lists(probe, entry):
                    ends = probe.solve(solver, levels, starts)
                    for distance, end in zip(DISTANCES, ends, strict=True):
                        yield {
                            "solver": solver,
                            "steps": steps,
                            "entry": entry,
                            "kind": kind,
                            "distance": distance,
                            "ratio": _rms(end - ends[0]) / distance if distance else None,
                            "to_ddpm": _rms(end - chunk),
                        }


def _lists(probe: Probe, entry: int) -> list[tuple[str, tuple[int, ...]]]:
    few = (f"{FEW} steps", probe.schedule.warm_timesteps(entry, FEW))
    every = ("every level", tuple(range(entry, -1, -1)))
    return [few, every] if entry <= EVERY_LEVEL_UP_TO else [few]


def _directions(rng: np.random.Generator, kind: str, count: int, shape: Sequence[int]) -> np.ndarray:
    """Errors (count, Tp, A) of size 1."""
    ticks, joints = shape
    drawn = rng.standard_normal((count, ticks if kind == "white" else 1, joints))
    errors = np.broadcast_to(drawn, (count, ticks, joints))
    return errors / np.sqrt(np.mean(np.square(errors), axis=(1, 2), keepdims=True))


def _rms(difference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(difference))))
