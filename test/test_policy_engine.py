"""Engines: both return the same numbers for every network, and refuse what they do not know."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from policy_helpers import STATE, STATS, TOP, tiny_config, tiny_networks

from step_ros.policy import engine as engine_module
from step_ros.policy import openvino_engine
from step_ros.policy.config import PredictorConfig
from step_ros.policy.engine import make_engine
from step_ros.policy.errors import ConfigError
from step_ros.policy.networks import build_networks

needs_openvino = pytest.mark.skipif(not openvino_engine.AVAILABLE, reason="openvino is not installed")
ENVIRONMENT = "observation.environment_state"


@needs_openvino
@pytest.mark.parametrize("variant", ["paper", "official"])
def test_openvino_agrees_with_torch_on_every_network(variant: str) -> None:
    shapes = {STATE: (3,), TOP: (32, 32, 3), ENVIRONMENT: (3,)}
    size = PredictorConfig(variant=variant, width=16, blocks=1, heads=2, feedforward=32)
    config = tiny_config(input_features=shapes, predictor=size)
    networks = build_networks(config, {**STATS, ENVIRONMENT: STATS[STATE]})
    reference, engine = make_engine("torch", networks), make_engine("openvino", networks)
    rng = np.random.default_rng(0)
    for _ in range(2):
        window = {
            STATE: rng.standard_normal((1, 2, 3)).astype(np.float32),
            TOP: rng.integers(0, 256, (1, 2, 32, 32, 3), dtype=np.uint8),
            ENVIRONMENT: rng.standard_normal((1, 2, 3)).astype(np.float32),
        }
        features = reference.encode(window)
        np.testing.assert_allclose(engine.encode(window), features, atol=1e-4)
        x = rng.standard_normal((1, 16, 3)).astype(np.float32)
        level = int(rng.integers(100))
        expected = reference.denoise(x, level, features)
        np.testing.assert_allclose(engine.denoise(x, level, features), expected, atol=1e-4)
        mask = rng.random((1, 8)) < 0.5
        expected = reference.predict(x[:, :8], mask, features)
        np.testing.assert_allclose(engine.predict(x[:, :8], mask, features), expected, atol=1e-4)


def test_auto_takes_openvino_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "AVAILABLE", True)
    monkeypatch.setattr(engine_module, "OpenVinoEngine", lambda networks, threads: "converted")
    assert make_engine("auto", tiny_networks()) == "converted"


def test_without_openvino_auto_takes_torch_and_openvino_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "AVAILABLE", False)
    assert make_engine("auto", tiny_networks()).name == "torch"
    with pytest.raises(ConfigError, match="openvino is not installed"):
        make_engine("openvino", tiny_networks())


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="engine is 'tensorrt'; accepted: one of auto, torch, openvino"):
        make_engine("tensorrt", tiny_networks())


def test_the_torch_engine_leaves_the_thread_count_as_it_was() -> None:
    before = torch.get_num_threads()
    engine = make_engine("torch", tiny_networks(), threads=2)
    engine.denoise(np.zeros((1, 16, 3), np.float32), 0, np.zeros((1, 2, 9), np.float32))
    assert torch.get_num_threads() == before
