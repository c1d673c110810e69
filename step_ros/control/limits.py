"""Keeps a trajectory within what the joints may do, whatever the policy asked for.

Every point ends up finite, inside its joint's range, at most one step from its neighbours and from the
set point that it takes over from, and at most at the joint's speed. The cubics between the points stay
inside the range as well.
"""

from __future__ import annotations

import numpy as np

from step_ros.control.errors import UnsafeCommandError
from step_ros.control.joints import JointLimits
from step_ros.control.trajectory import Trajectory, central_velocities


def takeover_index(trajectory: Trajectory, now: float) -> int:
    """Index of the last point already due at `now` [s] (0 when none is): where a trajectory takes over."""
    return max(int(np.searchsorted(trajectory.times, now - trajectory.stamp, side="right")) - 1, 0)


def limit(trajectory: Trajectory, limits: JointLimits, start: int, in_force: np.ndarray) -> Trajectory:
    """`trajectory` with positions and velocities inside `limits`.

    Args:
        start: index of the point at which the trajectory takes over; points before it have no effect.
        in_force: (J,) set point that would hold at the time of that point without this trajectory [rad].

    Raises:
        UnsafeCommandError: a value is not finite, or sizes differ.
    """
    joints = limits.lower.size
    if trajectory.positions.shape[1] != joints or np.shape(in_force) != (joints,):
        raise UnsafeCommandError(
            f"positions {trajectory.positions.shape}, set point {np.shape(in_force)}, limits of {joints}"
        )
    if not (np.isfinite(trajectory.positions).all() and np.isfinite(in_force).all()):
        raise UnsafeCommandError("trajectory or set point holds NaN or infinite positions")
    positions = np.clip(trajectory.positions, limits.lower, limits.upper)
    reach = np.minimum(limits.max_step, limits.max_velocity * np.diff(trajectory.times)[:, None])
    origin = np.clip(in_force, limits.lower, limits.upper)
    positions[start] = np.clip(positions[start], origin - limits.max_step, origin + limits.max_step)
    for k in range(start + 1, len(positions)):
        near = positions[k - 1]
        positions[k] = np.clip(positions[k], near - reach[k - 1], near + reach[k - 1])
    for k in range(start - 1, -1, -1):
        near = positions[k + 1]
        positions[k] = np.clip(positions[k], near - reach[k], near + reach[k])
    velocities = _velocities(trajectory.times, positions, limits)
    return Trajectory(trajectory.stamp, trajectory.times, positions, velocities)


def _velocities(times: np.ndarray, positions: np.ndarray, limits: JointLimits) -> np.ndarray:
    """Central differences, as small as the speed limit and the room to the end of the range ask for.

    A Hermite cubic leaves the range of its two ends by at most 4/27 of the span times (|v0| + |v1|), so a
    speed of 27/8 of room per span at both ends keeps it inside.
    """
    velocities = central_velocities(times, positions)
    highest = np.maximum(positions[:-1], positions[1:])
    lowest = np.minimum(positions[:-1], positions[1:])
    room = np.minimum(limits.upper - highest, lowest - limits.lower)
    bound = 27 / 8 * room / np.diff(times)[:, None]
    largest = np.broadcast_to(limits.max_velocity, velocities.shape).copy()
    largest[:-1] = np.minimum(largest[:-1], bound)
    largest[1:] = np.minimum(largest[1:], bound)
    return np.clip(velocities, -largest, largest)
