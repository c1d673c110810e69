"""`step-ros lerobot2bag`: episodes of a dataset as a bag that can be played, replayed and turned back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.progress import track

from step_ros.data.bag_topics import ACTIONS
from step_ros.data.bag_writer import BagWriter, joint_state, mark, picture
from step_ros.data.episode_marks import BEGIN, END
from step_ros.data.errors import DatasetError
from step_ros.data.reader import Dataset, Episode
from step_ros.data.recorded import EPISODES, JOINT_STATES

IMAGES, STATE, ACTION = "observation.images.", "observation.state", "action"
STAMP = "stamp"
"""Column of header stamps in ns: of the row; `stamp.<camera>` of each camera's frame."""
PAUSE_NS = 2 * 10**9
"""Between two episodes whose dataset has no stamps: more than a window bridges."""
START_NS = 10**9
LARGEST_ANGLE = 2 * np.pi


def lerobot2bag(dataset: Path, out: Path, episodes: list[int] | None = None, storage: str = "mcap") -> int:
    """Write episodes of a dataset in radians as a bag.

    Joint states go to `/joint_states`, actions as joint states to `/action`, images to
    `/<camera>/image_raw`, and each episode is marked on `/step/episode`. Rows get the stamps that
    `bag2lerobot` kept, or where there are none a second for the first row and then 1/fps each.

    Returns:
        Number of rows written.

    Raises:
        DatasetError: no such episode, no joint positions or actions, or values that are no radians.
        BagError: `out` exists already.
    """
    source = Dataset(dataset)
    chosen = list(range(len(source.episodes))) if episodes is None else episodes
    for index in chosen:
        if not 0 <= index < len(source.episodes):
            raise DatasetError(source.root, "episodes", index, f"0 to {len(source.episodes) - 1}")
    names = {feature: _joint_names(source, feature) for feature in (STATE, ACTION)}
    rows = 0
    with BagWriter(out, storage) as bag:
        for episode in track([source.episodes[index] for index in chosen], "episodes"):
            stamps = dict(_stamps(source, episode, chosen.index(episode.index)))
            values = {
                "task": episode.row["tasks"][0],
                "episode_index": episode.index,
                "fps": source.fps,
                "dataset": source.root.name,
            }
            bag.write(EPISODES, mark(int(stamps[STAMP][0]), BEGIN, values))
            for k, row in enumerate(range(episode.start, episode.stop)):
                stamp = int(stamps[STAMP][k])
                bag.write(JOINT_STATES, joint_state(stamp, names[STATE], source.columns[STATE][row]))
                bag.write(ACTIONS, joint_state(stamp, names[ACTION], source.columns[ACTION][row]))
                for camera in source.cameras:
                    name = camera.removeprefix(IMAGES)
                    frame = picture(int(stamps[f"{STAMP}.{name}"][k]), source.images(camera)[row])
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
        name = f"{STAMP}.{camera.removeprefix(IMAGES)}"
        yield name, source.columns[name][rows].reshape(-1) if name in source.columns else own


def _joint_names(source: Dataset, feature: str) -> list[str]:
    """Names of the joints; raises DatasetError when the feature is missing or not in radians."""
    if feature not in source.features:
        raise DatasetError(source.root, "features", f"no {feature}", ", ".join(source.features))
    description = source.features[feature]
    unit = (description.get("info") or {}).get("unit")
    units = {unit} if isinstance(unit, str) else set(unit or ())
    largest = float(np.abs(source.columns[feature]).max())
    if units - {"rad"} or (not units and largest > LARGEST_ANGLE):
        found = ", ".join(sorted(units)) or f"values up to {largest:.4g}"
        raise DatasetError(source.root, f"{feature} unit", found, "rad")
    names = description.get("names") or []
    if len(names) != description["shape"][0]:
        raise DatasetError(source.root, f"{feature} names", names, f"{description['shape'][0]} joints")
    return [name.removesuffix(".pos") for name in names]
