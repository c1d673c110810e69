"""Task: put the red cube onto the plate."""

from __future__ import annotations

import mujoco
import numpy as np

from step_ros.sim.arm import CUBE_HALF
from step_ros.sim.task import Task, add_cube, cube_features, draw_apart, draw_cube_pose

PLATE_RADIUS = 0.04
PLATE_HEIGHT = 0.005


class PickPlace(Task):
    """Success: the cube rests on the plate with its centre within 3 cm of the plate's."""

    name = "pick_place"
    instruction = "Put the red cube onto the plate."
    objects = ("cube", "plate")

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        add_cube(spec, "cube", (0.80, 0.12, 0.10, 1.0))
        plate = spec.worldbody.add_body(name="plate", mocap=True)
        plate.add_geom(
            name="plate",
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=[PLATE_RADIUS, PLATE_HEIGHT / 2, 0],
            pos=[0, 0, PLATE_HEIGHT / 2],
            rgba=[0.15, 0.35, 0.75, 1.0],
        )

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        cube = draw_cube_pose(rng)
        plate = draw_apart(rng, cube, distance=0.09)
        plate[2:] = (0.0, 1.0, 0.0, 0.0, 0.0)
        return np.stack([cube, plate])

    def place_position(self, poses: np.ndarray) -> np.ndarray:
        return poses[1, :3] + (0.0, 0.0, PLATE_HEIGHT + CUBE_HALF)

    def achieved(self, poses: np.ndarray) -> bool:
        offset = poses[0, :3] - self.place_position(poses)
        return bool(np.linalg.norm(offset[:2]) < 0.03 and abs(offset[2]) < 0.004)

    def environment_state(self, poses: np.ndarray) -> np.ndarray:
        """Cube x, y, z, cos 4 yaw, sin 4 yaw; plate x, y, z: (8,)."""
        return np.concatenate([cube_features(poses[0]), poses[1, :3]])
