"""What was written comes back; what does not fit together is refused with file and field."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_data_writer import FEATURES, episode, make_dataset, smooth_frames

from step_ros.data.errors import DatasetError
from step_ros.data.reader import Dataset
from step_ros.data.video import encode_video, iterate_video
from step_ros.data.writer import DatasetWriter

TOP = "observation.images.top"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    make_dataset(root, (20, 12))
    return root


@pytest.fixture
def root(tmp_path):
    make_dataset(tmp_path, (14,))
    return tmp_path


def edit_info(root, **changes):
    path = root / "meta/info.json"
    info = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in info.items() if value is not None}))


def test_columns_come_back_as_they_were_written(whole):
    dataset = Dataset(whole)
    np.testing.assert_array_equal(dataset.columns["action"][20:], episode(12, 1)["action"])
    np.testing.assert_array_equal(dataset.columns["episode_index"], [0] * 20 + [1] * 12)
    np.testing.assert_allclose(dataset.columns["timestamp"][20:], np.arange(12) / 30, atol=1e-6)
    assert [(e.start, e.stop, e.row["seed"]) for e in dataset.episodes] == [(0, 20, 0), (20, 32, 1)]


def test_a_feature_of_one_dimension_keeps_it(tmp_path):
    writer = DatasetWriter(tmp_path, 30, {"action": {"dtype": "float32", "shape": (1,)}})
    writer.add_episode({"action": np.arange(5, dtype=np.float32)[:, None]}, "push")
    assert Dataset(tmp_path).columns["action"].shape == (5, 1)


def test_images_are_decoded_once_and_match_what_was_seen(whole, monkeypatch):
    images = Dataset(whole).images(TOP)
    assert (images.shape, images.dtype) == ((32, 32, 48, 3), np.uint8)
    assert np.abs(images[20:].astype(int) - smooth_frames(12, 1)).mean() < 1.5

    def no_more_decoding(*_args):
        raise AssertionError("decoded twice")

    monkeypatch.setattr("step_ros.data.reader.iterate_video", no_more_decoding)
    np.testing.assert_array_equal(Dataset(whole).images(TOP), images)


def test_images_are_decoded_again_after_the_dataset_has_grown(root):
    assert len(Dataset(root).images(TOP)) == 14
    DatasetWriter(root, 30, FEATURES).add_episode(episode(9, 5), "again", {"seed": 5})
    assert len(Dataset(root).images(TOP)) == 23


def test_episodes_in_the_middle_of_a_video_file_are_found(tmp_path):
    frames = smooth_frames(40, 7)
    encode_video(tmp_path / "a.mp4", frames, 30, 0)
    found = np.stack(list(iterate_video(tmp_path / "a.mp4", 17 / 30, 9)))
    np.testing.assert_array_equal(found, frames[17:26])


def test_a_video_with_too_few_frames_is_named(root):
    path = root / "videos" / TOP / "chunk-000/file-000.mp4"
    encode_video(path, smooth_frames(9, 0), 30, 10)
    with pytest.raises(DatasetError, match=r"file-000\.mp4: frames: found 9"):
        Dataset(root).images(TOP)


def test_a_broken_or_missing_video_is_named(root):
    path = root / "videos" / TOP / "chunk-000/file-000.mp4"
    path.write_bytes(b"no video")
    with pytest.raises(DatasetError, match=r"file-000\.mp4: video"):
        Dataset(root).images(TOP)
    path.unlink()
    with pytest.raises(DatasetError, match=r"file-000\.mp4: video"):
        Dataset(root).images(TOP)


def test_a_camera_that_is_not_there_is_refused_with_those_that_are(whole):
    with pytest.raises(DatasetError, match=r"observation\.images\.top"):
        Dataset(whole).images("observation.images.wrist")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"codebase_version": "v1.6"}, r"info\.json: codebase_version: found v1\.6, accepted: v3\.0"),
        ({"fps": None}, r"info\.json: fps"),
        ({"total_episodes": 3}, "episodes: found 1, accepted: 3"),
        ({"total_frames": 99}, "frames: found 14"),
    ],
)
def test_info_that_does_not_fit_is_refused(root, changes, message):
    edit_info(root, **changes)
    with pytest.raises(DatasetError, match=message):
        Dataset(root)


@pytest.mark.parametrize("name", ["meta/info.json", "meta/stats.json", "data/chunk-000/file-000.parquet"])
def test_missing_and_damaged_files_are_named(root, name):
    (root / name).write_text("{{{")
    with pytest.raises(DatasetError, match=name):
        _ = Dataset(root).stats
    (root / name).unlink()
    with pytest.raises(DatasetError, match=name):
        _ = Dataset(root).stats


def test_a_folder_without_a_dataset_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"meta/info\.json: file: found nothing"):
        Dataset(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("action", [[0.0] * 5] * 14, "action shape"),
        ("action", [[float("nan")] * 6] * 14, "action: found NaN"),
        ("index", list(range(1, 15)), "index"),
        ("action", None, "action: found no such column"),
    ],
)
def test_columns_that_do_not_fit_are_refused(root, column, values, message):
    path = root / "data/chunk-000/file-000.parquet"
    table = pq.ParquetFile(path).read().drop_columns([column])
    pq.write_table(table if values is None else table.append_column(column, pa.array(values)), path)
    with pytest.raises(DatasetError, match=message):
        Dataset(root)
