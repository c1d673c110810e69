"""Task: put the red cube onto the plate."""

from __future__ import annotations

import mujoco
import numpy as np

from step_ros.sim.environment import Vector
from step_ros.sim.task import (
    CUBE_UNITS,
    PLATE_NAMES,
    PLATE_UNITS,
    RED,
    Task,
    add_cube,
    add_plate,
    cube_features,
    cube_names,
    draw_apart,
    draw_cube_pose,
    on_plate,
    plate_at,
    plate_place,
)


class PickPlace(Task):
    """Success: the cube rests on the plate with its centre within 3 cm of the plate's."""

    name = "pick_place"
    instruction = "Put the red cube onto the plate."
    objects = ("cube", "plate")
    environment = Vector((*cube_names("cube"), *PLATE_NAMES), (*CUBE_UNITS, *PLATE_UNITS))

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        add_cube(spec, "cube", RED)
        add_plate(spec)

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        cube = draw_cube_pose(rng)
        return np.stack([cube, plate_at(draw_apart(rng, cube, distance=0.09))])

    def place_position(self, poses: np.ndarray) -> np.ndarray:
        return plate_place(poses[1])

    def achieved(self, poses: np.ndarray) -> bool:
        return on_plate(poses[0], poses[1])

    def environment_state(self, poses: np.ndarray) -> np.ndarray:
        """Cube x, y, z, cos 4 yaw, sin 4 yaw; plate x, y, z: (8,)."""
        return np.concatenate([cube_features(poses[0]), poses[1, :3]])
