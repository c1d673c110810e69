"""What the arm was really told to do, by time."""

from __future__ import annotations

from collections import deque

import numpy as np

from step_ros.control.trajectory import Trajectory

_KEPT = 64
"""Trajectories remembered; at 8 actions a cycle and 30 Hz the last 17 seconds."""


class CommandHistory:
    """Set points over time: each trajectory is in force from when it was sent until the next one is.

    Args:
        joints: number of joints J.
    """

    def __init__(self, joints: int) -> None:
        self._joints = joints
        self._sent: deque[tuple[float, Trajectory]] = deque(maxlen=_KEPT)

    def reset(self) -> None:
        """Forget everything: a new episode starts, or somebody else commands the arm."""
        self._sent.clear()

    def add(self, trajectory: Trajectory, since: float) -> None:
        """Note that `trajectory` (with velocities) is in force from `since` [s], later than those before."""
        self._sent.append((since, trajectory))

    @property
    def newest(self) -> Trajectory | None:
        """The trajectory sent last, or None before the first."""
        return self._sent[-1][1] if self._sent else None

    def at(self, time: float) -> np.ndarray | None:
        """The set point (J,) in force at `time` [s], or None before the first trajectory."""
        for since, trajectory in reversed(self._sent):
            if since <= time:
                return trajectory.sample(time)[0]
        return None

    def latest(self, time: float) -> np.ndarray | None:
        """The set point (J,) that the newest trajectory has for `time` [s], or None when there is none."""
        return self.newest.sample(time)[0] if self.newest else None

    def sample(self, t_obs: float, fps: float, steps: int) -> np.ndarray:
        """The last `steps` commanded positions (steps, J) [rad], oldest first, the last one due at `t_obs`.

        Row j is what was commanded for t_obs - (steps - 1 - j) / fps, NaN before the first trajectory.
        Strictly past: what is commanded for later times does not enter. The times of the rows count, not the
        number of cycles, so a late or early cycle gets the positions that the arm really followed.
        """
        times = t_obs - np.arange(steps - 1, -1, -1) / fps
        rows = np.full((steps, self._joints), np.nan)
        until = np.inf
        for since, trajectory in reversed(self._sent):
            ruled = (times >= since) & (times < until)
            if ruled.any():
                rows[ruled] = trajectory.positions_at(times[ruled])
            until = min(since, until)
            if until <= times[0]:
                break
        return rows
