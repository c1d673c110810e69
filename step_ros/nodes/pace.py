"""Says, with numbers, when cycles do not keep the pace that the settings ask for. Knows no ROS."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

_RECENT = 30
"""Cycles that a judgement is about."""


@dataclass(frozen=True)
class _Cycle:
    busy: float
    left_out: int
    late: bool


class Pace:
    """Judges the last cycles against the time that the executed prefix gives them.

    Args:
        fps: actions per second.
        longest: most actions of a chunk that can be executed.
    """

    def __init__(self, fps: float, longest: int) -> None:
        self._fps, self._longest = fps, longest
        self._action_steps: int | None = None
        self._recent: deque[_Cycle] = deque(maxlen=_RECENT)

    def restart(self) -> None:
        """Judge only what comes from now on."""
        self._recent.clear()

    def cycle(self, action_steps: int, busy: float, left_out: int, late: bool) -> None:
        """A cycle ended.

        Args:
            action_steps: in force; another number than before starts a new judgement.
            busy: seconds from its begin to its end, in which no other could begin.
            left_out: cycles that were due since the one before and never began.
            late: its chunk was ready too late to be sent.
        """
        if action_steps != self._action_steps:
            self._action_steps = action_steps
            self.restart()
        self._recent.append(_Cycle(busy, left_out, late))

    def complaint(self) -> str | None:
        """What is wrong, or None when every recent cycle began in time and made a command."""
        left_out = sum(cycle.left_out for cycle in self._recent)
        late = sum(cycle.late for cycle in self._recent)
        if not (left_out or late):
            return None
        p50, p95 = np.percentile([cycle.busy for cycle in self._recent], [50, 95])
        counts = f"{left_out} of {left_out + len(self._recent)} cycles left out, {late} chunks late"
        taken = f"a cycle takes {1e3 * p50:.0f} ms (p95 {1e3 * p95:.0f} ms)"
        allowed = f"action_steps {self._action_steps} allows {1e3 * self._action_steps / self._fps:.0f} ms"
        fitting = math.ceil(p95 * self._fps)
        if fitting <= self._action_steps:
            return f"{counts}; {taken} and {allowed}: images or joint states come late or are missing"
        advice = (
            f"action_steps {fitting} would fit"
            if fitting <= self._longest
            else f"no action_steps up to {self._longest} would fit"
        )
        return f"{counts}; {taken} but {allowed}: {advice}"
