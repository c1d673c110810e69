"""Which of several ways a trajectory takes, and how steadily: measured on recorded positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

HEADING_TICKS = 5
"""A heading is taken over so many ticks (1/6 s at 30 Hz)."""
HEADING_MOTION = 0.006
"""Horizontal motion (m) over those ticks from which there is a heading: 36 mm/s at 30 Hz."""
HEADING_NEAR = 0.03
"""Within this distance (m) of a target the direction to it turns too fast to mean anything."""
HEADING_MARGIN = np.radians(20)
"""By so much the nearest target's direction must beat the next one's."""
HEADING_LIMIT = np.radians(60)
"""A heading further than this from every target's direction is towards none of them."""
LIFTED = 0.008
"""An object is carried while it is this much (m) above where it started."""
MOVED = 0.5
"""The block has been touched when a key point has moved so far (pixels)."""
WENT_ROUND = np.radians(10)
"""Sweeping less than this about the block is going straight to it, neither way round."""
TURNED_BACK = np.radians(15)
"""Coming back by this much about the block is a change of mind."""


@dataclass(frozen=True)
class Behaviour:
    """How one episode was done.

    mode: the way that was taken, None when none can be told. indecision: changes between the ways before
    one was taken. switches: changes of the way after that.
    """

    mode: str | None = None
    indecision: int = 0
    switches: int = 0


def changes(labels: Sequence[int]) -> int:
    """How often the label changes, leaving out those below zero, which say that none can be told."""
    told = np.asarray(labels)[np.asarray(labels) >= 0]
    return int((np.diff(told) != 0).sum())


def first(labels: Sequence[int]) -> int:
    """The first label that is not below zero, or -1."""
    told = np.asarray(labels)[np.asarray(labels) >= 0]
    return int(told[0]) if len(told) else -1


def headed_for(tips: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Which target the tip moves towards at each tick: (T,) index, -1 where that cannot be told.

    tips: (T, 2) m, horizontal; targets: (T, n, 2) m. The heading is the motion over HEADING_TICKS up to the
    tick; it belongs to the target whose direction is nearest, by HEADING_MARGIN and within HEADING_LIMIT.
    Near a target, and while the tip hardly moves, there is none.
    """
    labels = np.full(len(tips), -1)
    if len(tips) <= HEADING_TICKS:
        return labels
    before = tips[:-HEADING_TICKS]
    motion = tips[HEADING_TICKS:] - before
    towards = targets[HEADING_TICKS:] - before[:, None]
    heading = np.arctan2(motion[:, 1], motion[:, 0])
    bearings = np.arctan2(towards[..., 1], towards[..., 0])
    off = np.abs((bearings - heading[:, None] + np.pi) % (2 * np.pi) - np.pi)
    ranked = np.sort(off, axis=1)
    clear = (
        (np.linalg.norm(motion, axis=1) > HEADING_MOTION)
        & (np.linalg.norm(towards, axis=2).min(axis=1) > HEADING_NEAR)
        & (ranked[:, 0] < HEADING_LIMIT)
        & (ranked[:, 1] - ranked[:, 0] > HEADING_MARGIN)
    )
    labels[HEADING_TICKS:][clear] = off.argmin(axis=1)[clear]
    return labels


def carried(heights: np.ndarray) -> np.ndarray:
    """Which object is off the ground at each tick: (T,) index, -1 for none. heights: (T, n) m."""
    raised = heights - heights[0]
    return np.where(raised.max(axis=1) > LIFTED, raised.argmax(axis=1), -1)


def choice_of_target(tips: np.ndarray, objects: np.ndarray, names: Sequence[str]) -> Behaviour:
    """Which of several objects was picked up first.

    tips: (T, 2) m; objects: (T, n, 3) m; names: of the n ways. Indecision counts changes of the object that
    the tip is headed for before the first lift, switches those of the object that is carried.
    """
    held = carried(objects[..., 2])
    lifted = np.flatnonzero(held >= 0)
    until = lifted[0] if len(lifted) else len(held)
    chosen = first(held)
    return Behaviour(
        mode=names[chosen] if chosen >= 0 else None,
        indecision=changes(headed_for(tips, objects[..., :2])[:until]),
        switches=changes(held),
    )


def choice_of_side(
    tips: np.ndarray, height: np.ndarray, passes: np.ndarray, passing: np.ndarray, names: Sequence[str]
) -> Behaviour:
    """On which side of an obstacle an object was carried past.

    tips: (T, 2) m; height: (T,) m of the object; passes: (n, 2) m, a point on each way beside the obstacle;
    passing: (T,) index of the way while the tip is beside the obstacle, -1 elsewhere. Indecision counts
    changes of the way that the tip is headed for between the first lift and the first passing, switches
    those of the side on which it passes.
    """
    beside = np.where(np.maximum.accumulate(carried(height[:, None]) >= 0), passing, -1)
    lifted = np.flatnonzero(carried(height[:, None]) >= 0)
    start = lifted[0] if len(lifted) else len(tips)
    arrived = np.flatnonzero(beside >= 0)
    end = arrived[0] if len(arrived) else len(tips)
    taken = first(beside)
    targets = np.broadcast_to(passes, (len(tips), *passes.shape))
    return Behaviour(
        mode=names[taken] if taken >= 0 else None,
        indecision=changes(headed_for(tips, targets)[start:end]),
        switches=changes(beside),
    )


def way_round(agents: np.ndarray, blocks: np.ndarray, names: Sequence[str]) -> Behaviour:
    """Which way round a block an agent went before it first moved the block.

    agents: (T, 2); blocks: (T, k, 2), key points of the block; names: of falling and of growing angle about
    the block's centre. Indecision counts how often the agent turned back about the block before that.
    """
    moved = np.linalg.norm(blocks - blocks[0], axis=2).max(axis=1) > MOVED
    until = int(np.argmax(moved)) if moved.any() else len(agents)
    offset = agents[: max(until, 1)] - blocks[0].mean(axis=0)
    angle = np.unwrap(np.arctan2(offset[:, 1], offset[:, 0]))
    swept = angle[-1] - angle[0]
    mode = names[int(swept > 0)] if abs(swept) > WENT_ROUND else None
    return Behaviour(mode=mode, indecision=reversals(angle, TURNED_BACK))


def reversals(values: np.ndarray, back: float) -> int:
    """How often a sequence turns round, counting only turns that are followed by more than `back`."""
    count, direction, extreme = 0, 0, values[0]
    for value in values:
        if direction == 0:
            direction = int(np.sign(value - extreme)) if abs(value - extreme) > back else 0
            extreme = value if direction else extreme
        elif (value - extreme) * direction > 0:
            extreme = value
        elif (extreme - value) * direction > back:
            count, direction, extreme = count + 1, -direction, value
    return count
