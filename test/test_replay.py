"""`step-ros replay`, `bag2lerobot` and `lerobot2bag` whole, with a tiny policy and short bags."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from bag_helpers import SIZE, ns, swing, write_bag
from policy_helpers import tiny_config
from typer.testing import CliRunner

from step_ros.bag2lerobot import bag2lerobot
from step_ros.cli import app
from step_ros.control.joints import JOINT_NAMES
from step_ros.data.bag_errors import BagError, MissingTopicError
from step_ros.data.bag_writer import BagWriter, joint_state
from step_ros.data.bags import Bag
from step_ros.data.errors import DatasetError
from step_ros.data.reader import Dataset
from step_ros.data.writer import DatasetWriter
from step_ros.evaluation.replay.commands import run_replay
from step_ros.evaluation.replay.errors import ReplayError
from step_ros.evaluation.replay.run import ReplayOptions, prefetched, replay
from step_ros.lerobot2bag import lerobot2bag
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


def test_what_fails_while_a_bag_is_read_ahead_is_raised_where_it_is_used() -> None:
    def items():
        yield 1
        raise BagError("the file ends here")

    taken = prefetched(items(), 2)
    assert next(taken) == 1
    with pytest.raises(BagError, match="ends here"):
        next(taken)


# Datasets from bags and back.


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_dataset_to_bag_to_dataset_loses_nothing(tmp_path, storage) -> None:
    start = write_bag(tmp_path / "bag", 1.5, cameras=("top", "wrist"), formats=("raw", "compressed"))
    assert bag2lerobot(start, tmp_path / "first", crf=0, task="swing").episodes == [45]
    lerobot2bag(tmp_path / "first", tmp_path / "again", storage=storage)
    bag2lerobot(tmp_path / "again", tmp_path / "second", crf=0)
    first, second = Dataset(tmp_path / "first"), Dataset(tmp_path / "second")
    assert first.features.keys() == second.features.keys()
    assert second.episodes[0].row["tasks"] == ["swing"]
    for name, values in first.columns.items():
        np.testing.assert_array_equal(values, second.columns[name], err_msg=name)
    for name in first.cameras:
        np.testing.assert_array_equal(first.images(name), second.images(name))


def test_stamps_are_kept_and_the_action_is_what_comes_next(tmp_path) -> None:
    bag2lerobot(write_bag(tmp_path / "bag", 1.0), tmp_path / "dataset")
    dataset = Dataset(tmp_path / "dataset")
    np.testing.assert_array_equal(dataset.columns["stamp"][:, 0], [ns(k / 30) for k in range(30)])
    np.testing.assert_array_equal(dataset.columns["stamp.top"], dataset.columns["stamp"])
    wanted = [swing(k / 30) for k in range(30)]
    np.testing.assert_allclose(dataset.columns["action"], wanted, atol=1e-6)


def test_an_episode_ends_where_a_camera_was_silent(tmp_path) -> None:
    path = write_bag(tmp_path / "bag", 3.0, blind=(1.0, 1.4))
    assert bag2lerobot(path, tmp_path / "dataset").episodes == [30, 48]


def test_a_camera_that_is_faster_than_the_dataset_is_thinned_out(tmp_path) -> None:
    assert bag2lerobot(write_bag(tmp_path / "bag", 2.0), tmp_path / "d", fps=10).episodes == [20]
    stamps = Dataset(tmp_path / "d").columns["stamp"][:, 0]
    np.testing.assert_allclose(np.diff(stamps) * 1e-9, 0.1, atol=1e-6)


def test_a_bag_without_commands_or_rows_makes_no_dataset(tmp_path) -> None:
    with pytest.raises(MissingTopicError, match="actions"):
        bag2lerobot(write_bag(tmp_path / "a", 0.5, actions=False), tmp_path / "dataset")
    with BagWriter(tmp_path / "b") as bag:
        bag.write("/joint_states", joint_state(ns(0), ("a",), np.zeros(1)))
        bag.write("/action", joint_state(ns(0), JOINT_NAMES, np.zeros(6)))
    with pytest.raises(BagError, match=r"no two rows in succession .*lacks shoulder_pan"):
        bag2lerobot(tmp_path / "b", tmp_path / "dataset")
    assert not (tmp_path / "dataset").exists()


def dataset(folder, scale: float = 1.0, unit: str | None = "rad", names=JOINT_NAMES):
    feature = {"dtype": "float32", "shape": (6,), "names": [f"{name}.pos" for name in names]}
    units = {STATE: unit, "action": unit} if unit else None
    writer = DatasetWriter(folder, 10, {STATE: feature, "action": feature}, units=units)
    values = scale * np.stack([swing(k / 10) for k in range(5)]).astype(np.float32)
    for _ in range(2):
        writer.add_episode({STATE: values, "action": values}, "swing")
    return folder


def test_a_dataset_without_stamps_gets_some_and_its_episodes_stay_apart(tmp_path) -> None:
    lerobot2bag(dataset(tmp_path / "dataset"), tmp_path / "bag")
    with Bag(tmp_path / "bag") as bag:
        stamps = np.array([m.stamp for m in bag.messages(["/joint_states"])])
    np.testing.assert_allclose(np.diff(stamps)[:4], 0.1)
    assert np.diff(stamps)[4] > 1.0
    assert bag2lerobot(tmp_path / "bag", tmp_path / "again", fps=10).episodes == [5, 5]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unit": "deg"}, "unit: found deg, accepted: rad"),
        ({"unit": None, "scale": 100.0}, "values up to"),
    ],
)
def test_degrees_are_not_taken_for_radians(tmp_path, changes, words) -> None:
    with pytest.raises(DatasetError, match=words):
        lerobot2bag(dataset(tmp_path / "dataset", **changes), tmp_path / "bag")


def test_an_episode_that_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(DatasetError, match="found 7, accepted: 0 to 1"):
        lerobot2bag(dataset(tmp_path / "dataset"), tmp_path / "bag", episodes=[7])
