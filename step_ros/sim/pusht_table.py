"""Push-T for planning: a table that can be put into any state, and the shape of the block."""

from __future__ import annotations

import os
from itertools import pairwise

import numpy as np
import shapely
from shapely.geometry import Point, Polygon

# pygame announces itself on standard output when it is imported.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
from gym_pusht.envs.pusht import PushTEnv

AGENT_RADIUS = 15.0
MIDST = 256.0
WALL = 22.0
"""Least distance (pixels) of the agent's centre from the edges of the table: wall and radius."""


class PlanningTable(PushTEnv):
    """gym-pusht's physics without what planning has no use for: coverage, observations, counts."""

    def __init__(self) -> None:
        super().__init__()
        self.reset(seed=0)

    def put(self, agent: np.ndarray, block_pose: np.ndarray) -> None:
        """Agent (2,) and block (x, y, angle) at rest."""
        self.agent.position, self.agent.velocity = (float(agent[0]), float(agent[1])), (0.0, 0.0)
        # The angle first: the block turns about its centre of mass, which moves its position.
        self.block.angle = float(block_pose[2])
        self.block.position = float(block_pose[0]), float(block_pose[1])
        self.block.velocity, self.block.angular_velocity = (0.0, 0.0), 0.0
        for body in (self.agent, self.block):
            self.space.reindex_shapes_for_body(body)

    @property
    def block_pose(self) -> np.ndarray:
        """x, y, angle (rad)."""
        return np.array([*self.block.position, self.block.angle])

    @property
    def agent_position(self) -> np.ndarray:
        """x, y."""
        return np.array(self.agent.position)

    def get_obs(self) -> None:
        """Nothing is observed."""

    def _get_coverage(self) -> float:
        return 0.0

    def _get_info(self) -> dict:
        return {}

    def _handle_collision(self, *_: object) -> None:
        """Contacts are not counted."""


class Block:
    """The shape of the block, in its own frame."""

    def __init__(self, table: PlanningTable):
        corners = [np.array(shape.get_vertices()) for shape in table.block.shapes]
        self.keypoints = np.concatenate(corners)
        self.outline: Polygon = shapely.union_all([Polygon(rectangle) for rectangle in corners])

    def placed(self, points: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """Points (n, 2) of the block's frame, on the table."""
        return points @ rotation(pose[2]).T + pose[:2]

    def contacts(self, spacing: float, clearance: float) -> tuple[np.ndarray, np.ndarray]:
        """Where an agent can stand against the block: positions (n, 2) and directions (n, 2) into it.

        One for every `spacing` pixels of outline, `clearance` off it; inner corners are too narrow for some.
        """
        corners = np.array(self.outline.exterior.coords)
        inside = 1.0 if self.outline.exterior.is_ccw else -1.0
        positions, directions = [], []
        for start, end in pairwise(corners):
            length = float(np.linalg.norm(end - start))
            along = (end - start) / length
            outward = inside * np.array([along[1], -along[0]])
            count = max(1, int(length // spacing))
            for share in (np.arange(count) + 0.5) / count:
                position = start + share * (end - start) + (AGENT_RADIUS + clearance) * outward
                if self.outline.distance(Point(position)) > AGENT_RADIUS + clearance - 0.5:
                    positions.append(position)
                    directions.append(-outward)
        return np.array(positions), np.array(directions)


def rotation(angle: float) -> np.ndarray:
    """The matrix (2, 2) that turns vectors by `angle` (rad)."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


def clipped(points: np.ndarray) -> np.ndarray:
    """The nearest points (..., 2) at which the agent is clear of the walls."""
    return np.clip(points, WALL, 2 * MIDST - WALL)


def on_table(points: np.ndarray) -> np.ndarray:
    """Whether an agent at each point (..., 2) is clear of the walls: (...)."""
    return (np.abs(points - MIDST) <= MIDST - WALL).all(axis=-1)
