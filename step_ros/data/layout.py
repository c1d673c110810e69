"""Where things lie in a LeRobotDataset v3.0 folder, and what a feature description looks like.

The format allows many episodes per file. Here every episode has its own parquet and video files, numbered
like the episode: nothing on disk is ever rewritten but the small `meta/*.json` and `meta/tasks.parquet`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from step_ros.data.errors import DatasetError

CODEBASE_VERSION = "v3.0"
READABLE_VERSIONS = ("v3.0", "v2.1", "v2.0")
CHUNK_SIZE = 1000  # files per chunk folder

INFO_PATH = "meta/info.json"
STATS_PATH = "meta/stats.json"
EPISODES_V2 = "meta/episodes.jsonl"
EPISODES_STATS_V2 = "meta/episodes_stats.jsonl"
TASKS_PATH = "meta/tasks.parquet"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"

FRAME_FEATURES: dict[str, dict[str, Any]] = {
    "timestamp": {"dtype": "float32", "shape": [1], "names": None, "info": {"unit": "s"}},
    "frame_index": {"dtype": "int64", "shape": [1], "names": None},
    "episode_index": {"dtype": "int64", "shape": [1], "names": None},
    "index": {"dtype": "int64", "shape": [1], "names": None},
    "task_index": {"dtype": "int64", "shape": [1], "names": None},
}
"""Columns that every dataset has; filled by the writer, never by its caller."""

ARRAY_DTYPES = ("float32", "float64", "int32", "int64", "bool")


def file_location(episode: int) -> dict[str, int]:
    """Chunk and file number of an episode's own files."""
    chunk, file = divmod(episode, CHUNK_SIZE)
    return {"chunk_index": chunk, "file_index": file}


def is_video(feature: dict[str, Any]) -> bool:
    return feature["dtype"] == "video"


def is_camera(feature: dict[str, Any]) -> bool:
    """Whether a feature holds images, as a video or one by one."""
    return feature["dtype"] in ("video", "image")


def image_shape(feature: dict[str, Any]) -> tuple[int, int, int]:
    """(height, width, 3) of a camera feature; some datasets name the colours first."""
    shape, names = list(feature["shape"]), feature.get("names")
    first = names[0] in ("channel", "channels") if names else shape[0] == 3 and shape[-1] != 3
    height, width = shape[1:] if first else shape[:2]
    return height, width, 3


def dimension_names(feature: dict[str, Any]) -> list[str]:
    """What a vector feature's dimensions are called, `action_0` and so on where it does not say.

    LeRobot's `shoulder_pan.pos` is `shoulder_pan` here; its older datasets have `{"motors": [...]}` and names
    such as `main_shoulder_pan`.
    """
    names = feature.get("names")
    if isinstance(names, dict):
        names = [name for group in names.values() for name in group]
    size = feature["shape"][0]
    if not names or len(names) != size:
        return [f"action_{index}" for index in range(size)]
    return [name.removesuffix(".pos").removeprefix("main_") for name in names]


def check_features(features: dict[str, dict[str, Any]], file: Path | str) -> dict[str, dict[str, Any]]:
    """Feature descriptions in the form stored on disk (shape as list, `names` always there).

    Raises `DatasetError` on a reserved name, an unknown dtype or a shape that cannot be stored: vectors for
    arrays, (height, width, 3) for videos.
    """
    checked = {}
    for name, feature in features.items():
        if name in FRAME_FEATURES:
            raise DatasetError(
                file, f"features.{name}", "a reserved name", "any name but " + ", ".join(FRAME_FEATURES)
            )
        dtype, shape = feature.get("dtype"), list(feature.get("shape", ()))
        if dtype not in (*ARRAY_DTYPES, "video"):
            raise DatasetError(file, f"features.{name}.dtype", dtype, ", ".join((*ARRAY_DTYPES, "video")))
        fits = len(shape) == 3 and shape[2] == 3 if dtype == "video" else len(shape) == 1
        if not fits or not all(isinstance(size, int | np.integer) and size > 0 for size in shape):
            raise DatasetError(
                file, f"features.{name}.shape", shape, "[n], or [height, width, 3] for a video"
            )
        checked[name] = {"names": None, **feature, "shape": [int(size) for size in shape]}
    return checked
