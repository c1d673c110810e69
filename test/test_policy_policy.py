"""The policy object: loading, cycles, state, settings in force, refusals."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from policy_helpers import JOINTS, STATE, TOP, observation, tiny_config, tiny_config_for, tiny_networks

from step_ros.policy.checkpoint import save_checkpoint
from step_ros.policy.errors import CheckpointError, ConfigError, ObservationError, OutputError
from step_ros.policy.methods import METHODS
from step_ros.policy.policy import Plan, Policy, load_policy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy")
    save_checkpoint(path, tiny_config(defaults={"entry_timestep": 30}), tiny_networks())
    return path


FALCON = {"num_inference_steps": 4, "falcon_threshold": 2.0, "falcon_exploration": 0.0}
"""With which Falcon goes on from a latent whenever it can."""


def make(seed: int = 0, method: str = "step", **settings: object) -> Policy:
    return Policy(tiny_config(), tiny_networks(), method, "torch", seed, **settings)


def episode(policy: Policy, cycles: int = 3) -> list[np.ndarray]:
    return [policy.act(observation(index)).chunk for index in range(cycles)]


def test_a_loaded_policy_plans_a_chunk_in_data_units(folder: Path) -> None:
    policy = load_policy(folder, engine="torch")
    plan = policy.act(observation())
    assert plan.chunk.shape == (16, 3) and plan.chunk.dtype == np.float64
    assert plan.executed.shape == (8, 3) and np.shares_memory(plan.executed, plan.chunk)
    np.testing.assert_array_equal(plan.executed, plan.chunk[1:9])
    assert (np.abs(plan.chunk[:, 1]) <= 2.0).all() and (plan.chunk[:, 2] >= 0.0).all()
    assert plan.method == "step" and plan.cold and plan.nfe == 10
    assert set(plan.milliseconds) == {"encode", "predict", "denoise", "post", "total"}


def test_the_callers_settings_win_over_the_checkpoints(folder: Path) -> None:
    assert load_policy(folder, engine="torch").settings.entry_timestep == 30
    assert load_policy(folder, engine="torch", entry_timestep=10).settings.entry_timestep == 10


def test_inputs_are_named_with_their_shapes(folder: Path) -> None:
    config = load_policy(folder, engine="torch").config
    assert config.input_features == {STATE: (3,), TOP: (32, 32, 3)} and config.action_names == JOINTS


def test_the_second_cycle_is_warm_and_takes_two_steps() -> None:
    policy = make()
    policy.act(observation())
    plan = policy.act(observation())
    assert (plan.cold, plan.nfe, plan.aux_nfe, plan.timesteps) == (False, 2, 1, (20, 10))


def test_one_seed_makes_a_run_repeatable_and_another_changes_it() -> None:
    first, second, other = episode(make(seed=3)), episode(make(seed=3)), episode(make(seed=4))
    np.testing.assert_array_equal(first, second)
    assert np.abs(np.array(first) - other).max() > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_two_episodes_back_to_back_equal_two_fresh_runs(method: str) -> None:
    def fresh(seed: int) -> Policy:
        config = tiny_config_for(method, num_train_timesteps=20)
        return Policy(config, tiny_networks(config), method, "torch", seed, **FALCON)

    policy = fresh(1)
    runs = []
    for seed in (5, 6):
        policy.reset(seed)
        runs.append(episode(policy))
    np.testing.assert_array_equal(runs[0], episode(fresh(5)))
    np.testing.assert_array_equal(runs[1], episode(fresh(6)))


@pytest.mark.parametrize("method", METHODS)
def test_what_a_method_carries_changes_its_next_chunk_and_nothing_else_does(method: str) -> None:
    """After another first cycle the second is another one only for methods that say that they carry."""
    config = tiny_config_for(method, num_train_timesteps=20)
    policy = Policy(config, tiny_networks(config), method, "torch", **FALCON)
    chunks = []
    for first in (1, 2):
        policy.reset(5)
        policy.act(observation(first))
        chunks.append(policy.act(observation(0)).chunk)
    assert np.array_equal(*chunks) != bool(METHODS[method].carries)


def test_a_method_is_refused_where_the_predictor_is_of_another_kind() -> None:
    with pytest.raises(ConfigError, match=r"method is 'step_official'.*has a predictor of kind past"):
        make(method="step_official")
    config = tiny_config_for("spatial_prior")
    with pytest.raises(ConfigError, match=r"one of .*spatial_prior.*: this checkpoint has .* kind prior"):
        Policy(config, tiny_networks(config), "step", "torch")


@pytest.mark.parametrize("method", ["step", "step_official", "spatial_prior"])
def test_without_a_method_a_checkpoint_runs_the_one_that_its_predictor_is_for(
    method: str, tmp_path: Path
) -> None:
    config = tiny_config_for(method)
    save_checkpoint(tmp_path, config, tiny_networks(config))
    assert load_policy(tmp_path, engine="torch").method == method


def test_reset_without_a_seed_goes_on_with_the_noise_but_starts_cold() -> None:
    policy = make(seed=5)
    first = episode(policy)
    policy.reset()
    assert policy.state.cycles == 0 and policy.act(observation(0)).cold
    assert np.abs(first[0] - episode(policy, 1)[0]).max() > 1e-3


def test_executed_actions_become_the_history_unless_others_are_given() -> None:
    policy = make()
    first = policy.act(observation())
    np.testing.assert_array_equal(policy.state.commanded, first.executed)
    given = np.tile([0.1, 0.2, 0.3], (8, 1))
    seen = {}
    networks = policy._methods["step"].networks
    predict = networks.predict
    networks.predict = lambda history, mask, features: (
        seen.update(h=history) or predict(history, mask, features)
    )
    policy.act(observation(), commanded=given)
    np.testing.assert_allclose(seen["h"][0], np.tile([0.1, 0.1, -0.4], (8, 1)), atol=1e-6)


def test_short_executions_fill_the_history_cycle_by_cycle() -> None:
    policy = make(action_steps=3)
    plans = [policy.act(observation()) for _ in range(2)]
    expected = np.concatenate([plan.executed for plan in plans])
    np.testing.assert_array_equal(policy.state.commanded[2:], expected)
    assert policy.state.history_mask.tolist() == [False] * 2 + [True] * 6


def test_commands_given_as_all_absent_make_a_cold_start() -> None:
    policy = make()
    policy.act(observation())
    assert policy.act(observation(), commanded=np.full((8, 3), np.nan)).cold


def test_an_update_takes_effect_with_the_next_cycle() -> None:
    policy = make()
    policy.act(observation())
    policy.update(num_inference_steps=4, entry_timestep=40, action_steps=5)
    plan = policy.act(observation())
    assert plan.timesteps == (40, 30, 20, 10) and plan.executed.shape == (5, 3)
    policy.update(method="ddim", timesteps=(75, 25))
    assert (policy.method, policy.act(observation()).timesteps) == ("ddim", (75, 25))


@pytest.mark.parametrize(
    "changes",
    [
        {"sigma_stall": 0.9, "entry_timestep": 100},
        {"sigma_stall": 0.9, "stall_patience": 0},
        {"sigma_stall": 0.9, "unknown": 1},
        {"sigma_stall": 0.9, "method": "magic"},
        {"sigma_stall": 0.9, "entry_timestep": 1, "num_inference_steps": 3},
    ],
)
def test_a_refused_update_changes_nothing(changes: dict[str, object]) -> None:
    policy = make()
    before = policy.settings, policy.method
    with pytest.raises(ConfigError):
        policy.update(**changes)
    assert (policy.settings, policy.method) == before


def test_settings_may_be_changed_while_a_cycle_runs() -> None:
    policy = make()
    networks, inside, changed = policy._networks, threading.Event(), threading.Event()
    condition = networks.condition

    def slow_condition(features: np.ndarray) -> np.ndarray:
        inside.set()
        assert changed.wait(10)
        return condition(features)

    networks.condition = slow_condition
    plans: list[Plan] = []
    worker = threading.Thread(target=lambda: plans.append(policy.act(observation())))
    worker.start()
    assert inside.wait(10)
    policy.update(cold_start_steps=3)
    changed.set()
    worker.join(10)
    policy.reset()
    assert (plans[0].nfe, policy.act(observation()).nfe) == (10, 3)


@pytest.mark.parametrize("method", ["step", "predictor"])
def test_a_method_that_needs_a_predictor_is_refused_without_one(method: str) -> None:
    config = tiny_config(predictor=None)
    with pytest.raises(ConfigError, match=r"one of ddpm, ddim,.*: this checkpoint has no pred"):
        Policy(config, tiny_networks(config), method, "torch")
    assert Policy(config, tiny_networks(config), "ddim", "torch").act(observation()).nfe == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({STATE: None}, f"lacks {STATE}; found {TOP}"),
        ({TOP: np.zeros((2, 32, 32, 4), np.uint8)}, r"shape \(2, 32, 32, 4\); accepted: \(2, 32, 32, 3\)"),
        ({TOP: np.zeros((0,), np.uint8)}, "shape"),
        ({TOP: np.zeros((2, 32, 32, 3), np.float32)}, "type float32; accepted: uint8"),
        ({STATE: np.zeros((1, 3))}, r"\(1, 3\); accepted: \(2, 3\)"),
        ({STATE: np.array([[0.0, np.nan, 0.0]] * 2)}, "NaN or infinity"),
        ({STATE: np.array([["a", "b", "c"]] * 2)}, "accepted: real numbers"),
    ],
)
def test_a_bad_observation_is_refused_with_name_found_and_accepted(change: dict, reason: str) -> None:
    policy = make()
    window = {name: value for name, value in {**observation(), **change}.items() if value is not None}
    with pytest.raises(ObservationError, match=reason):
        policy.act(window)
    assert policy.state.cycles == 0


def test_inputs_of_other_policies_are_ignored() -> None:
    plain = make().act(observation()).chunk
    np.testing.assert_array_equal(make().act({**observation(), "observation.other": 1}).chunk, plain)


@pytest.mark.parametrize(
    "commanded",
    [
        np.zeros((7, 3)),
        np.full((8, 3), np.inf),
        np.array([[np.nan, 0.0, 0.0]] * 8),
        np.full((8, 3), "x"),
    ],
)
def test_bad_commands_are_refused(commanded: np.ndarray) -> None:
    with pytest.raises(ObservationError, match="commanded"):
        make().act(observation(), commanded=commanded)


def test_a_denoiser_that_returns_nan_raises_and_the_policy_recovers() -> None:
    policy = make()
    networks = policy._networks
    denoise = networks.denoise
    networks.denoise = lambda x, level, condition: np.full_like(x, np.nan)
    with pytest.raises(OutputError, match="denoiser"):
        policy.act(observation())
    assert policy.state.cycles == 0
    networks.denoise = denoise
    assert np.isfinite(policy.act(observation()).chunk).all()


def test_warming_up_leaves_state_and_noise_alone() -> None:
    policy = make(seed=2)
    policy.warm_up()
    np.testing.assert_allclose(episode(policy), episode(make(seed=2)), atol=1e-5)


def test_a_still_policy_is_reported_as_stalled() -> None:
    policy = make(stall_threshold=2.0)
    plans = [policy.act(observation()) for _ in range(3)]
    assert [plan.stalled for plan in plans] == [False, False, True]
    assert plans[1].stall_distance is None and plans[2].stall_distance > 0.0


def test_loading_nothing_says_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_policy(tmp_path)


def test_an_unknown_setting_is_refused_at_loading(folder: Path) -> None:
    with pytest.raises(ConfigError, match="sigma_stal is 1"):
        load_policy(folder, engine="torch", sigma_stal=1)
