"""Slows a motion down where it is too fast, without leaving its path.

Only as much as needed and only where needed: each span between two points is lengthened by itself, and the
velocities at its ends shrink with it, so a stop at the end of a chunk becomes a longer stop while the
beginning keeps its time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from step_ros.control.interpolation import cubic_peaks
from step_ros.control.joints import JointLimits

ROUNDS = 60
"""Rounds in which spans are lengthened one by one, before all are lengthened together."""
_LARGEST_FACTOR = 4.0
_HEADROOM = 1e-6
"""Share of every limit that is left unused, so that rounding cannot exceed it."""


def excess(
    times: np.ndarray, positions: np.ndarray, velocities: np.ndarray, limits: JointLimits
) -> np.ndarray:
    """By how much each span (N - 1,) is too short: at most 1 where speed and acceleration are accepted.

    Speed falls with the length of a span, acceleration with its square.
    """
    speed, acceleration = cubic_peaks(times, positions, velocities)
    shortage = np.maximum(speed / limits.max_velocity, np.sqrt(acceleration / limits.max_acceleration))
    return shortage.max(axis=1)


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
    given = times[1:] - times[:-1]
    spans = given.copy()
    room = _Room.of(positions, lower, upper)
    for number in range(10 * ROUNDS):
        scaled = _velocities(given, spans, velocities, room, limits)
        new_times = times[0] + np.concatenate([[0.0], np.cumsum(spans)])
        too_short = excess(new_times, positions, scaled, limits)
        if (too_short <= 1.0 - _HEADROOM / 4).all():
            return new_times, scaled
        if number >= ROUNDS:
            too_short = np.maximum(too_short, 1.5)
        spans *= np.clip(too_short + _HEADROOM, 1.0, _LARGEST_FACTOR)
    raise ArithmeticError(f"no speed found for positions {positions.tolist()}")  # Cannot be: all become slow.


class _Room(NamedTuple):
    """What keeps the cubics in their range: distances (N - 1, J) [rad] for speeds at a span's two ends.

    A cubic whose ends move towards each other's side at up to three times the mean velocity stays between
    them. What an end's speed is beyond that takes it out by at most 4/27 of the span times the speed, and the
    two ends share the room that there is.
    """

    start_up: np.ndarray
    start_down: np.ndarray
    end_up: np.ndarray
    end_down: np.ndarray

    @classmethod
    def of(cls, positions: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> _Room:
        first, second = positions[:-1], positions[1:]
        above = 27 / 8 * np.maximum(upper - np.maximum(first, second), 0.0)
        below = 27 / 8 * np.maximum(np.minimum(first, second) - lower, 0.0)
        rise, fall = 3 * np.maximum(second - first, 0.0), 3 * np.maximum(first - second, 0.0)
        return cls(rise + above, fall + below, rise + below, fall + above)


def _velocities(
    given: np.ndarray, spans: np.ndarray, velocities: np.ndarray, room: _Room, limits: JointLimits
) -> np.ndarray:
    """The velocities that belong to the lengthened spans, within speed and range; zero at the last point."""
    share = np.ones(len(velocities))
    share[1:-1] = (given[:-1] + given[1:]) / (spans[:-1] + spans[1:])
    scaled = velocities * share[:, None]
    scaled[-1] = 0.0
    start_up, start_down, end_up, end_down = (distance / spans[:, None] for distance in room)
    scaled[:-1].clip(-start_down, start_up, out=scaled[:-1])
    scaled[1:].clip(-end_down, end_up, out=scaled[1:])
    fastest = limits.max_velocity * (1 - _HEADROOM)
    return scaled.clip(-fastest, fastest)
