"""The policies that come with the package fit the simulated arm and the size promised for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.paths import share_path
from step_ros.policy.methods import usable_methods
from step_ros.policy.policy import load_policy
from step_ros.sim.world import CONTROL_RATE, TASKS, World

POLICIES = sorted(folder.parent for folder in share_path("models", "policies").glob("*/config.json"))


def test_there_is_a_policy_for_the_demo() -> None:
    assert "pick_place" in [folder.name for folder in POLICIES]


def test_all_policies_together_are_small_enough_for_the_repository() -> None:
    files = [path for folder in POLICIES for path in folder.rglob("*") if path.suffix != ".pt"]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 40e6


@pytest.mark.parametrize("folder", POLICIES, ids=lambda folder: folder.name)
def test_a_card_says_how_the_policy_was_made(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    assert card["command"].startswith("step-ros train policy")
    assert card["predictor_command"].startswith("step-ros train predictor")
    assert card["dataset"]["episodes"] > 0


@pytest.mark.parametrize("folder", POLICIES, ids=lambda folder: folder.name)
def test_every_method_plans_near_the_arm_from_what_its_cameras_see(folder: Path) -> None:
    assert folder.name in TASKS
    policy = load_policy(folder, engine="torch", cold_start_steps=2)
    assert policy.config.action_names == JOINT_NAMES
    assert policy.config.fps == CONTROL_RATE
    assert "observation.environment_state" not in policy.config.input_features
    limits = JointLimits.so101()
    with World(folder.name) as world:
        world.reset(20_020)
        frame = world.observation(policy.config.input_features)
        observation = {name: np.stack([value, value]) for name, value in frame.items()}
        still = np.tile(world.joint_positions, (policy.config.n_action_steps, 1))
        for method in usable_methods(policy.config):
            policy.update(method)
            chunk = policy.act(observation, still).executed
            assert (chunk > limits.lower - 0.05).all()
            assert (chunk < limits.upper + 0.05).all()
            assert np.abs(chunk[0] - world.joint_positions).max() < 0.5
            policy.reset()
