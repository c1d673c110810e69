"""The networks of one checkpoint as one module: normaliser, image encoders, denoiser, predictor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from step_ros.policy.config import ENVIRONMENT_STATE, IMAGES, STATE, PolicyConfig
from step_ros.policy.encoder import ImageEncoder
from step_ros.policy.normalization import Normalizer
from step_ros.policy.predictor import PREDICTORS
from step_ros.policy.unet import ConditionalUnet1d


class PolicyNetworks(nn.Module):
    """Encoding, denoising and predicting are separate calls, so that features can be cached for training and
    are computed once per cycle at run time. `predictor` is None when the configuration has none."""

    def __init__(
        self, config: PolicyConfig, stats: Mapping[str, Mapping[str, Sequence[float]]] | None
    ) -> None:
        super().__init__()
        self.config = config
        self.normalizer = Normalizer(config, stats)
        self.encoders = nn.ModuleDict(
            {name.removeprefix(IMAGES): ImageEncoder(config.encoder) for name in config.image_names}
        )
        self.denoiser = ConditionalUnet1d(config)
        self.predictor = PREDICTORS[config.predictor.variant](config) if config.predictor else None

    def encode(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Observation features (B, To, F): state, cameras in the configuration's order, environment state.

        Vectors (B, To, D) are in data units; images (B, To, H, W, 3) are uint8 or float in [0, 1].
        """
        parts = [self.normalizer[STATE](observation[STATE])] if STATE in self.config.input_features else []
        for name in self.config.image_names:
            images = observation[name]
            features = self.encoders[name.removeprefix(IMAGES)](images.flatten(0, 1))
            parts.append(features.unflatten(0, images.shape[:2]))
        if ENVIRONMENT_STATE in self.config.input_features:
            parts.append(self.normalizer[ENVIRONMENT_STATE](observation[ENVIRONMENT_STATE]))
        return torch.cat(parts, dim=-1)

    def denoise(self, x: Tensor, timestep: Tensor, features: Tensor) -> Tensor:
        """Denoiser output (B, Tp, A) for a noisy chunk (B, Tp, A), levels (B,) and features (B, To, F)."""
        return self.denoiser(x, timestep, features.flatten(1))

    def predict(self, history: Tensor, history_mask: Tensor, features: Tensor) -> Tensor:
        """Chunk (B, Tp, A) from past commands (B, Ta, A), their mask (B, Ta) and features; all normalised."""
        return self.predictor(history, history_mask, features)


def build_networks(
    config: PolicyConfig, stats: Mapping[str, Mapping[str, Sequence[float]]] | None = None
) -> PolicyNetworks:
    """Fresh networks; `stats` are dataset statistics, `{feature: {"min": [...], "max": [...]}}`.

    Raises:
        ConfigError: when the statistics do not fit the configuration.
    """
    return PolicyNetworks(config, stats)
