"""A real joint_trajectory_controller does in every case what the table says that the internal follower does.

This test stands in for the hardware below ros2_control (joint_state_topic_hardware_interface): it reports
each commanded position as measured, or what a case says is measured instead.
"""

from __future__ import annotations

import time
import unittest
from importlib import resources

import pytest

pytest.importorskip("launch_testing", reason="launch_testing comes with a ROS 2 distribution, not from PyPI")

import launch_testing
import launch_testing.asserts
import rclpy
import yaml
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare
from launch_testing.actions import ReadyToTest
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from step_ros.bringup import BringupError, make_plan
from step_ros.control.joints import JOINT_NAMES
from step_ros.nodes.encode import duration_message, stamp_message
from step_ros.paths import share_path

# Skipped by a mark and not while this file is imported: that would keep launch_testing from its neighbours.
try:
    make_plan("mujoco", "ros2_control")
    from control_msgs.msg import JointTrajectoryControllerState
except (BringupError, ImportError) as error:
    MISSING = str(error)
else:
    MISSING = ""

TABLE = yaml.safe_load(resources.files("step_ros.control").joinpath("controller_cases.yaml").read_text())
FIXED_AT_START = {"interpolate_from_desired_state"}
"""Parameters that a running controller does not change; their cases are left out here."""
CASES = [
    case
    for case in TABLE["cases"]
    if not case.get("stricter") and not FIXED_AT_START & case.get("settings", {}).keys()
]
PERIOD = 1 / 120
SETTLING = 0.5
"""Seconds in which the controller comes to a case's start."""
PATIENCE = 60.0


@pytest.mark.launch_test
@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def generate_test_description() -> LaunchDescription:
    """Controller manager and both controllers; `colcon build` and sourcing its setup come first."""
    source = PathJoinSubstitution([FindPackageShare("step_ros"), "launch", "control.launch.py"])
    control = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(source), launch_arguments={"hardware": "mujoco"}.items()
    )
    spawner = Node(
        package="controller_manager",
        executable="spawner",
        arguments=[
            "joint_state_broadcaster",
            "joint_trajectory_controller",
            "--param-file",
            str(share_path("config", "controllers.yaml")),
        ],
    )
    return LaunchDescription([control, spawner, ReadyToTest()])


