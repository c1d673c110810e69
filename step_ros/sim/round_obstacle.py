"""Task: carry the red cube past a post to the plate, on the near side of the post or on the far side."""

from __future__ import annotations

import mujoco
import numpy as np

from step_ros.sim.behaviour import Behaviour, choice_of_side
from step_ros.sim.environment import Vector
from step_ros.sim.task import (
    CUBE_UNITS,
    HOME,
    PAN_AXIS_X,
    PLATE_NAMES,
    PLATE_UNITS,
    RED,
    Task,
    add_cube,
    add_plate,
    cube_features,
    cube_names,
    on_plate,
    plate_at,
    plate_place,
    polar_pose,
)

POST_RADIUS, POST_HEIGHT = 0.013, 0.085
POST_DISTANCE = 0.182
"""From the pan axis, straight ahead (m)."""
NEAR, FAR = 0.129, 0.235
"""Distance from the pan axis (m) at which the grasp point passes the post on either side."""
BESIDE = 0.10
"""Within this azimuth (rad) of the post the gripper is beside it."""


class RoundObstacle(Task):
    """Success as in pick_place. Cube and plate lie on either side of the post, too far apart to avoid it."""

    name = "round_obstacle"
    instruction = "Carry the red cube past the post to the plate."
    objects = ("cube", "plate")
    modes = ("near", "far")
    environment = Vector((*cube_names("cube"), *PLATE_NAMES), (*CUBE_UNITS, *PLATE_UNITS))

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        add_cube(spec, "cube", RED)
        add_plate(spec)
        post = spec.worldbody.add_body(name="post", pos=[PAN_AXIS_X + POST_DISTANCE, 0, POST_HEIGHT / 2])
        post.add_geom(
            name="post",
            type=mujoco.mjtGeom.mjGEOM_CYLINDER,
            size=[POST_RADIUS, POST_HEIGHT / 2, 0],
            rgba=[0.90, 0.75, 0.20, 1.0],
        )

    def sample(self, rng: np.random.Generator) -> np.ndarray:
        side = rng.choice([-1.0, 1.0])
        cube = polar_pose(rng, rng.uniform(0.17, 0.22), side * rng.uniform(0.40, 0.60))
        plate = polar_pose(rng, rng.uniform(0.17, 0.22), -side * rng.uniform(0.40, 0.60))
        return np.stack([cube, plate_at(plate)])

    def home(self, poses: np.ndarray) -> np.ndarray:
        """Over the cube's side, clear of the post; the pan joint turns clockwise seen from above."""
        return HOME - (0.4 * np.sign(poses[0, 1]), 0.0, 0.0, 0.0, 0.0, 0.0)

    def passes(self, poses: np.ndarray, mode: str | None) -> np.ndarray:
        return np.array([PAN_AXIS_X + (FAR if mode == "far" else NEAR), 0.0])

    def place_position(self, poses: np.ndarray) -> np.ndarray:
        return plate_place(poses[1])

    def achieved(self, poses: np.ndarray) -> bool:
        return on_plate(poses[0], poses[1])

    def environment_state(self, poses: np.ndarray) -> np.ndarray:
        """Cube x, y, z, cos 4 yaw, sin 4 yaw; plate x, y, z: (8,). The post is always in the same place."""
        return np.concatenate([cube_features(poses[0]), poses[1, :3]])

    def behaviour(self, tips: np.ndarray, environment_states: np.ndarray) -> Behaviour:
        offset = tips[:, :2] - (PAN_AXIS_X, 0.0)
        distance, azimuth = np.linalg.norm(offset, axis=1), np.arctan2(offset[:, 1], offset[:, 0])
        passing = np.where(np.abs(azimuth) < BESIDE, (distance > POST_DISTANCE).astype(int), -1)
        passes = np.array([[PAN_AXIS_X + NEAR, 0.0], [PAN_AXIS_X + FAR, 0.0]])
        return choice_of_side(tips[:, :2], environment_states[:, 2], passes, passing, self.modes)
