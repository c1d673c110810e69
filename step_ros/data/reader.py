"""Reads a LeRobotDataset, v3.0 or v2.x: the columns as arrays, camera images as a stream or a memory map."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from step_ros.data import layout
from step_ros.data.episodes import Episode, episodes_of, read_json, read_table, statistics_of
from step_ros.data.errors import DatasetError
from step_ros.data.pictures import scaled, store_images, stored_pictures
from step_ros.data.video import iterate_video

__all__ = ["CACHE_FOLDER", "Dataset", "Episode"]

CACHE_FOLDER = ".cache"
BLOCK = 64
"""Frames that are in memory at once while videos are decoded."""


class Dataset:
    """A dataset opened for reading; raises `DatasetError` on whatever does not fit together.

    info: `meta/info.json`. columns: feature -> array (N, *shape) over all N frames, (N,) for the format's
    own; without cameras, and without texts.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.info = read_json(self.root / layout.INFO_PATH)
        if self.info.get("codebase_version") not in layout.READABLE_VERSIONS:
            found, accepted = self.info.get("codebase_version"), ", ".join(layout.READABLE_VERSIONS)
            raise DatasetError(self.root / layout.INFO_PATH, "codebase_version", found, accepted)
        for name in ("fps", "features", "total_episodes", "total_frames", "data_path"):
            if self.info.get(name) is None:
                raise DatasetError(self.root / layout.INFO_PATH, name, "nothing", "a value")
        self.fps: float = self.info["fps"]
        self.features: dict[str, dict[str, Any]] = self.info["features"]
        videos = [name for name, feature in self.features.items() if layout.is_video(feature)]
        found = episodes_of(self.root, self.info, videos)
        self.episodes = tuple(episode for episode, _ in found)
        self._files = {episode.index: files for episode, files in found}
        self.columns = self._read_columns()

    @cached_property
    def stats(self) -> dict[str, dict[str, list]]:
        """Feature -> {"min", "max", "mean", "std", "count"} -> nested lists."""
        return statistics_of(self.root)

    @property
    def num_frames(self) -> int:
        return self.info["total_frames"]

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the features that hold images."""
        return tuple(name for name, feature in self.features.items() if layout.is_camera(feature))

    def frames(
        self, camera: str, episode: Episode, size: tuple[int, int] | None = None
    ) -> Iterator[np.ndarray]:
        """An episode's images in blocks (n, H, W, 3) uint8, decoded as they are asked for.

        size: (height, width) to reduce them to; by default as they are stored.
        """
        stored = self._stored_size(camera)
        files = self._files[episode.index]
        if layout.is_video(self.features[camera]):
            source, start = files.videos[camera]
            pictures = iterate_video(source, start, episode.length)
        else:
            source = files.data
            first = min(e.start for e in self.episodes if self._files[e.index].data == source)
            pictures = stored_pictures(source, camera, episode.start - first, episode.length)
        block = []
        for picture in scaled(pictures, stored, size or stored, source):
            block.append(picture)
            if len(block) == BLOCK:
                yield np.stack(block)
                block = []
        if block:
            yield np.stack(block)

    def images(self, camera: str, size: tuple[int, int] | None = None) -> np.ndarray:
        """All images of a camera, (N, H, W, 3) uint8, as a read-only memory map.

        The first call for a size decodes them into the dataset's folder `.cache`. `size` as for `frames`.
        """
        height, width = size or self._stored_size(camera)
        shape = (self.num_frames, height, width, 3)
        path = self.root / CACHE_FOLDER / f"{camera}-{height}x{width}.npy"
        if not path.exists() or np.load(path, mmap_mode="r").shape != shape:
            self._decode(camera, shape, path)
        return np.load(path, mmap_mode="r")

    def _stored_size(self, camera: str) -> tuple[int, int]:
        if camera not in self.cameras:
            where, known = self.root / layout.INFO_PATH, ", ".join(self.cameras)
            raise DatasetError(where, camera, "no such camera", known or "none: there are no cameras")
        return layout.image_shape(self.features[camera])[:2]

    def _decode(self, camera: str, shape: tuple[int, ...], path: Path) -> None:
        blocks = ((episode.start, self.frames(camera, episode, shape[1:3])) for episode in self.episodes)
        store_images(path, shape, blocks)

    def _read_columns(self) -> dict[str, np.ndarray]:
        paths = dict.fromkeys(self._files[episode.index].data for episode in self.episodes)
        parts = [self._read_file(path) for path in paths]
        columns = {
            name: np.concatenate([part[name] for part in parts])[: self.num_frames] for name in parts[0]
        }
        if not np.array_equal(columns["index"], np.arange(self.num_frames)):
            raise DatasetError(
                self.root / "data", "index", "gaps or another order", f"0 to {self.num_frames - 1}"
            )
        return columns

    def _read_file(self, path: Path) -> dict[str, np.ndarray]:
        wanted = {n: f for n, f in self.features.items() if f["dtype"] in layout.ARRAY_DTYPES}
        table = read_table(path, list(wanted))
        columns = {}
        for name, feature in wanted.items():
            if name not in table.column_names:
                raise DatasetError(path, name, "no such column", ", ".join(table.column_names))
            shape = () if name in layout.FRAME_FEATURES else tuple(feature["shape"])
            values = table[name].combine_chunks()
            while pa.types.is_nested(values.type):
                values = values.flatten()
            flat = np.asarray(values).astype(feature["dtype"], copy=False)
            if flat.size != len(table) * int(np.prod(shape)):
                raise DatasetError(path, f"{name} shape", f"{flat.size} values in {len(table)} rows", shape)
            if not np.isfinite(flat).all():
                raise DatasetError(path, name, "NaN or infinity", "finite values")
            columns[name] = flat.reshape(len(table), *shape)
        return columns
