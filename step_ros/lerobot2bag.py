"""`step-ros lerobot2bag`: episodes of a dataset as a bag that can be played, replayed and turned back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from rich.progress import track

from step_ros.control.units import MODES
from step_ros.data.bag_topics import ACTIONS
from step_ros.data.bag_writer import BagWriter, joint_state, mark, picture
from step_ros.data.episode_marks import BEGIN, END
from step_ros.data.errors import DatasetError
from step_ros.data.layout import dimension_names
from step_ros.data.reader import Dataset, Episode
from step_ros.data.recorded import EPISODES, JOINT_STATES
from step_ros.dataset_units import NATIVE, RADIAN, dataset_units, declared_units
from step_ros.policy.errors import ConfigError

IMAGES, STATE, ACTION = "observation.images.", "observation.state", "action"
STAMP = "stamp"
"""Column of header stamps in ns: of the row; `stamp.<camera>` of each camera's frame."""
PAUSE_NS = 2 * 10**9
"""Between two episodes whose dataset has no stamps: more than a window bridges."""
START_NS = 10**9
LARGEST_ANGLE = 2 * np.pi


def lerobot2bag(
    dataset: Path,
    out: Path,
    episodes: list[int] | None = None,
    storage: str = "mcap",
    units: str | None = None,
    calibration: Path | None = None,
) -> int:
    """Write episodes of a LeRobotDataset (v2.x, v3.0) as a bag, in radians.

    Joint states go to `/joint_states`, actions as joint states to `/action`, images to
    `/<camera>/image_raw`, and each episode is marked on `/step/episode`. Rows get the stamps that
    `bag2lerobot` kept, or where there are none a second for the first row and then 1/fps each. Images are
    decoded as they are written, and only those of the chosen episodes.

    Args:
        units: of the dataset's joints, one of `control.units.MODES`; by default they must be radians.
        calibration: LeRobot's calibration file of the arm; `range_m100_100` needs it.

    Returns:
        Number of rows written.

    Raises:
        DatasetError: no such episode, no joint positions or actions, or values that are no radians.
        ConfigError, ControlError: units that do not exist, or that the values cannot be in.
        BagError: `out` exists already.
    """
    source = Dataset(dataset)
    chosen = list(range(len(source.episodes))) if episodes is None else episodes
    for index in chosen:
        if not 0 <= index < len(source.episodes):
            raise DatasetError(source.root, "episodes", index, f"0 to {len(source.episodes) - 1}")
    names = {feature: _joint_names(source, feature) for feature in (STATE, ACTION)}
    radians = _radians(source, units, calibration)
    rows = 0
    with BagWriter(out, storage) as bag:
        for episode in track([source.episodes[index] for index in chosen], "episodes"):
            stamps = dict(_stamps(source, episode, chosen.index(episode.index)))
            pictures = {c: chain.from_iterable(source.frames(c, episode)) for c in source.cameras}
            values = {
                "task": next(iter(episode.row["tasks"]), ""),
                "episode_index": episode.index,
                "fps": source.fps,
                "dataset": source.root.name,
            }
            bag.write(EPISODES, mark(int(stamps[STAMP][0]), BEGIN, values))
            for k, row in enumerate(range(episode.start, episode.stop)):
                stamp = int(stamps[STAMP][k])
                bag.write(JOINT_STATES, joint_state(stamp, names[STATE], radians[STATE][row]))
                bag.write(ACTIONS, joint_state(stamp, names[ACTION], radians[ACTION][row]))
                for camera, frames in pictures.items():
                    name = _camera(camera)
                    frame = picture(int(stamps[f"{STAMP}.{name}"][k]), next(frames))
                    bag.write(f"/{name}/image_raw", frame)
            bag.write(EPISODES, mark(int(stamps[STAMP][-1]) + 1, END, values))
            rows += episode.length
    return rows


def _stamps(source: Dataset, episode: Episode, position: int) -> Iterator[tuple[str, np.ndarray]]:
    """Stamps [ns] per row, of the row and of each camera."""
    rows = slice(episode.start, episode.stop)
    if STAMP in source.columns:
        own = source.columns[STAMP][rows].reshape(-1)
    else:
        first = START_NS + position * PAUSE_NS + round(episode.start * 1e9 / source.fps)
        own = first + np.round(np.arange(episode.length) * 1e9 / source.fps).astype(np.int64)
    yield STAMP, own
    for camera in source.cameras:
        name = f"{STAMP}.{_camera(camera)}"
        yield name, source.columns[name][rows].reshape(-1) if name in source.columns else own


def _camera(feature: str) -> str:
    """Name of a camera's topic; LeRobot's older datasets call a single one `observation.image`."""
    return feature.removeprefix(IMAGES).removeprefix("observation.")


def _joint_names(source: Dataset, feature: str) -> list[str]:
    """Names of the joints; raises DatasetError when the feature or its names are missing."""
    if feature not in source.features:
        raise DatasetError(source.root, "features", f"no {feature}", ", ".join(source.features))
    description = source.features[feature]
    if not description.get("names"):
        raise DatasetError(source.root, f"{feature} names", "none", f"{description['shape'][0]} joints")
    return dimension_names(description)


def _radians(source: Dataset, mode: str | None, calibration: Path | None) -> dict[str, np.ndarray]:
    """State and action (N, J) of all frames; errors as for `lerobot2bag`."""
    columns = {feature: source.columns[feature] for feature in (STATE, ACTION)}
    if mode == NATIVE:
        raise ConfigError("units", mode, f"one of {', '.join(MODES)}: a bag is in radians")
    if mode is not None:
        units = dataset_units(source, mode, calibration)
        return {feature: units.to_radians(values) for feature, values in columns.items()}
    for feature, values in columns.items():
        declared, largest = declared_units(source, feature), float(np.abs(values).max())
        if declared - {RADIAN} or (not declared and largest > LARGEST_ANGLE):
            found = ", ".join(sorted(declared)) or f"values up to {largest:.4g}"
            raise DatasetError(source.root, f"{feature} unit", found, "rad, or --units")
    return columns
