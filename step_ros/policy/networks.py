"""The networks of one checkpoint as one module: normaliser, encoders, denoiser, predictor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from step_ros.policy.config import ENVIRONMENT_STATE, IMAGES, STATE, PolicyConfig
from step_ros.policy.encoder import encoder
from step_ros.policy.normalization import Normalizer
from step_ros.policy.predictor import build_predictor
from step_ros.policy.unet import ConditionalUnet1d

Array = Any
"""A NumPy array or a torch tensor."""


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
            {encoder_key(name): encoder(config, name) for name in config.encoded_names}
        )
        self.denoiser = ConditionalUnet1d(config)
        self.predictor = build_predictor(config)

    def encode(self, observation: Mapping[str, Tensor]) -> Tensor:
        """Observation features (B, To, F): state, cameras in the configuration's order, environment state,
        what its encoder makes of it.

        Vectors (B, To, D) are in data units; images (B, To, H, W, 3) are uint8 or float in [0, 1].
        """
        encoded = {}
        for name in self.config.encoded_names:
            frames = observation[name]
            encoded[name] = self.encode_frames(name, frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return torch.cat(feature_parts(self.config, self.normalizer, observation, encoded), dim=-1)

    def encode_frames(self, name: str, frames: Tensor) -> Tensor:
        """Features (N, D) of frames of an input that is encoded, each by itself: images (N, H, W, 3), or
        environment state (N, E) in data units."""
        if name == ENVIRONMENT_STATE:
            frames = self.normalizer[name](frames)
        return self.encoders[encoder_key(name)](frames)

    def denoise(self, x: Tensor, timestep: Tensor, features: Tensor) -> Tensor:
        """Denoiser output (B, Tp, A) for a noisy chunk (B, Tp, A), levels (B,) and features (B, To, F)."""
        return self.denoiser(x, timestep, features.flatten(1))

    def predict(self, history: Tensor, history_mask: Tensor, features: Tensor) -> Tensor:
        """Chunk (B, Tp, A) from (B, H, W) of the predictor's kind, its mask (B, H) and features; normalised.

        (H, W) is `PolicyConfig.history_shape`; the mask is True where a row exists.
        """
        return self.predictor(history, history_mask, features)


def feature_parts(
    config: PolicyConfig,
    normalizer: Normalizer | Mapping[str, Callable[[Array], Array]],
    vectors: Mapping[str, Array],
    encoded: Mapping[str, Array],
) -> list[Array]:
    """The parts of observation features (…, F) in order, from vectors in data units and encoders' features.

    Tensors or NumPy arrays, as long as all are of one kind.
    """
    parts = [normalizer[STATE](vectors[STATE])] if STATE in config.input_features else []
    parts += [encoded[name] for name in config.image_names]
    if ENVIRONMENT_STATE in config.input_features:
        parts.append(normalizer[ENVIRONMENT_STATE](vectors[ENVIRONMENT_STATE]))
    if config.environment_encoder:
        parts.append(encoded[ENVIRONMENT_STATE])
    return parts


def encoder_key(name: str) -> str:
    """What an input's encoder is called among `encoders`."""
    return name.removeprefix(IMAGES).removeprefix("observation.")


def build_networks(
    config: PolicyConfig, stats: Mapping[str, Mapping[str, Sequence[float]]] | None = None
) -> PolicyNetworks:
    """Fresh networks; `stats` are dataset statistics, `{feature: {"min": [...], "max": [...]}}`.

    Raises:
        ConfigError: when the statistics do not fit the configuration.
    """
    return PolicyNetworks(config, stats)
