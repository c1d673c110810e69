"""The bridge below ros2_control, over real topics: commands in, measured joints and the clock out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import rclpy
from bridge_helpers import BridgeRig
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from step_ros.control.joints import JOINT_NAMES
from step_ros.nodes.controllers import HARDWARE_COMMANDS_TOPIC, HARDWARE_STATES_TOPIC, TRAJECTORY_TOPIC
from step_ros.nodes.decode import seconds


class StandIn(Node):
    """In the place of controller manager and trajectory controller: commands what it is told, always."""

    def __init__(self) -> None:
        super().__init__("stand_in")
        self.command: list[float] | None = None
        self.states: list[JointState] = []
        self.clock: list[float] = []
        self.report: dict[str, str] = {}
        self.trajectories: list[JointTrajectory] = []
        self.commands = self.create_publisher(JointState, HARDWARE_COMMANDS_TOPIC, 1)
        self.create_subscription(JointState, HARDWARE_STATES_TOPIC, self._keep, qos_profile_sensor_data)
        self.create_subscription(Clock, "/clock", self._tick, QoSProfile(depth=100))
        self.create_subscription(DiagnosticArray, "/diagnostics", self._read, 10)
        self.create_subscription(JointTrajectory, TRAJECTORY_TOPIC, self.trajectories.append, 10)
        self.resetting = self.create_client(Trigger, "/mujoco_bridge/reset")

    @property
    def positions(self) -> np.ndarray:
        return np.array(self.states[-1].position)

    def _keep(self, message: JointState) -> None:
        self.states.append(message)
        if self.command is not None:
            self.commands.publish(JointState(name=list(JOINT_NAMES), position=list(self.command)))

    def _tick(self, message: Clock) -> None:
        self.clock.append(seconds(message.clock))

    def _read(self, message: DiagnosticArray) -> None:
        self.report = {pair.key: pair.value for pair in message.status[0].values}


class Rig(BridgeRig):
    """The bridge and the stand-in."""

    def __init__(self) -> None:
        self.control = StandIn()
        super().__init__(self.control, controller="ros2_control", seed=20003, real_time_factor=4.0)
        self.until(lambda: self.control.states and self.control.report and self.control.clock)
        self.until(lambda: self.control.commands.get_subscription_count() > 0)

    def simulate(self, duration: float) -> None:
        end = self.bridge.now + duration
        self.until(lambda: self.bridge.now >= end)


@pytest.fixture
def rig() -> Iterator[Rig]:
    rclpy.init()
    rig = Rig()
    yield rig
    rig.close()
    rclpy.shutdown()


def test_the_arm_goes_where_the_controller_commands_and_stays_when_it_falls_silent(rig: Rig) -> None:
    start = rig.control.positions
    rig.control.command = start.tolist()
    rig.simulate(0.3)
    goal = start + np.array([0.3, -0.2, -0.2, -0.1, 0.3, -0.4])
    rig.control.command = goal.tolist()
    rig.simulate(1.0)
    rig.control.command = None
    rig.simulate(1.0)
    np.testing.assert_allclose(rig.control.positions, goal, atol=0.03)


def test_positions_that_are_not_finite_are_dropped_and_counted(rig: Rig) -> None:
    start = rig.control.positions
    rig.control.command = start.tolist()
    rig.simulate(0.3)
    rig.control.command = [float("nan")] * 6
    rig.until(lambda: int(rig.control.report["positions_dropped"]) > 0)
    np.testing.assert_allclose(rig.control.positions, start, atol=0.02)


def test_after_a_reset_the_controller_is_called_to_the_arm_before_it_counts(rig: Rig) -> None:
    start = rig.control.positions
    rig.control.command = start.tolist()
    rig.simulate(0.3)
    rig.control.command = (start + 0.4).tolist()
    rig.simulate(1.0)
    rig.call(rig.control.resetting)
    rig.until(lambda: rig.control.trajectories)
    np.testing.assert_allclose(rig.control.positions, start, atol=0.02)
    call = rig.control.trajectories[-1]
    assert (call.header.stamp.sec, tuple(call.joint_names), len(call.points)) == (0, JOINT_NAMES, 1)
    np.testing.assert_allclose(call.points[0].positions, start, atol=0.02)
    rig.control.command = list(call.points[0].positions)
    rig.until(lambda: rig.control.report["commands_count"] == "True")
    rig.until(lambda: rig.control.count_publishers(TRAJECTORY_TOPIC) == 0)
    rig.control.command = (start - 0.2).tolist()
    rig.simulate(1.0)
    np.testing.assert_allclose(rig.control.positions, start - 0.2, atol=0.03)


def test_a_command_for_another_robot_is_refused_with_the_reason(rig: Rig) -> None:
    rig.control.commands.publish(JointState(name=["wheel"], position=[1.0]))
    rig.until(lambda: int(rig.control.report["commands_refused"]) == 1)
    assert "joints wheel" in rig.control.report["last_refusal"]


def test_joint_states_are_left_to_the_broadcaster(rig: Rig) -> None:
    assert rig.control.count_publishers("/joint_states") == 0
    assert rig.control.count_publishers("/hw/joint_states") == 1


def test_clock_and_measured_joints_come_120_times_a_simulated_second(rig: Rig) -> None:
    rig.simulate(0.5)
    for stamps in (rig.control.clock, [seconds(state.header.stamp) for state in rig.control.states]):
        assert np.median(np.diff(stamps)) == pytest.approx(1 / 120, abs=1e-6)
