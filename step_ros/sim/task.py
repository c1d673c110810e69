"""What a task is to the world: objects, start poses from a seed, and a geometric test of success."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import mujoco
import numpy as np

from step_ros.sim.arm import CUBE_HALF
from step_ros.sim.behaviour import Behaviour
from step_ros.sim.environment import Vector

# The pan axis stands at this x; reachable poses are drawn in polar coordinates around it.
PAN_AXIS_X = 0.0388353
PLATE_RADIUS = 0.04
PLATE_HEIGHT = 0.005
PLATE_TOLERANCE = 0.03
ON_PLATE = np.array([0.0, 0.0, PLATE_HEIGHT + CUBE_HALF])
RED = (0.80, 0.12, 0.10, 1.0)
GRIPPER_OPEN = 0.5
"""Gripper angle (rad) from which the jaw counts as open; it holds a cube at about 0.25 rad."""


HOME = np.array([0.0, -0.55, 0.55, 1.45, 0.0, 0.9])
"""Gripper pointing down, open, 8 cm above the table."""


class Task(ABC):
    """One manipulation task: an object is picked up and put somewhere."""

    name: str
    instruction: str
    objects: tuple[str, ...]
    """Body names; poses are always given in this order."""
    modes: tuple[str, ...] = ()
    """Ways of doing it between which demonstrations choose; empty where there is one way."""
    environment: Vector
    """What the numbers of `environment_state` are; the world adds where the gripper's tip is."""

    @abstractmethod
    def add_objects(self, spec: mujoco.MjSpec) -> None:
        """Add the task's bodies to the scene. Free bodies have a free joint, placed ones are mocap bodies."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> np.ndarray:
        """Draw start poses: (n, 7) of x, y, z (m) and quaternion w, x, y, z."""

    def home(self, poses: np.ndarray) -> np.ndarray:
        """Posture (6,) rad around which the arm starts."""
        return HOME

    def picked(self, mode: str | None) -> int:
        """Index of the object to pick up when the task is done in this way."""
        return 0

    def passes(self, poses: np.ndarray, mode: str | None) -> np.ndarray | None:
        """Where (2,) m the object is carried through half way to its place; None for straight there."""
        return None

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

    def behaviour(self, tips: np.ndarray, environment_states: np.ndarray) -> Behaviour:
        """The way that a trajectory takes: tips (T, 3) m of the gripper, environment states (T, E)."""
        return Behaviour()


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
    """A cube on the table within reach: (7,)."""
    radius, azimuth = rng.uniform(0.17, 0.24), rng.uniform(-0.6, 0.6)
    return polar_pose(rng, radius, azimuth)


def polar_pose(rng: np.random.Generator, radius: float, azimuth: float) -> np.ndarray:
    """A cube on the table at `radius` (m), `azimuth` (rad) about the pan axis: (7,).

    Its yaw is drawn around the direction away from the arm.
    """
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


def plate_at(pose: np.ndarray) -> np.ndarray:
    """The pose of a plate below a pose: (7,)."""
    return np.array([*pose[:2], 0.0, 1.0, 0.0, 0.0, 0.0])


def add_plate(spec: mujoco.MjSpec) -> None:
    """A flat blue disc that stays where it is put."""
    plate = spec.worldbody.add_body(name="plate", mocap=True)
    plate.add_geom(
        name="plate",
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[PLATE_RADIUS, PLATE_HEIGHT / 2, 0],
        pos=[0, 0, PLATE_HEIGHT / 2],
        rgba=[0.15, 0.35, 0.75, 1.0],
    )


def on_plate(cube: np.ndarray, plate: np.ndarray) -> bool:
    """The cube (7,) rests on the plate (7,), centres within PLATE_TOLERANCE."""
    return rests_at(cube, plate_place(plate), PLATE_TOLERANCE)


def rests_at(cube: np.ndarray, place: np.ndarray, tolerance: float) -> bool:
    """The cube's centre (7,) is at `place` (3,) m: within `tolerance` m sideways, 4 mm in height."""
    # Plain numbers: this is asked after every time step.
    x, y, z = (cube[:3] - place).tolist()
    return math.hypot(x, y) < tolerance and abs(z) < 0.004


def plate_place(plate: np.ndarray) -> np.ndarray:
    """Where the centre of a cube on the plate belongs: (3,) m."""
    return plate[:3] + ON_PLATE


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


def cube_names(name: str) -> tuple[str, ...]:
    """Names of what `cube_features` gives."""
    return tuple(f"{name}.{part}" for part in ("x", "y", "z", "cos_4yaw", "sin_4yaw"))


CUBE_UNITS = ("m", "m", "m", "1", "1")
PLATE_NAMES, PLATE_UNITS = ("plate.x", "plate.y", "plate.z"), ("m", "m", "m")
