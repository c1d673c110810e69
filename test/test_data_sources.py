"""Datasets of other projects: the same frames, windows and training as from our own format."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import zarr
from zarr.storage import ZipStore

from step_ros.data.array_dataset import cache_folder
from step_ros.data.errors import DatasetError
from step_ros.data.sources import open_dataset
from step_ros.data.windows import Windows
from step_ros.policy.policy import load_policy
from step_ros.training.commands import train_policy, train_predictor

LENGTHS = (20, 24)
TOTAL = sum(LENGTHS)


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "action": rng.uniform(-1, 1, (TOTAL, 2)),
        "state": rng.uniform(-1, 1, (TOTAL, 5)),
        "keypoint": rng.uniform(-1, 1, (TOTAL, 9, 2)),
        "img": rng.integers(0, 256, (TOTAL, 32, 32, 3)).astype(np.float32),
    }


def write_zarr(path: Path, data: dict[str, np.ndarray], zarr_format: int = 2, ends=None) -> Path:
    store = ZipStore(path, mode="w") if path.suffix == ".zip" else path
    root = zarr.open_group(store, mode="w", zarr_format=zarr_format)
    group, meta = root.create_group("data"), root.create_group("meta")
    for key, values in data.items():
        group.create_array(key, data=values, chunks=(7, *values.shape[1:]))
    meta.create_array("episode_ends", data=np.cumsum(LENGTHS) if ends is None else np.array(ends))
    if isinstance(store, ZipStore):
        store.close()
    return path


def write_hdf5(path: Path, control_freq: int | None = 20, images: bool = True) -> Path:
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        kwargs = {"control_freq": control_freq} if control_freq else {}
        data.attrs["env_args"] = json.dumps({"env_name": "Lift", "env_kwargs": kwargs})
        for k, length in reversed(list(enumerate((20,) * 9 + (24, 26)))):
            demo = data.create_group(f"demo_{k}")
            demo["actions"] = np.full((length, 7), k, dtype=float)
            obs = demo.create_group("obs")
            obs["robot0_eef_pos"] = rng.uniform(-1, 1, (length, 3))
            obs["robot0_eef_quat"] = rng.uniform(-1, 1, (length, 4))
            obs["robot0_gripper_qpos"] = rng.uniform(-1, 1, (length, 2))
            obs["object"] = rng.uniform(-1, 1, (length, 10))
            if images:
                obs["agentview_image"] = rng.integers(0, 256, (length, 32, 32, 3), dtype=np.uint8)
    return path


@pytest.mark.parametrize("name", ["pusht.zarr", "pusht.zarr.zip"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_replay_buffer_has_its_episodes_columns_and_images(tmp_path, name, zarr_format) -> None:
    data = arrays()
    dataset = open_dataset(write_zarr(tmp_path / name, data, zarr_format), fps=10)
    assert [(e.start, e.stop) for e in dataset.episodes] == [(0, 20), (20, 44)]
    assert dataset.fps == 10
    np.testing.assert_array_equal(dataset.columns["action"], data["action"].astype(np.float32))
    np.testing.assert_array_equal(dataset.columns["observation.state"], data["state"].astype(np.float32))
    assert dataset.features["observation.environment_state"]["shape"] == [18]
    assert dataset.cameras == ("observation.images.img",)
    np.testing.assert_array_equal(dataset.images(dataset.cameras[0]), data["img"].astype(np.uint8))
    assert dataset.stats["action"]["max"] == pytest.approx(data["action"].max(0), rel=1e-6)


def test_images_with_colours_first_and_values_to_one_become_what_networks_take(tmp_path) -> None:
    data = arrays()
    shown = data["img"].astype(np.uint8)
    data["img"] = np.moveaxis(data["img"] / 255, -1, 1)
    dataset = open_dataset(write_zarr(tmp_path / "a.zarr", data), fps=10)
    np.testing.assert_array_equal(dataset.images("observation.images.img"), shown)


def test_a_mapping_chooses_arrays_and_columns(tmp_path) -> None:
    data = arrays()
    features = {"observation.state": "state[:2],keypoint[16:]", "observation.images.top": "img"}
    dataset = open_dataset(write_zarr(tmp_path / "a.zarr", data), fps=10, features=features)
    assert set(dataset.features) == {"observation.state", "observation.images.top", "action"}
    expected = np.hstack([data["state"][:, :2], data["keypoint"].reshape(TOTAL, 18)[:, 16:]])
    np.testing.assert_array_equal(dataset.columns["observation.state"], expected.astype(np.float32))


def test_windows_never_reach_across_episodes(tmp_path) -> None:
    dataset = open_dataset(write_zarr(tmp_path / "a.zarr", arrays()), fps=10)
    windows = Windows(dataset, 2, 16, 8)
    batch = windows.batch(np.arange(len(windows)), ["observation.state", "observation.images.img"])
    assert batch.observation["observation.images.img"].shape[1:] == (2, 32, 32, 3)
    frames = windows.observation_frames(np.flatnonzero(windows.episode == 1))
    assert frames.min() == LENGTHS[0]


def test_robomimic_demos_come_in_the_order_of_their_numbers(tmp_path) -> None:
    dataset = open_dataset(write_hdf5(tmp_path / "lift.hdf5"))
    assert dataset.fps == 20
    assert [e.length for e in dataset.episodes] == [20] * 9 + [24, 26]
    assert [dataset.columns["action"][e.start, 0] for e in dataset.episodes] == list(range(11))
    assert dataset.features["observation.state"]["shape"] == [9]
    assert dataset.features["observation.environment_state"]["shape"] == [10]
    assert dataset.episodes[0].row["tasks"] == ["Lift"]
    images = dataset.images("observation.images.agentview")
    with h5py.File(dataset.root) as file:
        last = file["data/demo_10/obs/agentview_image"][:]
    np.testing.assert_array_equal(images[-26:], last)
    assert cache_folder(dataset.root).name == "lift.hdf5.cache"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fps": None}, "--fps"),
        ({"features": {"observation.state": "stat"}}, "stat, accepted: of action, img, keypoint, state"),
        ({"features": {"observation.state": "state[5:]"}}, "no column"),
        ({"features": {"observation.images.top": "state"}}, "colour images"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, change, words) -> None:
    path = write_zarr(tmp_path / "a.zarr", arrays())
    with pytest.raises(DatasetError) as error:
        open_dataset(path, **{"fps": 10, **change})
    assert words in str(error.value)


def test_arrays_shorter_than_the_episodes_are_refused(tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"44 frames, accepted: 50 \(episode_ends\)"):
        open_dataset(write_zarr(tmp_path / "a.zarr", arrays(), ends=[20, 50]), fps=10)


def test_episodes_that_end_before_they_begin_are_refused(tmp_path) -> None:
    with pytest.raises(DatasetError, match="episode lengths"):
        open_dataset(write_zarr(tmp_path / "a.zarr", arrays(), ends=[30, 20, 44]), fps=10)


def test_a_folder_without_the_buffers_groups_is_refused(tmp_path) -> None:
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    with pytest.raises(DatasetError, match="accepted: data and meta/episode_ends"):
        open_dataset(tmp_path / "a.zarr", fps=10)


def test_a_truncated_zip_is_refused(tmp_path) -> None:
    path = write_zarr(tmp_path / "a.zarr.zip", arrays())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DatasetError, match="accepted: zarr"):
        open_dataset(path, fps=10)


def test_a_truncated_hdf5_file_is_refused(tmp_path) -> None:
    path = write_hdf5(tmp_path / "a.hdf5")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DatasetError, match="accepted: HDF5"):
        open_dataset(path)


def test_a_demo_with_other_arrays_than_the_rest_is_refused(tmp_path) -> None:
    path = write_hdf5(tmp_path / "a.hdf5")
    with h5py.File(path, "a") as file:
        del file["data/demo_3/obs/object"]
    with pytest.raises(DatasetError, match="data/demo_3"):
        open_dataset(path)


def test_nan_in_a_column_is_refused(tmp_path) -> None:
    data = arrays()
    data["state"][7, 1] = np.nan
    with pytest.raises(DatasetError, match=r"observation\.state: found NaN"):
        open_dataset(write_zarr(tmp_path / "a.zarr", data), fps=10)


def test_state_and_image_policies_train_on_them(tmp_path) -> None:
    budget = {"encoder_iterations": 2, "iterations": 2, "batch_size": 4, "down_dims": (8, 16)}
    low_dim = write_hdf5(tmp_path / "low_dim.hdf5", images=False)
    train_policy(low_dim, tmp_path / "states", **budget)
    train_predictor(tmp_path / "states", low_dim, iterations=2, batch_size=4)
    config = load_policy(tmp_path / "states", engine="torch").config
    assert set(config.input_features) == {"observation.state", "observation.environment_state"}
    assert config.fps == 20

    seen = {"observation.state": "state[:2]", "observation.images.top": "img"}
    train_policy(
        write_zarr(tmp_path / "pusht.zarr", arrays()), tmp_path / "images", fps=10, features=seen, **budget
    )
    config = load_policy(tmp_path / "images", "ddim", engine="torch").config
    assert config.input_features == {"observation.state": (2,), "observation.images.top": (32, 32, 3)}
    assert "--feature observation.state=state[:2]" in (tmp_path / "images/card.json").read_text()


def test_a_lerobot_dataset_is_not_told_its_rate(tmp_path) -> None:
    with pytest.raises(DatasetError, match="only for zarr and HDF5"):
        open_dataset(tmp_path, fps=10)
