"""Forward kinematics of the SO-ARM101: where the gripper is for given joint positions.

The table is that of the arm's URDF (`so101_new_calib.urdf`): each joint's frame in its parent's, then a turn
about the frame's own z axis. Base frame: origin on the table below the pan axis, x forward, z up.
"""

from __future__ import annotations

import numpy as np

# joint -> (parent joint, origin [m], roll-pitch-yaw [rad]); the parent of the first is the base.
_JOINTS = {
    "shoulder_pan": (None, (0.0388353, -8.97657e-09, 0.0624), (3.14159, 4.18253e-17, -3.14159)),
    "shoulder_lift": ("shoulder_pan", (-0.0303992, -0.0182778, -0.0542), (-1.5708, -1.5708, 0.0)),
    "elbow_flex": ("shoulder_lift", (-0.11257, -0.028, 1.73763e-16), (-3.63608e-16, 8.74301e-16, 1.5708)),
    "wrist_flex": ("elbow_flex", (-0.1349, 0.0052, 3.62355e-17), (4.02456e-15, 8.67362e-16, -1.5708)),
    "wrist_roll": ("wrist_flex", (5.55112e-17, -0.0611, 0.0181), (1.5708, 0.0486795, 3.14159)),
    "gripper": ("wrist_roll", (0.0202, 0.0188, -0.0234), (1.5708, -5.24284e-08, -1.41553e-15)),
}
GRIPPER_FRAME = np.array([-0.0079, -0.000218121, -0.0981274])
"""Origin of `gripper_frame_link` in the gripper's frame [m]: at the fixed finger, near its tip."""

# The ends of both fingers: the round tip and the lower corners of the last box (so101 collision model).
FIXED_FINGER = np.array([(-0.0081, 0.0, -0.10175), (-0.0098, -0.004, -0.1022), (-0.0098, 0.004, -0.1022)])
"""Lowest points of the fixed finger in the gripper's frame [m]."""
MOVING_JAW = np.array([(-0.012, -0.07875, 0.0192), (-0.0113, -0.08, 0.01475), (-0.0113, -0.08, 0.02275)])
"""Lowest points of the moving jaw in its own frame [m]."""


def frames(positions: np.ndarray) -> dict[str, np.ndarray]:
    """Poses (..., 4, 4) in the base frame of the link behind each joint, for positions (..., 6) [rad].

    The link behind `wrist_roll` is the gripper's body, the one behind `gripper` the moving jaw.
    """
    positions = np.asarray(positions, dtype=float)
    poses: dict[str, np.ndarray] = {}
    for index, (joint, (parent, _, _)) in enumerate(_JOINTS.items()):
        before = _FIXED[joint] if parent is None else poses[parent] @ _FIXED[joint]
        poses[joint] = before @ _turn(positions[..., index])
    return poses


def lowest_point(positions: np.ndarray) -> np.ndarray:
    """Height (...) above the table [m] of the lowest of gripper frame, fixed finger and moving jaw.

    Runs with every command, so only the heights are computed: the third row of each link's pose, from the
    base on.
    """
    positions = np.asarray(positions, dtype=float)
    angles = positions.reshape(-1, positions.shape[-1]).T
    row = np.broadcast_to([[0.0], [0.0], [1.0], [0.0]], (4, angles.shape[1]))
    lowest = np.inf
    for joint, cos, sin in zip(_JOINTS, np.cos(angles), np.sin(angles), strict=True):
        before = _FIXED[joint].T @ row
        x, y = before[0], before[1]
        row = before.copy()
        row[0], row[1] = cos * x + sin * y, cos * y - sin * x
        if joint in _LOWEST:
            lowest = np.minimum(lowest, (_LOWEST[joint] @ row).min(axis=0))
    return lowest.reshape(positions.shape[:-1])


def _turn(angle: np.ndarray) -> np.ndarray:
    """Rotations (..., 4, 4) about z."""
    pose = np.zeros((*angle.shape, 4, 4))
    pose[..., 0, 0] = pose[..., 1, 1] = np.cos(angle)
    pose[..., 1, 0] = np.sin(angle)
    pose[..., 0, 1] = -pose[..., 1, 0]
    pose[..., 2, 2] = pose[..., 3, 3] = 1.0
    return pose


def _transform(origin: tuple[float, ...], rpy: tuple[float, ...]) -> np.ndarray:
    """URDF's fixed transform: turns about the fixed axes x, y, z in this order, then the origin."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    pose = np.eye(4)
    pose[:3, :3] = [
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ]
    pose[:3, 3] = origin
    return pose


_FIXED = {joint: _transform(origin, rpy) for joint, (_, origin, rpy) in _JOINTS.items()}
_LOWEST = {
    "wrist_roll": np.insert([GRIPPER_FRAME, *FIXED_FINGER], 3, 1.0, axis=1),
    "gripper": np.insert(MOVING_JAW, 3, 1.0, axis=1),
}
"""Points (P, 4) of a link that can be the lowest, homogeneous."""
