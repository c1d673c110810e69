"""LeRobot's image encoder: scale, centre crop, ResNet, spatial soft-max, a linear layer.

Parameter names are those of LeRobot's `DiffusionRgbEncoder` (`backbone.4.0.conv1.weight`, `pool.nets.weight`,
`out.weight`), so its weights load with `load_state_dict(..., strict=True)`. Cropping at random is a matter of
training; a running policy always crops the centre.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from step_ros.policy.encoder_config import ResNetConfig

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
CHANNELS = (64, 128, 256, 512)
CHANNELS_PER_GROUP = 16
HALVINGS = 5
"""times that the backbone halves the image, rounding up"""


def _norm(config: ResNetConfig, channels: int) -> nn.Module:
    if config.group_norm:
        return GroupNorm(channels // CHANNELS_PER_GROUP, channels)
    return nn.BatchNorm2d(channels)


class GroupNorm(nn.GroupNorm):
    """Torch's, in elementary operations: OpenVINO 2026.4 crashes in the code that it makes of a whole one
    between two convolutions and a residual path."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        grouped = x.unflatten(1, (self.num_groups, -1)).flatten(2)
        centred = grouped - grouped.mean(dim=-1, keepdim=True)
        scale = torch.rsqrt((centred * centred).mean(dim=-1, keepdim=True) + self.eps)
        return (centred * scale).reshape_as(x) * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a residual path; the first may halve the image."""

    def __init__(self, channels_in: int, channels: int, stride: int, config: ResNetConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = _norm(config, channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = _norm(config, channels)
        self.downsample = nn.Identity()
        if stride != 1 or channels_in != channels:
            projection = nn.Conv2d(channels_in, channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(projection, _norm(config, channels))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(hidden)) + self.downsample(x))


def resnet(config: ResNetConfig) -> nn.Sequential:
    """The convolutional part: images (N, 3, H, W) -> maps (N, 512, H/32, W/32), rounded up."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, CHANNELS[0], 7, 2, 3, bias=False),
        _norm(config, CHANNELS[0]),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
    ]
    channels_in = CHANNELS[0]
    for channels, count in zip(CHANNELS, BLOCKS[config.backbone], strict=True):
        stride = 1 if channels == CHANNELS[0] else 2
        blocks = [BasicBlock(channels_in, channels, stride, config)]
        blocks += [BasicBlock(channels, channels, 1, config) for _ in range(count - 1)]
        layers.append(nn.Sequential(*blocks))
        channels_in = channels
    return nn.Sequential(*layers)


class KeyPoints(nn.Module):
    """Spatial soft-max: where each of K maps is brightest, as expected (x, y) in [-1, 1]."""

    def __init__(self, channels: int, keypoints: int, height: int, width: int) -> None:
        super().__init__()
        self.nets = nn.Conv2d(channels, keypoints, 1)
        columns, rows = np.meshgrid(np.linspace(-1.0, 1.0, width), np.linspace(-1.0, 1.0, height))
        positions = np.stack((columns.ravel(), rows.ravel()), axis=1)
        self.register_buffer("positions", torch.from_numpy(positions).float(), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, 2K): x and y of the first key point, then of the next."""
        weights = self.nets(maps).flatten(2).softmax(dim=-1)
        return (weights @ self.positions).flatten(1)


class ResNetEncoder(nn.Module):
    """One camera's frames of `size` (height, width) to `2 * keypoints` features.

    Pixels are scaled to [0, 1], then normalised per colour as (value - pixel_mean) * pixel_gain.
    """

    def __init__(self, config: ResNetConfig, size: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.zeros(3, 1, 1))
        self.register_buffer("pixel_gain", torch.ones(3, 1, 1))
        scaled = tuple(config.resize) or size
        crop = tuple(config.crop) or scaled
        windows = [_centred(whole, part) for whole, part in zip(scaled, crop, strict=True)]
        self._window: tuple[slice, ...] | None = tuple(windows)
        if scaled != size:
            self._window = None  # the crop is part of the two matrices
            for name, length, target, window in zip(("rows", "columns"), size, scaled, windows, strict=True):
                self.register_buffer(name, scaling_matrix(length, target)[window], persistent=False)
        self.backbone = resnet(config)
        height, width = (-(-side // 2**HALVINGS) for side in crop)
        self.pool = KeyPoints(CHANNELS[-1], config.keypoints, height, width)
        self.out = nn.Linear(config.feature_dim, config.feature_dim)
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """(N, H, W, 3) uint8, or float in [0, 1] -> (N, feature_dim)."""
        if self._window is not None:
            images = images[:, self._window[0], self._window[1]]
        pixels = images.permute(0, 3, 1, 2)
        pixels = pixels.float() / 255.0 if images.dtype == torch.uint8 else pixels
        pixels = (pixels - self.pixel_mean) * self.pixel_gain
        if self._window is None:
            pixels = self.rows @ pixels @ self.columns.T
        return self.relu(self.out(self.pool(self.backbone(pixels))))


def scaling_matrix(length: int, target: int) -> Tensor:
    """(target, length): antialiased linear interpolation of one image axis.

    Scaling an image with two matrices is exact, and needs nothing that an engine might do in another way.
    """
    identity = torch.eye(length, device="cpu")[None, None]  # wherever the network is being made
    return interpolate(identity, (target, length), mode="bilinear", antialias=True)[0, 0].clone()


def _centred(whole: int, part: int) -> slice:
    """A centred part of one image axis; halves are rounded to even, as torchvision's centre crop does."""
    start = round((whole - part) / 2.0)
    return slice(start, start + part)
