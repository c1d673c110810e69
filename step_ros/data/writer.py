"""Writes episodes as a LeRobotDataset v3.0, one at a time; an interrupt never leaves a broken dataset.

Every file is written beside its place and then moved there; `meta/info.json` comes last. It says how many
episodes there are, so an episode exists from the moment that file is replaced and not before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from step_ros.data import layout
from step_ros.data.errors import DatasetError
from step_ros.data.statistics import Statistics, array_statistics, combine_statistics, image_statistics
from step_ros.data.video import encode_video, video_info

DEFAULT_CRF = 10
_ROW_COLUMNS = ("episode_index", "tasks", "length", "dataset_from_index", "dataset_to_index")
STATISTICS = ("min", "max", "mean", "std", "count")


class DatasetWriter:
    """Creates a dataset at `root`, or opens the one that is there to add to it.

    features: name -> {"dtype": "float32", "shape": (6,), "names": [...]}, or for a camera
        {"dtype": "video", "shape": (height, width, 3)}.
    units: name -> unit ("rad", "m", or one unit per dimension), stored in the feature's `info`.
    crf: quality of the videos, 0 (lossless) to 51.
    Raises `DatasetError` when what is there has another frame rate or other features, or is no dataset.
    """

    def __init__(
        self,
        root: Path | str,
        fps: int,
        features: Mapping[str, Mapping[str, Any]],
        robot_type: str = "so101",
        units: Mapping[str, str | list[str]] | None = None,
        crf: int = DEFAULT_CRF,
    ) -> None:
        self.root = Path(root)
        self._crf = crf
        self._features = layout.check_features({k: dict(v) for k, v in features.items()}, self.root)
        for name, unit in (units or {}).items():
            if name not in self._features:
                raise DatasetError(self.root, f"units.{name}", "no such feature", ", ".join(self._features))
            self._features[name]["info"] = {"unit": unit}
        self._info: dict[str, Any] = {
            "codebase_version": layout.CODEBASE_VERSION,
            "robot_type": robot_type,
            "total_episodes": 0,
            "total_frames": 0,
            "total_tasks": 0,
            "chunks_size": layout.CHUNK_SIZE,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": int(fps),
            "splits": {},
            "data_path": layout.DATA_PATH,
            "video_path": layout.VIDEO_PATH if any(map(layout.is_video, self._features.values())) else None,
            "features": {**self._features, **layout.FRAME_FEATURES},
        }
        self._tasks: list[str] = []
        self._statistics: dict[str, Statistics] = {}
        self._extras: list[str] | None = None
        if (self.root / layout.INFO_PATH).exists():
            self._resume()
        elif self.root.exists() and any(
            e.name not in ("data", "meta", "videos") for e in self.root.iterdir()
        ):
            raise DatasetError(
                self.root, "folder", "other files and no meta/info.json", "an empty folder, or a dataset"
            )

    @property
    def num_episodes(self) -> int:
        return self._info["total_episodes"]

    @property
    def num_frames(self) -> int:
        return self._info["total_frames"]

    def add_episode(
        self,
        frames: Mapping[str, np.ndarray],
        task: str,
        extras: Mapping[str, int | float | str] | None = None,
    ) -> None:
        """Adds one episode: for every feature an array (T, *shape) of its dtype (videos: uint8).

        extras: further columns of the episode's row in `meta/episodes` (the seed, say); the same names in
        every episode. Raises `DatasetError`, and leaves the dataset as it was, on missing or extra features,
        wrong shape, dtype or length, or values that are not finite.
        """
        length = self._check_frames(frames)
        extras = dict(extras or {})
        if self._extras is not None and list(extras) != self._extras:
            raise DatasetError(self.root, "extras", list(extras), self._extras)
        episode, location = self.num_episodes, layout.file_location(self.num_episodes)
        tasks = self._tasks if task in self._tasks else [*self._tasks, task]

        row: dict[str, Any] = {
            "episode_index": episode,
            "tasks": [task],
            "length": length,
            "dataset_from_index": self.num_frames,
            "dataset_to_index": self.num_frames + length,
            **{f"data/{key}": value for key, value in location.items()},
            **{f"meta/episodes/{key}": value for key, value in location.items()},
            **extras,
        }
        columns = self._frame_columns(episode, length, tasks.index(task))
        statistics = {name: array_statistics(values) for name, values in columns.items()}
        for name, feature in self._features.items():
            if layout.is_video(feature):
                self._write_video(name, frames[name], location)
                statistics[name] = image_statistics(frames[name])
                span = {"from_timestamp": 0.0, "to_timestamp": length / self._info["fps"]}
                row |= {f"videos/{name}/{key}": value for key, value in (location | span).items()}
            else:
                columns[name] = frames[name]
                statistics[name] = array_statistics(frames[name])
        row |= {
            f"stats/{name}/{key}": s[key].tolist() for name, s in statistics.items() for key in STATISTICS
        }

        combined = {
            name: combine_statistics([self._statistics[name], s] if name in self._statistics else [s])
            for name, s in statistics.items()
        }
        info = self._info | {
            "total_episodes": episode + 1,
            "total_frames": self.num_frames + length,
            "total_tasks": len(tasks),
            "splits": {"train": f"0:{episode + 1}"},
        }
        stored = {name: {key: value.tolist() for key, value in s.items()} for name, s in combined.items()}
        self._write_table(layout.DATA_PATH.format(**location), _frame_table(columns))
        self._write_table(layout.EPISODES_PATH.format(**location), pa.Table.from_pylist([row]))
        self._write_table(layout.TASKS_PATH, _task_table(tasks))
        self._write_json(layout.STATS_PATH, stored)
        self._write_json(layout.INFO_PATH, info)
        self._info, self._tasks, self._statistics, self._extras = info, tasks, combined, list(extras)

    def _check_frames(self, frames: Mapping[str, np.ndarray]) -> int:
        if set(frames) != set(self._features):
            raise DatasetError(self.root, "episode", sorted(frames), sorted(self._features))
        lengths = {name: len(values) for name, values in frames.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise DatasetError(self.root, "episode length", lengths, "one length above 0 for all features")
        for name, feature in self._features.items():
            values = frames[name]
            dtype = "uint8" if layout.is_video(feature) else feature["dtype"]
            if values.dtype != dtype:
                raise DatasetError(self.root, f"episode.{name} dtype", values.dtype, dtype)
            if list(values.shape[1:]) != feature["shape"]:
                raise DatasetError(
                    self.root, f"episode.{name} shape", values.shape, f"(T, *{feature['shape']})"
                )
            if not np.isfinite(values).all():
                raise DatasetError(self.root, f"episode.{name}", "NaN or infinity", "finite values")
        return next(iter(lengths.values()))

    def _frame_columns(self, episode: int, length: int, task_index: int) -> dict[str, np.ndarray]:
        frame = np.arange(length, dtype=np.int64)
        return {
            "timestamp": (frame / self._info["fps"]).astype(np.float32),
            "frame_index": frame,
            "episode_index": np.full(length, episode, np.int64),
            "index": frame + self.num_frames,
            "task_index": np.full(length, task_index, np.int64),
        }

    def _write_video(self, name: str, frames: np.ndarray, location: Mapping[str, int]) -> None:
        path = self.root / layout.VIDEO_PATH.format(video_key=name, **location)
        _replace(path, lambda beside: encode_video(beside, frames, self._info["fps"], self._crf))
        feature = self._info["features"][name]
        if "video.codec" not in feature.get("info", {}):
            feature["info"] = {**feature.get("info", {}), **video_info(path, self._crf)}

    def _write_table(self, relative: str, table: pa.Table) -> None:
        _replace(self.root / relative, lambda beside: pq.write_table(table, beside))

    def _write_json(self, relative: str, content: Mapping[str, Any]) -> None:
        _replace(self.root / relative, lambda beside: beside.write_text(json.dumps(content, indent=4) + "\n"))

    def _resume(self) -> None:
        """Takes over counters, tasks and statistics of the dataset at `root` after checking that it fits."""
        path = self.root / layout.INFO_PATH
        info = json.loads(path.read_text())
        for field in ("codebase_version", "fps", "robot_type"):
            if info.get(field) != self._info[field]:
                raise DatasetError(path, field, info.get(field), self._info[field])
        found = {name: (f["dtype"], list(f["shape"])) for name, f in info["features"].items()}
        wanted = {name: (f["dtype"], list(f["shape"])) for name, f in self._info["features"].items()}
        if found != wanted:
            raise DatasetError(path, "features", found, wanted)
        tasks = pq.read_table(self.root / layout.TASKS_PATH).to_pylist()
        rows = [
            pq.read_table(
                self.root / layout.EPISODES_PATH.format(**layout.file_location(episode))
            ).to_pylist()[0]
            for episode in range(info["total_episodes"])
        ]
        self._info = info
        self._tasks = [row["task"] for row in sorted(tasks, key=lambda row: row["task_index"])][
            : info["total_tasks"]
        ]
        if rows:
            self._statistics = {
                name: combine_statistics([_row_statistics(r, name) for r in rows]) for name in found
            }
            self._extras = [name for name in rows[0] if name not in _ROW_COLUMNS and "/" not in name]


def _row_statistics(row: Mapping[str, Any], feature: str) -> Statistics:
    return {key: np.array(row[f"stats/{feature}/{key}"]) for key in STATISTICS}


def _frame_table(columns: Mapping[str, np.ndarray]) -> pa.Table:
    """Vectors become fixed-size lists, as the format's readers expect."""

    def column(values: np.ndarray) -> pa.Array:
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        flat = pa.array(np.ascontiguousarray(values).reshape(-1))
        return flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])

    return pa.table({name: column(values) for name, values in columns.items()})


def _task_table(tasks: list[str]) -> pa.Table:
    """LeRobot reads this file with pandas and looks tasks up in its index, so the index is declared here."""
    table = pa.table({"task_index": np.arange(len(tasks)), "task": tasks})
    columns = [
        {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"},
        {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object"},
    ]
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [c | {"metadata": None} for c in columns],
    }
    return table.replace_schema_metadata(
        {"pandas": json.dumps(pandas | {"creator": {}, "pandas_version": "2.0.0"})}
    )


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    write(beside)
    beside.replace(path)
