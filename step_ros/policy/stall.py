"""The stall rule: when a cycle counts as stalled, and by how much its chunk is pushed (Section 3.3).

The paper looks at commands: stalled when two executed chunks are almost the same. That fires on every
intended pause and misses an arm that is told to move and does not. So the rule can look at the robot instead,
or at both. What follows is the method's business (Eq. 14) but for the push, an answer without anything to
tune: what is missing of the motion that was asked for is added to the next chunks, more with every cycle,
until the joints move. Then it ends at once: what is left of a push carries the arm past its target. All
values are normalised actions: 1 is half the range of the training data.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from step_ros.policy.settings import Settings


def stall_distance(executed: tuple[NDArray, ...]) -> float | None:
    """RMS difference of the last two executed chunks (n, A), normalised units.

    None while there are not two chunks of one length to compare.
    """
    if len(executed) < 2 or executed[-1].shape != executed[-2].shape:
        return None
    return _rms(executed[-1] - executed[-2])


@dataclasses.dataclass(frozen=True, eq=False)
class StallState:
    """What the rule carries from one cycle to the next.

    Attributes:
        still_cycles: cycles in a row that were found still.
        measured: (A,) where the joints were, None when that was not known.
        push: (A,) what was added to the last executed action, None for nothing.
    """

    still_cycles: int = 0
    measured: NDArray | None = None
    push: NDArray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Motion:
    """One cycle's motion of the joints that are watched: asked for and made, (A,) each, zero elsewhere."""

    asked: NDArray
    made: NDArray

    @property
    def progress(self) -> float:
        """Share of the asked motion that was made, along its direction; 1 where none was asked for."""
        square = float(self.asked @ self.asked)
        return float(self.made @ self.asked) / square if square > 0.0 else 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Verdict:
    """What the rule says of a cycle: see `Plan` for distance and progress; `state` is for the next cycle."""

    stalled: bool
    distance: float | None
    progress: float | None
    state: StallState


@dataclasses.dataclass(frozen=True)
class StallRule:
    """Stalled after `patience` still cycles in a row.

    Attributes:
        threshold: source `action`: distance of executed chunks below which a cycle is still.
        source: `action`; `motion`: told to move and not moving; `both`: only when both say so.
        min_motion: length of a motion (A,) from which on the joints count as told to move.
        progress: share of it below which it counts as not moving.
        gain, limit: share of the missing motion that is added to the push in each stalled cycle, and the
            largest push of a joint; limit 0: no push.
    """

    threshold: float
    patience: int
    source: str = "action"
    min_motion: float = 0.08
    progress: float = 0.5
    gain: float = 0.25
    limit: float = 0.0

    @classmethod
    def from_settings(cls, settings: Settings) -> StallRule:
        return cls(
            settings.stall_threshold,
            settings.stall_patience,
            settings.stall_source,
            settings.stall_min_motion,
            settings.stall_progress,
            settings.push_gain,
            settings.push_limit if settings.stall_response == "push" else 0.0,
        )

    def judge(
        self,
        state: StallState,
        executed: tuple[NDArray, ...],
        commanded: NDArray,
        measured: NDArray | None,
        watched: NDArray,
    ) -> Verdict:
        """Judge the cycle that ended now.

        Args:
            state: after the cycle before.
            executed: the last executed chunks, (n, A) each, oldest first.
            commanded: (A,) the newest command; NaN where there is none.
            measured: (A,) where the joints are now, None when that is not known.
            watched: (A,) bool, the joints that are to move when they are told to.
        """
        distance = stall_distance(executed)
        motion = _motion(state, commanded, measured, watched)
        still = {
            "action": distance is not None and distance < self.threshold,
            "motion": motion is not None and self.stuck(motion),
        }
        still["both"] = still["action"] and still["motion"]
        count = state.still_cycles + 1 if still[self.source] else 0
        stalled = self.stalled(count)
        push = self._pushed(state.push, motion if stalled else None)
        progress = None if motion is None else motion.progress
        return Verdict(stalled, distance, progress, StallState(count, measured, push))

    def stuck(self, motion: Motion) -> bool:
        """Told to move and not moving; never true of joints that were not told to move."""
        asked = math.sqrt(float(motion.asked @ motion.asked))
        return 0.0 < asked >= self.min_motion and motion.progress < self.progress

    def still_cycles(self, distance: float | None, before: int) -> int:
        """Still cycles in a row by the commands alone; `before` is the count after the last cycle."""
        return before + 1 if distance is not None and distance < self.threshold else 0

    def stalled(self, still_cycles: int) -> bool:
        return still_cycles >= self.patience

    def _pushed(self, push: NDArray | None, stuck: Motion | None) -> NDArray | None:
        """The push after a cycle that was stalled with this motion, or was not (None)."""
        if stuck is None or self.limit == 0.0:
            return None
        push = (0.0 if push is None else push) + self.gain * (stuck.asked - stuck.made)
        return np.clip(push, -self.limit, self.limit)


def pushed(chunk: NDArray, before: NDArray | None, after: NDArray | None, first: int, steps: int) -> NDArray:
    """A chunk (Tp, A) with the push added, which goes evenly from `before` to `after` while it is executed.

    `first` is the index of the first executed action, `steps` how many there are.
    """
    if before is None and after is None:
        return chunk
    share = np.clip((np.arange(len(chunk)) - (first - 1)) / steps, 0.0, 1.0)[:, None]
    none = np.zeros(chunk.shape[1])
    before, after = (none if push is None else push for push in (before, after))
    return (chunk + before + share * (after - before)).astype(chunk.dtype)


def _motion(
    state: StallState, commanded: NDArray, measured: NDArray | None, watched: NDArray
) -> Motion | None:
    """What was asked for without the push and made since the last cycle, None where that is not known."""
    if state.measured is None or measured is None or not np.isfinite(commanded).all():
        return None
    meant = commanded if state.push is None else commanded - state.push
    asked, made = (np.where(watched, now - state.measured, 0.0) for now in (meant, measured))
    return Motion(asked, made)


def _rms(difference: NDArray) -> float:
    flat = difference.ravel()
    return math.sqrt(float(flat @ flat) / flat.size)
