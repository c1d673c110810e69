"""Follows joint trajectories as ros2_controllers' joint_trajectory_controller (Jazzy, default settings) does.

Stands in for the controller in simulation. A trajectory replaces the one in force completely; a stamp of
zero means "from now"; a stamp in the past is entered at the present moment, with a step if its first
point is already due; a first point that is still to come is bridged from the measured state, at rest; the
last point is held. What the controller refuses is refused here, with the reason, and the trajectory in
force goes on.

Points of which only some carry velocities are joined by straight lines.

Stricter than the controller in two ways: non-finite numbers and accelerations are refused (the controller
passes the first on and interpolates the second with quintics).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from step_ros.control.errors import TrajectoryRejectedError
from step_ros.control.trajectory import Trajectory


@dataclass(frozen=True)
class TrajectoryPoint:
    """One point as it came: time after the stamp [s]; per joint position [rad], velocity [rad/s] or none."""

    time: float
    positions: Sequence[float]
    velocities: Sequence[float] = ()
    accelerations: Sequence[float] = ()
    effort: Sequence[float] = ()


@dataclass(frozen=True)
class TrajectoryCommand:
    """A trajectory as it came in a message; `stamp` [s] is zero for "start now"."""

    joint_names: Sequence[str]
    stamp: float
    points: Sequence[TrajectoryPoint]


class TrajectoryFollower:
    """The set point of each joint at every moment.

    Args:
        joint_names: the controller's joints, in the order of all arrays here.
        positions: (J,) where to stay until a trajectory comes [rad].
    """

    def __init__(self, joint_names: Sequence[str], positions: np.ndarray) -> None:
        self._joint_names = tuple(joint_names)
        self.reset(positions)

    def reset(self, positions: np.ndarray) -> None:
        """Forget the trajectory in force and stay at `positions` (J,) [rad]."""
        self._trajectory = Trajectory(0.0, np.zeros(1), np.array(positions, dtype=float)[None])

    def sample(self, now: float) -> tuple[np.ndarray, np.ndarray]:
        """Set point at `now` [s]: positions (J,) [rad] and velocities (J,) [rad/s]."""
        return self._trajectory.sample(now)

    def accept(self, command: TrajectoryCommand, now: float, measured: np.ndarray | None = None) -> None:
        """Put `command` in force from `now` [s].

        Args:
            measured: (J,) measured positions [rad], from which a first point still to come is bridged;
                the present set point when left out.

        Raises:
            TrajectoryRejectedError: with the reason; what was in force stays.
        """
        trajectory = self._parse(command, now)
        if trajectory.stamp + trajectory.times[0] > now:
            start = self.sample(now)[0] if measured is None else np.asarray(measured, dtype=float)
            trajectory = _bridge(start, now, trajectory)
        self._trajectory = trajectory

    def _parse(self, command: TrajectoryCommand, now: float) -> Trajectory:
        """The command as arrays in the follower's joint order; raises TrajectoryRejectedError."""
        names = tuple(command.joint_names)
        if sorted(names) != sorted(self._joint_names):
            raise TrajectoryRejectedError(f"joints {list(names)}, expected {list(self._joint_names)}")
        if not command.points:
            raise TrajectoryRejectedError("no points")
        times = np.array([point.time for point in command.points], dtype=float)
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise TrajectoryRejectedError("times from start do not strictly increase")
        order = [names.index(name) for name in self._joint_names]
        positions = _field(command, "positions")[:, order]
        has_velocities = all(len(point.velocities) for point in command.points)
        velocities = _field(command, "velocities")[:, order] if has_velocities else None
        for field in ("accelerations", "effort"):
            if any(len(getattr(point, field)) for point in command.points):
                raise TrajectoryRejectedError(f"{field} are not supported")
        if velocities is not None and np.abs(velocities[-1]).max() > np.finfo(np.float32).eps:
            raise TrajectoryRejectedError("velocity of the last point is not zero")
        stamp = command.stamp or now
        if stamp + times[-1] < now:
            raise TrajectoryRejectedError(f"ended {now - stamp - times[-1]:.3f} s ago")
        return Trajectory(stamp, times, positions, velocities)


def _field(command: TrajectoryCommand, field: str) -> np.ndarray:
    """One field of every point as an array (N, J); raises TrajectoryRejectedError for odd sizes or values."""
    joints = len(command.joint_names)
    rows = [getattr(point, field) for point in command.points]
    for index, row in enumerate(rows):
        if len(row) != joints:
            raise TrajectoryRejectedError(f"point {index} has {len(row)} {field}, expected {joints}")
    values = np.array(rows, dtype=float)
    if not np.isfinite(values).all():
        raise TrajectoryRejectedError(f"{field} hold NaN or infinite numbers")
    return values


def _bridge(start: np.ndarray, now: float, trajectory: Trajectory) -> Trajectory:
    """`trajectory` preceded by a point at rest at `start` (J,) at `now`."""
    velocities = trajectory.velocities
    return Trajectory(
        trajectory.stamp,
        np.concatenate([[now - trajectory.stamp], trajectory.times]),
        np.vstack([start, trajectory.positions]),
        None if velocities is None else np.vstack([np.zeros_like(start), velocities]),
    )
