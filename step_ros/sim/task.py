"""What a task is to the world: objects, start poses from a seed, and a geometric test of success."""

from __future__ import annotations

from abc import ABC, abstractmethod

import mujoco
import numpy as np

from step_ros.sim.arm import CUBE_HALF

# The pan axis stands at this x; reachable poses are drawn in polar coordinates around it.
PAN_AXIS_X = 0.0388353
GRIPPER_OPEN = 0.5
"""Gripper angle (rad) from which the jaw counts as open; it holds a cube at about 0.25 rad."""


class Task(ABC):
    """One manipulation task: an object is picked up and put somewhere."""

    name: str
    instruction: str
    objects: tuple[str, ...]
    """Body names; poses are always given in this order. The first is the one to pick up."""

    @abstractmethod
    def add_objects(self, spec: mujoco.MjSpec) -> None:
        """Add the task's bodies to the scene. Free bodies have a free joint, placed ones are mocap bodies."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Draw start poses: (n, 7) of x, y, z (m) and quaternion w, x, y, z."""

    @abstractmethod
    def place_position(self, poses: np.ndarray) -> np.ndarray:
        """Where the picked object's centre belongs: (3,) m."""

    def place_yaw(self, poses: np.ndarray) -> float | None:
        """World yaw (rad) that the placed object should have, or None where any will do."""
        return None

    @abstractmethod
    def achieved(self, poses: np.ndarray) -> bool:
        """The geometric test on object poses (n, 7); the world adds the open gripper and the half second."""

    @abstractmethod
    def environment_state(self, poses: np.ndarray) -> np.ndarray:
        """Object poses as numbers that are continuous under the objects' symmetries."""


def add_cube(spec: mujoco.MjSpec, name: str, rgba: tuple[float, float, float, float]) -> None:
    """A free cube of wood-like mass."""
    body = spec.worldbody.add_body(name=name)
    body.add_freejoint(name=name)
    body.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=[CUBE_HALF] * 3,
        mass=0.015,
        rgba=rgba,
        friction=[1.0, 0.005, 0.0005],
        condim=4,
    )


def draw_cube_pose(rng: np.random.Generator) -> np.ndarray:
    """A cube on the table within reach: (7,). Its yaw is drawn around the direction away from the arm."""
    radius, azimuth = rng.uniform(0.17, 0.24), rng.uniform(-0.6, 0.6)
    yaw = azimuth + rng.uniform(-0.5, 0.5)
    return np.array(
        [
            PAN_AXIS_X + radius * np.cos(azimuth),
            radius * np.sin(azimuth),
            CUBE_HALF,
            np.cos(yaw / 2),
            0.0,
            0.0,
            np.sin(yaw / 2),
        ]
    )


def draw_apart(rng: np.random.Generator, other: np.ndarray, distance: float) -> np.ndarray:
    """A cube pose at least `distance` (m) from another pose."""
    while True:
        pose = draw_cube_pose(rng)
        if np.linalg.norm(pose[:2] - other[:2]) >= distance:
            return pose


def yaw_of(pose: np.ndarray) -> float:
    """Yaw (rad) of a pose (7,) whose z axis is about vertical."""
    w, x, y, z = pose[3:]
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def cube_features(pose: np.ndarray) -> np.ndarray:
    """Position and yaw of a cube with its four-fold symmetry: (5,)."""
    yaw = yaw_of(pose)
    return np.array([*pose[:3], np.cos(4 * yaw), np.sin(4 * yaw)])
