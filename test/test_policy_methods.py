"""Methods on scripted networks: evaluations, noise levels, warm starts, stall rule, refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from policy_helpers import tiny_config_for, tiny_networks

from step_ros.policy.cycle import CycleState
from step_ros.policy.errors import ConfigError, OutputError
from step_ros.policy.graphs import Program
from step_ros.policy.methods import METHODS, Method, Proposal
from step_ros.policy.settings import Settings
from step_ros.policy.stall import StallState

FEATURES = np.zeros((1, 2, 9), np.float32)
LAST = np.linspace(-0.9, 0.9, 48, dtype=np.float32).reshape(16, 3)
MOVED_ON = np.concatenate((LAST[8:], np.repeat(LAST[-1:], 8, axis=0)))
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
    config = tiny_config_for(name)
    return METHODS[name](config, ScriptedNetworks(output), tiny_networks(config).normalizer)


def running(
    executed: tuple[np.ndarray, ...] = (), still_cycles: int = 0, last: np.ndarray | None = None
) -> CycleState:
    """State in the middle of an episode, on request with a last chunk, half of which was executed."""
    state = CycleState(8, 3)
    state.commanded = np.tile([0.5, 1.0, 0.75], (8, 1))
    state.executed, state.stall = executed, StallState(still_cycles)
    if last is not None:
        state.chunk, state.executed = last, (last[1:9],)
    return state


def plan(method: Method, state: CycleState, seed: int = 0, **settings: object) -> Proposal:
    chosen = method.config.settings(**settings)
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
@pytest.mark.parametrize("name", ["ddim", "step", "shifted", "spatial_prior", "falcon"])
def test_every_solver_can_be_chosen(name: str, solver: str) -> None:
    proposal = plan(make(name), running(last=LAST), solver=solver, num_inference_steps=4)
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
    second = plan(make("step"), running(still, first.stall.still_cycles), stall_patience=2)
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
    state = running(last=LAST)
    before = {key: np.copy(value) for key, value in vars(state).items()}
    plan(make(name), state)
    assert all(np.array_equal(before[key], value) for key, value in vars(state).items())


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_ddim_runs_in_any_number_of_steps(steps: int, spacing: str) -> None:
    method = make("ddim")
    proposal = plan(method, running(), num_inference_steps=steps, spacing=spacing)
    assert proposal.nfe == len(method.networks.denoised) == steps
    assert proposal.timesteps == method.schedule.timesteps(steps, spacing)


def test_the_librarys_dpm_solver_starts_at_the_top_and_does_not_clip() -> None:
    found = plan(make("dpmsolver_defaults", lambda x, t: np.ones_like(x)), running(), num_inference_steps=2)
    assert found.timesteps == (99, 50) and np.abs(found.chunk).max() > 100.0


def test_the_shifted_start_is_the_rest_of_the_last_chunk_noised_to_the_entry_level() -> None:
    method = make("shifted")
    proposal = plan(method, running(last=LAST), entry_timestep=40, num_inference_steps=2)
    start, level = method.networks.denoised[0]
    expected = method.schedule.signal[40] * MOVED_ON + method.schedule.noise[40] * noise()
    np.testing.assert_allclose(start, expected, atol=1e-6)
    assert (level, proposal.timesteps, proposal.nfe, proposal.aux_nfe) == (40, (40, 20), 2, 0)


@pytest.mark.parametrize("name", ["shifted", "rti", "falcon"])
def test_a_last_chunk_is_not_used_where_no_command_is_known(name: str) -> None:
    """A node says so after it has held: the chunk was not executed."""
    state = running(last=LAST)
    state.commanded[:] = np.nan
    method = make(name)
    assert plan(method, state).cold
    np.testing.assert_array_equal(method.networks.denoised[0][0], noise())


def test_the_spatial_prior_is_told_a_latent_sample_and_nothing_of_the_past() -> None:
    method = make("spatial_prior")
    first, later = plan(method, CycleState(8, 3)), plan(method, running(last=LAST))
    (drawn, _), (again, _) = method.networks.predicted
    assert drawn.shape == (1, 1, 4)
    np.testing.assert_array_equal(drawn, again)
    np.testing.assert_array_equal(first.chunk, later.chunk)
    plan(method, running(), seed=1)
    assert not np.array_equal(method.networks.predicted[-1][0], drawn)
    assert (later.nfe, later.aux_nfe, later.timesteps) == (2, 1, (20, 10))


def test_the_official_step_is_told_the_last_whole_chunk_as_it_was() -> None:
    method = make("step_official")
    proposal = plan(method, running(last=LAST), entry_timestep=20)
    told, known = method.networks.predicted[0]
    np.testing.assert_array_equal(told[0], LAST)
    assert known.all() and (proposal.nfe, proposal.aux_nfe, proposal.timesteps) == (2, 1, (50, 0))
    expected = method.schedule.signal[50] * PREDICTED + method.schedule.noise[50] * noise()
    np.testing.assert_allclose(method.networks.denoised[0][0], expected, atol=1e-6)


def test_the_official_step_predicts_from_zeros_in_its_first_cycle() -> None:
    method = make("step_official")
    proposal = plan(method, CycleState(8, 3), timesteps=(20, 10))
    told, known = method.networks.predicted[0]
    assert not told.any() and not known.any() and proposal.cold and proposal.timesteps == (20, 10)


def test_rti_puts_the_last_chunk_in_as_it_is_without_noise() -> None:
    method = make("rti")
    proposal = plan(method, running(last=LAST), timesteps=(3, 1, 0))
    start, level = method.networks.denoised[0]
    np.testing.assert_allclose(start[0], MOVED_ON, atol=1e-6)
    assert (level, proposal.nfe, proposal.cold) == (3, 3, False)


def test_rti_starts_with_all_levels_of_ddpm() -> None:
    proposal = plan(make("rti"), CycleState(8, 3))
    assert (proposal.nfe, proposal.cold, proposal.timesteps[0]) == (100, True, 99)


def test_the_posterior_of_rti_can_be_chosen() -> None:
    chunks = [
        plan(make("rti"), running(last=LAST), timesteps=(30, 15, 0), rti_posterior=kind).chunk
        for kind in ("adjacent", "list")
    ]
    assert np.abs(chunks[0] - chunks[1]).max() > 1e-3


class Believer(ScriptedNetworks):
    """Knows the clean chunk, as if it had one goal only."""

    def __init__(self, goal: np.ndarray) -> None:
        schedule = make("ddim").schedule
        super().__init__(lambda x, t: (x - schedule.signal[t] * goal) / schedule.noise[t])


def falcon_state(method: Method, **settings: object) -> CycleState:
    """After one cycle that was executed by half."""
    state = CycleState(8, 3)
    state.commanded = np.tile([0.5, 1.0, 0.75], (8, 1))
    proposal = plan(method, state, **settings)
    state.record(np.zeros((8, 3)), proposal.chunk[1:9], 0, proposal.chunk, proposal.latents)
    return state


FALCON = {"num_inference_steps": 10, "falcon_exploration": 0.0, "falcon_min_level": 0}


def test_falcon_keeps_what_it_passed_the_cleanest_first() -> None:
    method = make("falcon")
    kept = falcon_state(method, **FALCON).latents
    assert [latent.level for latent in kept] == [0, 10, 20, 30, 40, 50, 60, 70]
    np.testing.assert_array_equal(kept[0].chunk, method.networks.denoised[-1][0][0])
    few = falcon_state(make("falcon"), **FALCON | {"falcon_min_level": 35, "falcon_memory": 2}).latents
    assert [latent.level for latent in few] == [40, 50]


def test_falcon_goes_on_from_a_latent_that_still_fits() -> None:
    """A denoiser that knows the goal leads every latent to it, and so to the last chunk."""
    method = make("falcon")
    method.networks = Believer(np.zeros((16, 3), np.float32))
    state = falcon_state(method, **FALCON)
    before = len(method.networks.denoised)
    proposal = plan(method, state, **FALCON | {"falcon_temperature": 0.001})
    assert proposal.timesteps == (0,) and proposal.nfe == len(method.networks.denoised) - before == 8
    np.testing.assert_allclose(proposal.chunk, 0.0, atol=1e-5)


def test_falcon_starts_from_noise_when_no_latent_fits() -> None:
    method = make("falcon")
    method.networks = Believer(np.zeros((16, 3), np.float32))
    state = falcon_state(method, **FALCON)
    method.networks = Believer(np.full((16, 3), 0.9, np.float32))
    proposal = plan(method, state, **FALCON)
    assert not proposal.cold and (len(proposal.timesteps), proposal.nfe) == (10, 18)


def test_falcon_explores_without_evaluating_its_latents() -> None:
    method = make("falcon")
    proposal = plan(method, falcon_state(method, **FALCON), **FALCON | {"falcon_exploration": 1.0})
    assert proposal.nfe == len(proposal.timesteps) == 10


def test_falcon_forgets_latents_of_which_everything_lies_behind() -> None:
    method = make("falcon")
    state = falcon_state(method, **FALCON)
    aligned = method._aligned(
        state, tuple(range(99, -1, -1)), method.config.settings(**FALCON), torch.Generator()
    )
    assert {latent.own for latent in aligned} == {8}
    state.latents = aligned
    explored = plan(method, state, **FALCON | {"falcon_exploration": 1.0, "falcon_memory": 200}).latents
    assert {latent.own for latent in explored} == {16}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_a_row_in_the_documentation(name: str) -> None:
    rows = (Path(__file__).parents[1] / "docs" / "methods.md").read_text().splitlines()
    (row,) = [row.split("|") for row in rows if row.startswith(f"| `{name}` |")]
    assert ("nothing" in row[3]) == (not METHODS[name].carries)
    assert (row[5].strip() == "-") == (not METHODS[name].predictors)
