"""Reads a LeRobotDataset v3.0 folder: the columns as arrays, the camera images as one array per camera."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from step_ros.data import layout
from step_ros.data.errors import DatasetError
from step_ros.data.video import decode_video

CACHE_FOLDER = ".cache"


@dataclass(frozen=True)
class Episode:
    """Frames [start, stop) of the dataset's arrays, and the episode's row of `meta/episodes`."""

    index: int
    start: int
    stop: int
    row: dict[str, Any] = field(repr=False)

    @property
    def length(self) -> int:
        return self.stop - self.start


class Dataset:
    """A dataset opened for reading; raises `DatasetError` on whatever does not fit together.

    info: `meta/info.json`. stats: feature -> {"min", "max", "mean", "std", "count"} -> nested lists.
    columns: feature -> array (N, *shape) over all N frames, (N,) for the format's own; without cameras.
    """

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.info = self._read_json(layout.INFO_PATH)
        if self.info.get("codebase_version") != layout.CODEBASE_VERSION:
            found = self.info.get("codebase_version")
            raise DatasetError(
                self.root / layout.INFO_PATH, "codebase_version", found, layout.CODEBASE_VERSION
            )
        for name in ("fps", "features", "total_episodes", "total_frames", "data_path"):
            if name not in self.info:
                raise DatasetError(self.root / layout.INFO_PATH, name, "nothing", "a value")
        self.fps: int = self.info["fps"]
        self.features: dict[str, dict[str, Any]] = self.info["features"]
        self.stats: dict[str, dict[str, list]] = self._read_json(layout.STATS_PATH)
        self.episodes = self._read_episodes()
        self.columns = self._read_columns()

    @property
    def num_frames(self) -> int:
        return self.info["total_frames"]

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the video features, `observation.images.<camera>`."""
        return tuple(name for name, feature in self.features.items() if layout.is_video(feature))

    def images(self, camera: str) -> np.ndarray:
        """All frames of a video feature, (N, H, W, 3) uint8, as a read-only memory map.

        The first call decodes the videos into `.cache/<feature>.npy` inside the dataset's folder.
        """
        if camera not in self.cameras:
            raise DatasetError(
                self.root / layout.INFO_PATH, camera, "no such camera", ", ".join(self.cameras)
            )
        shape = (self.num_frames, *self.features[camera]["shape"])
        path = self.root / CACHE_FOLDER / f"{camera}.npy"
        if not path.exists() or np.load(path, mmap_mode="r").shape != shape:
            self._decode(camera, shape, path)
        return np.load(path, mmap_mode="r")

    def _decode(self, camera: str, shape: tuple[int, ...], path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        beside = path.with_name(path.name + ".part")
        images = np.lib.format.open_memmap(beside, mode="w+", dtype=np.uint8, shape=shape)
        for episode in self.episodes:
            location = {k: episode.row[f"videos/{camera}/{k}"] for k in ("chunk_index", "file_index")}
            video = self.root / self.info["video_path"].format(video_key=camera, **location)
            frames = decode_video(video, episode.row[f"videos/{camera}/from_timestamp"], episode.length)
            if frames.shape[1:] != shape[1:]:
                raise DatasetError(video, "image shape", frames.shape[1:], shape[1:])
            images[episode.start : episode.stop] = frames
        images.flush()
        beside.replace(path)

    def _read_json(self, relative: str) -> dict[str, Any]:
        path = self.root / relative
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise DatasetError(path, "file", "nothing", "a LeRobotDataset v3.0 file") from error
        except json.JSONDecodeError as error:
            raise DatasetError(path, "content", error, "JSON") from error
        if not isinstance(content, dict):
            raise DatasetError(path, "content", type(content).__name__, "a JSON object")
        return content

    def _read_episodes(self) -> tuple[Episode, ...]:
        """The first `total_episodes` rows; what lies behind them is of an episode never completed."""
        folder = self.root / "meta/episodes"
        tables = [_read_table(path) for path in sorted(folder.glob("*/*.parquet"))]
        rows = [row for table in tables for row in table.to_pylist()]
        rows = sorted(rows, key=lambda row: row["episode_index"])[: self.info["total_episodes"]]
        if len(rows) != self.info["total_episodes"] or not rows:
            raise DatasetError(
                folder, "episodes", len(rows), f"{self.info['total_episodes']}, and at least 1"
            )
        episodes = tuple(
            Episode(row["episode_index"], row["dataset_from_index"], row["dataset_to_index"], row)
            for row in rows
        )
        ends = [0, *(episode.stop for episode in episodes)]
        for episode, start in zip(episodes, ends, strict=False):
            if episode.start != start or episode.length != episode.row["length"]:
                found = f"frames {episode.start} to {episode.stop}, length {episode.row['length']}"
                raise DatasetError(folder, f"episode {episode.index}", found, f"frames from {start} on")
        if ends[-1] != self.num_frames:
            raise DatasetError(folder, "frames", ends[-1], f"total_frames ({self.num_frames})")
        return episodes

    def _read_columns(self) -> dict[str, np.ndarray]:
        locations = [
            {k: episode.row[f"data/{k}"] for k in ("chunk_index", "file_index")} for episode in self.episodes
        ]
        paths = dict.fromkeys(self.root / self.info["data_path"].format(**location) for location in locations)
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
        table = _read_table(path)
        columns = {}
        for name, feature in self.features.items():
            if layout.is_video(feature):
                continue
            if name not in table.column_names:
                raise DatasetError(path, name, "no such column", ", ".join(table.column_names))
            shape = () if name in layout.FRAME_FEATURES else tuple(feature["shape"])
            values = table[name].combine_chunks()
            values = values.flatten() if pa.types.is_nested(values.type) else values
            flat = np.asarray(values).astype(feature["dtype"], copy=False)
            if flat.size != len(table) * int(np.prod(shape)):
                raise DatasetError(path, f"{name} shape", f"{flat.size} values in {len(table)} rows", shape)
            if not np.isfinite(flat).all():
                raise DatasetError(path, name, "NaN or infinity", "finite values")
            columns[name] = flat.reshape(len(table), *shape)
        return columns


def _read_table(path: Path) -> pa.Table:
    try:
        return pq.ParquetFile(path).read()
    except FileNotFoundError as error:
        raise DatasetError(path, "file", "nothing", "a parquet file") from error
    except pa.ArrowInvalid as error:
        raise DatasetError(path, "content", error, "a readable parquet file") from error
