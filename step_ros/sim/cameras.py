"""Where the cameras are: a fixed one above the table, one on the gripper, and an outside view for people."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at `position` looking at `target` (m, in the frame of `body`); `fovy` in degrees."""

    body: str
    position: tuple[float, float, float]
    target: tuple[float, float, float]
    up: tuple[float, float, float]
    fovy: float


POLICY_CAMERAS: dict[str, Camera] = {
    "top": Camera("world", (0.19, 0.0, 0.60), (0.19, 0.0, 0.0), (1.0, 0.0, 0.0), 34.0),
    "wrist": Camera("gripper", (0.010, 0.060, -0.005), (0.012, 0.0, -0.100), (0.0, 0.0, 1.0), 70.0),
}
VIEW_CAMERA = "view"
CAMERAS: dict[str, Camera] = {
    **POLICY_CAMERAS,
    VIEW_CAMERA: Camera("world", (0.60, -0.36, 0.38), (0.15, 0.0, 0.08), (0.0, 0.0, 1.0), 32.0),
}


def add_cameras(spec: mujoco.MjSpec) -> None:
    """Add every camera to the model."""
    for name, camera in CAMERAS.items():
        body = spec.worldbody if camera.body == "world" else spec.body(camera.body)
        body.add_camera(name=name, pos=camera.position, quat=_looking_quaternion(camera), fovy=camera.fovy)


def _looking_quaternion(camera: Camera) -> np.ndarray:
    """MuJoCo's cameras look along -z with +y up; returns (w, x, y, z)."""
    backward = np.subtract(camera.position, camera.target)
    backward /= np.linalg.norm(backward)
    right = np.cross(camera.up, backward)
    right /= np.linalg.norm(right)
    rotation = np.column_stack([right, np.cross(backward, right), backward])
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    return quaternion
