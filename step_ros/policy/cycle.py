"""Everything that a policy carries from one control cycle to the next, in one place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class CycleState:
    """Past commands and the last executed chunks.

    Attributes:
        cycles: cycles planned since the reset.
        commanded: (Ta, A) float64, the last Ta commanded actions in data units, oldest first; NaN rows lie
            before the start of the episode.
        executed: the last executed chunks, at most two, each (n, A) in normalised units, oldest first.
        still_cycles: cycles in a row that the stall rule found still.
    """

    def __init__(self, history_steps: int, action_dim: int) -> None:
        self._shape = (history_steps, action_dim)
        self.reset()

    def reset(self) -> None:
        """Forget the episode."""
        self.cycles = 0
        self.commanded: NDArray = np.full(self._shape, np.nan)
        self.executed: tuple[NDArray, ...] = ()
        self.still_cycles = 0

    @property
    def history_mask(self) -> NDArray:
        """(Ta,) bool, True where a command exists."""
        return np.isfinite(self.commanded).all(axis=1)

    def record(self, commanded: NDArray, executed: NDArray, still_cycles: int) -> None:
        """Close a cycle: actions sent, (n, A) in data units, and the same chunk in normalised units."""
        self.cycles += 1
        self.commanded = np.concatenate((self.commanded, commanded))[-self._shape[0] :]
        self.executed = (*self.executed[-1:], executed)
        self.still_cycles = still_cycles
