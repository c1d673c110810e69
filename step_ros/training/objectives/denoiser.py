"""Denoiser: noise (or clean-sample) prediction on cached features (DDPM's simple loss, methods card 2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from step_ros.policy.networks import PolicyNetworks
from step_ros.policy.schedule import NoiseSchedule
from step_ros.training.examples import Examples
from step_ros.training.objectives.windowed import WindowedObjective


class DenoiserObjective(WindowedObjective):
    """Mean |e - e_theta(sqrt(abar_t) x_0 + sqrt(1 - abar_t) e, t, o)|^2, t spread evenly over a batch.

    Noise levels are drawn one from each of B equal parts of the range: the loss at low and at high noise
    differs by two orders of magnitude, so independent levels would make most of the gradient's variance.
    """

    name = "denoiser"
    averaged = True

    def __init__(
        self, networks: PolicyNetworks, train: Examples, held_out: Examples | None, source: str
    ) -> None:
        super().__init__(train, held_out)
        self.model = networks.denoiser
        self.source = source
        self._schedule = NoiseSchedule(networks.config)
        self._predicts_noise = networks.config.prediction_type == "epsilon"

    def _arranged(self, indices: np.ndarray, generator: torch.Generator) -> np.ndarray:
        # Noise levels ascend over a batch, and windows over the episodes.
        return indices[torch.randperm(len(indices), generator=generator).numpy()]

    def _error(self, model: nn.Module, chunk: Tensor, features: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(chunk.shape, generator=generator).to(chunk.device)
        timesteps = stratified_timesteps(len(chunk), self._schedule.levels, generator).to(chunk.device)
        noisy = self._schedule.add_noise(chunk, noise, timesteps)
        output = model(noisy, timesteps, features.flatten(1))
        return mse_loss(output, noise if self._predicts_noise else chunk)


def stratified_timesteps(count: int, levels: int, generator: torch.Generator) -> Tensor:
    """(count,) noise levels, one from each of `count` equal parts of 0 ... levels - 1, ascending."""
    position = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    return (position * levels).long().clamp(max=levels - 1)
