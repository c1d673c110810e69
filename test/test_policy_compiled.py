"""Networks on an engine: when a cycle becomes one graph, what happens meanwhile, and what is let go."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable

import numpy as np
import pytest
from policy_helpers import observation, tiny_config, tiny_networks

from step_ros.policy import compiled
from step_ros.policy.errors import OutputError
from step_ros.policy.graphs import Graph, Program
from step_ros.policy.policy import Policy
from step_ros.policy.torch_engine import TorchEngine


class GatedEngine(TorchEngine):
    """Torch, with a record of what was compiled; while `gate` is closed, whole cycles wait."""

    def __init__(self, networks: object, threads: int) -> None:
        super().__init__(networks, threads)
        self.compiled: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def compile(self, graph: Graph) -> Callable[..., np.ndarray]:
        if graph.name.startswith(("warm", "given")):
            assert self.gate.wait(10)
        self.compiled.append(graph.name)
        return super().compile(graph)


@pytest.fixture(autouse=True)
def gated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("step_ros.policy.engine.TorchEngine", GatedEngine)


def make(method: str = "step", fuse: bool = True, **settings: object) -> Policy:
    return Policy(tiny_config(), tiny_networks(), method, "torch", fuse=fuse, **settings)


def engine_of(policy: Policy) -> GatedEngine:
    return policy._engine


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_nothing_is_compiled_before_it_is_needed() -> None:
    policy = make()
    assert engine_of(policy).compiled == []
    policy.act(observation())
    assert sorted(engine_of(policy).compiled) == ["condition", "denoise", "encode_top"]


def test_warming_up_compiles_every_network_and_the_cycles_of_the_settings_in_force() -> None:
    policy = make(num_inference_steps=3, cold_start_steps=5)
    assert not policy.ready
    policy.warm_up()
    assert policy.ready
    expected = ["condition", "denoise", "encode_top", "given_5", "predict", "warm_3"]
    assert sorted(engine_of(policy).compiled) == expected
    for _ in range(2):
        policy.act(observation())
    assert len(engine_of(policy).compiled) == 6


def test_a_fused_cycle_counts_its_predictor_under_denoise() -> None:
    policy = make()
    policy.warm_up()
    plans = [policy.act(observation()) for _ in range(2)]
    assert plans[1].milliseconds["predict"] == 0.0 < plans[1].milliseconds["denoise"]
    assert (plans[1].nfe, plans[1].aux_nfe) == (2, 1)


def test_other_levels_solvers_and_noise_need_no_new_graph() -> None:
    policy = make()
    policy.warm_up()
    before = list(engine_of(policy).compiled)
    policy.act(observation())
    for changes in (
        {"entry_timestep": 50},
        {"solver": "ddpm"},
        {"timesteps": (75, 25)},
        {"warm_start": "paper"},
        {"stall_threshold": 2.0},
    ):
        policy.update(**changes)
        assert policy.ready
        policy.act(observation())
    assert engine_of(policy).compiled == before


def test_while_a_cycle_is_compiled_the_same_computation_runs_network_by_network() -> None:
    policy, plain = make(), make(fuse=False)
    for each in (policy, plain):
        each.warm_up()
        each.act(observation(0))
        engine_of(each).gate.clear()
        each.update(num_inference_steps=4)
    assert not policy.ready and plain.ready
    waiting = policy.act(observation(1))
    assert waiting.nfe == 4 and waiting.milliseconds["predict"] > 0.0
    np.testing.assert_allclose(waiting.chunk, plain.act(observation(1)).chunk, atol=1e-6)
    engine_of(policy).gate.set()
    wait_until(lambda: policy.ready)
    fused = policy.act(observation(2))
    assert fused.milliseconds["predict"] == 0.0
    np.testing.assert_allclose(fused.chunk, plain.act(observation(2)).chunk, atol=1e-5)


def test_only_the_last_of_several_changes_is_compiled() -> None:
    policy = make()
    policy.warm_up()
    engine_of(policy).gate.clear()
    for steps in (3, 4, 5, 6):
        policy.update(num_inference_steps=steps)
    engine_of(policy).gate.set()
    wait_until(lambda: policy.ready)
    assert "warm_6" in engine_of(policy).compiled
    assert not {"warm_4", "warm_5"} & set(engine_of(policy).compiled)


def test_a_cycle_that_cannot_be_compiled_stays_several_calls_and_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    policy = make()
    policy.warm_up()
    policy.act(observation())

    def refuse(graph: Graph) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(engine_of(policy), "compile", refuse)
    policy.update(num_inference_steps=3)
    wait_until(lambda: "no memory" in caplog.text)
    assert policy.act(observation()).nfe == 3 and not policy.ready


def test_a_cycle_whose_weights_would_be_repeated_too_often_stays_several_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    networks = tiny_networks().denoiser
    weights = sum(4 * tensor.numel() for tensor in networks.parameters())
    monkeypatch.setattr(compiled, "FUSED_BYTES", 2.5 * weights)
    policy = make(cold_start_steps=3)
    policy.warm_up()
    assert policy.ready
    assert [name for name in engine_of(policy).compiled if name.startswith(("warm", "given"))] == ["warm_2"]


@pytest.mark.parametrize("fuse", [True, False])
def test_networks_that_nothing_is_made_from_any_more_are_let_go(fuse: bool) -> None:
    policy = make(fuse=fuse)
    networks = weakref.ref(policy._networks._networks)

    def compile_without_networks(graph: Graph) -> Callable[..., np.ndarray]:
        answer = graph.function(*graph.example).numpy()
        return lambda *arrays: answer

    engine_of(policy).compile = compile_without_networks
    policy.warm_up()
    assert (networks() is None) is not fuse


def test_earlier_cycles_are_kept_but_not_without_end() -> None:
    policy = make()
    policy.warm_up()
    for steps in (3, 4, 5, 6, 7):
        policy.update(num_inference_steps=steps)
        wait_until(lambda: policy.ready)
    kept = policy._networks._programs
    assert len(kept) == compiled.KEPT_PROGRAMS and Program(7, warm=True) in kept


@pytest.mark.parametrize(
    ("part", "reason"),
    [(1, "the predictor returned 1 values"), (3, "the denoiser at timestep 10 returned 1")],
)
def test_a_fused_cycle_names_the_network_that_is_not_finite(part: int, reason: str) -> None:
    policy = make()
    policy.warm_up()
    policy.act(observation())
    networks = policy._networks
    fused = networks._programs[Program(2, warm=True)]

    def broken(*arrays: np.ndarray) -> np.ndarray:
        outputs = fused(*arrays).copy()
        outputs[part, 0, 0] = np.nan
        return outputs

    networks._programs = {Program(2, warm=True): broken}
    cycles = policy.state.cycles
    with pytest.raises(OutputError, match=reason):
        policy.act(observation())
    assert policy.state.cycles == cycles
