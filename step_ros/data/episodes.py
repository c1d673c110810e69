"""Which episodes a LeRobotDataset has and where their frames lie, in layouts v3.0 and v2.x.

v3.0 keeps many episodes in one file and says in `meta/episodes/*.parquet` which part is whose; v2.x has files
per episode and lines in `meta/*.jsonl`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from step_ros.data import layout
from step_ros.data.errors import DatasetError
from step_ros.data.statistics import combine_statistics

STATISTICS = ("min", "max", "mean", "std", "count")


@dataclass(frozen=True)
class Episode:
    """Frames [start, stop) of the dataset's arrays, and what the dataset says of the episode."""

    index: int
    start: int
    stop: int
    row: dict[str, Any] = field(repr=False)

    @property
    def length(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Files:
    """Where one episode lies: its parquet file, and per camera a video and the time [s] it begins there."""

    data: Path
    videos: dict[str, tuple[Path, float]]


def read_table(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Columns of a parquet file, those that are there; all by default.

    Raises:
        DatasetError: the file is missing or damaged.
    """
    try:
        file = pq.ParquetFile(path)
        names = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
        return file.read(names)
    except FileNotFoundError as error:
        raise DatasetError(path, "file", "nothing", "a parquet file") from error
    except pa.ArrowInvalid as error:
        raise DatasetError(path, "content", error, "a readable parquet file") from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        DatasetError: the file is missing, or holds something else.
    """
    return _object(path, _text(path))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """A JSON object per line; errors as for `read_json`."""
    return [_object(path, line) for line in _text(path).splitlines() if line.strip()]


def episodes_of(root: Path, info: Mapping[str, Any], cameras: list[str]) -> list[tuple[Episode, Files]]:
    """The dataset's episodes in order; `cameras` are the video features.

    Rows behind `total_episodes` are of an episode that was never completed.

    Raises:
        DatasetError: episodes are missing, or do not lie one after the other.
    """
    read = _rows_v3 if info["codebase_version"] == layout.CODEBASE_VERSION else _rows_v2
    try:
        where, rows = read(root, info, cameras)
    except KeyError as error:  # a feature or a format field that the episodes know nothing of
        raise DatasetError(
            root / "meta", "episodes", f"no {error.args[0]}", "all that info.json names"
        ) from error
    rows = sorted(rows, key=lambda row: row[0].index)[: info["total_episodes"]]
    if len(rows) != info["total_episodes"] or not rows:
        raise DatasetError(where, "episodes", len(rows), f"{info['total_episodes']}, and at least 1")
    end = 0
    for episode, _ in rows:
        if episode.start != end or episode.length != episode.row["length"]:
            found = f"frames {episode.start} to {episode.stop}, length {episode.row['length']}"
            raise DatasetError(where, f"episode {episode.index}", found, f"frames from {end} on")
        end = episode.stop
    if end != info["total_frames"]:
        raise DatasetError(where, "frames", end, f"total_frames ({info['total_frames']})")
    return rows


def statistics_of(root: Path) -> dict[str, dict[str, list]]:
    """Feature -> {"min", "max", "mean", "std", "count"} -> nested lists, of the whole dataset.

    Raises:
        DatasetError: there are none, neither of the dataset nor of its episodes.
    """
    path = root / layout.EPISODES_STATS_V2
    if not path.exists():
        return read_json(root / layout.STATS_PATH)
    rows = [row["stats"] for row in read_lines(path)]
    if not rows:
        raise DatasetError(path, "statistics", "nothing", "a line per episode")
    names = [name for name in rows[0] if all(set(STATISTICS) <= set(row.get(name, ())) for row in rows)]
    parts = {name: [{k: np.array(row[name][k]) for k in STATISTICS} for row in rows] for name in names}
    combined = {name: combine_statistics(part) for name, part in parts.items()}
    return {name: {key: value.tolist() for key, value in s.items()} for name, s in combined.items()}


def _rows_v3(
    root: Path, info: Mapping[str, Any], cameras: list[str]
) -> tuple[Path, list[tuple[Episode, Files]]]:
    folder, found = root / "meta/episodes", []
    for path in sorted(folder.glob("*/*.parquet")):
        for row in read_table(path).to_pylist():
            episode = Episode(row["episode_index"], row["dataset_from_index"], row["dataset_to_index"], row)
            data = root / info["data_path"].format(**_location(row, "data"))
            videos = {
                name: (
                    root / info["video_path"].format(video_key=name, **_location(row, f"videos/{name}")),
                    float(row[f"videos/{name}/from_timestamp"]),
                )
                for name in cameras
            }
            found.append((episode, Files(data, videos)))
    return folder, found


def _location(row: Mapping[str, Any], prefix: str) -> dict[str, int]:
    return {key: row[f"{prefix}/{key}"] for key in ("chunk_index", "file_index")}


def _rows_v2(
    root: Path, info: Mapping[str, Any], cameras: list[str]
) -> tuple[Path, list[tuple[Episode, Files]]]:
    path, found, start = root / layout.EPISODES_V2, [], 0
    for row in sorted(read_lines(path), key=lambda row: row["episode_index"]):
        index = row["episode_index"]
        place = {"episode_chunk": index // info["chunks_size"], "episode_index": index}
        videos = {name: (root / info["video_path"].format(video_key=name, **place), 0.0) for name in cameras}
        episode = Episode(index, start, start + row["length"], row)
        found.append((episode, Files(root / info["data_path"].format(**place), videos)))
        start = episode.stop
    return path, found


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError as error:
        raise DatasetError(path, "file", "nothing", "a file of a LeRobotDataset") from error


def _object(path: Path, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DatasetError(path, "content", error, "JSON") from error
    if not isinstance(content, dict):
        raise DatasetError(path, "content", type(content).__name__, "a JSON object")
    return content
