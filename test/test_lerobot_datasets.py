"""Datasets that LeRobot recorded (fixtures/lerobot/make_dataset.py) are read as they were recorded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import lerobot_checkpoints as lerobot
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from step_ros.data.errors import DatasetError
from step_ros.data.layout import dimension_names, image_shape
from step_ros.data.reader import Dataset
from step_ros.data.video import encode_video
from step_ros.data.windows import Windows

recorded = lerobot.recorded
LAYOUTS = ("v2.1", "v3.0", "v3.0-images")
TOP = "observation.images.top"


@pytest.fixture(params=LAYOUTS)
def dataset(request) -> Dataset:
    return Dataset(lerobot.FIXTURES / "datasets" / request.param)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of the v2.1 dataset that may be damaged."""
    return shutil.copytree(lerobot.FIXTURES / "datasets/v2.1", tmp_path / "old")


def test_joints_are_exactly_those_recorded(dataset):
    episodes = [recorded.episode(k) for k in range(len(dataset.episodes))]
    for name in ("action", "observation.state"):
        np.testing.assert_array_equal(dataset.columns[name], np.concatenate([e[name] for e in episodes]))
    assert [e.length for e in dataset.episodes] == list(recorded.LENGTHS[: len(episodes)])
    assert {task for e in dataset.episodes for task in e.row["tasks"]} == {recorded.TASK}
    assert dimension_names(dataset.features["action"]) == list(recorded.JOINTS)
    assert dataset.fps == recorded.FPS


@pytest.mark.parametrize("camera", recorded.CAMERAS)
def test_every_image_is_the_one_of_its_frame(dataset, camera):
    for episode in dataset.episodes:
        seen = np.concatenate(list(dataset.frames(camera, episode))).astype(float)
        shown = recorded.episode(episode.index)[camera]
        right = np.abs(seen - shown).mean(axis=(1, 2, 3))
        shifted = np.abs(seen[1:] - shown[:-1]).mean(axis=(1, 2, 3))
        assert right.max() < 6.0
        assert (right[1:] < shifted).all()


def test_statistics_are_those_of_the_frames(dataset):
    stats, values = dataset.stats["action"], dataset.columns["action"]
    np.testing.assert_allclose(stats["min"], values.min(0), rtol=1e-6)
    np.testing.assert_allclose(stats["max"], values.max(0), rtol=1e-6)
    np.testing.assert_allclose(stats["mean"], values.mean(0, dtype=np.float64), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(stats["std"], values.std(0, dtype=np.float64), rtol=1e-3)


def test_windows_take_any_layout(dataset):
    windows = Windows(dataset, 2, 16, 8)
    batch = windows.batch(np.array([0, 9]), ["observation.state"])
    assert batch.action.shape == (2, 16, 6)
    assert not batch.history_mask[0].any()


def test_images_can_be_cached_at_a_smaller_size(tmp_path):
    copy = Dataset(shutil.copytree(lerobot.FIXTURES / "datasets/v3.0", tmp_path / "copy"))
    small = copy.images(TOP, (32, 32))
    assert small.shape == (sum(recorded.LENGTHS), 32, 32, 3)
    first = recorded.episode(0)[TOP][0].reshape(32, 3, 32, 3, 3).mean(axis=(1, 3))
    assert np.abs(small[0] - first).mean() < 4.0
    with pytest.raises(DatasetError, match=r"image size: found \(96, 96\), accepted: \(32, 48\), or larger"):
        next(copy.frames(TOP, copy.episodes[0], (32, 48)))


def test_frames_are_decoded_as_they_are_asked_for(dataset, monkeypatch):
    monkeypatch.setattr("step_ros.data.reader.BLOCK", 4)
    stream = dataset.frames(TOP, dataset.episodes[1])
    assert len(next(stream)) == 4
    assert sum(map(len, stream)) == recorded.LENGTHS[1] - 4


def test_a_video_shorter_than_its_parquet_is_named(old):
    video = old / "videos/chunk-000" / TOP / "episode_000001.mp4"
    encode_video(video, recorded.episode(1)[TOP][:20], recorded.FPS, 20)
    data = Dataset(old)
    with pytest.raises(DatasetError, match=r"episode_000001\.mp4: frames: found 20 .* accepted: 37 frames"):
        list(data.frames(TOP, data.episodes[1]))


def test_missing_statistics_are_named_when_they_are_needed(old):
    (old / "meta/episodes_stats.jsonl").unlink()
    data = Dataset(old)
    with pytest.raises(DatasetError, match=r"meta/stats\.json: file: found nothing"):
        _ = data.stats
    (old / "meta/episodes_stats.jsonl").write_text("")
    with pytest.raises(DatasetError, match=r"episodes_stats\.jsonl: statistics: found nothing"):
        _ = Dataset(old).stats


def test_an_episode_without_its_line_is_missed(old):
    path = old / "meta/episodes.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[:2]) + "\n")
    with pytest.raises(DatasetError, match=r"episodes\.jsonl: episodes: found 2, and|episodes: found 2"):
        Dataset(old)


def test_a_broken_line_is_named(old):
    (old / "meta/episodes.jsonl").write_text("{broken\n")
    with pytest.raises(DatasetError, match=r"episodes\.jsonl: content"):
        Dataset(old)


def test_a_damaged_image_in_a_parquet_file_is_named(tmp_path):
    root = shutil.copytree(lerobot.FIXTURES / "datasets/v3.0-images", tmp_path / "images")
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.ParquetFile(path).read()
    pictures = pa.array([{"bytes": b"no picture", "path": "a.png"}] * len(table))
    position = table.column_names.index(TOP)
    pq.write_table(table.set_column(position, TOP, pictures), path)
    data = Dataset(root)
    with pytest.raises(DatasetError, match=r"observation\.images\.top: found no readable image"):
        list(data.frames(TOP, data.episodes[0]))


@pytest.mark.parametrize(
    ("feature", "names"),
    [
        (
            {"shape": [2], "names": {"motors": ["main_shoulder_pan", "main_gripper"]}},
            ["shoulder_pan", "gripper"],
        ),
        ({"shape": [2], "names": ["shoulder_pan.pos", "gripper.pos"]}, ["shoulder_pan", "gripper"]),
        ({"shape": [2], "names": None}, ["action_0", "action_1"]),
        ({"shape": [2], "names": ["motors"]}, ["action_0", "action_1"]),
    ],
)
def test_dimension_names_of_old_and_new_datasets_agree(feature, names):
    assert dimension_names(feature) == names


def test_images_with_colours_first_are_understood():
    assert image_shape({"shape": [3, 48, 64], "names": ["channels", "height", "width"]}) == (48, 64, 3)
    assert image_shape({"shape": [3, 48, 64], "names": None}) == (48, 64, 3)
    assert image_shape({"shape": [48, 64, 3], "names": ["height", "width", "channels"]}) == (48, 64, 3)


def test_info_without_frames_per_second_is_refused(old):
    info = json.loads((old / "meta/info.json").read_text())
    (old / "meta/info.json").write_text(json.dumps(info | {"fps": None}))
    with pytest.raises(DatasetError, match=r"info\.json: fps: found nothing"):
        Dataset(old)
