"""so101.launch.py, started for real: arm, controllers and policy come up, a chunk goes out, the arm moves."""

from __future__ import annotations

import time
import unittest

import pytest

pytest.importorskip("launch_testing", reason="launch_testing comes with a ROS 2 distribution, not from PyPI")

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import rclpy
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from step_ros.bringup import make_plan
from step_ros.control.joints import JOINT_NAMES

TOPIC = "/joint_trajectory_controller/joint_trajectory"
PATIENCE = 150.0
"""Seconds until the first chunk: a slow machine loads torch and compiles the engine in this time."""


MOVED = 0.05
"""Radians of any joint."""
INSTALLED = make_plan("mujoco", "auto").controller
"""ros2_control is tried too where it is installed."""


@pytest.mark.launch_test
@launch_testing.parametrize("controller", sorted({"internal", INSTALLED}))
def generate_test_description(controller: str) -> LaunchDescription:
    """The installed launch file; `colcon build` and sourcing its setup come first."""
    launch_file = PathJoinSubstitution([FindPackageShare("step_ros"), "launch", "so101.launch.py"])
    so101 = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(launch_file),
        launch_arguments={"sigterm_timeout": "30", "controller": controller}.items(),
    )
    return LaunchDescription([so101, launch_testing.actions.ReadyToTest()])


class TestChunkArrives(unittest.TestCase):
    """While the launched processes run."""

    def setUp(self) -> None:
        rclpy.init()
        self.node = rclpy.create_node("test_so101_launch")

    def tearDown(self) -> None:
        self.node.destroy_node()
        rclpy.shutdown()

    def test_a_chunk_of_all_joints_reaches_the_controllers_topic(self) -> None:
        received: list[JointTrajectory] = []
        self.node.create_subscription(JointTrajectory, TOPIC, received.append, 1)
        deadline = time.monotonic() + PATIENCE
        while not received and time.monotonic() < deadline:
            rclpy.spin_once(self.node, timeout_sec=0.5)
        self.assertTrue(received, f"nothing on {TOPIC} within {PATIENCE} s")
        self.assertEqual(sorted(received[0].joint_names), sorted(JOINT_NAMES))
        self.assertGreater(len(received[0].points), 1)

    def test_the_arm_moves(self) -> None:
        seen: list[list[float]] = []
        self.node.create_subscription(
            JointState, "/joint_states", lambda message: seen.append(list(message.position)), 10
        )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            rclpy.spin_once(self.node, timeout_sec=0.5)
            if seen and max(abs(a - b) for a, b in zip(seen[0], seen[-1], strict=True)) > MOVED:
                return
        self.fail(f"no joint moved by {MOVED} rad within {PATIENCE} s")


@launch_testing.post_shutdown_test()
class TestShutdown(unittest.TestCase):
    """After launch has interrupted them."""

    def test_every_process_ends_cleanly(self, proc_info: launch_testing.ProcInfoHandler) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
