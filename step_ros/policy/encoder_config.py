"""Sizes of the encoders: the package's own small one for images, LeRobot's ResNet, one for objects' poses."""

from __future__ import annotations

import dataclasses

from step_ros.policy.errors import ConfigError
from step_ros.policy.validation import check_fields, setting


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """Size of the small image encoder (one network per camera)."""

    channels: int = setting(32, "channels of each convolution", low=1, high=1024)
    keypoints: int = setting(32, "key points of the spatial soft-max", low=1, high=1024)
    feature_dim: int = setting(64, "features per camera and frame", low=1, high=4096)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclasses.dataclass(frozen=True)
class EnvironmentEncoderConfig:
    """Size of the encoder of environment state, whose features stand beside the state itself."""

    hidden: int = setting(256, "width of both hidden layers", low=1, high=4096)
    feature_dim: int = setting(64, "features per frame", low=1, high=4096)

    def __post_init__(self) -> None:
        check_fields(self)


@dataclasses.dataclass(frozen=True)
class ResNetConfig:
    """LeRobot's image encoder: resize, centre crop, ResNet, spatial soft-max (one network per camera)."""

    backbone: str = setting(
        "resnet18", "network, by its name in torchvision", choices=("resnet18", "resnet34")
    )
    group_norm: bool = setting(False, "group norms of 16 channels instead of batch norms")
    keypoints: int = setting(32, "key points of the spatial soft-max", low=1, high=1024)
    resize: tuple[int, ...] = setting((), "(height, width) that frames are scaled to, or empty", low=1)
    crop: tuple[int, ...] = setting((), "(height, width) of the centre crop, or empty", low=1)

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("resize", "crop"):
            if len(getattr(self, name)) not in (0, 2):
                raise ConfigError(name, getattr(self, name), "(height, width), or nothing")

    @property
    def feature_dim(self) -> int:
        """Features per camera and frame: x and y of every key point."""
        return 2 * self.keypoints

    def check_image(self, name: str, size: tuple[int, ...]) -> None:
        """Raise ConfigError when a frame of `size` (height, width) is smaller than the crop."""
        scaled = self.resize or size
        if self.crop and (self.crop[0] > scaled[0] or self.crop[1] > scaled[1]):
            raise ConfigError("resnet.crop", self.crop, f"at most {tuple(scaled)}, the size of {name}")
