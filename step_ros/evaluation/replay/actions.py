"""What the recorded arm was told to do, as actions of the policy's time grid.

The action of the row k ticks after an observation at time t is, for trajectories, the set point due at
t + (k+1)/fps, just as the running node understands its own chunks; for a leader arm it is where the leader
was at t + k/fps, just as LeRobot records it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence

import numpy as np

from step_ros.control.trajectory import Trajectory
from step_ros.data import messages
from step_ros.data.bag_topics import TRAJECTORY
from step_ros.data.bags import BagMessage

KEPT_SECONDS = 5.0
"""How far back commands are remembered; pauses are looked for within it."""
LONGEST_GAP = 0.1
"""Seconds between two states of a leader that may still be bridged by interpolation."""


class RecordedActions:
    """Commands over time, fed from a bag in the order of time and asked about the last few seconds.

    Args:
        kind: message type: trajectories, or joint states of a leader.
        joint_names: the policy's joints as they are called in the messages.
        fps: rows per second.
    """

    def __init__(self, kind: str, joint_names: Sequence[str], fps: float) -> None:
        self._follows_trajectories = kind == TRAJECTORY
        self._names, self._fps = tuple(joint_names), fps
        self._times: deque[float] = deque()
        self._values: deque[Trajectory | np.ndarray] = deque()
        self._planned_from: deque[float] = deque()

    def clear(self) -> None:
        """Forget what was commanded so far: an episode begins."""
        for kept in (self._times, self._values, self._planned_from):
            kept.clear()

    def add(self, message: BagMessage) -> None:
        """Take the next command; raises MessageError when it cannot be used."""
        time = message.time
        if self._follows_trajectories:
            stamp, times, positions, velocities = messages.trajectory(message.content, self._names)
            time = max(time, stamp)
            # Stamp zero: the controller counts from the arrival.
            value: Trajectory | np.ndarray = Trajectory(stamp or time, times, positions, velocities)
        else:
            value = messages.joint_positions(message.content, self._names)
        if self._times and time < self._times[-1]:
            self.clear()
        self._times.append(time)
        self._values.append(value)
        self._planned_from.append(message.stamp if message.stamp_ns else -np.inf)
        while time - self._times[0] > KEPT_SECONDS and len(self._times) > 1:
            for kept in (self._times, self._values, self._planned_from):
                kept.popleft()

    def rows(self, time: float, offsets: Sequence[int]) -> np.ndarray:
        """The actions (N, J) [rad] of the rows `offsets` ticks after the frame at `time` [s]; NaN if unknown.

        What is known only grows: ask for later rows once the recording has come that far.
        """
        found = np.full((len(offsets), len(self._names)), np.nan)
        if self._follows_trajectories:
            self._fill_in_force(found, time, offsets)
            return found
        for k, offset in enumerate(offsets):
            position = self._interpolated(time, offset)
            if position is not None:
                found[k] = position
        return found

    def _fill_in_force(self, found: np.ndarray, time: float, offsets: Sequence[int]) -> None:
        """Put the set points into `found`, trajectory by trajectory."""
        due = time + (np.array(offsets) + 1) / self._fps
        chosen = np.array(
            [self._in_force(moment, time, offset) for moment, offset in zip(due, offsets, strict=True)]
        )
        for k in set(chosen) - {-1}:
            trajectory, rows = self._values[k], chosen == k
            if trajectory.velocities is None:
                found[rows] = [trajectory.sample(moment)[0] for moment in due[rows]]
            else:
                found[rows] = trajectory.positions_at(due[rows])

    def _in_force(self, moment: float, time: float, offset: int) -> int:
        """Which command is in force at a moment, -1 for none."""
        k = bisect_right(self._times, moment) - 1
        # What was planned from the frame at `time` is no past of it, however fast it was.
        while k >= 0 and offset < 0 and self._planned_from[k] > time - 0.5 / self._fps:
            k -= 1
        return k

    def _interpolated(self, time: float, offset: int) -> np.ndarray | None:
        wanted = time + offset / self._fps
        k = bisect_left(self._times, wanted)
        if k == len(self._times):
            return None
        if self._times[k] == wanted:
            return self._values[k]
        if k == 0 or self._times[k] - self._times[k - 1] > LONGEST_GAP:
            return None
        share = (wanted - self._times[k - 1]) / (self._times[k] - self._times[k - 1])
        return (1 - share) * self._values[k - 1] + share * self._values[k]
