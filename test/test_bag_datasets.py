"""`bag2lerobot` and `lerobot2bag`: what one makes the other turns back."""

from __future__ import annotations

import shutil

import lerobot_checkpoints as lerobot
import numpy as np
import pytest
from bag_helpers import ns, swing, write_bag

from step_ros.bag2lerobot import bag2lerobot
from step_ros.control.joints import JOINT_NAMES
from step_ros.control.units import UnitsError, lerobot_units
from step_ros.data.bag_errors import BagError, MissingTopicError
from step_ros.data.bag_writer import BagWriter, joint_state
from step_ros.data.bags import Bag
from step_ros.data.errors import DatasetError
from step_ros.data.reader import Dataset
from step_ros.data.writer import DatasetWriter
from step_ros.lerobot2bag import lerobot2bag
from step_ros.policy.errors import ConfigError

STATE = "observation.state"


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


@pytest.mark.parametrize("version", ["v2.1", "v3.0", "v3.0-images"])
def test_what_lerobot_recorded_in_degrees_becomes_a_bag_in_radians(tmp_path, version) -> None:
    theirs = shutil.copytree(lerobot.FIXTURES / "datasets" / version, tmp_path / "theirs")
    names = lerobot.recorded.JOINTS
    lerobot2bag(theirs, tmp_path / "bag", episodes=[1], units="degrees")
    bag2lerobot(tmp_path / "bag", tmp_path / "again", crf=0)
    before, after = Dataset(theirs), Dataset(tmp_path / "again")
    rows = slice(before.episodes[1].start, before.episodes[1].stop)
    units = lerobot_units("degrees", names)
    for name in (STATE, "action"):
        expected = units.to_radians(before.columns[name][rows])
        np.testing.assert_allclose(after.columns[name], expected, atol=1e-6, err_msg=name)
    for name in before.cameras:
        np.testing.assert_array_equal(after.images(name), before.images(name)[rows], err_msg=name)


@pytest.mark.parametrize(
    ("changes", "units", "error", "words"),
    [
        ({"unit": None, "scale": 1.0}, "degrees", UnitsError, "hardly move"),
        ({"unit": None, "scale": 100.0}, "radians", UnitsError, "outside their range"),
        ({"unit": None, "scale": 100.0}, "range_m100_100", UnitsError, "no calibration"),
        ({"unit": "rad"}, "degrees", ConfigError, "the dataset says"),
        ({}, "native", ConfigError, "a bag is in radians"),
        ({}, "gradians", ConfigError, "range_m100_100"),
    ],
)
def test_units_that_cannot_be_make_no_bag(tmp_path, changes, units, error, words) -> None:
    with pytest.raises(error, match=words):
        lerobot2bag(dataset(tmp_path / "dataset", **changes), tmp_path / "bag", units=units)
    assert not (tmp_path / "bag").exists()


def test_an_episode_that_is_not_there_is_refused(tmp_path) -> None:
    with pytest.raises(DatasetError, match="found 7, accepted: 0 to 1"):
        lerobot2bag(dataset(tmp_path / "dataset"), tmp_path / "bag", episodes=[7])
