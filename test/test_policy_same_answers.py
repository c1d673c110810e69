"""The same answers from every engine: each method, in one graph or several, against eager torch."""

from __future__ import annotations

import dataclasses
import functools
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_helpers import STATE, tiny_config, tiny_config_for, tiny_networks

from step_ros.paths import share_path
from step_ros.policy import compiled, onnx_engine, openvino_engine
from step_ros.policy.checkpoint import load_checkpoint, save_checkpoint
from step_ros.policy.config import ACTION, PolicyConfig
from step_ros.policy.methods import METHODS, usable_methods
from step_ros.policy.networks import PolicyNetworks, build_networks
from step_ros.policy.policy import Policy

TOLERANCE = 1e-4
"""Of the action range, in fp32."""
INSTALLED = {
    "torch": True,
    "openvino": openvino_engine.AVAILABLE,
    "onnx": onnx_engine.AVAILABLE,
    "cuda": torch.cuda.is_available(),
}
SHIPPED = share_path("models", "policies", "pick_place")
ENGINES = [
    pytest.param(
        name, marks=pytest.mark.skipif(not there, reason=f"{name} is not installed or has no device")
    )
    for name, there in INSTALLED.items()
]
SIZES = [
    pytest.param((64, 128, 256), True, id="4M-fused", marks=pytest.mark.slow),
    pytest.param((64, 128, 256), False, id="4M-separate", marks=pytest.mark.slow),
    pytest.param((128, 256, 512), True, id="17M-fused", marks=pytest.mark.slow),
    pytest.param((128, 256, 512), False, id="17M-separate", marks=pytest.mark.slow),
    pytest.param((256, 512, 1024), False, id="63M-separate", marks=pytest.mark.slow),
    pytest.param((512, 1024, 2048), False, id="256M-separate", marks=pytest.mark.slow),
]
"""Channels, and whether the cycle is one graph; always those that a policy of the size would run."""

MEASURE = """
import sys
from pathlib import Path
from step_ros.policy.policy import load_policy
policy = load_policy(sys.argv[1], engine="openvino")
policy.warm_up()
(line,) = (row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmRSS"))
print(int(line.split()[1]) / 1000)
"""


def tiny(**changes: object) -> tuple[PolicyConfig, PolicyNetworks]:
    config = tiny_config(num_train_timesteps=10, **changes)
    return config, tiny_networks(config)


def for_method(method: str) -> tuple[PolicyConfig, PolicyNetworks]:
    """With a predictor of the kind that a method uses, and without a camera."""
    return tiny(input_features={STATE: (3,)}, predictor=tiny_config_for(method).predictor)


def random_shipped() -> tuple[PolicyConfig, PolicyNetworks]:
    """The shipped policy's architecture with fresh weights that predict noise."""
    config = PolicyConfig.from_json((SHIPPED / "config.json").read_text())
    config = dataclasses.replace(config, prediction_type="epsilon", num_train_timesteps=20)
    return config, seeded(config)


def seeded(config: PolicyConfig) -> PolicyNetworks:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_networks(config)


CHECKPOINTS = {
    "tiny": tiny,
    "leaked": functools.partial(for_method, "step_official"),
    "prior": functools.partial(for_method, "spatial_prior"),
    "shipped": lambda: load_checkpoint(SHIPPED),
    "random": random_shipped,
}


OTHER_PREDICTORS = ("leaked", "prior")


def window(config: PolicyConfig, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(0, 256, (config.n_obs_steps, *shape), dtype=np.uint8)
        if name in config.image_names
        else rng.uniform(-1.0, 1.0, (config.n_obs_steps, *shape))
        for name, shape in config.input_features.items()
    }


def chunks(policy: Policy, method: str) -> np.ndarray:
    """A cold and two warm chunks of one method, normalised: the same inputs and noise for every engine."""
    config = policy.config
    policy.update(method)
    policy.reset(3)
    rng = np.random.default_rng(5)
    commands = [np.full((config.n_action_steps, config.action_dim), np.nan)]
    commands += [rng.uniform(-0.5, 0.5, commands[0].shape) for _ in range(2)]
    found = [policy.act(window(config, seed), given).chunk for seed, given in enumerate(commands)]
    return policy._normalizer[ACTION](torch.from_numpy(np.array(found))).numpy()


