"""`step-ros replay` whole, with a tiny policy and short bags."""

from __future__ import annotations

import json
import re

import pytest
from bag_helpers import SIZE, write_bag
from policy_helpers import tiny_config
from typer.testing import CliRunner

from step_ros.cli import app
from step_ros.control.joints import JOINT_NAMES
from step_ros.data.bag_errors import MissingTopicError
from step_ros.evaluation.replay.commands import run_replay
from step_ros.evaluation.replay.errors import ReplayError
from step_ros.evaluation.replay.run import ReplayOptions, replay
from step_ros.policy.checkpoint import save_checkpoint
from step_ros.policy.networks import build_networks

STATE, TOP = "observation.state", "observation.images.top"


def save_policy(folder, **changes):
    inputs = {STATE: (6,), TOP: (SIZE, SIZE, 3)}
    config = tiny_config(**{"input_features": inputs, "action_names": JOINT_NAMES, **changes})
    sizes = {"action": 6, **{name: config.input_features[name][0] for name in config.vector_names}}
    stats = {name: {"min": [-0.4] * size, "max": [0.4] * size} for name, size in sizes.items()}
    save_checkpoint(folder, config, build_networks(config, stats), None)
    return folder


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    return save_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return write_bag(tmp_path_factory.mktemp("recorded") / "bag", 3.0)


@pytest.fixture(scope="module")
def done(policy, recorded):
    options = ReplayOptions(methods=("step", "ddim:timesteps=50/0"), reference="ddpm", engine="torch")
    return replay(recorded, policy, options)


def test_every_method_sees_the_same_cycles(done) -> None:
    assert list(done.results["methods"]) == ["step", "step without history", "ddim:timesteps=50/0"]
    assert {m["cycles"] for m in done.results["methods"].values()} == {12}
    for m in done.results["methods"].values():
        assert m["error"]["rms"] > 0
        assert m["agreement"]["rms"] > 0
        assert m["latency_ms"]["p95"] >= m["latency_ms"]["p50"] > 0
    assert done.results["methods"]["ddim:timesteps=50/0"]["nfe_per_cycle"] == 2


def test_the_twin_without_history_starts_cold_in_every_cycle(done) -> None:
    methods = done.results["methods"]
    assert methods["step without history"]["cold_cycles"] == 12
    assert methods["step"]["cold_cycles"] == 0, "a leader is known before the first cycle"


def test_a_replay_repeats_exactly(done, policy, recorded) -> None:
    again = replay(recorded, policy, ReplayOptions(methods=("step",), reference="ddpm", engine="torch"))
    for name in ("error", "agreement", "seam_jump", "jerk"):
        assert again.results["methods"]["step"][name] == done.results["methods"]["step"][name]


def test_the_reference_may_be_asked_less_often_or_not_at_all(policy, recorded) -> None:
    options = ReplayOptions(reference="", cold_twins=False, engine="torch")
    method = replay(recorded, policy, options).results["methods"]["step"]
    assert method["agreement"]["rms"] is None
    assert method["error"]["rms"] > 0


def test_command_writes_json_and_a_page_that_needs_nothing_else(policy, recorded, tmp_path) -> None:
    out = tmp_path / "out"
    arguments = ["replay", str(recorded), "--out", str(out), "--checkpoint", str(policy), "--engine", "torch"]
    first = CliRunner().invoke(app, [*arguments, "--reference", "", "--sweep"])
    assert first.exit_code == 0, first.output
    results = json.loads((out / "replay.json").read_text())
    assert {"commit", "command", "versions", "processor"} <= set(results)
    assert results["sweep"]["grid"]
    assert str(recorded.parent) not in (out / "replay.json").read_text().replace(results["command"], "")
    page = (out / "replay.html").read_text()
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert page.count("data:image/png") == 3
    assert "data:video/mp4" in page

    thresholds = tmp_path / "thresholds.yaml"
    thresholds.write_text("methods: {step: {error.rms: {max: 100}}}\nreplay: {cycles: {min: 12}}\n")
    (out / "replay.json").rename(tmp_path / "before.json")
    compared = ["--gate", str(thresholds), "--compare", str(tmp_path / "before.json")]
    second = CliRunner().invoke(app, [*arguments, "--reference", "", *compared])
    assert second.exit_code == 0, second.output
    results = json.loads((out / "replay.json").read_text())
    assert results["comparison"]["methods"]["step"]["error.rms"]["change"] == 0
    assert all(verdict["passed"] for verdict in results["gate"])

    thresholds.write_text("methods: {step: {error.rms: {max: 1.0e-9}}}\n")
    third = CliRunner().invoke(app, [*arguments, "--reference", "", "--gate", str(thresholds)])
    assert third.exit_code == 3
    assert "broken" in third.output
    assert "broken" in (out / "replay.html").read_text()


def test_a_threshold_that_names_nothing_is_told_and_nothing_written(policy, recorded, tmp_path) -> None:
    gate = tmp_path / "gate.yaml"
    gate.write_text("methods: {ddpm: {jerk: {max: 1}}}\n")
    options = ReplayOptions(reference="", cold_twins=False, engine="torch")
    with pytest.raises(ReplayError, match="ddpm"):
        run_replay(recorded, policy, tmp_path / "out", options, gate=gate)
    assert not (tmp_path / "out").exists()


def test_a_sweep_needs_the_rule(policy, recorded, tmp_path) -> None:
    options = ReplayOptions(methods=("ddim",), reference="", engine="torch")
    with pytest.raises(ReplayError, match="step among them"):
        run_replay(recorded, policy, tmp_path, options, sweep_stalls=True)


def test_a_policy_without_cameras_is_replayed_too(recorded, tmp_path) -> None:
    policy = save_policy(tmp_path / "policy", input_features={STATE: (6,)})
    options = ReplayOptions(reference="", cold_twins=False, engine="torch", action_steps=8)
    assert run_replay(recorded, policy, tmp_path / "out", options)
    assert "data:video" not in (tmp_path / "out/replay.html").read_text()


def test_a_bag_without_commands_says_what_could_be_one(policy, tmp_path) -> None:
    path = write_bag(tmp_path / "bag", 1.0, actions=False)
    with pytest.raises(MissingTopicError, match=r"--actions TOPIC; the bag holds: /joint_states"):
        replay(path, policy, ReplayOptions(engine="torch"))


def test_a_policy_with_inputs_that_no_topic_has_is_refused(recorded, tmp_path) -> None:
    inputs = {STATE: (6,), "observation.environment_state": (7,)}
    policy = save_policy(tmp_path / "policy", input_features=inputs)
    with pytest.raises(ReplayError, match=r"found observation\.environment_state"):
        replay(recorded, policy, ReplayOptions(engine="torch"))


def test_joints_of_other_names_are_named_on_both_sides(policy, tmp_path) -> None:
    path = write_bag(tmp_path / "bag", 1.0, names=("a", "b", "c", "d", "e", "f"))
    with pytest.raises(ReplayError, match=r"lacks shoulder_pan.*it has a, b, c"):
        replay(path, policy, ReplayOptions(engine="torch"))
    options = ReplayOptions(engine="torch", reference="", joint_names=tuple("abcdef"), cold_twins=False)
    assert replay(path, policy, options).results["cycles"] == 4
