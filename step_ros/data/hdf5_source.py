"""Reads a dataset of robomimic: HDF5 with `data/demo_<k>/actions` and `data/demo_<k>/obs/<array>`."""

from __future__ import annotations

import json
from collections.abc import Mapping

import h5py
import numpy as np

from step_ros.data.array_dataset import IMAGES, ArrayDataset
from step_ros.data.errors import DatasetError
from step_ros.data.reader import Episode
from step_ros.data.zarr_source import is_picture

STATES = ("robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos")
OBJECT = "object"
_ACTIONS = "actions"


class Hdf5Dataset(ArrayDataset):
    """A file `….hdf5`.

    Usual arrays: `actions`; images as cameras, less the ending `_image`; position and orientation of the hand
    and the gripper's joints as state; `object` as environment state. The frame rate is the environment's
    `control_freq`.
    """

    def _open(self) -> dict[str, tuple[int, ...]]:
        try:
            self._file = h5py.File(self.root, "r")
            self._demos = sorted(self._file["data"], key=_number)
        except (OSError, KeyError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise DatasetError(self.root, "content", reason, "HDF5 with data/demo_<k>") from error
        shapes: dict[str, tuple[int, ...]] = {}
        for demo in self._demos:
            group = self._file["data"][demo]
            if _ACTIONS not in group or "obs" not in group:
                raise DatasetError(self.root, f"data/{demo}", ", ".join(group), "actions, obs")
            arrays = {_ACTIONS: group[_ACTIONS], **group["obs"]}
            found = {key: array.shape[1:] for key, array in arrays.items()}
            shapes = shapes or found
            if found != shapes:
                raise DatasetError(self.root, f"data/{demo}", found, shapes)
            lengths = {key: array.shape[0] for key, array in arrays.items()}
            if len(set(lengths.values())) != 1:
                raise DatasetError(self.root, f"data/{demo}", lengths, "one length")
        return shapes

    def _lengths(self) -> list[int]:
        return [self._file["data"][demo][_ACTIONS].shape[0] for demo in self._demos]

    def _environment(self) -> dict:
        text = self._file["data"].attrs.get("env_args", "{}")
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise DatasetError(self.root, "data.env_args", error, "JSON") from error

    def _rate(self) -> float | None:
        return self._environment().get("env_kwargs", {}).get("control_freq")

    def _task(self) -> str:
        return self._environment().get("env_name") or self.root.stem

    def _action_key(self) -> str:
        return _ACTIONS

    def _usual(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
        usual = {
            f"{IMAGES}{key.removesuffix('_image')}": key for key, shape in shapes.items() if is_picture(shape)
        }
        states = [key for key in STATES if key in shapes]
        if states:
            usual["observation.state"] = ",".join(states)
        if OBJECT in shapes:
            usual["observation.environment_state"] = OBJECT
        return usual

    def _read(self, key: str, episode: Episode, start: int, stop: int) -> np.ndarray:
        demo = self._file["data"][self._demos[episode.index]]
        return np.asarray((demo if key == _ACTIONS else demo["obs"])[key][start:stop])


def _number(demo: str) -> int:
    return int(demo.rpartition("_")[2])
