"""What the simulated robot says and hears, as messages."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from step_ros.control.follower import TrajectoryCommand, TrajectoryPoint
from step_ros.control.joints import JOINT_NAMES
from step_ros.control.trajectory import Trajectory
from step_ros.nodes.decode import seconds
from step_ros.nodes.encode import trajectory_message

WORLD_FRAME = "world"


def joint_state(stamp: Time, positions: np.ndarray, velocities: np.ndarray) -> JointState:
    """Measured joints (6,) in rad and rad/s."""
    return JointState(
        header=Header(stamp=stamp),
        name=list(JOINT_NAMES),
        position=positions.tolist(),
        velocity=velocities.tolist(),
    )


def image(stamp: Time, frame_id: str, pixels: np.ndarray) -> Image:
    """An rgb8 image from pixels (H, W, 3) uint8."""
    height, width, channels = pixels.shape
    message = Image(height=height, width=width, encoding="rgb8", step=width * channels)
    message.header = Header(stamp=stamp, frame_id=frame_id)
    # An array of bytes spares rclpy the check of every element.
    message.data = array("B", pixels.tobytes())
    return message


def camera_info(
    stamp: Time, frame_id: str, size: tuple[int, int], intrinsics: tuple[float, float, float, float]
) -> CameraInfo:
    """Calibration of an ideal pinhole camera: size (height, width) and (fx, fy, cx, cy) in pixels."""
    fx, fy, cx, cy = intrinsics
    return CameraInfo(
        header=Header(stamp=stamp, frame_id=frame_id),
        height=size[0],
        width=size[1],
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )


def pose_array(stamp: Time, poses: Iterable[np.ndarray]) -> PoseArray:
    """Poses (n, 7) of x, y, z (m) and quaternion w, x, y, z, in the world's frame."""
    return PoseArray(
        header=Header(stamp=stamp, frame_id=WORLD_FRAME),
        poses=[
            Pose(position=Point(x=x, y=y, z=z), orientation=Quaternion(w=w, x=i, y=j, z=k))
            for x, y, z, w, i, j, k in (pose.tolist() for pose in poses)
        ],
    )


def trajectory_command(message: JointTrajectory) -> TrajectoryCommand:
    """A trajectory as it came; whether it makes sense is the follower's to say."""
    return TrajectoryCommand(
        joint_names=message.joint_names,
        stamp=seconds(message.header.stamp),
        points=[
            TrajectoryPoint(
                time=seconds(point.time_from_start),
                positions=point.positions,
                velocities=point.velocities,
                accelerations=point.accelerations,
                effort=point.effort,
            )
            for point in message.points
        ],
    )


def reference(
    stamp: Time, joint_names: Sequence[str], positions: np.ndarray, velocities: np.ndarray
) -> JointTrajectory:
    """A controller's set point at `stamp`: (J,) rad and (J,) rad/s."""
    point = JointTrajectoryPoint(positions=positions.tolist(), velocities=velocities.tolist())
    return JointTrajectory(header=Header(stamp=stamp), joint_names=list(joint_names), points=[point])


def hold(joint_names: Sequence[str], positions: np.ndarray, within: float) -> JointTrajectory:
    """A trajectory that is at `positions` (J,) [rad] `within` seconds after it arrives, and stays there."""
    return trajectory_message(Trajectory(0.0, np.array([within]), positions[None]), joint_names)
