"""Normalisation per dimension, to [-1, 1] or by given coefficients, which travel with the checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from step_ros.policy.config import ACTION, PolicyConfig
from step_ros.policy.errors import ConfigError

SMALLEST_RANGE = 1e-4
"""Dimensions that span less than this in the data (radians, metres) count as constant."""


class MinMax(nn.Module):
    """Maps [low, high] to [-1, 1], element by element, in both directions.

    A constant dimension is only centred on the way in, so that noise is not blown up, and always returns to
    its constant on the way out, so that a joint that never moved in the data is never moved.
    """

    def __init__(self, low: Sequence[float], high: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("low", torch.as_tensor(low, dtype=torch.float32))
        self.register_buffer("high", torch.as_tensor(high, dtype=torch.float32))

    def forward(self, value: Tensor) -> Tensor:
        """(…, D) in data units -> (…, D) normalised."""
        span = self.high - self.low
        scale = torch.where(span > SMALLEST_RANGE, 2.0 / span.clamp(min=SMALLEST_RANGE), 1.0)
        return (value - (self.high + self.low) / 2.0) * scale

    def inverse(self, value: Tensor) -> Tensor:
        """(…, D) normalised -> (…, D) in data units."""
        half = (self.high - self.low) / 2.0
        half = torch.where(half > SMALLEST_RANGE / 2.0, half, 0.0)
        return value * half + (self.high + self.low) / 2.0


class Affine(nn.Module):
    """In: (value - centre) * gain + floor; out: (value - floor) * span + centre, element by element.

    Gain and span are kept apart because training code seldom inverts exactly: LeRobot adds 1e-8 to what it
    divides by, not to what it multiplies with, and a constant dimension has a span of 0.
    """

    def __init__(self, size: int) -> None:
        """The identity; coefficients come with a state dict."""
        super().__init__()
        self.register_buffer("centre", torch.zeros(size))
        self.register_buffer("gain", torch.ones(size))
        self.register_buffer("span", torch.ones(size))
        self.register_buffer("floor", torch.zeros(size))

    def forward(self, value: Tensor) -> Tensor:
        """(…, D) in data units -> (…, D) normalised."""
        return (value - self.centre) * self.gain + self.floor

    def inverse(self, value: Tensor) -> Tensor:
        """(…, D) normalised -> (…, D) in data units."""
        return (value - self.floor) * self.span + self.centre

    def convert(self, scale: Tensor, offset: Tensor) -> None:
        """Take data in other units from now on: new = scale * old + offset, both (D,), scale not 0."""
        self.centre.mul_(scale).add_(offset)
        self.gain.div_(scale)
        self.span.mul_(scale)


class Normalizer(nn.Module):
    """One `MinMax` or `Affine` for each vector input and one for the action, looked up by feature name."""

    def __init__(
        self, config: PolicyConfig, stats: Mapping[str, Mapping[str, Sequence[float]]] | None
    ) -> None:
        """Take limits from dataset statistics (`stats[name]["min" | "max"]`); without them [-1, 1] stands in
        until a state dict is loaded. An affine normaliser takes no statistics, only a state dict.

        Raises:
            ConfigError: when statistics lack a feature or have another size, or there should be none.
        """
        super().__init__()
        sizes = {name: config.input_features[name][0] for name in config.vector_names}
        sizes[ACTION] = config.action_dim
        self.ranges = nn.ModuleDict()
        if config.normalization == "affine":
            if stats is not None:
                raise ConfigError("normalization", "affine", "limits, to be fitted to statistics")
            self.ranges.update({_key(name): Affine(size) for name, size in sizes.items()})
            return
        for name, size in sizes.items():
            low, high = _limits(stats, name, size) if stats is not None else ([-1.0] * size, [1.0] * size)
            self.ranges[_key(name)] = MinMax(low, high)

    def __getitem__(self, name: str) -> MinMax | Affine:
        return self.ranges[_key(name)]


def range_key(name: str) -> str:
    """Where the coefficients of a feature lie in a `Normalizer`."""
    return "ranges." + _key(name)


def _key(name: str) -> str:
    return name.replace(".", "_")


def _limits(
    stats: Mapping[str, Mapping[str, Sequence[float]]], name: str, size: int
) -> tuple[list[float], list[float]]:
    limits = []
    for bound in ("min", "max"):
        values = [float(value) for value in stats.get(name, {}).get(bound, ())]
        if len(values) != size:
            raise ConfigError(f"stats[{name}][{bound}]", values, f"{size} numbers")
        limits.append(values)
    return limits[0], limits[1]
