"""Denoiser: noise (or clean-sample) prediction on cached features (DDPM's simple loss, methods card 2)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from step_ros.policy.networks import PolicyNetworks
from step_ros.policy.schedule import NoiseSchedule
from step_ros.training.examples import Examples, fixed_indices

HELD_OUT_WINDOWS = 512


class DenoiserObjective:
    """Mean |e - e_theta(sqrt(abar_t) x_0 + sqrt(1 - abar_t) e, t, o)|^2, t spread evenly over a batch.

    Noise levels are drawn one from each of B equal parts of the range: the loss at low and at high noise
    differs by two orders of magnitude, so independent levels would make most of the gradient's variance.
    """

    name = "denoiser"
    averaged = True

    def __init__(
        self, networks: PolicyNetworks, train: Examples, held_out: Examples | None, source: str
    ) -> None:
        self.model = networks.denoiser
        self.source = source
        self._train, self._held_out = train, held_out
        self._schedule = NoiseSchedule(networks.config)
        self._predicts_noise = networks.config.prediction_type == "epsilon"

    def loss(self, model: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
        indices = self._train.draw(batch_size, generator)
        variants = self._train.draw_variants(batch_size, generator)
        return self._error(model, self._train, indices, variants, generator)

    @torch.no_grad()
    def held_out_loss(self, model: nn.Module) -> float:
        if self._held_out is None:
            return float("nan")
        indices = fixed_indices(self._held_out.windows, HELD_OUT_WINDOWS)
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(indices), generator=generator).numpy()
        unshifted = torch.zeros(len(indices), dtype=torch.int64)
        return self._error(model, self._held_out, indices[order], unshifted, generator).item()

    def _error(
        self,
        model: nn.Module,
        examples: Examples,
        indices: np.ndarray,
        variants: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        chunk = examples.chunk(indices)
        noise = torch.randn(chunk.shape, generator=generator).to(chunk.device)
        timesteps = stratified_timesteps(len(chunk), self._schedule.levels, generator).to(chunk.device)
        noisy = self._schedule.add_noise(chunk, noise, timesteps)
        output = model(noisy, timesteps, examples.observed(indices, variants).flatten(1))
        return mse_loss(output, noise if self._predicts_noise else chunk)


def stratified_timesteps(count: int, levels: int, generator: torch.Generator) -> Tensor:
    """(count,) noise levels, one from each of `count` equal parts of 0 ... levels - 1, ascending."""
    position = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    return (position * levels).long().clamp(max=levels - 1)
