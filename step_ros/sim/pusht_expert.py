"""The scripted expert of Push-T: it tries pushes in a simulation of its own and goes for the best one.

A push starts beside the block and goes straight. The block stops as soon as the agent does, so where it ends
depends only on how far the push goes, and one simulated push shows all shorter ones. When a push is over the
next one is planned from where the block really lies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from shapely.geometry import Polygon

from step_ros.sim.pusht import PushT
from step_ros.sim.pusht_table import MIDST, Block, PlanningTable, on_table, rotation
from step_ros.sim.pusht_ways import length, way_around, way_out

CONTACT_SPACING = 12.0
CONTACT_CLEARANCE = 3.0
SIDEWAYS = (-0.5, 0.0, 0.5)
"""Angles (rad) between a push and the perpendicular to the edge that it starts at."""
FINE_SIDEWAYS = (-0.8, -0.6, -0.4, -0.2, 0.2, 0.4, 0.6, 0.8)
"""Those that are tried when none of the others helps."""
PUSH_SPEED, PUSH_TICKS = 12.0, 14
"""Pixels per tick, and the longest push in ticks."""
LEAD = 10.0
"""The first action of a push is this far (pixels) ahead: the agent lags behind a moving target by 2 ticks."""
WORSE = 3.0
"""A simulated push is given up when the block is this much (pixels) further off than before it."""
LEAST_GAIN = 0.03
"""Pushes that gain less (pixels) are no pushes."""
EDGE = 50.0
"""Key points nearer to the table's edge than this (pixels) cost twice what they are beyond it."""
APPROACH_SPEEDS = (28.0, 18.0, 11.0)
"""Pixels per tick; the fastest at which the agent does not cut corners through the block is taken."""
TRIED_PUSHES = 20
"""So many of the best pushes are tried until one can be approached."""
WAY_COST = 0.02
"""Pixels of error that a pixel of way to a push is worth."""
LONGER = 3.0
"""A way round that is this many times longer than the other is not chosen."""
ARRIVED = 2.0
"""Distance (pixels) to its target at which a push or an approach is over."""
SETTLE_TICKS = 6
"""At most so many ticks are waited for that."""


@dataclass(frozen=True)
class Push:
    """Where the agent stands first, the direction (2,) and how far (pixels) it goes."""

    start: np.ndarray
    direction: np.ndarray
    distance: float


