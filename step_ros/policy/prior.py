"""Spatial-only prior: the decoder of a conditional VAE, from a latent sample and the observation to a chunk.

What the STEP paper calls BRIDGER is, in its released code, this and a diffusion model's last steps after it;
true BRIDGER (stochastic interpolants) is another method. Nothing of the past goes in. The other half of the
VAE, which reads the chunk, is needed in training only and lives there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from step_ros.policy.config import PolicyConfig
from step_ros.policy.perceptron import perceptron


class SpatialPrior(nn.Module):
    """Two hidden layers of width `feedforward`."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        size = config.predictor
        self._chunk_shape = (config.horizon, config.action_dim)
        observed = config.n_obs_steps * config.feature_dim
        self.decoder = perceptron(
            size.latent + observed, size.feedforward, config.horizon * config.action_dim, size.dropout
        )

    def forward(self, latent: Tensor, mask: Tensor, features: Tensor) -> Tensor:
        """Latent (B, 1, L), mask (B, 1) False for the prior's mean, features (B, To, F) -> (B, Tp, A)."""
        told = torch.cat(((latent * mask.unsqueeze(-1)).flatten(1), features.flatten(1)), dim=1)
        return self.decoder(told).unflatten(1, self._chunk_shape)