class Hardware:
    """Measures what is commanded, publishes trajectories, and keeps the controller's set points by time."""

    def __init__(self) -> None:
        self.node = rclpy.create_node("hardware_stand_in")
        self.positions, self.measured = [0.0] * 6, None
        self.reference: list[tuple[float, list[float], list[float]]] = []
        self._states = self.node.create_publisher(JointState, "/hw/joint_states", qos_profile_sensor_data)
        self._trajectories = self.node.create_publisher(
            JointTrajectory, "/joint_trajectory_controller/joint_trajectory", 1
        )
        self._parameters = AsyncParameterClient(self.node, "joint_trajectory_controller")
        self.node.create_subscription(JointState, "/hw/joint_commands", self._command, 1)
        self.node.create_subscription(
            JointTrajectoryControllerState, "/joint_trajectory_controller/controller_state", self._keep, 100
        )
        self.node.create_timer(PERIOD, self._report)

    @property
    def now(self) -> float:
        return self.node.get_clock().now().nanoseconds * 1e-9

    def _command(self, message: JointState) -> None:
        by_name = dict(zip(message.name, message.position, strict=True))
        if all(value == value for value in by_name.values()):
            self.positions = [by_name[name] for name in JOINT_NAMES]

    def _report(self) -> None:
        message = JointState(name=list(JOINT_NAMES), position=self.positions, velocity=[0.0] * 6)
        if self.measured is not None:
            message.position = [self.measured["position"]] * 6
            message.velocity = [self.measured["velocity"]] * 6
        self._states.publish(message)

    def _keep(self, message: JointTrajectoryControllerState) -> None:
        stamp = message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec
        order = [message.joint_names.index(name) for name in JOINT_NAMES]
        fields = (list(message.reference.positions), list(message.reference.velocities) or [0.0] * 6)
        self.reference.append((stamp, *([field[k] for k in order] for field in fields)))

    def spin_until(self, moment: float) -> None:
        while self.now < moment:
            rclpy.spin_once(self.node, timeout_sec=min(max(moment - self.now, 0.0), 0.01))

    def wait_for_controller(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not (self.reference and self._trajectories.get_subscription_count()):
            assert time.monotonic() < deadline, "joint_trajectory_controller publishes no state"
            rclpy.spin_once(self.node, timeout_sec=0.1)

    def set(self, settings: dict[str, object]) -> None:
        future = self._parameters.set_parameters([Parameter(name, value=v) for name, v in settings.items()])
        rclpy.spin_until_future_complete(self.node, future, timeout_sec=10.0)
        assert all(result.successful for result in future.result().results), settings

    def send(self, t0: float, entry: dict) -> None:
        names = entry.get("joints", list(JOINT_NAMES))
        message = JointTrajectory(joint_names=names)
        message.header.stamp = stamp_message(0.0 if entry["stamp"] == "zero" else t0 + entry["stamp"])
        for moment, *fields in entry["points"]:
            rows = [row(value, len(names)) for value in (fields + [None] * 3)[:3]]
            point = JointTrajectoryPoint(time_from_start=duration_message(moment))
            point.positions, point.velocities, point.accelerations = rows
            point.effort = row(entry.get("effort"), len(names))
            message.points.append(point)
        self._trajectories.publish(message)

    def come_to(self, start: float) -> None:
        """At rest at a case's start, whatever came before."""
        self.measured = None
        self.send(0.0, {"stamp": "zero", "points": [[SETTLING / 2, start]]})
        self.spin_until(self.now + SETTLING)


def row(value: object, joints: int) -> list[float]:
    """One field of a point, spelled out."""
    if value is None:
        return []
    return [float(each) for each in value] if isinstance(value, list) else [float(value)] * joints


def differences(hardware: Hardware, t0: float, expected: dict) -> list[str]:
    """What is not met within the tolerance by any set point within two control periods."""
    moment = t0 + expected["at"]
    near = [entry for entry in hardware.reference if abs(entry[0] - moment) <= 2.5 * PERIOD]
    found = []
    for index, quantity in enumerate(("position", "velocity"), start=1):
        named = expected.get(quantity, {})
        named = named if isinstance(named, dict) else dict.fromkeys(JOINT_NAMES, named)
        for joint, value in named.items():
            errors = [abs(entry[index][JOINT_NAMES.index(joint)] - value) for entry in near]
            if not errors or min(errors) > TABLE["tolerance"][quantity]:
                found.append(f"{joint} {quantity} at {expected['at']}: wanted {value}, off by {errors}")
    return found


class TestCases(unittest.TestCase):
    """While the controllers run."""

    @classmethod
    def setUpClass(cls) -> None:
        rclpy.init()
        cls.hardware = Hardware()
        cls.hardware.wait_for_controller()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.hardware.node.destroy_node()
        rclpy.shutdown()

    def test_the_controller_does_what_the_table_says(self) -> None:
        for case in CASES:
            with self.subTest(case["name"]):
                self._run(case)

    def _run(self, case: dict) -> None:
        hardware, settings = self.hardware, case.get("settings", {})
        hardware.come_to(case["start"])
        hardware.set(settings)
        hardware.measured, t0 = case.get("measured"), hardware.now
        entries = sorted(case["sends"] + case["expect"], key=lambda entry: entry["at"])
        wrong: list[str] = []
        for entry in entries:
            if "points" in entry:
                hardware.spin_until(t0 + entry["at"])
                hardware.send(t0, entry)
            else:
                hardware.spin_until(t0 + entry["at"] + 3 * PERIOD)
                wrong += differences(hardware, t0, entry)
        hardware.set(dict.fromkeys(settings, False))
        self.assertEqual(wrong, [])


@launch_testing.post_shutdown_test()
class TestShutdown(unittest.TestCase):
    """After launch has interrupted them."""

    def test_every_process_ends_cleanly(self, proc_info: launch_testing.ProcInfoHandler) -> None:
        launch_testing.asserts.assertExitCodes(proc_info)
