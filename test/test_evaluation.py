"""Intervals, variants and lock-step rollouts of the evaluation."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from policy_helpers import arm_config

from step_ros.evaluation.commands import evaluate
from step_ros.evaluation.expert import evaluate_expert
from step_ros.evaluation.provenance import commit_of, provenance
from step_ros.evaluation.rollout import run_episode
from step_ros.evaluation.runs import read_run, write_json
from step_ros.evaluation.statistics import mean_interval, tango, wilson
from step_ros.evaluation.summary import difference, summarise
from step_ros.evaluation.variants import checkpoint_folders, parse_variant
from step_ros.policy.checkpoint import save_checkpoint
from step_ros.policy.errors import ConfigError
from step_ros.policy.networks import build_networks
from step_ros.policy.policy import load_policy
from step_ros.sim.world import World


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained policy on joint positions alone, with every joint's full range as statistics."""
    config = arm_config(input_features={"observation.state": (6,)})
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


@pytest.mark.parametrize(
    ("counts", "z", "published"),
    [
        ((1, 7, 21), 1.959964, (-0.517, -0.026)),  # Fagerland, Lydersen and Laake 2014, Table V
        ((12, 2, 50), 1.959964, (0.061, 0.345)),  # Newcombe 1998, Table III
        ((28, 25, 618), 1.644854, (-0.015, 0.025)),  # R, PropCIs::scoreci.mp(25, 28, 618, 0.9)
    ],
)
def test_tango_agrees_with_published_examples(counts: tuple, z: float, published: tuple):
    assert tuple(round(limit, 3) for limit in tango(*counts, z)) == published


def test_tango_without_differing_pairs_is_as_wide_as_its_closed_form():
    low, high = tango(0, 0, 200)
    assert np.allclose((-low, high), 1.959964**2 / (200 + 1.959964**2))


def test_tango_changes_sign_when_the_methods_change_places():
    low, high = tango(9, 3, 100)
    assert np.allclose(tango(3, 9, 100), (-high, -low))


def test_tango_covers_the_true_difference_of_correlated_pairs_about_as_often_as_it_says():
    rng = np.random.default_rng(20_000)
    counts = rng.multinomial(200, [0.06, 0.03, 0.91], size=400)
    covered = [low <= 0.03 <= high for low, high in (tango(b, c, 200) for b, c, _ in counts)]
    assert 0.91 < np.mean(covered) < 0.99


@pytest.mark.parametrize("counts", [(0, 0, 0), (-1, 0, 5), (3, 3, 5)])
def test_tango_refuses_impossible_counts(counts: tuple):
    with pytest.raises(ValueError, match="found"):
        tango(*counts)


def test_a_single_value_has_no_interval_of_its_mean():
    assert mean_interval([1.0]) is None


def test_a_difference_is_taken_over_the_seeds_that_both_have():
    def rows(successes: dict[int, bool]) -> list[dict]:
        return [{"seed": seed, "success": success} for seed, success in successes.items()]

    found = difference(
        rows({0: True, 1: True, 2: False, 7: True}), rows({0: True, 1: False, 2: False, 9: False})
    )
    assert (found["pairs"], found["only_here"], found["only_baseline"]) == (3, 1, 0)
    assert found["success"] == pytest.approx(1 / 3)
    assert found["success_interval_95"] == tango(1, 0, 3)


def test_there_is_no_difference_without_a_common_seed():
    assert difference([{"seed": 1, "success": True}], [{"seed": 2, "success": True}]) is None


