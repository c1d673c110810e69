"""Slows a motion down where it is too fast, without leaving its path.

Only as much as needed and only where needed: each span between two points is lengthened by itself, and the
velocities at its ends shrink with it, so a stop at the end of a chunk becomes a longer stop while the
beginning keeps its time.
"""

from __future__ import annotations

import numpy as np

from step_ros.control.interpolation import Extremes, cubic_extremes
from step_ros.control.joints import JointLimits

ROUNDS = 60
"""Rounds in which spans are lengthened one by one, before all are lengthened together."""
_LARGEST_FACTOR = 4.0
_HEADROOM = 1e-6
"""Share of every limit that is left unused, so that rounding cannot exceed it."""


def excess(extremes: Extremes, limits: JointLimits) -> np.ndarray:
    """By how much each span (N - 1,) is too short: at most 1 where speed and acceleration are accepted.

    Speed falls with the length of a span, acceleration with its square.
    """
    speed = extremes.speed / limits.max_velocity
    acceleration = np.sqrt(extremes.acceleration / limits.max_acceleration)
    return np.maximum(speed, acceleration).max(axis=1)


def slow_down(
    times: np.ndarray,
    positions: np.ndarray,
    velocities: np.ndarray,
    limits: JointLimits,
    lower: np.ndarray,
    upper: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The same path at a speed that the joints can follow.

    The velocity of the first point is kept, as far as speed and range allow: it is what the arm is doing. The
    last point is at rest.

    Args:
        times: (N,) strictly increasing [s], N >= 2.
        positions: (N, J) [rad], inside `lower` and `upper`; they are not changed.
        velocities: (N, J) [rad/s], of any size.
        limits: speeds and accelerations.
        lower, upper: (J,) range [rad] that the cubics between the points keep.

    Returns:
        New times (N,), from the same first one on, and velocities (N, J).
    """
    given = np.diff(times)
    spans = given.copy()
    room = _room(positions, lower, upper)
    for number in range(10 * ROUNDS):
        scaled = _velocities(given, spans, velocities, room, limits)
        new_times = times[0] + np.concatenate([[0.0], np.cumsum(spans)])
        too_short = excess(cubic_extremes(new_times, positions, scaled), limits)
        if (too_short <= 1.0 - _HEADROOM / 4).all():
            return new_times, scaled
        if number >= ROUNDS:
            too_short = np.maximum(too_short, 1.5)
        spans *= np.clip(too_short + _HEADROOM, 1.0, _LARGEST_FACTOR)
    raise ArithmeticError(f"no speed found for positions {positions.tolist()}")  # Cannot be: all become slow.


def _room(positions: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    """Distance (N - 1, J) [rad] from each span's ends to the end of the range."""
    highest = np.maximum(positions[:-1], positions[1:])
    lowest = np.minimum(positions[:-1], positions[1:])
    return np.maximum(np.minimum(upper - highest, lowest - lower), 0.0)


def _velocities(
    given: np.ndarray, spans: np.ndarray, velocities: np.ndarray, room: np.ndarray, limits: JointLimits
) -> np.ndarray:
    """The velocities that belong to the lengthened spans, within speed and range.

    A cubic leaves the range of its two ends by at most 4/27 of the span times (|v0| + |v1|), so a speed of
    27/8 of room per span at both ends keeps it inside.
    """
    share = np.ones(len(velocities))
    share[1:-1] = (given[:-1] + given[1:]) / (spans[:-1] + spans[1:])
    scaled = velocities * share[:, None]
    scaled[-1] = 0.0
    bound = 27 / 8 * room / spans[:, None]
    largest = np.broadcast_to(limits.max_velocity * (1 - _HEADROOM), scaled.shape).copy()
    largest[:-1] = np.minimum(largest[:-1], bound)
    largest[1:] = np.minimum(largest[1:], bound)
    return np.clip(scaled, -largest, largest)
