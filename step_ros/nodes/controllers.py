"""Who tells the simulated servos where to be: the bridge's own follower, or ros2_control through topics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory

from step_ros.control.errors import TrajectoryRejectedError
from step_ros.control.follower import TrajectoryFollower
from step_ros.nodes import bridge_messages as messages
from step_ros.nodes.decode import seconds
from step_ros.nodes.latch import CommandLatch, CommandRefusedError

TRAJECTORY_TOPIC = "/joint_trajectory_controller/joint_trajectory"
REFERENCE_TOPIC = "/joint_trajectory_controller/reference"
HARDWARE_COMMANDS_TOPIC = "hw/joint_commands"
HARDWARE_STATES_TOPIC = "hw/joint_states"
RECALL_PERIOD = 0.25
"""Seconds between two requests to a controller to come to the arm."""
RECALL_TIME = 0.1
"""Seconds in which the controller is to be there."""


class Arm(Protocol):
    """What a controller sees of the simulation."""

    @property
    def now(self) -> float:
        """Simulated time [s]."""

    @property
    def joint_positions(self) -> NDArray:
        """Measured positions (J,) [rad]."""

    @property
    def joint_velocities(self) -> NDArray:
        """Measured velocities (J,) [rad/s]."""


class Controller(Protocol):
    """Gives the set points and gets the measured joints.

    Attributes:
        state_rate: how often it is told the measured joints, per simulated second.
        complaint: what its refusals are called.
        refused: messages refused so far.
    """

    state_rate: int
    complaint: str
    refused: int

    def set_point(self, now: float) -> NDArray:
        """Where the servos should be at `now` [s]: (J,) rad."""

    def reset(self, positions: NDArray) -> None:
        """The arm was put at `positions` (J,) [rad] and should stay there."""

    def publish(self, stamp: Time, positions: NDArray, velocities: NDArray) -> None:
        """Publish measured joints, (J,) rad and (J,) rad/s."""

    def values(self) -> dict[str, object]:
        """What happened so far, for a diagnostic status."""


class InternalController:
    """Follows trajectories as joint_trajectory_controller does and publishes `/joint_states`.

    Args:
        node: gets the subscription and the publisher.
        joint_names: in the order of all arrays.
        arm: the simulation.
        accepted: called with the stamp [s] of each trajectory that is put in force; 0 means "from now".
    """

    state_rate = 60
    complaint = "trajectory rejected"

    def __init__(
        self, node: Node, joint_names: Sequence[str], arm: Arm, accepted: Callable[[float], None]
    ) -> None:
        self._arm, self._accepted_callback, self._logger = arm, accepted, node.get_logger()
        self._follower = TrajectoryFollower(joint_names, arm.joint_positions)
        self._accepted, self.refused, self._last_rejection = 0, 0, ""
        self._states = node.create_publisher(JointState, "/joint_states", 10)
        self._joint_names = tuple(joint_names)
        self._references = node.create_publisher(JointTrajectory, REFERENCE_TOPIC, qos_profile_sensor_data)
        node.create_subscription(JointTrajectory, TRAJECTORY_TOPIC, self._follow, 1)

    def set_point(self, now: float) -> NDArray:
        """See Controller."""
        return self._follower.sample(now)[0]

    def reset(self, positions: NDArray) -> None:
        """See Controller."""
        self._follower.reset(positions)

    def publish(self, stamp: Time, positions: NDArray, velocities: NDArray) -> None:
        """See Controller; publishes the set point as well."""
        self._states.publish(messages.joint_state(stamp, positions, velocities))
        set_point = self._follower.sample(self._arm.now)
        self._references.publish(messages.reference(stamp, self._joint_names, *set_point))

    def values(self) -> dict[str, object]:
        """See Controller."""
        return {
            "trajectories_accepted": self._accepted,
            "trajectories_rejected": self.refused,
            "last_rejection": self._last_rejection,
        }

    def _follow(self, message: JointTrajectory) -> None:
        try:
            self._follower.accept(
                messages.trajectory_command(message),
                self._arm.now,
                self._arm.joint_positions,
                self._arm.joint_velocities,
            )
        except TrajectoryRejectedError as reason:
            self.refused += 1
            self._last_rejection = str(reason)
            self._logger.error(f"trajectory rejected: {reason}")
        else:
            self._accepted += 1
            self._accepted_callback(seconds(message.header.stamp))


class HardwareTopics:
    """Stands below ros2_control as its hardware: position commands in, measured joints out.

    `/joint_states` is then the joint_state_broadcaster's to publish. When the controller's commands are far
    from where the arm was put, it is asked by a trajectory of one point to come there; the publisher for that
    exists only as long, so that nobody mistakes this node for a second source of commands.

    Args:
        node: gets the subscription and the publishers.
        joint_names: in the order of all arrays.
        arm: the simulation.
    """

    state_rate = 120
    complaint = "joint command refused"

    def __init__(self, node: Node, joint_names: Sequence[str], arm: Arm) -> None:
        self._node, self._joint_names, self._arm = node, tuple(joint_names), arm
        self._latch = CommandLatch(joint_names, arm.joint_positions)
        self._received, self.refused, self._last_refusal = 0, 0, ""
        self._recall: Publisher | None = None
        self._recalls, self._recalled_at = 0, -RECALL_PERIOD
        self._states = node.create_publisher(JointState, HARDWARE_STATES_TOPIC, qos_profile_sensor_data)
        node.create_subscription(JointState, HARDWARE_COMMANDS_TOPIC, self._take, 1)

    def set_point(self, now: float) -> NDArray:
        """See Controller."""
        return self._latch.set_point

    def reset(self, positions: NDArray) -> None:
        """See Controller."""
        self._latch.reset(positions)

    def publish(self, stamp: Time, positions: NDArray, velocities: NDArray) -> None:
        """See Controller."""
        self._states.publish(messages.joint_state(stamp, positions, velocities))

    def values(self) -> dict[str, object]:
        """See Controller."""
        return {
            "commands_received": self._received,
            "commands_refused": self.refused,
            "positions_dropped": self._latch.dropped,
            "last_refusal": self._last_refusal,
            "commands_count": self._latch.joined,
            "recalls": self._recalls,
        }

    def _take(self, message: JointState) -> None:
        self._received += 1
        try:
            self._latch.accept(message.name, message.position)
        except CommandRefusedError as reason:
            self.refused += 1
            if str(reason) != self._last_refusal:
                self._node.get_logger().error(f"joint command refused: {reason}")
            self._last_refusal = str(reason)
            return
        if not self._latch.joined:
            self._call_back()
        elif self._recall is not None:
            self._node.destroy_publisher(self._recall)
            self._recall = None

    def _call_back(self) -> None:
        """Ask the controller to command the pose in which the arm is held."""
        if self._recall is None:
            self._recall = self._node.create_publisher(JointTrajectory, TRAJECTORY_TOPIC, 1)
        if self._arm.now - self._recalled_at < RECALL_PERIOD or not self._recall.get_subscription_count():
            return
        self._recalled_at = self._arm.now
        self._recalls += 1
        self._recall.publish(messages.hold(self._joint_names, self._latch.set_point, RECALL_TIME))
