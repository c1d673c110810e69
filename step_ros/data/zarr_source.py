"""Reads diffusion_policy replay buffers: zarr with `data/<array>` over all frames and `meta/episode_ends`."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import zarr
from zarr.storage import LocalStore, ZipStore

from step_ros.data.array_dataset import IMAGES, ArrayDataset
from step_ros.data.errors import DatasetError
from step_ros.data.reader import Episode

STATES = ("state", "agent_pos")
OBJECTS = ("object", "keypoint")


class ZarrDataset(ArrayDataset):
    """A folder `….zarr` or a file `….zarr.zip`.

    Usual arrays: `action`; images (T, H, W, 3) or (T, 3, H, W) as cameras; `state`, `agent_pos` or all
    `robot…` as state; `object` or `keypoint` as environment state. The format knows no frame rate.
    """

    def _open(self) -> dict[str, tuple[int, ...]]:
        try:
            store = (ZipStore if self.root.is_file() else LocalStore)(self.root, read_only=True)
            self._group = zarr.open_group(store, mode="r")
            self._arrays = dict(self._group["data"].arrays())
            self._ends = np.asarray(self._group["meta"]["episode_ends"][:])
        except KeyError as error:
            raise DatasetError(self.root, "groups", f"no {error}", "data and meta/episode_ends") from error
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise DatasetError(self.root, "content", f"{type(error).__name__}: {error}", "zarr") from error
        frames = int(self._ends[-1]) if len(self._ends) else 0
        for key, array in self._arrays.items():
            if array.shape[0] < frames:
                raise DatasetError(
                    self.root, f"data/{key}", f"{array.shape[0]} frames", f"{frames} (episode_ends)"
                )
        if self._action_key() not in self._arrays:
            raise DatasetError(self.root, "data", ", ".join(self._arrays) or "no arrays", "action")
        return {key: array.shape[1:] for key, array in self._arrays.items()}

    def _lengths(self) -> list[int]:
        return np.diff(self._ends, prepend=0).tolist()

    def _rate(self) -> float | None:
        return None

    def _task(self) -> str:
        return Path(self.root.name.removesuffix(".zip")).stem

    def _action_key(self) -> str:
        return "action"

    def _usual(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str]:
        usual = {f"{IMAGES}{key}": key for key, shape in shapes.items() if is_picture(shape)}
        flat = [key for key, shape in shapes.items() if not is_picture(shape) and shape]
        state = [key for key in STATES if key in flat][:1] or sorted(k for k in flat if k.startswith("robot"))
        if state:
            usual["observation.state"] = ",".join(state)
        objects = [key for key in OBJECTS if key in flat]
        if objects:
            usual["observation.environment_state"] = ",".join(objects)
        return usual

    def _read(self, key: str, episode: Episode, start: int, stop: int) -> np.ndarray:
        return np.asarray(self._arrays[key][episode.start + start : episode.start + stop])


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether a frame of this shape is a colour image, colours last or first."""
    return len(shape) == 3 and (shape[-1] == 3 or shape[0] == 3) and sorted(shape)[1] >= 16