class PushTExpert:
    """Solves the episode that `world` has just begun; `rng` draws the ways round the block."""

    def __init__(self, world: PushT, rng: np.random.Generator):
        self._world = world
        self._rng = rng
        self._table = PlanningTable()
        self._block = Block(self._table)
        self._contacts, self._inward = self._block.contacts(CONTACT_SPACING, CONTACT_CLEARANCE)
        self._goal = self._block.placed(self._block.keypoints, world.goal_pose)
        self._targets: list[np.ndarray] = []
        self._waited = 0
        self._stuck = self._escaping = False

    @property
    def done(self) -> bool:
        """The block is on its goal, or no push brings it nearer."""
        return self._world.success or self._stuck

    def action(self) -> np.ndarray:
        """Target (2,) of the agent for the next tick; its present position when there is nothing to do."""
        if len(self._targets) == 1 and not self._settled():
            self._waited += 1
            return self._targets[0].copy()
        if len(self._targets) <= 1:
            self._targets, self._waited = self._plan(), 0
        else:
            self._targets.pop(0)
        return self._targets[0].copy()

    @property
    def freedom(self) -> float:
        """Always 1: the block is never far."""
        return 1.0

    def _settled(self) -> bool:
        off = np.linalg.norm(self._world.agent - self._targets[0])
        return bool(off < ARRIVED) or self._waited >= SETTLE_TICKS

    def _plan(self) -> list[np.ndarray]:
        """The targets of the next approach and push, one for each tick."""
        pose, agent = self._world.block_pose, self._world.agent
        outline = Polygon(self._block.placed(np.array(self._block.outline.exterior.coords), pose))
        for push in (self._pushes(pose, SIDEWAYS) or self._pushes(pose, FINE_SIDEWAYS))[:TRIED_PUSHES]:
            approach = self._approach(agent, pose, outline, push.start)
            if approach is not None:
                ahead = np.arange(LEAD, push.distance, PUSH_SPEED)
                pushing = [push.start + step * push.direction for step in (*ahead, push.distance)]
                self._escaping = False
                return [*approach, *pushing]
        # An agent that starts inside the block moves it whichever way it goes: out first.
        self._stuck, self._escaping = self._escaping, True
        return _paced(agent, way_out(outline, agent), APPROACH_SPEEDS[-1])

    def _pushes(self, pose: np.ndarray, sideways: tuple[float, ...]) -> list[Push]:
        """All pushes at these angles that bring the block nearer to its goal, the best first."""
        before = self._error(pose)
        starts = self._block.placed(self._contacts, pose)
        inward = self._inward @ rotation(pose[2]).T
        found: list[tuple[float, Push]] = []
        for start, straight in zip(starts, inward, strict=True):
            if not on_table(start):
                continue
            way_cost = WAY_COST * float(np.linalg.norm(start - self._world.agent))
            for angle in sideways:
                direction = rotation(angle) @ straight
                error, distance = self._best_distance(pose, start, direction, before)
                if error < before - LEAST_GAIN:
                    found.append((error + way_cost, Push(start, direction, distance)))
        return [push for _, push in sorted(found, key=lambda item: item[0])]

    def _best_distance(
        self, pose: np.ndarray, start: np.ndarray, direction: np.ndarray, before: float
    ) -> tuple[float, float]:
        """(error, distance) of the length of a push that leaves the block nearest to its goal."""
        table = self._table
        table.put(start, pose)
        best = (np.inf, 0.0)
        for tick in range(PUSH_TICKS):
            table.step(start + (LEAD + tick * PUSH_SPEED) * direction)
            error = self._error(table.block_pose)
            if error < best[0]:
                best = (error, float((table.agent_position - start) @ direction))
            if error > before + WORSE or not on_table(table.agent_position):
                break
        return best

    def _error(self, pose: np.ndarray) -> float:
        """Mean distance (pixels) of the key points from where they belong, more near the table's edge."""
        points = self._block.placed(self._block.keypoints, pose)
        beyond = max(0.0, float((np.abs(points - MIDST) - (MIDST - EDGE)).max()))
        return float(np.linalg.norm(points - self._goal, axis=1).mean()) + 2.0 * beyond

    def _approach(
        self, agent: np.ndarray, pose: np.ndarray, outline: Polygon, start: np.ndarray
    ) -> list[np.ndarray] | None:
        """Targets of the agent, tick by tick, on a way to `start` that leaves the block where it is."""
        ways = [way_around(outline, agent, start, turn) for turn in (-1, 1)]
        lengths = [length(agent, way) if way is not None else np.inf for way in ways]
        order = [int(np.argmin(lengths))]
        if max(lengths) < LONGER * min(lengths):
            order = [int(choice) for choice in self._rng.permutation(2)]
        for choice in order:
            if ways[choice] is None:
                continue
            for speed in APPROACH_SPEEDS:
                targets = _paced(agent, ways[choice], speed)
                if self._leaves_block(agent, pose, targets):
                    return targets
        return None

    def _leaves_block(self, agent: np.ndarray, pose: np.ndarray, targets: list[np.ndarray]) -> bool:
        self._table.put(agent, pose)
        for target in [*targets, *[targets[-1]] * 4]:
            self._table.step(target)
        return bool(np.abs(self._table.block_pose - pose).max() < 0.5)


def _paced(start: np.ndarray, way: np.ndarray, speed: float) -> list[np.ndarray]:
    """Points `speed` apart along a way; the last one is its end."""
    corners = np.vstack([start, way])
    at = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    steps = np.append(np.arange(speed, at[-1], speed), at[-1])
    return list(np.column_stack([np.interp(steps, at, corners[:, axis]) for axis in range(2)]))
