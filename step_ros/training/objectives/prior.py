"""Spatial-only prior: a conditional VAE of the chunk, given the observation alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from step_ros.policy.networks import PolicyNetworks
from step_ros.policy.perceptron import perceptron
from step_ros.training.examples import Examples
from step_ros.training.objectives.windowed import WindowedObjective

SPREADS = 1e-3, 1e3
"""Smallest and largest standard deviation that the recognition network may state."""


class Autoencoder(nn.Module):
    """The prior's decoder with the recognition network that is thrown away after training."""

    def __init__(self, networks: PolicyNetworks) -> None:
        super().__init__()
        config, size = networks.config, networks.config.predictor
        seen = config.horizon * config.action_dim + config.n_obs_steps * config.feature_dim
        self.recognition = perceptron(seen, size.feedforward, 2 * size.latent, size.dropout)
        self.decoder = networks.predictor

    def forward(self, chunk: Tensor, features: Tensor, unit: Tensor) -> tuple[Tensor, Tensor]:
        """Chunk (B, Tp, A), features (B, To, F) and unit noise (B, L) -> reconstruction (B, Tp, A), and each
        example's divergence of the latent's distribution from the standard normal one, (B,)."""
        mean, spread = self.recognition(torch.cat((chunk.flatten(1), features.flatten(1)), 1)).chunk(2, 1)
        spread = spread.exp().clamp(*SPREADS)
        latent = (mean + spread * unit).unsqueeze(1)
        divergence = 0.5 * (mean**2 + spread**2 - 1.0) - spread.log()
        mask = torch.ones(latent.shape[:2], dtype=torch.bool, device=latent.device)
        return self.decoder(latent, mask, features), divergence.sum(1)


class PriorObjective(WindowedObjective):
    """Mean squared error of the chunk plus `kl_weight` times the divergence, mean over examples, sum over the
    latent's dimensions.

    The released code of STEP raises the weight to 2, at which the latent says nothing and the prior is a
    regression, and BRIDGER's authors end with a ratio of 0.01; what the weight does is measured in
    docs/methods.md. It is constant here.
    """

    name = "predictor"
    averaged = False

    def __init__(
        self,
        networks: PolicyNetworks,
        train: Examples,
        held_out: Examples | None,
        kl_weight: float,
        source: str,
    ) -> None:
        super().__init__(train, held_out)
        self.model = Autoencoder(networks)
        self.source = f"prior {kl_weight} {source}"
        self._kl_weight, self._latent = kl_weight, networks.config.predictor.latent

    def told_at_run_time(self, examples: Examples, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """A latent sample for each window, the same at every call."""
        latent = torch.randn(len(indices), 1, self._latent, generator=torch.Generator().manual_seed(0))
        device = examples.actions.device
        return latent.to(device), torch.ones(latent.shape[:2], dtype=torch.bool, device=device)

    def _error(self, model: nn.Module, chunk: Tensor, features: Tensor, generator: torch.Generator) -> Tensor:
        unit = torch.randn(len(chunk), self._latent, generator=generator).to(chunk.device)
        found, divergence = model(chunk, features, unit)
        return mse_loss(found, chunk) + self._kl_weight * divergence.mean()