def plain(checkpoint: str) -> Policy:
    return Policy(*CHECKPOINTS[checkpoint](), "ddim", "torch", fuse=False, cold_start_steps=3)


@functools.cache
def reference(checkpoint: str, method: str) -> np.ndarray:
    return chunks(plain(checkpoint), method)


@pytest.mark.parametrize(
    ("checkpoint", "fuse"),
    [
        pytest.param("tiny", False, id="tiny-separate", marks=pytest.mark.slow),
        pytest.param("tiny", True, id="tiny-fused"),
        pytest.param("leaked", False, id="leaked-separate"),
        pytest.param("leaked", True, id="leaked-fused", marks=pytest.mark.slow),
        pytest.param("prior", False, id="prior-separate"),
        pytest.param("prior", True, id="prior-fused", marks=pytest.mark.slow),
        pytest.param("shipped", False, id="shipped-separate", marks=pytest.mark.slow),
        pytest.param("shipped", True, id="shipped-fused", marks=pytest.mark.slow),
        pytest.param("random", False, id="random-separate", marks=pytest.mark.slow),
        pytest.param("random", True, id="random-fused", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_method_gives_the_chunks_of_eager_torch(engine: str, checkpoint: str, fuse: bool) -> None:
    policy = Policy(*CHECKPOINTS[checkpoint](), "ddim", engine, fuse=fuse, cold_start_steps=3)
    for method in usable_methods(policy.config):
        if checkpoint in OTHER_PREDICTORS and not METHODS[method].predictors:
            continue  # as with the first predictor
        policy.update(method)
        policy.warm_up()
        assert_close(chunks(policy, method), reference(checkpoint, method), method)


@pytest.mark.parametrize("engine", ENGINES[1:])
def test_the_shipped_policy_gives_the_chunks_of_eager_torch(engine: str) -> None:
    policy = Policy(*load_checkpoint(SHIPPED), "step", engine, fuse=False, cold_start_steps=3)
    policy.warm_up()
    assert_close(chunks(policy, "step"), reference("shipped", "step"), "step")


@pytest.mark.parametrize(("down_dims", "fuse"), SIZES)
@pytest.mark.parametrize("engine", ENGINES[1:])
def test_networks_of_every_size_give_the_chunks_of_eager_torch(
    engine: str, down_dims: tuple[int, ...], fuse: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny_config(down_dims=down_dims, n_groups=8, diffusion_step_embed_dim=128)
    monkeypatch.setattr(compiled, "FUSED_BYTES", 1e9)
    found, expected = (
        Policy(config, seeded(config), "step", name, fuse=fuse, cold_start_steps=1)
        for name in (engine, "torch")
    )
    found.warm_up()
    assert_close(chunks(found, "step"), chunks(expected, "step"), "step")


@pytest.mark.slow
@pytest.mark.skipif(not openvino_engine.AVAILABLE, reason="openvino is not installed")
def test_a_256m_policy_stays_under_1600_megabytes_resident(tmp_path: Path) -> None:
    config = PolicyConfig.from_json((SHIPPED / "config.json").read_text())
    config = dataclasses.replace(config, down_dims=(512, 1024, 2048))
    save_checkpoint(tmp_path / "large", config, seeded(config))
    environment = {**os.environ, "STEP_ROS_CACHE": str(tmp_path / "cache")}
    for _ in range(2):  # without and with a warm cache
        command = [sys.executable, "-c", MEASURE, str(tmp_path / "large")]
        run = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=900
        )
        assert float(run.stdout) < 1600


def assert_close(found: np.ndarray, expected: np.ndarray, method: str) -> None:
    """Normalised chunks, whose range is 2 wide, or wider where nothing is clipped."""
    difference = np.abs(found - expected).max() / max(2.0, np.ptp(expected))
    assert difference <= TOLERANCE, f"{method} differs by {difference:.1e} of the action range"
