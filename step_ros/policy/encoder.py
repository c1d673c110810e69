"""Encoders by input and configuration: what makes one frame, or the objects' poses in it, features.

The package's own image encoder is four convolutions, a spatial soft-max and a linear layer. Poses are encoded
because the denoiser takes its condition through a single layer: what follows from them (where the arm has to
go) must already be there."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from step_ros.policy.config import ENVIRONMENT_STATE, PolicyConfig
from step_ros.policy.encoder_config import EncoderConfig
from step_ros.policy.perceptron import perceptron
from step_ros.policy.resnet import ResNetEncoder


class SpatialSoftmax(nn.Module):
    """Soft arg-max of each channel: expected column, expected row (both in [-1, 1]) and expected value."""

    def forward(self, maps: Tensor) -> Tensor:
        """(B, K, H, W) -> (B, 3K), all x first, then all y, then all values."""
        height, width = maps.shape[-2:]
        logits = maps.flatten(2)
        weights = logits.softmax(dim=-1)
        rows = torch.linspace(-1.0, 1.0, height).to(maps)
        columns = torch.linspace(-1.0, 1.0, width).to(maps)
        x = weights @ columns.repeat(height)
        y = weights @ rows.repeat_interleave(width)
        return torch.cat((x, y, (weights * logits).sum(dim=-1)), dim=-1)


class ImageEncoder(nn.Module):
    """One camera's frames to `feature_dim` features; the first layer shrinks by 4, for a cheap CPU pass."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        channels = config.channels
        groups = max(1, channels // 8)
        self.convolutions = nn.Sequential(
            nn.Conv2d(3, channels, 8, stride=4, padding=2),
            nn.GroupNorm(groups if channels % groups == 0 else 1, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(groups if channels % groups == 0 else 1, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(groups if channels % groups == 0 else 1, channels),
            nn.ReLU(),
            nn.Conv2d(channels, config.keypoints, 1),
        )
        self.pool = SpatialSoftmax()
        self.project = nn.Linear(3 * config.keypoints, config.feature_dim)

    def forward(self, images: Tensor) -> Tensor:
        """(N, H, W, 3) uint8, or float in [0, 1] -> (N, feature_dim)."""
        pixels = images.permute(0, 3, 1, 2)
        scaled = pixels.float() / 255.0 if images.dtype == torch.uint8 else pixels
        return self.project(self.pool(self.convolutions(scaled * 2.0 - 1.0)))


def encoder(config: PolicyConfig, name: str) -> nn.Module:
    """The encoder of one input, each frame by itself: images (N, H, W, 3), or normalised environment state
    (N, E) -> (N, D)."""
    if name == ENVIRONMENT_STATE:
        size = config.environment_encoder
        return perceptron(config.input_features[name][0], size.hidden, size.feature_dim)
    if config.resnet is None:
        return ImageEncoder(config.encoder)
    height, width, _ = config.input_features[name]
    return ResNetEncoder(config.resnet, (height, width))
