"""`step-ros bag2lerobot`: the episodes of a bag as a LeRobotDataset, on the grid of its frame rate.

A row is a frame of the first camera, the first one that is not too early for its place on the grid; the other
cameras give their nearest frames, the joints are interpolated to the row's stamp, and the action is what the
arm was told to do next. The header stamps stay as columns: `stamp` of the row and `stamp.<camera>` of each
picture, in ns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from step_ros.control.joints import JOINT_NAMES
from step_ros.data.bag_errors import BagError, MissingTopicError
from step_ros.data.bag_topics import COMPRESSED, RAW, TopicChoice, find_topics
from step_ros.data.bags import Bag
from step_ros.data.writer import DEFAULT_CRF, DatasetWriter
from step_ros.evaluation.replay.cycles import Cut, Cycle, CycleReader
from step_ros.lerobot2bag import ACTION, IMAGES, STAMP, STATE
from step_ros.policy.cadence import Cadence

FEWEST_ROWS = 2
EARLY = 0.25
"""Of a tick: a frame may come so much before its place on the grid."""


class Grid(Cadence):
    """Rows on a regular grid that begins with an episode's first row."""

    def reset(self) -> None:
        """The next row begins a grid."""
        self._first: float | None = None
        self._row = 0

    def due(self, action_steps: int) -> float:
        """From when on a frame [s] can be the next row."""
        return -np.inf if self._first is None else self._first + (self._row - EARLY) / self._fps

    def begin(self, stamp: float, action_steps: int) -> int:
        """Note a row at `stamp` [s]; returns how many rows of the grid were left out before it."""
        if self._first is None:
            self._first = stamp
        row = max(round((stamp - self._first) * self._fps), self._row)
        left_out, self._row = row - self._row, row + 1
        return left_out


@dataclass
class Converted:
    """What a bag came to: rows of each episode written, and what was left out, by reason."""

    episodes: list[int] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def bag2lerobot(
    bag: Path,
    out: Path,
    *,
    fps: int = 30,
    task: str = "",
    joint_names: Sequence[str] = JOINT_NAMES,
    crf: int = DEFAULT_CRF,
    longest_gap: float = 0.15,
    topics: TopicChoice | None = None,
) -> Converted:
    """Write every episode of a bag as an episode of the dataset at `out`, which may exist already.

    An episode is what lies between two marks on `/step/episode`; without marks all is one. Where a row cannot
    be made (a camera silent, a gap in the joints or the commands) for longer than `longest_gap`, the episode
    ends and another begins. One episode at a time is held in memory.

    Args:
        fps: rows per second.
        task: what is done; by default what the marks say, or else the bag's name.
        joint_names: the joints as they are called in messages, in the order of the dataset's columns.
        crf: quality of the videos, 0 (lossless) to 51.
        longest_gap: rows may be so far apart [s] within an episode, where frames were dropped.

    Raises:
        BagError: the bag cannot be used, or holds no row.
        DatasetError: the dataset that is there does not fit.
    """
    with Bag(bag) as opened:
        choice = topics or TopicChoice()
        found = find_topics(opened, _cameras(opened, choice), choice)
        if found.actions is None:
            raise MissingTopicError(bag, "actions: a trajectory or a leader's joint states", opened.types)
        cut = Cut(fps, n_obs_steps=1, horizon=1, n_action_steps=1, sizes={})
        reader = CycleReader(
            opened, found, cut, joint_names, action_steps=1, follow_chunks=False, cadence=Grid(fps)
        )
        converted = Converted()
        writer: DatasetWriter | None = None
        for cycles in _episodes(reader, max(longest_gap, 1.5 / fps), converted.left_out):
            if len(cycles) < FEWEST_ROWS:
                converted.left_out["episode of a single row"] += 1
                continue
            frames = _columns(cycles)
            writer = writer or _writer(out, fps, frames, joint_names, crf)
            writer.add_episode(frames, task or cycles[0].marked.get("task") or bag.stem)
            converted.episodes.append(len(cycles))
        converted.left_out += reader.findings.refused
    if writer is None:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in converted.left_out.most_common(3))
        raise BagError(
            f"{bag}: found no two rows in succession ({reasons or 'nothing refused'}); accepted: images, "
            "joint states and commands at the same time"
        )
    return converted


def _episodes(reader: CycleReader, longest_gap: float, left_out: Counter[str]) -> Iterator[list[Cycle]]:
    """Stretches of rows without a longer gap."""
    rows: list[Cycle] = []
    for cycle in reader:
        known = np.isfinite(cycle.recorded).all()
        if rows and (cycle.first or not known or cycle.stamp - rows[-1].stamp > longest_gap):
            yield rows
            rows = []
        if known:
            rows.append(cycle)
        else:
            left_out["row without a command"] += 1
    if rows:
        yield rows


def _columns(cycles: Sequence[Cycle]) -> dict[str, np.ndarray]:
    columns = {
        STATE: np.stack([cycle.observation[STATE][0] for cycle in cycles]).astype(np.float32),
        ACTION: np.stack([cycle.recorded[0] for cycle in cycles]).astype(np.float32),
    }
    for camera in cycles[0].stamps_ns:
        name = f"{STAMP}.{camera}" if camera else STAMP
        columns[name] = np.array([[cycle.stamps_ns[camera]] for cycle in cycles], np.int64)
        if camera:
            columns[IMAGES + camera] = np.stack([c.observation[IMAGES + camera][0] for c in cycles])
    return columns


def _cameras(bag: Bag, choice: TopicChoice) -> list[str]:
    """Names of all cameras in the bag, by their topics, unless the user names them."""
    if choice.images:
        return list(choice.images)
    names = []
    for topic, kinds in sorted(bag.types.items()):
        base = topic.removesuffix("/compressed").removesuffix("/image_raw")
        if base != topic and {RAW, COMPRESSED} & set(kinds) and topic.startswith(choice.namespace):
            names.append(base.rpartition("/")[2])
    return list(dict.fromkeys(names))


def _writer(
    out: Path, fps: int, frames: dict[str, np.ndarray], joint_names: Sequence[str], crf: int
) -> DatasetWriter:
    features = {}
    for name, values in frames.items():
        kind = "video" if name.startswith(IMAGES) else str(values.dtype)
        features[name] = {"dtype": kind, "shape": values.shape[1:]}
        if name in (STATE, ACTION):
            features[name]["names"] = [f"{joint}.pos" for joint in joint_names]
    return DatasetWriter(out, fps, features, units={STATE: "rad", ACTION: "rad"}, crf=crf)
