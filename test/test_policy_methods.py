"""Methods on scripted networks: evaluations, noise levels, warm starts, stall rule, refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from policy_helpers import tiny_config, tiny_networks

from step_ros.policy.cycle import CycleState
from step_ros.policy.errors import ConfigError, OutputError
from step_ros.policy.graphs import Program
from step_ros.policy.methods import METHODS, Method, Proposal
from step_ros.policy.settings import Settings

FEATURES = np.zeros((1, 2, 9), np.float32)
PREDICTED = np.linspace(-0.5, 0.5, 48, dtype=np.float32).reshape(1, 16, 3)


class ScriptedNetworks:
    """Records its calls; the denoiser returns `output(x, timestep)`, the predictor always `PREDICTED`."""

    def __init__(self, output: Callable[[np.ndarray, int], np.ndarray]) -> None:
        self.output = output
        self.denoised: list[tuple[np.ndarray, int]] = []
        self.predicted: list[tuple[np.ndarray, np.ndarray]] = []

    def fused(self, program: Program) -> None:
        return None

    def condition(self, features: np.ndarray) -> np.ndarray:
        return features

    def denoise(self, x: np.ndarray, level: np.ndarray, condition: np.ndarray) -> np.ndarray:
        self.denoised.append((x, int(level[0])))
        return self.output(x, int(level[0])).astype(np.float32)

    def predict(self, history: np.ndarray, history_mask: np.ndarray, features: np.ndarray) -> np.ndarray:
        self.predicted.append((history, history_mask))
        return PREDICTED


def make(
    name: str, output: Callable[[np.ndarray, int], np.ndarray] = lambda x, t: np.zeros_like(x)
) -> Method:
    config = tiny_config()
    return METHODS[name](config, ScriptedNetworks(output), tiny_networks(config).normalizer)


def running(executed: tuple[np.ndarray, ...] = (), still_cycles: int = 0) -> CycleState:
    """State in the middle of an episode."""
    state = CycleState(8, 3)
    state.commanded = np.tile([0.5, 1.0, 0.75], (8, 1))
    state.executed, state.still_cycles = executed, still_cycles
    return state


def plan(method: Method, state: CycleState, seed: int = 0, **settings: object) -> Proposal:
    chosen = tiny_config().settings(**settings)
    method.check(chosen)
    return method.plan(FEATURES, state, chosen, torch.Generator().manual_seed(seed))


def noise(seed: int = 0) -> np.ndarray:
    return torch.randn(1, 16, 3, generator=torch.Generator().manual_seed(seed)).numpy()


def test_ddpm_visits_every_level_once() -> None:
    method = make("ddpm")
    proposal = plan(method, running())
    assert [level for _, level in method.networks.denoised] == list(range(99, -1, -1))
    assert (proposal.nfe, proposal.aux_nfe, proposal.cold) == (100, 0, False)


def test_ddim_takes_its_list_from_steps_and_spacing() -> None:
    assert plan(make("ddim"), running(), num_inference_steps=2).timesteps == (50, 0)
    assert plan(make("ddim"), running(), num_inference_steps=2, spacing="trailing").timesteps == (99, 49)


def test_ddim_prefers_an_explicit_list() -> None:
    method = make("ddim")
    proposal = plan(method, running(), timesteps=(75, 25), num_inference_steps=10)
    assert proposal.timesteps == (75, 25) and proposal.nfe == 2
    np.testing.assert_array_equal(method.networks.denoised[0][0], noise())


@pytest.mark.parametrize("solver", ["ddim", "ddpm", "dpmsolver++"])
@pytest.mark.parametrize("name", ["ddim", "step"])
def test_every_solver_can_be_chosen(name: str, solver: str) -> None:
    proposal = plan(make(name), running(), solver=solver, num_inference_steps=4)
    assert proposal.chunk.shape == (16, 3) and proposal.nfe == 4


def test_step_starts_cold_from_noise_when_nothing_was_commanded() -> None:
    method = make("step")
    proposal = plan(method, CycleState(8, 3), cold_start_steps=4)
    assert (proposal.cold, proposal.nfe, proposal.aux_nfe) == (True, 4, 0)
    assert proposal.timesteps == (75, 50, 25, 0) and method.networks.predicted == []
    np.testing.assert_array_equal(method.networks.denoised[0][0], noise())


def test_step_starts_warm_as_soon_as_one_command_is_known() -> None:
    state = CycleState(8, 3)
    state.commanded[-1] = [0.0, 0.0, 0.5]
    method = make("step")
    assert plan(method, state).cold is False
    assert method.networks.predicted[0][1][0].tolist() == [False] * 7 + [True]


def test_step_predicts_from_the_normalised_history() -> None:
    method = make("step")
    plan(method, running())
    history, mask = method.networks.predicted[0]
    np.testing.assert_allclose(history[0], np.tile([0.5, 0.5, 0.5], (8, 1)), atol=1e-6)
    assert mask.all() and history.dtype == np.float32


def test_matched_warm_start_is_the_forward_process_at_the_entry_level() -> None:
    method = make("step")
    proposal = plan(method, running(), entry_timestep=20, num_inference_steps=2)
    start, level = method.networks.denoised[0]
    schedule = method.schedule
    expected = schedule.signal[20] * PREDICTED + schedule.noise[20] * noise()
    np.testing.assert_allclose(start, expected, atol=1e-6)
    assert level == 20 and proposal.timesteps == (20, 10)
    assert (proposal.nfe, proposal.aux_nfe) == (2, 1)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_entry_level_does_not_depend_on_the_number_of_steps(steps: int) -> None:
    method = make("step")
    proposal = plan(method, running(), entry_timestep=40, num_inference_steps=steps)
    assert method.networks.denoised[0][1] == 40 and proposal.nfe == steps


def test_paper_warm_start_is_equation_13() -> None:
    method = make("step")
    plan(method, running(), warm_start="paper", sigma=0.9, sigma_t=0.2)
    np.testing.assert_allclose(method.networks.denoised[0][0], 0.9 * PREDICTED + 0.2 * noise(), atol=1e-6)


def test_an_explicit_list_sets_the_entry_level_of_a_warm_start() -> None:
    method = make("step")
    assert plan(method, running(), timesteps=(50, 0)).timesteps == (50, 0)
    expected = method.schedule.signal[50] * PREDICTED + method.schedule.noise[50] * noise()
    np.testing.assert_allclose(method.networks.denoised[0][0], expected, atol=1e-6)


@pytest.mark.parametrize("warm_start", ["matched", "paper"])
def test_a_stalled_cycle_is_perturbed_by_equation_14(warm_start: str) -> None:
    method = make("step")
    still = np.full((8, 3), 0.3)
    state = running(executed=(still, still + 0.001))
    proposal = plan(method, state, warm_start=warm_start, sigma_scale=0.8, sigma_stall=1.2)
    assert proposal.stalled and proposal.stall_distance == pytest.approx(0.001)
    np.testing.assert_allclose(method.networks.denoised[0][0], 0.8 * PREDICTED + 1.2 * noise(), atol=1e-6)


def test_a_moving_arm_is_not_perturbed() -> None:
    proposal = plan(make("step"), running(executed=(np.zeros((8, 3)), np.full((8, 3), 0.1))))
    assert not proposal.stalled and proposal.stall_distance == pytest.approx(0.1)


def test_patience_counts_still_cycles_across_plans() -> None:
    still = (np.zeros((8, 3)), np.zeros((8, 3)))
    first = plan(make("step"), running(still), stall_patience=2)
    second = plan(make("step"), running(still, first.still_cycles), stall_patience=2)
    assert (first.stalled, second.stalled) == (False, True)


def test_at_the_lowest_level_the_output_stays_near_the_prediction() -> None:
    method = make("step")
    proposal = plan(method, running(), entry_timestep=0, num_inference_steps=1)
    assert np.abs(proposal.chunk - PREDICTED[0]).max() < 0.15


def test_at_the_highest_level_a_warm_start_is_sampling_from_noise() -> None:
    def network(x: np.ndarray, level: int) -> np.ndarray:
        schedule = make("ddim").schedule
        clean = np.float32(0.3)
        return ((x - schedule.signal[level] * clean) / schedule.noise[level]).astype(np.float32)

    levels = (99, 60, 30)
    warm = plan(make("step", network), running(), timesteps=levels)
    plain = plan(make("ddim", network), running(), timesteps=levels)
    np.testing.assert_allclose(warm.chunk, plain.chunk, atol=1e-3)


def test_a_perfect_denoiser_pulls_a_wrong_prediction_to_the_data() -> None:
    """Contraction: the exact denoiser of a point mass erases the predictor's error in two steps."""
    schedule, goal = make("ddim").schedule, np.float32(0.2)

    def network(x: np.ndarray, level: int) -> np.ndarray:
        return ((x - schedule.signal[level] * goal) / schedule.noise[level]).astype(np.float32)

    proposal = plan(make("step", network), running(), entry_timestep=40)
    np.testing.assert_allclose(proposal.chunk, goal, atol=1e-4)