@pytest.mark.parametrize(("successes", "trials"), [(1, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_impossible_counts(successes: int, trials: int):
    with pytest.raises(ValueError, match="found"):
        wilson(successes, trials)


def test_variant_reads_lists_and_numbers():
    variant = parse_variant("ddim:timesteps=75/25,action_steps=4")
    assert variant.method == "ddim"
    assert variant.settings == {"timesteps": (75, 25), "action_steps": 4}


def test_variant_names_a_checkpoint_by_its_folder_alone():
    variant = parse_variant("step@somewhere/pp_official:entry_timestep=50")
    assert variant.label == "step@pp_official:entry_timestep=50"
    assert (variant.method, variant.checkpoint) == ("step", Path("somewhere/pp_official"))


def test_two_checkpoints_of_one_name_are_refused():
    variants = [parse_variant("step@a/policy"), parse_variant("step@b/policy")]
    with pytest.raises(ConfigError, match="different names"):
        checkpoint_folders(variants, Path("c"))


def test_a_variant_is_its_own_baseline_only_if_it_is_run(checkpoint: Path, tmp_path: Path):
    with pytest.raises(ConfigError, match="baseline"):
        evaluate("pick_place", checkpoint, ["predictor"], 1, tmp_path / "r.json", baseline="ddim")


@pytest.mark.parametrize("text", ["step@", "euler", "step:speed=2", "step:entry_timestep=high"])
def test_variant_names_what_it_refuses(text: str):
    with pytest.raises(ConfigError, match=r"euler|speed|high|FOLDER"):
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


ROW = {
    "seed": 0,
    "success": True,
    "ticks": 9,
    "cycles": 2,
    "nfe_per_cycle": 2.0,
    "policy_ms": 1.0,
    "stalls": 0,
    "jerk": 0.0,
}
"""As written before rows had a commit of their own."""


def earlier_file(checkpoint: Path, path: Path, **entry: object) -> Path:
    run = {"task": "pick_place", "checkpoint": checkpoint.name, "engine": "torch", "servo": "sts3215"}
    methods = {"predictor": {"summary": {}, "episodes": [ROW], **entry}}
    path.write_text(json.dumps({**run, "commit": "earlier", "methods": methods}))
    return path


def test_evaluate_resumes_from_the_episodes_in_its_file(checkpoint: Path, tmp_path: Path):
    out = earlier_file(checkpoint, tmp_path / "result.json")
    results = evaluate("pick_place", checkpoint, ["predictor"], episodes=1, out=out, engine="torch")
    assert results["methods"]["predictor"]["episodes"] == [{"commit": "earlier"} | ROW]
    assert json.loads(out.read_text())["commit"] == "earlier"


def test_evaluate_refuses_rows_that_were_run_with_other_settings(checkpoint: Path, tmp_path: Path):
    out = earlier_file(checkpoint, tmp_path / "result.json", in_force={"entry_timestep": 3})
    with pytest.raises(ConfigError, match="entry_timestep"):
        evaluate("pick_place", checkpoint, ["predictor"], episodes=1, out=out, engine="torch")


def test_evaluate_refuses_a_checkpoint_that_has_changed_since(checkpoint: Path, tmp_path: Path):
    out = earlier_file(checkpoint, tmp_path / "result.json")
    content = json.loads(out.read_text())
    content["checkpoints"] = {checkpoint.name: {"weights": "others", "denoiser": None}}
    out.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=f"checkpoint {checkpoint.name}"):
        evaluate("pick_place", checkpoint, ["predictor"], episodes=1, out=out, engine="torch")


def test_a_resumed_run_keeps_the_commit_of_every_row_and_compares_on_the_same_seeds(
    checkpoint: Path, tmp_path: Path
):
    out = tmp_path / "result.json"
    other = tmp_path / "other_predictor"
    shutil.copytree(checkpoint, other)

    def run(methods: list[str], episodes: int, agreement: int) -> dict:
        return evaluate(
            "pick_place",
            checkpoint,
            methods,
            episodes=episodes,
            out=out,
            workers=1,
            engine="torch",
            seed=20_000,
            baseline="ddim:num_inference_steps=1",
            agreement=agreement,
            max_ticks=16,
        )

    few = "ddim:num_inference_steps=1"
    first = run([few], 1, 0)
    first["methods"][few]["episodes"][0]["commit"] = "earlier"
    write_json(out, first)
    results = run([few, f"step@{other}:cold_start_steps=1"], 2, 1)
    warm = results["methods"]["step@other_predictor:cold_start_steps=1"]
    commits = [row["commit"] for row in results["methods"][few]["episodes"]]
    assert commits[0] == "earlier" != commits[1]
    assert warm["checkpoint"] == "other_predictor"
    assert warm["in_force"]["cold_start_steps"] == 1
    assert warm["summary"]["difference"]["pairs"] == 2
    assert [row["nfe_total"] for row in warm["episodes"]] == [3, 3]
    assert warm["summary"]["nfe_per_action"] == pytest.approx(6 / 32)
    assert warm["summary"]["chunk_distance"] >= warm["summary"]["chunk_nearest"] > 0
    assert results["floor_summary"]["chunk_distance"] > 0
    prints = {name: found["denoiser"] for name, found in results["checkpoints"].items()}
    assert prints["other_predictor"] == prints[checkpoint.name]
    assert read_run(out)["methods"].keys() == results["methods"].keys()


def test_a_method_added_later_has_its_time_taken_together_with_the_others(checkpoint: Path, tmp_path: Path):
    out = tmp_path / "result.json"
    methods = ["ddim:num_inference_steps=1", "ddim:num_inference_steps=2"]

    def run(methods: list[str]) -> dict[str, float]:
        results = evaluate(
            "pick_place", checkpoint, methods, 1, out, 20_000, 1, "torch", agreement=1, max_ticks=8
        )
        return {name: found["agreement"][0]["ms"] for name, found in results["methods"].items()}

    run(methods[:1])
    content = json.loads(out.read_text())
    content["methods"][methods[0]]["agreement"][0]["ms"] = -1.0
    write_json(out, content)
    assert run(methods[:1])[methods[0]] == -1
    assert min(run(methods).values()) > 0


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


def test_a_result_names_the_command_however_it_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    for started in ("venv/bin/step-ros", "src/step_ros/cli.py"):
        monkeypatch.setattr(sys, "argv", [started, "eval", "--task", "pick_place"])
        assert provenance()["command"] == "step-ros eval --task pick_place"


def test_the_command_of_a_result_can_be_pasted_into_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["step-ros", "eval", "--methods", "ddpm step"]
    monkeypatch.setattr(sys, "argv", words)
    assert shlex.split(str(provenance()["command"])) == words


def test_a_commit_is_dirty_when_code_differs_but_not_when_results_do(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("step_ros/a.py", "results/a.json")]
    for file in files:
        file.parent.mkdir()
        file.write_text("1")
    author = ["-c", "user.name=nobody", "-c", "user.email=nobody@localhost"]
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "all"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    code, result = files
    result.write_text("2")
    clean = commit_of(tmp_path)
    code.write_text("2")
    assert clean and "dirty" not in clean
    assert commit_of(tmp_path) == f"{clean}-dirty"


def test_a_folder_outside_git_has_no_commit(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None
