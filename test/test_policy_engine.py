"""Engines: both return the same numbers for every network, and refuse what they do not know."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from policy_helpers import STATE, STATS, TOP, graph_inputs, tiny_config, tiny_networks

from step_ros.policy import engine as engine_module
from step_ros.policy import onnx_engine, openvino_engine
from step_ros.policy.config import EnvironmentEncoderConfig, PredictorConfig
from step_ros.policy.engine import make_engine
from step_ros.policy.errors import ConfigError
from step_ros.policy.graphs import Graphs, Program
from step_ros.policy.networks import build_networks

needs_openvino = pytest.mark.skipif(not openvino_engine.AVAILABLE, reason="openvino is not installed")
ENVIRONMENT = "observation.environment_state"


@needs_openvino
@pytest.mark.parametrize("variant", ["paper", pytest.param("official", marks=pytest.mark.slow)])
def test_openvino_agrees_with_torch_on_every_graph(variant: str) -> None:
    shapes = {STATE: (3,), TOP: (32, 32, 3), ENVIRONMENT: (3,)}
    size = PredictorConfig(variant=variant, width=16, blocks=1, heads=2, feedforward=32)
    poses = EnvironmentEncoderConfig(hidden=8, feature_dim=4)
    config = tiny_config(input_features=shapes, predictor=size, environment_encoder=poses)
    networks = build_networks(config, {**STATS, ENVIRONMENT: STATS[STATE]}).eval().requires_grad_(False)
    graphs = Graphs(networks)
    reference, engine = make_engine("torch", networks), make_engine("openvino", networks)
    for graph in (
        graphs.encode(TOP),
        graphs.encode(ENVIRONMENT),
        graphs.condition(),
        graphs.denoise(),
        graphs.predict(),
        graphs.cycle(Program(2, warm=True)),
        graphs.cycle(Program(2, warm=False)),
    ):
        expected, found = reference.compile(graph), engine.compile(graph)
        for seed in range(2):
            arrays = graph_inputs(graph, seed)
            np.testing.assert_allclose(found(*arrays), expected(*arrays), atol=1e-4, err_msg=graph.name)


@pytest.mark.parametrize("left_out", ["history", "observation"])
@pytest.mark.parametrize("name", ["openvino", "onnx"])
def test_a_predictor_that_leaves_an_input_out_still_takes_it(name: str, left_out: str) -> None:
    size = PredictorConfig(width=16, blocks=1, heads=2, feedforward=32, **{left_out: False})
    networks = tiny_networks(tiny_config(predictor=size)).requires_grad_(False)
    graph = Graphs(networks).predict()
    expected, found = (make_engine(engine, networks).compile(graph) for engine in ("torch", name))
    first, second = graph_inputs(graph, 0), graph_inputs(graph, 1)
    index = {"history": 0, "observation": 2}[left_out]
    first[1][:] = second[1][:] = True
    np.testing.assert_allclose(found(*first), expected(*first), atol=1e-4)
    mixed = [second[k] if k == index else array for k, array in enumerate(first)]
    np.testing.assert_allclose(found(*mixed), found(*first), atol=1e-6)
    assert np.abs(found(*second) - found(*first)).max() > 1e-3


def test_auto_takes_openvino_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(openvino_engine, "AVAILABLE", True)
    monkeypatch.setattr(engine_module, "OpenVinoEngine", lambda threads, precision, cache: "openvino")
    assert make_engine("auto", tiny_networks()) == "openvino"


def test_auto_takes_the_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(engine_module, "CudaEngine", lambda networks, threads, precision: "cuda")
    assert make_engine("auto", tiny_networks()) == "cuda"


def test_without_openvino_auto_takes_torch_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(openvino_engine, "AVAILABLE", False)
    assert make_engine("auto", tiny_networks()).name == "torch"
    assert "openvino is not installed" in caplog.text


@pytest.mark.parametrize(("name", "module"), [("openvino", openvino_engine), ("onnx", onnx_engine)])
def test_an_engine_that_is_not_installed_is_refused_with_what_to_install(
    name: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AVAILABLE", False)
    with pytest.raises(ConfigError, match=f"engine is '{name}'; .*not installed: pip install {name}"):
        make_engine(name, tiny_networks())


@pytest.mark.parametrize("name", ["tensorrt", "torch:folder", ""])
def test_an_unknown_engine_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(
        ConfigError, match=f"engine is '{name}'; accepted: one of auto, torch, openvino, onnx, cuda"
    ):
        make_engine(name, tiny_networks())


def test_a_gpu_that_is_asked_for_and_absent_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"engine is 'cuda'; .* finds no GPU on this machine"):
        make_engine("cuda", tiny_networks())


def test_an_unknown_precision_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="precision is 'fp8'; accepted: one of fp32, bf16"):
        make_engine("torch", tiny_networks(), precision="fp8")


def test_torch_computes_in_fp32_only() -> None:
    with pytest.raises(ConfigError, match="precision is 'bf16'; accepted: fp32 on engine torch"):
        make_engine("torch", tiny_networks(), precision="bf16")


@needs_openvino
def test_a_precision_that_the_processor_lacks_is_refused_with_the_processors_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    properties = {"OPTIMIZATION_CAPABILITIES": ["FP32", "INT8"], "FULL_DEVICE_NAME": "Some CPU"}
    core = SimpleNamespace(get_property=lambda device, name: properties[name])
    monkeypatch.setattr(openvino_engine, "_core", lambda: core)
    with pytest.raises(ConfigError, match=r"'bf16'; accepted: fp32, int8 on this processor \(Some CPU\)"):
        make_engine("openvino", tiny_networks(), precision="bf16")


INTERRUPTED = """
import os, signal, threading
from step_ros.policy.openvino_engine import OpenVinoEngine
engines = [OpenVinoEngine()]
last = threading.Thread(target=engines.clear)
last.start()
last.join()
signal.signal(signal.SIGINT, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGINT)
"""


@needs_openvino
def test_signals_are_handled_after_the_last_engine_went_in_another_thread() -> None:
    run = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120)
    assert (run.returncode, run.stdout.strip()) == (0, "handled"), run.stderr


@needs_openvino
def test_openvino_in_bf16_stays_near_fp32() -> None:
    networks = tiny_networks().requires_grad_(False)
    try:
        engine = make_engine("openvino", networks, precision="bf16", cache=False)
    except ConfigError as error:
        pytest.skip(str(error))
    graph = Graphs(networks).predict()
    expected = make_engine("torch", networks).compile(graph)(*graph_inputs(graph))
    np.testing.assert_allclose(engine.compile(graph)(*graph_inputs(graph)), expected, atol=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use")
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 0.05)])
def test_cuda_agrees_with_torch_on_every_graph(precision: str, tolerance: float) -> None:
    expected = Graphs(tiny_networks().requires_grad_(False))
    networks = tiny_networks().requires_grad_(False)
    engine = make_engine("cuda", networks, precision=precision)
    found = Graphs(networks)
    for of in (Graphs.condition, Graphs.denoise, Graphs.predict, lambda g: g.cycle(Program(2, warm=True))):
        arrays = graph_inputs(of(found))
        call = engine.compile(of(found))
        reference = of(expected).function(*map(torch.from_numpy, arrays)).numpy()
        for _ in range(2):
            np.testing.assert_allclose(call(*arrays), reference, atol=tolerance)


def test_the_torch_engine_leaves_the_thread_count_as_it_was() -> None:
    before = torch.get_num_threads()
    engine = make_engine("torch", tiny_networks(), threads=2)
    graph = Graphs(tiny_networks()).predict()
    engine.compile(graph)(*graph_inputs(graph))
    assert torch.get_num_threads() == before
