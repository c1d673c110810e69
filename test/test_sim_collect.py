"""Collected demonstrations: what a states dataset holds, and that a policy can be trained on one."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from step_ros.collect import CollectError, collect
from step_ros.data.reader import Dataset
from step_ros.evaluation.rollout import run_episode
from step_ros.policy.config import PolicyConfig
from step_ros.policy.errors import ConfigError
from step_ros.policy.policy import load_policy
from step_ros.sim.environment import STATES, MissingSimulatorError
from step_ros.sim.environments import open_environment
from step_ros.training.commands import train_policy

SEED = 20_000


@pytest.fixture(scope="module")
def pick_either(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "pick_either_states"
    collect("pick_either", 2, out, seed=SEED, workers=1, observations="states")
    return out


def test_a_states_dataset_holds_vectors_and_no_video(pick_either: Path):
    dataset = Dataset(pick_either)
    assert dataset.fps == 30
    assert set(STATES) | {"action"} <= set(dataset.features)
    assert dataset.cameras == ()
    assert not (pick_either / "videos").exists()
    with open_environment("pick_either") as world:
        wanted = world.vectors["observation.environment_state"]
    found = dataset.features["observation.environment_state"]
    assert tuple(found["names"]) == wanted.names
    assert tuple(found["info"]["unit"]) == wanted.unit


def test_a_demonstrations_seed_and_way_are_kept_with_it(pick_either: Path):
    rows = [episode.row for episode in Dataset(pick_either).episodes]
    assert [row["seed"] for row in rows] == [SEED, SEED + 1]
    assert {row["mode"] for row in rows} <= {"cube_a", "cube_b"}


def test_a_policy_trained_on_states_is_rolled_out_without_rendering(pick_either: Path, tmp_path: Path):
    small = {"encoder_iterations": 2, "iterations": 2, "batch_size": 4, "down_dims": (8, 16), "threads": 1}
    train_policy(pick_either, tmp_path / "policy", **small)
    policy = load_policy(tmp_path / "policy", method="ddim", engine="torch")
    assert set(policy.config.input_features) == set(STATES)
    with open_environment("pick_either") as world:
        world.render = lambda camera: pytest.fail(f"{camera} was rendered")
        result = run_episode(world, policy, SEED, max_ticks=16)
    assert result.ticks == 16
    assert result.score == 0.0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fps", 10.0),
        ("action_names", ("x", "y")),
        ("input_features", {"observation.images.side": (32, 32, 3)}),
    ],
)
def test_a_policy_for_another_world_is_refused_by_name_of_what_differs(field: str, value: object):
    fields = {"input_features": {STATES[0]: (6,)}, "action_names": tuple("abcdef"), "predictor": None}
    config = PolicyConfig(**fields | {field: value})
    with (
        open_environment("pick_place") as world,
        pytest.raises(ConfigError, match=f"(?s){field}.*pick_place"),
    ):
        run_episode(world, types.SimpleNamespace(config=config), SEED)


def test_push_t_is_collected_at_its_own_rate_with_two_dimensional_actions(tmp_path: Path):
    pytest.importorskip("gym_pusht", reason="gym-pusht is not installed (requirements-no-deps.txt)")
    collect("pusht", 1, tmp_path / "pusht", seed=SEED, workers=1, observations="states")
    info = json.loads((tmp_path / "pusht" / "meta" / "info.json").read_text())
    assert (info["fps"], info["robot_type"]) == (10, "pusht")
    assert info["features"]["action"]["shape"] == [2]
    assert np.ptp(Dataset(tmp_path / "pusht").columns["action"], axis=0).max() > 20


def test_a_missing_simulator_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "step_ros.sim.pusht", raising=False)
    monkeypatch.setitem(sys.modules, "gym_pusht.envs.pusht", None)
    with pytest.raises(MissingSimulatorError, match=r"gym_pusht.*requirements-no-deps\.txt"):
        open_environment("pusht")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"task": "pusht"}, "accepted: states"),
        ({"task": "pick_place", "observations": "smells"}, "images, states"),
    ],
)
def test_what_cannot_be_collected_is_refused_and_leaves_nothing(tmp_path: Path, arguments: dict, named: str):
    if arguments["task"] == "pusht":
        pytest.importorskip("gym_pusht", reason="gym-pusht is not installed (requirements-no-deps.txt)")
    with pytest.raises(CollectError, match=named):
        collect(episodes=1, out=tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()
