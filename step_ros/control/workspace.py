"""Keeps the gripper above the table, which the joints' own limits do not.

A chunk that would go too low is not bent around the table: it is followed up to its last point that is high
enough, and the arm holds there. Whoever commands something impossible gets a part of their own path, never
a path of ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from step_ros.control.errors import LimitsError
from step_ros.control.joints import JOINT_NAMES
from step_ros.control.kinematics import lowest_point
from step_ros.control.trajectory import SAME_TIME, Trajectory

_STEP = 0.01
"""Seconds between the moments of a motion that are looked at."""
_RISE = 1e-4
"""Metres by which a motion that starts too low may sink before it counts as going lower."""


@dataclass(frozen=True)
class WorkspaceGuard:
    """The table and the distance to keep from it.

    Attributes:
        joint_names: order of the joints in trajectories; all six of the arm are needed.
        table: height of the table in the base frame [m].
        margin: distance [m] of the gripper from the table, >= 0.

    Raises:
        LimitsError: a joint is missing, or the margin is negative or not finite.
    """

    joint_names: tuple[str, ...] = JOINT_NAMES
    table: float = 0.0
    margin: float = 0.001

    def __post_init__(self) -> None:
        if sorted(self.joint_names) != sorted(JOINT_NAMES):
            raise LimitsError(f"workspace guard: joints {self.joint_names}, expected all of {JOINT_NAMES}")
        if not (np.isfinite(self.table) and np.isfinite(self.margin) and self.margin >= 0):
            raise LimitsError(f"workspace guard: table {self.table}, margin {self.margin}, expected >= 0")

    def clearance(self, positions: np.ndarray) -> np.ndarray:
        """Height (...) [m] of the gripper's lowest point above the table for positions (..., 6) [rad]."""
        order = [self.joint_names.index(name) for name in JOINT_NAMES]
        return lowest_point(np.asarray(positions)[..., order]) - self.table

    def first_violation(self, trajectory: Trajectory, since: float, slack: float = 0.0) -> float | None:
        """The first moment [s] from `since` on at which the gripper is too low by more than `slack` [m].

        A motion that starts too low may go on as long as it does not go lower.
        """
        times = self._moments(trajectory, since)
        heights = self.clearance(trajectory.positions_at(times))
        low = heights < min(self.margin, heights[0] - _RISE) - slack
        return float(times[np.argmax(low)]) if low.any() else None

    def cut(self, trajectory: Trajectory, since: float) -> Trajectory:
        """The part of `trajectory` before it goes too low, at rest at its end; all of it where it does not.

        The velocity of the new end is zero at once: slow the result down afterwards.
        """
        violation = self.first_violation(trajectory, since)
        if violation is None:
            return trajectory
        times = self._moments(trajectory, since)
        last = times[max(int(np.searchsorted(times, violation)) - 1, 0)]
        shorter = trajectory.with_point(last)
        kept = shorter.times <= last - shorter.stamp + SAME_TIME
        velocities = shorter.velocities[kept].copy()
        velocities[-1] = 0.0
        return Trajectory(shorter.stamp, shorter.times[kept], shorter.positions[kept], velocities)

    @staticmethod
    def _moments(trajectory: Trajectory, since: float) -> np.ndarray:
        steps = max(int(np.ceil((trajectory.end - since) / _STEP)), 1)
        return np.linspace(since, max(trajectory.end, since), steps + 1)
