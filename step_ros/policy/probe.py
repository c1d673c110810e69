"""The denoiser looked at from outside: single reverse updates, and how far they bring samples together.

For measurements (Section 3.4, Eq. 15 to 18), not for running a policy: torch as it is, many samples at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from step_ros.policy.checkpoint import load_checkpoint
from step_ros.policy.observation import checked_observation
from step_ros.policy.schedule import NoiseSchedule
from step_ros.policy.solvers import Step, solver_table, walk

ROUNDS = 4
"""Rounds of power iteration; the largest factor found is a lower bound that these bring near."""


class Probe:
    """One checkpoint's denoiser under one observation at a time; samples are chunks (B, Tp, A), normalised.

    Args:
        folder: of the checkpoint.

    Raises:
        CheckpointError: the folder cannot be used.
    """

    def __init__(self, folder: str | Path) -> None:
        self.config, networks = load_checkpoint(folder)
        self._networks = networks.eval().requires_grad_(False)
        self.schedule = NoiseSchedule(self.config)
        self._features = torch.zeros(1, self.config.n_obs_steps, self.config.feature_dim)

    def look(self, observation: Mapping[str, object]) -> None:
        """Take the observation for all that follows: arrays (To, *shape), as for `Policy.act`.

        Raises:
            ObservationError: it was refused.
        """
        inputs = checked_observation(observation, self.config)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in inputs.items()}
        with torch.no_grad():
            self._features = self._networks.encode(tensors).float()

    def ddpm_path(self, seed: int) -> tuple[NDArray, NDArray]:
        """DDPM from noise through every level: its states (T, Tp, A) by level, and its chunk (Tp, A)."""
        levels = range(self.schedule.levels - 1, -1, -1)
        table = self._table("ddpm", tuple(levels))
        generator = torch.Generator().manual_seed(seed)
        shape = (1, self.config.horizon, self.config.action_dim)
        sample = torch.randn(shape, generator=generator)
        states = np.empty((self.schedule.levels, *shape[1:]), np.float32)
        for level, row in zip(levels, table, strict=True):
            states[level] = sample[0].numpy()
            fresh = float(Step(*row).fresh) * torch.randn(shape, generator=generator)
            with torch.no_grad():
                sample = self._mean(level, row)(sample) + fresh
        return states, sample[0].numpy()

    def solve(self, solver: str, levels: tuple[int, ...], starts: NDArray) -> NDArray:
        """Chunks (B, Tp, A) from starts at levels[0], by the solver's means: no noise is added."""
        with torch.no_grad():
            chunks, _ = walk(
                self._denoise,
                torch.from_numpy(starts.astype(np.float32)),
                levels,
                self._table(solver, levels),
                [torch.zeros(())] * len(levels),
            )
        return chunks.numpy()

    def factors(self, solver: str, level: int, sample: NDArray, errors: NDArray) -> NDArray:
        """By how much the update from `level` to the next lower one stretches errors (B, Tp, A) of a sample
        (Tp, A): (B,), Eq. 16."""
        update = self._update(solver, level)
        points = np.concatenate((sample[None], sample + errors)).astype(np.float32)
        with torch.no_grad():
            after = update(torch.from_numpy(points)).numpy()
        return _lengths(after[1:] - after[0]) / _lengths(errors)

    def largest_factor(self, solver: str, level: int, sample: NDArray, seed: int = 0) -> float:
        """The largest factor that the update has for any small error at a sample (Tp, A): the spectral norm
        of its Jacobian, by power iteration."""
        update = self._update(solver, level)
        point = torch.from_numpy(sample[None].astype(np.float32))
        direction = torch.randn(point.shape, generator=torch.Generator().manual_seed(seed))
        _, pull = torch.func.vjp(update, point)
        norm = 0.0
        for _ in range(ROUNDS):
            direction = direction / direction.norm()
            _, pushed = torch.func.jvp(update, (point,), (direction,))
            norm = float(pushed.norm())
            (direction,) = pull(pushed)
            if not direction.norm() > 0:
                break
        return norm

    def _update(self, solver: str, level: int) -> Callable[[Tensor], Tensor]:
        levels = (level, level - 1) if level > 0 else (level,)
        return self._mean(level, self._table(solver, levels)[0])

    def _mean(self, level: int, row: NDArray) -> Callable[[Tensor], Tensor]:
        return lambda sample: walk(self._denoise, sample, (level,), row[None], ())[0]

    def _denoise(self, sample: Tensor, level: int) -> Tensor:
        count = len(sample)
        levels = torch.full((count,), level, dtype=torch.int64)
        return self._networks.denoise(sample, levels, self._features.expand(count, -1, -1))

    def _table(self, solver: str, levels: tuple[int, ...]) -> NDArray:
        return solver_table(
            solver, self.schedule, levels, self.config.prediction_type, self.config.clip_sample
        )


def _lengths(errors: NDArray) -> NDArray:
    return np.linalg.norm(errors.reshape(len(errors), -1), axis=1)
