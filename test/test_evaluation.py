"""Intervals, variants and lock-step rollouts of the evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from step_ros.evaluation.commands import evaluate, summarise
from step_ros.evaluation.expert import evaluate_expert
from step_ros.evaluation.rollout import run_episode
from step_ros.evaluation.statistics import wilson
from step_ros.evaluation.variants import parse_variant
from step_ros.policy.checkpoint import save_checkpoint
from step_ros.policy.config import PolicyConfig, PredictorConfig
from step_ros.policy.errors import ConfigError
from step_ros.policy.networks import build_networks
from step_ros.policy.policy import load_policy
from step_ros.sim.world import World


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained policy on joint positions alone, with every joint's full range as statistics."""
    config = PolicyConfig(
        input_features={"observation.state": (6,)},
        action_names=tuple("abcdef"),
        down_dims=(8, 16),
        n_groups=4,
        diffusion_step_embed_dim=8,
        predictor=PredictorConfig(width=16, heads=2, feedforward=16),
    )
    limits = {"min": [-1.0] * 6, "max": [1.0] * 6}
    networks = build_networks(config, {"observation.state": limits, "action": limits})
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(folder, config, networks, card=None)
    return folder


def test_wilson_agrees_with_the_textbook_values_for_nine_of_ten():
    low, high = wilson(9, 10)
    assert (round(low, 3), round(high, 3)) == (0.596, 0.982)


def test_wilson_stays_inside_zero_and_one():
    assert wilson(0, 20)[0] == 0.0
    assert wilson(20, 20)[1] == 1.0


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_impossible_counts(successes: int, trials: int):
    with pytest.raises(ValueError, match="found"):
        wilson(successes, trials)


def test_variant_reads_lists_and_numbers():
    variant = parse_variant("ddim:timesteps=75/25,action_steps=4")
    assert variant.method == "ddim"
    assert variant.settings == {"timesteps": (75, 25), "action_steps": 4}


@pytest.mark.parametrize("text", ["euler", "step:speed=2", "step:entry_timestep=high"])
def test_variant_names_what_it_refuses(text: str):
    with pytest.raises(ConfigError, match=r"euler|speed|high"):
        parse_variant(text)


def test_two_episodes_back_to_back_equal_two_fresh_runs(checkpoint: Path):
    def outcome(policy, world, seed):
        result = run_episode(world, policy, seed, max_ticks=24)
        return result.jerk, world.joint_positions.tolist()

    with World() as world:
        policy = load_policy(checkpoint, engine="torch")
        together = [outcome(policy, world, seed) for seed in (1, 2)]
    with World() as world:
        fresh = outcome(load_policy(checkpoint, engine="torch"), world, 2)
    assert together[1] == fresh


def test_rollout_stops_at_its_tick_limit_and_counts_evaluations(checkpoint: Path):
    with World() as world:
        result = run_episode(
            world, load_policy(checkpoint, "ddim", "torch", num_inference_steps=3), 0, max_ticks=16
        )
    assert (result.success, result.ticks, result.cycles, result.nfe_per_cycle) == (False, 16, 2, 3.0)


def test_evaluate_resumes_from_the_episodes_in_its_file(checkpoint: Path, tmp_path: Path, monkeypatch):
    out = tmp_path / "result.json"
    run = {"task": "pick_place", "checkpoint": checkpoint.name, "engine": "torch", "servo": "sts3215"}
    row = {"seed": 0, "success": True, "ticks": 9, "cycles": 2, "nfe_per_cycle": 2.0, "policy_ms": 1.0}
    row |= {"stalls": 0, "jerk": 0.0}
    summary = summarise([row])
    methods = {"predictor": {"summary": summary, "episodes": [row]}}
    out.write_text(json.dumps({**run, "commit": "earlier", "methods": methods}))
    results = evaluate("pick_place", checkpoint, ["predictor"], episodes=1, out=out, engine="torch")
    assert results["methods"]["predictor"]["episodes"] == [row]
    assert json.loads(out.read_text())["commit"] == "earlier"


def test_evaluate_refuses_a_file_of_another_run(checkpoint: Path, tmp_path: Path):
    out = tmp_path / "result.json"
    out.write_text(json.dumps({"task": "stack_cube", "methods": {}}))
    with pytest.raises(ConfigError, match=r"result\.json"):
        evaluate("pick_place", checkpoint, ["predictor"], episodes=1, out=out)


def test_expert_evaluation_counts_what_its_rows_say(tmp_path: Path):
    results = evaluate_expert("pick_place", tmp_path / "expert.json", episodes=1, seed=20_010)
    assert results["successes"] == sum(row["success"] for row in results["rows"]) == 1
    assert json.loads((tmp_path / "expert.json").read_text())["rows"] == results["rows"]
    assert 0 < results["mean_off_command"] < 0.01


def test_summary_reports_success_with_its_interval():
    row = {"ticks": 100, "nfe_per_cycle": 2.0, "policy_ms": 3.0, "stalls": 0, "jerk": 0.01}
    summary = summarise([{**row, "success": index < 9} for index in range(10)])
    assert summary["successes"] == 9
    assert np.allclose(summary["success_interval_95"], wilson(9, 10))
