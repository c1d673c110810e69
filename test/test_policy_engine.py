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
from step_ros.policy.graphs import Graph, Graphs, Program
from step_ros.policy.networks import build_networks

needs_openvino = pytest.mark.skipif(not openvino_engine.AVAILABLE, reason="openvino is not installed")
ENVIRONMENT = "observation.environment_state"


def inputs(graph: Graph, seed: int = 0) -> list[np.ndarray]:
    """Random arrays that a graph takes."""
    rng = np.random.default_rng(seed)
    draw = {
        torch.float32: rng.standard_normal,
        torch.int64: lambda shape: rng.integers(0, 100, shape),
        torch.uint8: lambda shape: rng.integers(0, 256, shape),
        torch.bool: lambda shape: rng.random(shape) < 0.5,
    }
    return [draw[t.dtype](tuple(t.shape)).astype(t.numpy().dtype) for t in graph.example]


@needs_openvino
@pytest.mark.parametrize("variant", ["paper", "official"])
def test_openvino_agrees_with_torch_on_every_graph(variant: str) -> None:
    shapes = {STATE: (3,), TOP: (32, 32, 3), ENVIRONMENT: (3,)}
    size = PredictorConfig(variant=variant, width=16, blocks=1, heads=2, feedforward=32)
    config = tiny_config(input_features=shapes, predictor=size)
    networks = build_networks(config, {**STATS, ENVIRONMENT: STATS[STATE]}).eval().requires_grad_(False)
    graphs = Graphs(networks)
    reference, engine = make_engine("torch", networks), make_engine("openvino", networks)
    for graph in (
        graphs.encode(TOP),
        graphs.condition(),
        graphs.denoise(),
        graphs.predict(),
        graphs.cycle(Program(2, warm=True)),
        graphs.cycle(Program(3, warm=False)),
    ):
        expected, found = reference.compile(graph), engine.compile(graph)
        for seed in range(2):
            arrays = inputs(graph, seed)
            np.testing.assert_allclose(found(*arrays), expected(*arrays), atol=1e-4, err_msg=graph.name)


def test_auto_takes_openvino_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_engine, "AVAILABLE", True)
    monkeypatch.setattr(engine_module, "OpenVinoEngine", lambda threads: "converted")
    assert make_engine("auto", tiny_networks()) == "converted"


def test_without_openvino_auto_takes_torch_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(openvino_engine, "AVAILABLE", False)
    assert make_engine("auto", tiny_networks()).name == "torch"
    assert "openvino is not installed" in caplog.text
    with pytest.raises(ConfigError, match="openvino is not installed"):
        make_engine("openvino", tiny_networks())


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="engine is 'tensorrt'; accepted: one of auto, torch, openvino"):
        make_engine("tensorrt", tiny_networks())


def test_the_torch_engine_leaves_the_thread_count_as_it_was() -> None:
    before = torch.get_num_threads()
    engine = make_engine("torch", tiny_networks(), threads=2)
    graph = Graphs(tiny_networks()).predict()
    engine.compile(graph)(*inputs(graph))
    assert torch.get_num_threads() == before
