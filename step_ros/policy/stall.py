"""Velocity-aware stall rule (Section 3.3, Eq. 14): perturb when two executed chunks are almost the same."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from step_ros.policy.settings import Settings


def stall_distance(executed: tuple[NDArray, ...]) -> float | None:
    """RMS difference of the last two executed chunks (n, A), normalised units.

    None while there are not two chunks of one length to compare.
    """
    if len(executed) < 2 or executed[-1].shape != executed[-2].shape:
        return None
    return float(np.sqrt(np.mean(np.square(executed[-1] - executed[-2]))))


@dataclasses.dataclass(frozen=True)
class StallRule:
    """Stalled after `patience` cycles in a row whose distance is below `threshold`."""

    threshold: float
    patience: int

    @classmethod
    def from_settings(cls, settings: Settings) -> StallRule:
        return cls(settings.stall_threshold, settings.stall_patience)

    def still_cycles(self, distance: float | None, before: int) -> int:
        """Still cycles in a row, counting this one; `before` is the count after the last cycle."""
        return before + 1 if distance is not None and distance < self.threshold else 0

    def stalled(self, still_cycles: int) -> bool:
        return still_cycles >= self.patience
