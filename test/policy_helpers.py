"""Small checkpoints and observations for the tests of the policy room."""

from __future__ import annotations

import numpy as np
import torch

from step_ros.control.joints import JOINT_NAMES
from step_ros.policy.config import EncoderConfig, PolicyConfig, PredictorConfig
from step_ros.policy.graphs import Graph
from step_ros.policy.methods import METHODS
from step_ros.policy.networks import PolicyNetworks, build_networks

STATE = "observation.state"
TOP = "observation.images.top"
JOINTS = ("pan", "lift", "grip")
STATS = {
    STATE: {"min": [-1.0, -2.0, 0.0], "max": [1.0, 2.0, 1.0]},
    "action": {"min": [-1.0, -2.0, 0.0], "max": [1.0, 2.0, 1.0]},
}


def tiny_config(**changes: object) -> PolicyConfig:
    """Three joints and one 32 x 32 camera, networks of a few thousand parameters."""
    values = {
        "input_features": {STATE: (3,), TOP: (32, 32, 3)},
        "action_names": JOINTS,
        "down_dims": (8, 16),
        "n_groups": 4,
        "diffusion_step_embed_dim": 16,
        "encoder": EncoderConfig(channels=8, keypoints=4, feature_dim=6),
        "predictor": PredictorConfig(width=16, blocks=1, heads=2, feedforward=32),
    }
    return PolicyConfig(**{**values, **changes})


def arm_config(height: int = 16, width: int = 16, **changes: object) -> PolicyConfig:
    """The arm's joints and one camera, as the nodes have them."""
    shapes = {STATE: (len(JOINT_NAMES),), TOP: (height, width, 3)}
    return tiny_config(**{"input_features": shapes, "action_names": JOINT_NAMES, **changes})


def tiny_config_for(method: str, **changes: object) -> PolicyConfig:
    """The same with a predictor of the kind that a method uses."""
    kinds = METHODS[method].predictors or ("past",)
    variant = "official" if kinds[0] == "leaked" else "paper"
    size = PredictorConfig(variant, width=16, blocks=1, heads=2, feedforward=32, kind=kinds[0], latent=4)
    return tiny_config(predictor=size, **changes)


def tiny_networks(config: PolicyConfig | None = None, seed: int = 0) -> PolicyNetworks:
    """Random networks that are the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_networks(config or tiny_config(), STATS).eval()


def observation(seed: int = 0) -> dict[str, np.ndarray]:
    """One window that `tiny_config` accepts."""
    rng = np.random.default_rng(seed)
    return {
        STATE: rng.uniform(-1.0, 1.0, (2, 3)),
        TOP: rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8),
    }


def graph_inputs(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    """Random arrays that a graph takes."""
    rng = np.random.default_rng(seed)
    draw = {
        torch.float32: rng.standard_normal,
        torch.int64: lambda shape: rng.integers(0, 100, shape),
        torch.uint8: lambda shape: rng.integers(0, 256, shape),
        torch.bool: lambda shape: rng.random(shape) < 0.5,
    }
    return [draw[t.dtype](tuple(t.shape)).astype(t.numpy().dtype) for t in graph.example]
