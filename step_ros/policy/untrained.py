"""Checkpoints with random weights, to measure and test networks of a size that nobody has trained."""

from __future__ import annotations

from pathlib import Path

import torch

from step_ros.policy.checkpoint import save_checkpoint
from step_ros.policy.config import ACTION, PolicyConfig
from step_ros.policy.networks import build_networks


def save_untrained(
    folder: str | Path, config: PolicyConfig, seed: int = 0, reach: float = 1.0, output: float = 1.0
) -> None:
    """Write a checkpoint of `config` whose weights follow from `seed`.

    Args:
        reach: vectors range over [-reach, reach].
        output: factor of what the denoiser says. Random weights say something else for every row of a chunk,
            a motion that no arm can follow; a small factor makes it as calm as a trained policy's.
    """
    sizes = {name: config.input_features[name][0] for name in config.vector_names}
    sizes[ACTION] = config.action_dim
    stats = {name: {"min": [-reach] * size, "max": [reach] * size} for name, size in sizes.items()}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        networks = build_networks(config, stats)
    with torch.no_grad():
        for parameter in networks.denoiser.final_conv[-1].parameters():
            parameter.mul_(output)
    save_checkpoint(folder, config, networks)
