"""A dataset on disk is always whole, says what it holds, and follows the LeRobotDataset v3.0 layout."""

import json

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from step_ros.data import writer as writer_module
from step_ros.data.errors import DatasetError
from step_ros.data.reader import Dataset
from step_ros.data.video import encode_video, iterate_video
from step_ros.data.writer import DatasetWriter

JOINTS = ["shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper"]
FEATURES = {
    "observation.state": {"dtype": "float32", "shape": (6,), "names": JOINTS},
    "action": {"dtype": "float32", "shape": (6,), "names": JOINTS},
    "observation.images.top": {
        "dtype": "video",
        "shape": (32, 48, 3),
        "names": ["height", "width", "channels"],
    },
}


def smooth_frames(length, seed, height=32, width=48):
    """A coloured blob on a gradient, moving: what a render looks like to a codec."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    colour, start = rng.uniform(100, 255, 3), rng.uniform(8, 24, 2)
    frames = []
    for t in range(length):
        blob = np.exp(-((x - start[0] - t) ** 2 + (y - start[1]) ** 2) / 20)[..., None]
        frames.append((60 + x[..., None]) * (1 - blob) + colour * blob)
    return np.clip(frames, 0, 255).astype(np.uint8)


def episode(length=20, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "observation.state": rng.normal(size=(length, 6)).astype(np.float32),
        "action": rng.normal(size=(length, 6)).astype(np.float32),
        "observation.images.top": smooth_frames(length, seed),
    }


def make_dataset(root, lengths=(20, 12), **kwargs):
    writer = DatasetWriter(root, 30, FEATURES, units={"action": "rad"}, **kwargs)
    for seed, length in enumerate(lengths):
        writer.add_episode(episode(length, seed), "put the cube on the plate", {"seed": seed})
    return writer


def files(root):
    return {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}


def test_files_lie_where_the_format_wants_them(tmp_path):
    make_dataset(tmp_path, (20,))
    assert files(tmp_path) == {
        "meta/info.json",
        "meta/stats.json",
        "meta/tasks.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        "data/chunk-000/file-000.parquet",
        "videos/observation.images.top/chunk-000/file-000.mp4",
    }


def test_info_states_version_counts_and_units(tmp_path):
    make_dataset(tmp_path, (20, 12))
    info = json.loads((tmp_path / "meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["robot_type"]) == ("v3.0", 30, "so101")
    assert (info["total_episodes"], info["total_frames"], info["splits"]) == (2, 32, {"train": "0:2"})
    assert info["features"]["action"]["info"] == {"unit": "rad"}
    assert info["features"]["observation.images.top"]["info"]["video.codec"] == "h264"


def test_tasks_file_declares_the_task_as_its_pandas_index(tmp_path):
    make_dataset(tmp_path, (20,))
    table = pq.read_table(tmp_path / "meta/tasks.parquet")
    assert table.to_pylist() == [{"task_index": 0, "task": "put the cube on the plate"}]
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["task"]


def test_statistics_are_those_of_all_frames(tmp_path):
    make_dataset(tmp_path, (20, 12))
    actions = np.concatenate([episode(20, 0)["action"], episode(12, 1)["action"]]).astype(np.float64)
    pixels = np.concatenate([smooth_frames(20, 0), smooth_frames(12, 1)]) / 255
    stats = Dataset(tmp_path).stats
    for name, value in (
        ("min", actions.min(0)),
        ("max", actions.max(0)),
        ("mean", actions.mean(0)),
        ("std", actions.std(0)),
    ):
        np.testing.assert_allclose(stats["action"][name], value, atol=1e-9)
    np.testing.assert_allclose(
        np.ravel(stats["observation.images.top"]["std"]), pixels.std((0, 1, 2)), atol=1e-9
    )
    assert np.shape(stats["observation.images.top"]["mean"]) == (3, 1, 1)
    assert stats["action"]["count"] == [32]


def test_videos_are_visually_lossless_and_keep_colour(tmp_path):
    frames = smooth_frames(30, 3)
    frames[:, 8:24, 8:24] = (255, 0, 0)
    frames[:, 10:22, 24:26] = (0, 0, 255)
    encode_video(tmp_path / "a.mp4", frames, 30, writer_module.DEFAULT_CRF)
    error = np.stack(list(iterate_video(tmp_path / "a.mp4", 0.0, 30))).astype(float) - frames
    assert 10 * np.log10(255**2 / np.mean(error**2)) > 40


def test_resuming_continues_the_same_dataset(tmp_path):
    make_dataset(tmp_path / "once", (20, 12, 9))
    make_dataset(tmp_path / "twice", (20,))
    writer = DatasetWriter(tmp_path / "twice", 30, FEATURES)
    assert writer.num_episodes == 1
    for seed, length in ((1, 12), (2, 9)):
        writer.add_episode(episode(length, seed), "put the cube on the plate", {"seed": seed})
    once, twice = Dataset(tmp_path / "once"), Dataset(tmp_path / "twice")
    assert once.info == twice.info
    assert [e.row["seed"] for e in twice.episodes] == [0, 1, 2]
    np.testing.assert_array_equal(once.columns["action"], twice.columns["action"])
    for name in once.stats:
        np.testing.assert_allclose(once.stats[name]["std"], twice.stats[name]["std"])


@pytest.mark.parametrize("surviving_moves", range(6))
def test_an_interrupt_at_any_point_leaves_the_episodes_before_it(tmp_path, monkeypatch, surviving_moves):
    writer = make_dataset(tmp_path, (20,))
    replace, moves = writer_module._replace, []

    def interrupted(path, write):
        if len(moves) == surviving_moves:
            path.with_name(path.name + ".part").write_bytes(b"half")
            raise KeyboardInterrupt
        moves.append(path)
        replace(path, write)

    monkeypatch.setattr(writer_module, "_replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        writer.add_episode(episode(12, 1), "another task", {"seed": 1})
    monkeypatch.undo()
    dataset = Dataset(tmp_path)
    assert (len(dataset.episodes), dataset.num_frames) == (1, 20)

    resumed = DatasetWriter(tmp_path, 30, FEATURES)
    resumed.add_episode(episode(9, 2), "a third task", {"seed": 2})
    dataset = Dataset(tmp_path)
    np.testing.assert_array_equal(dataset.columns["action"][20:], episode(9, 2)["action"])
    assert dataset.stats["action"]["count"] == [29]
    assert dataset.images("observation.images.top").shape == (29, 32, 48, 3)


def test_many_episodes_move_on_to_the_next_chunk_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("step_ros.data.layout.CHUNK_SIZE", 2)
    make_dataset(tmp_path, (9, 9, 9))
    assert "data/chunk-001/file-000.parquet" in files(tmp_path)
    assert Dataset(tmp_path).num_frames == 27


def without(frames, name):
    return {key: value for key, value in frames.items() if key != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: without(f, "action"), "episode"),
        (lambda f: {**f, "reward": f["action"]}, "episode"),
        (lambda f: {**f, "action": f["action"][:-1]}, "length"),
        (lambda f: {name: value[:0] for name, value in f.items()}, "length"),
        (lambda f: {**f, "action": f["action"].astype(np.float64)}, "action dtype"),
        (lambda f: {**f, "action": f["action"][:, :5]}, "action shape"),
        (lambda f: {**f, "action": f["action"] * np.nan}, "action"),
        (lambda f: {**f, "observation.images.top": f["observation.images.top"][:, :16]}, "images.top shape"),
        (lambda f: {**f, "observation.images.top": f["observation.images.top"] / 255}, "images.top dtype"),
    ],
)
def test_a_bad_episode_is_refused_and_changes_nothing(tmp_path, change, message):
    writer = make_dataset(tmp_path, (20,))
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    with pytest.raises(DatasetError, match=message):
        writer.add_episode(change(episode()), "task", {"seed": 1})
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


def test_extras_have_the_same_names_in_every_episode(tmp_path):
    make_dataset(tmp_path, (20,))
    with pytest.raises(DatasetError, match="extras"):
        DatasetWriter(tmp_path, 30, FEATURES).add_episode(episode(), "task", {"sed": 1})


@pytest.mark.parametrize(
    ("fps", "features", "field"),
    [(20, FEATURES, "fps"), (30, without(FEATURES, "observation.state"), "features")],
)
def test_a_dataset_of_another_kind_is_not_continued(tmp_path, fps, features, field):
    make_dataset(tmp_path, (9,))
    with pytest.raises(DatasetError, match=field):
        DatasetWriter(tmp_path, fps, features)


@pytest.mark.parametrize(
    "feature",
    [
        {"dtype": "float16", "shape": (6,)},
        {"dtype": "video", "shape": (3, 96, 96)},
        {"dtype": "float32", "shape": ()},
        {"dtype": "float32", "shape": (-1,)},
    ],
)
def test_features_that_cannot_be_stored_are_refused(tmp_path, feature):
    with pytest.raises(DatasetError, match=r"features\.x"):
        DatasetWriter(tmp_path, 30, {"x": feature})


def test_reserved_names_and_units_of_unknown_features_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="reserved"):
        DatasetWriter(tmp_path, 30, {"timestamp": {"dtype": "float32", "shape": (1,)}})
    with pytest.raises(DatasetError, match=r"units\.velocity"):
        DatasetWriter(tmp_path, 30, FEATURES, units={"velocity": "rad/s"})


def test_a_folder_with_other_files_is_not_written_to(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DatasetError, match="folder"):
        DatasetWriter(tmp_path, 30, FEATURES)


def test_video_times_are_those_of_the_frame_rate(tmp_path):
    make_dataset(tmp_path, (12,))
    with av.open(str(tmp_path / "videos/observation.images.top/chunk-000/file-000.mp4")) as container:
        times = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, np.arange(12) / 30, atol=1e-4)
