"""What the report draws of a replay: camera frames and joints, cycle by cycle, up to a limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from step_ros.evaluation.replay.cycles import Cycle
from step_ros.policy.config import STATE, PolicyConfig

DRAWN_CYCLES = 1200
"""Cycles kept for drawing, the first ones: five minutes at 8 actions a cycle and 30 Hz."""


class Traces:
    """The first cycles of a replay, for the eye.

    Attributes:
        stamps: per cycle [s].
        first: per cycle, whether it begins an episode.
        pauses: per cycle, whether the recorded command is still.
        measured: per cycle (J,) [rad]; empty when the policy does not see the joints.
        recorded: per cycle (n, J) recorded actions of the rows that are executed.
        executed: label -> per cycle (n, J).
        pictures: per cycle the newest frames of all cameras side by side, (H, W, 3) uint8.
        complete: whether everything fitted.
    """

    def __init__(self, config: PolicyConfig, labels: Sequence[str]) -> None:
        self.config = config
        self.stamps: list[float] = []
        self.first: list[bool] = []
        self.pauses: list[bool] = []
        self.measured: list[np.ndarray] = []
        self.recorded: list[np.ndarray] = []
        self.executed: dict[str, list[np.ndarray]] = {label: [] for label in labels}
        self.pictures: list[np.ndarray] = []
        self.complete = True

    def add(self, cycle: Cycle, executed: Mapping[str, np.ndarray]) -> None:
        """Keep one cycle, if there is room."""
        if len(self.stamps) == DRAWN_CYCLES:
            self.complete = False
            return
        self.stamps.append(cycle.stamp)
        self.first.append(cycle.first)
        self.pauses.append(cycle.pause)
        if STATE in cycle.observation:
            self.measured.append(cycle.observation[STATE][-1])
        longest = max(len(prefix) for prefix in executed.values())
        start = self.config.n_obs_steps - 1
        self.recorded.append(cycle.recorded[start : start + longest])
        for label, prefix in executed.items():
            self.executed[label].append(prefix)
        if self.config.image_names:
            frames = [cycle.observation[name][-1] for name in self.config.image_names]
            self.pictures.append(_side_by_side(frames))


def _side_by_side(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Frames (H, W, 3) of any sizes in one row, even sides, the smaller ones above nothing."""
    height = max(frame.shape[0] for frame in frames)
    width = sum(frame.shape[1] for frame in frames)
    row = np.full((height + height % 2, width + width % 2, 3), 255, np.uint8)
    left = 0
    for frame in frames:
        row[: frame.shape[0], left : left + frame.shape[1]] = frame
        left += frame.shape[1]
    return row
