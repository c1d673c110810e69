"""Task: put the red cube onto the green one."""

from __future__ import annotations

import mujoco
import numpy as np

from step_ros.sim.arm import CUBE_HALF
from step_ros.sim.environment import Vector
from step_ros.sim.task import (
    CUBE_UNITS,
    RED,
    Task,
    add_cube,
    cube_features,
    cube_names,
    draw_apart,
    draw_cube_pose,
    rests_at,
    yaw_of,
)


class StackCube(Task):
    """Success: the red cube rests on the green one, centres within a cube's half edge of each other."""

    name = "stack_cube"
    instruction = "Put the red cube onto the green cube."
    objects = ("cube", "base_cube")
    environment = Vector((*cube_names("cube"), *cube_names("base_cube")), 2 * CUBE_UNITS)

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        add_cube(spec, "cube", RED)
        add_cube(spec, "base_cube", (0.10, 0.60, 0.20, 1.0))

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        cube = draw_cube_pose(rng)
        return np.stack([cube, draw_apart(rng, cube, distance=0.09)])

    def place_position(self, poses: np.ndarray) -> np.ndarray:
        return poses[1, :3] + (0.0, 0.0, 2 * CUBE_HALF)

    def place_yaw(self, poses: np.ndarray) -> float | None:
        return yaw_of(poses[1])

    def achieved(self, poses: np.ndarray) -> bool:
        return rests_at(poses[0], self.place_position(poses), CUBE_HALF)

    def environment_state(self, poses: np.ndarray) -> np.ndarray:
        """Red cube x, y, z, cos 4 yaw, sin 4 yaw; green cube the same: (10,)."""
        return np.concatenate([cube_features(poses[0]), cube_features(poses[1])])
