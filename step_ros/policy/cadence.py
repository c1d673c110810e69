"""When a cycle begins: the one rule, for the running node and for the replay of a recording."""

from __future__ import annotations

import math


class Cadence:
    """Which observations are planned from: one per executed prefix, counted by stamps.

    A cycle is due `action_steps` ticks after the one before, less half a tick, so that a camera whose frames
    come a little early still makes it; any later observation will do as well.

    Args:
        fps: ticks per second.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self.reset()

    def reset(self) -> None:
        """A new episode: the next observation begins a cycle, whatever its stamp."""
        self._last: float | None = None

    def due(self, action_steps: int) -> float:
        """The stamp [s] from which on an observation begins a cycle."""
        return -math.inf if self._last is None else self._last + (action_steps - 0.5) / self._fps

    def begin(self, stamp: float, action_steps: int) -> int:
        """Note that a cycle begins with the observation at `stamp` [s]; returns how many were left out."""
        ticks = action_steps if self._last is None else (stamp - self._last) * self._fps
        self._last = stamp
        return int((ticks + 0.5) // action_steps) - 1
