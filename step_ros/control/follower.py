"""Follows joint trajectories as ros2_controllers' joint_trajectory_controller (Jazzy and Kilted) does.

Stands in for the controller in simulation. A trajectory replaces the one in force completely; a stamp of
zero means "from now"; a stamp in the past is entered at the present moment, with a step if its first
point is already due; a first point that is still to come is bridged from the measured state; the last
point is held. What the controller refuses is refused here, with the reason, and the trajectory in force
goes on. `controller_cases.yaml` holds both to the same behaviour.

Stricter than the controller where that is dangerous: it passes NaN on to the hardware, and with points that
carry accelerations but no velocities it commands zero; both are refused here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from step_ros.control.errors import TrajectoryRejectedError
from step_ros.control.trajectory import Motion, Trajectory

_AT_REST = float(np.finfo(np.float32).eps)
"""The velocity [rad/s] up to which the controller takes the last point for one at rest."""


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


@dataclass(frozen=True)
class FollowerSettings:
    """The controller's own parameters that change what it does with a trajectory; its defaults.

    Attributes:
        period: of the controller [s]; it commands what is due one period later.
    """

    allow_partial_joints_goal: bool = False
    allow_nonzero_velocity_at_trajectory_end: bool = False
    interpolate_from_desired_state: bool = False
    period: float = 0.0


class TrajectoryFollower:
    """The set point of each joint at every moment.

    Args:
        joint_names: the controller's joints, in the order of all arrays here.
        positions: (J,) where to stay until a trajectory comes [rad].
        settings: parameters of the controller.
    """

    def __init__(
        self, joint_names: Sequence[str], positions: np.ndarray, settings: FollowerSettings | None = None
    ) -> None:
        self._joint_names = tuple(joint_names)
        self._settings = settings or FollowerSettings()
        self.reset(positions)

    def reset(self, positions: np.ndarray) -> None:
        """Forget the trajectory in force and stay at `positions` (J,) [rad]."""
        self._trajectory = Trajectory(0.0, np.zeros(1), np.array(positions, dtype=float)[None])
        self._sampled: float | None = None

    def sample(self, now: float) -> tuple[np.ndarray, np.ndarray]:
        """Set point at `now` [s]: positions (J,) [rad] and velocities (J,) [rad/s]."""
        self._sampled = now
        return self._trajectory.sample(now)

    def accept(
        self,
        command: TrajectoryCommand,
        now: float,
        measured: np.ndarray | None = None,
        measured_velocity: np.ndarray | None = None,
    ) -> None:
        """Put `command` in force from `now` [s].

        Args:
            measured: (J,) measured positions [rad], from which a first point still to come is bridged;
                the present set point when left out.
            measured_velocity: (J,) measured velocities [rad/s] where the hardware has them; else a bridge to
                a point with a velocity starts at rest.

        Raises:
            TrajectoryRejectedError: with the reason; what was in force stays.
        """
        trajectory = self._parse(command, now)
        if trajectory.stamp + trajectory.times[0] > now:
            before, start = now, Motion(measured, measured_velocity, None)
            if self._settings.interpolate_from_desired_state:
                before = now if self._sampled is None else self._sampled
                start = self._trajectory.state(before + self._settings.period)
            elif measured is None:
                start = Motion(self._trajectory.sample(now)[0], measured_velocity, None)
            trajectory = _bridge(start, before, trajectory)
        self._trajectory = trajectory

    def _parse(self, command: TrajectoryCommand, now: float) -> Trajectory:
        """The command as arrays in the follower's joint order; raises TrajectoryRejectedError."""
        names = tuple(command.joint_names)
        self._check_names(names)
        if not command.points:
            raise TrajectoryRejectedError("no points")
        times = np.array([point.time for point in command.points], dtype=float)
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            raise TrajectoryRejectedError("times from start do not strictly increase")
        if any(len(point.effort) for point in command.points):
            raise TrajectoryRejectedError("effort is not supported")
        positions = _field(command, "positions")
        velocities = _field(command, "velocities", optional=True)
        accelerations = _field(command, "accelerations", optional=True)
        if np.isnan(velocities[~np.isnan(accelerations)]).any():
            raise TrajectoryRejectedError("accelerations without velocities")
        allowed = self._settings.allow_nonzero_velocity_at_trajectory_end
        if not allowed and (np.abs(velocities[-1]) > _AT_REST).any():
            raise TrajectoryRejectedError("velocity of the last point is not zero")
        stamp = command.stamp or now
        if stamp + times[-1] < now:
            raise TrajectoryRejectedError(f"ended {now - stamp - times[-1]:.3f} s ago")
        held = self._trajectory.sample(now)[0]
        return Trajectory(
            stamp,
            times,
            self._ordered(names, positions, np.broadcast_to(held, (len(times), held.size))),
            self._ordered(names, velocities, 0.0 * velocities[:, :1]),
            self._ordered(names, accelerations, 0.0 * accelerations[:, :1]),
        )

    def _check_names(self, names: tuple[str, ...]) -> None:
        unknown = set(names) - set(self._joint_names)
        missing = set(self._joint_names) - set(names)
        partial = self._settings.allow_partial_joints_goal and names
        if unknown or len(set(names)) < len(names) or (missing and not partial):
            raise TrajectoryRejectedError(f"joints {list(names)}, expected {list(self._joint_names)}")

    def _ordered(self, names: tuple[str, ...], values: np.ndarray, missing: np.ndarray) -> np.ndarray:
        """Columns of `values` (N, len(names)) in the follower's order; other joints' come from `missing`."""
        rows = np.broadcast_to(missing, (len(values), len(self._joint_names))).copy()
        rows[:, [self._joint_names.index(name) for name in names]] = values
        return rows


def _field(command: TrajectoryCommand, field: str, optional: bool = False) -> np.ndarray:
    """One field of every point as an array (N, J); a row of NaN where a point lacks an optional one.

    Raises:
        TrajectoryRejectedError: odd sizes or values.
    """
    joints = len(command.joint_names)
    values = np.full((len(command.points), joints), np.nan)
    for index, point in enumerate(command.points):
        row = getattr(point, field)
        if optional and not len(row):
            continue
        if len(row) != joints:
            raise TrajectoryRejectedError(f"point {index} has {len(row)} {field}, expected {joints}")
        if not np.isfinite(row).all():
            raise TrajectoryRejectedError(f"{field} of point {index} hold NaN or infinite numbers")
        values[index] = row
    return values


def _bridge(start: Motion, since: float, trajectory: Trajectory) -> Trajectory:
    """`trajectory` preceded by where the joints are at `since` [s]; what is not known counts as rest."""
    rest = np.zeros(trajectory.positions.shape[1])
    velocity = rest if start.velocity is None else start.velocity
    acceleration = rest if start.acceleration is None else start.acceleration
    return Trajectory(
        trajectory.stamp,
        np.concatenate([[since - trajectory.stamp], trajectory.times]),
        np.vstack([start.position, trajectory.positions]),
        np.vstack([velocity, trajectory.velocities]),
        np.vstack([acceleration, trajectory.accelerations]),
    )
