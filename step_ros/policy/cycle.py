"""Everything that a policy carries from one control cycle to the next, in one place."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from step_ros.policy.stall import StallState


@dataclasses.dataclass(frozen=True, eq=False)
class Latent:
    """A partly denoised chunk (Tp, A), normalised, as it was at a noise level.

    Its first `own` elements are those that were denoised; the others were put there to move it on in time.
    """

    level: int
    chunk: NDArray
    own: int


class CycleState:
    """Past commands, the last chunks, and what methods keep of them.

    Attributes:
        cycles: cycles planned since the reset.
        commanded: (Ta, A) float64, the last Ta commanded actions in data units, oldest first; NaN rows lie
            before the start of the episode.
        executed: the last executed chunks, at most two, each (n, A) in normalised units, oldest first.
        chunk: the last chunk (Tp, A), normalised, or None before the first.
        latents: what the method of the last cycle kept of its reverse process.
        measured: (A,) where the joints of the actions are now, in data units; None where that is not known.
        stall: what the stall rule keeps.
    """

    def __init__(self, history_steps: int, action_dim: int) -> None:
        self._shape = (history_steps, action_dim)
        self.reset()

    def reset(self) -> None:
        """Forget the episode."""
        self.cycles = 0
        self.commanded: NDArray = np.full(self._shape, np.nan)
        self.executed: tuple[NDArray, ...] = ()
        self.chunk: NDArray | None = None
        self.latents: tuple[Latent, ...] = ()
        self.measured: NDArray | None = None
        self.stall = StallState()

    @property
    def history_mask(self) -> NDArray:
        """(Ta,) bool, True where a command exists."""
        return np.isfinite(self.commanded).all(axis=1)

    @property
    def previous(self) -> NDArray | None:
        """The last chunk (Tp, A), unless nothing is known to have been commanded since the start."""
        return self.chunk if self.history_mask.any() else None

    def moved_on(self, chunk: NDArray) -> NDArray:
        """A chunk (Tp, A) of the last cycle in the present one's time: without the ticks that were executed
        of it, its last element repeated."""
        ticks = len(self.executed[-1])
        return np.concatenate((chunk[ticks:], np.repeat(chunk[-1:], ticks, axis=0)))

    def record(
        self,
        commanded: NDArray,
        executed: NDArray,
        stall: StallState,
        chunk: NDArray,
        latents: tuple[Latent, ...],
    ) -> None:
        """Close a cycle: actions sent, (n, A) in data units, the same in normalised units, and the rest of
        what the next one may start from."""
        self.cycles += 1
        self.commanded = np.concatenate((self.commanded, commanded))[-self._shape[0] :]
        self.executed = (*self.executed[-1:], executed)
        self.stall = stall
        self.chunk, self.latents = chunk, latents