def test_the_predictor_alone_returns_its_chunk_without_denoising() -> None:
    method = make("predictor")
    proposal = plan(method, running())
    np.testing.assert_array_equal(proposal.chunk, PREDICTED[0])
    assert (proposal.nfe, proposal.aux_nfe) == (0, 1) and method.networks.denoised == []


@pytest.mark.parametrize("name", ["ddpm", "ddim", "step"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_denoiser_that_is_not_finite_is_reported_with_its_level(name: str, value: float) -> None:
    method = make(name, lambda x, t: np.full_like(x, value) if t < 15 else np.zeros_like(x))
    with pytest.raises(OutputError, match=r"denoiser at timestep \d+ returned 48 values that are not finite"):
        plan(method, running())


@pytest.mark.parametrize("name", ["step", "predictor"])
def test_a_predictor_that_is_not_finite_is_reported(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = make(name)
    monkeypatch.setattr(method.networks, "predict", lambda *inputs: np.full((1, 16, 3), np.nan))
    with pytest.raises(OutputError, match="predictor"):
        plan(method, running())


def test_step_refuses_more_steps_than_levels_below_the_entry() -> None:
    with pytest.raises(ConfigError, match="num_inference_steps is 5; accepted: 1 to 4 for entry_timestep 3"):
        make("step").check(Settings(entry_timestep=3, num_inference_steps=5))


@pytest.mark.parametrize("name", METHODS)
def test_planning_leaves_the_carried_state_alone(name: str) -> None:
    state = running(executed=(np.zeros((8, 3)),))
    before = {key: np.copy(value) for key, value in vars(state).items()}
    plan(make(name), state)
    assert all(np.array_equal(before[key], value) for key, value in vars(state).items())
