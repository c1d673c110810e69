"""Task: put one of two identical red cubes onto the plate; which of them is for the arm to choose."""

from __future__ import annotations

import mujoco
import numpy as np

from step_ros.sim.behaviour import Behaviour, choice_of_target
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
    draw_cube_pose,
    on_plate,
    plate_at,
    plate_place,
)

APART = 0.09
"""Least distance (m) between any two of the objects: the open jaw needs the room."""


class PickEither(Task):
    """Success: either cube rests on the plate with its centre within 3 cm of the plate's."""

    name = "pick_either"
    instruction = "Put one of the red cubes onto the plate."
    objects = ("cube_a", "cube_b", "plate")
    modes = ("cube_a", "cube_b")
    environment = Vector(
        (*cube_names("cube_a"), *cube_names("cube_b"), *PLATE_NAMES), (*CUBE_UNITS, *CUBE_UNITS, *PLATE_UNITS)
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        for name in self.modes:
            add_cube(spec, name, RED)
        add_plate(spec)

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        # All three are drawn anew until they fit: two cubes can leave no room for the plate.
        while True:
            poses = np.stack([draw_cube_pose(rng) for _ in self.objects])
            distances = np.linalg.norm(poses[:, None, :2] - poses[None, :, :2], axis=2)
            if distances[np.triu_indices(3, k=1)].min() >= APART:
                return np.stack([poses[0], poses[1], plate_at(poses[2])])

    def picked(self, mode: str | None) -> int:
        return self.modes.index(mode) if mode else 0

    def place_position(self, poses: np.ndarray) -> np.ndarray:
        return plate_place(poses[2])

    def achieved(self, poses: np.ndarray) -> bool:
        return on_plate(poses[0], poses[2]) or on_plate(poses[1], poses[2])

    def environment_state(self, poses: np.ndarray) -> np.ndarray:
        """Each cube's x, y, z, cos 4 yaw, sin 4 yaw; plate x, y, z: (13,)."""
        return np.concatenate([cube_features(poses[0]), cube_features(poses[1]), poses[2, :3]])

    def behaviour(self, tips: np.ndarray, environment_states: np.ndarray) -> Behaviour:
        cubes = environment_states[:, :10].reshape(-1, 2, 5)[..., :3]
        return choice_of_target(tips[:, :2], cubes, self.modes)
