"""What a predictor is told beside the observation in one cycle, by its kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from step_ros.policy.config import PolicyConfig
from step_ros.policy.cycle import CycleState

Told = tuple[NDArray, NDArray]
"""(1, H, W) float32 of `PolicyConfig.history_shape`, and which rows exist, (1, H) bool."""


def told(
    config: PolicyConfig,
    normalize: Callable[[NDArray], NDArray],
    cycle: CycleState,
    generator: torch.Generator,
) -> Told:
    """Past commands, the last chunk or a latent sample; `normalize` takes actions in data units.

    Only `prior` draws from the generator.
    """
    if config.predictor.kind == "prior":
        latent = torch.randn(1, *config.history_shape, generator=generator).numpy()
        return latent, np.ones((1, 1), bool)
    if config.predictor.kind == "leaked":
        return _last_chunk(config, cycle)
    mask = cycle.history_mask
    commanded = np.where(mask[:, None], cycle.commanded, 0.0)
    return normalize(commanded).astype(np.float32)[None], mask[None]


def _last_chunk(config: PolicyConfig, cycle: CycleState) -> Told:
    """The last cycle's whole chunk as it was, or zeros before there is one: what the released code gives."""
    chunk = cycle.previous
    known = np.full((1, config.horizon), chunk is not None)
    if chunk is None:
        return np.zeros((1, *config.history_shape), np.float32), known
    return chunk[None].astype(np.float32), known
