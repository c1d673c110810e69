"""Where the controller says what its set point is: the one seam to messages that pip does not have.

With control_msgs (a ROS 2 installation) it is joint_trajectory_controller's own `controller_state`. Without,
a stand-in for the controller, such as `/mujoco_bridge`, publishes the same as a trajectory of one point.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.subscription import Subscription
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from step_ros.control.plan import Reference
from step_ros.nodes.decode import seconds

try:
    from control_msgs.msg import JointTrajectoryControllerState
except ImportError:  # no wheel has it
    JointTrajectoryControllerState = None


class ReferenceInput:
    """Subscribes to the set points of the controller that a node commands.

    Args:
        node: has the parameters `trajectory_topic` and `reference_topic`.
        joint_names: order in which set points are wanted.
        heard: called with each set point; one that cannot be used is no news and is left out.

    Attributes:
        subscriptions: to be destroyed by whoever made this.
    """

    def __init__(self, node: Node, joint_names: Sequence[str], heard: Callable[[Reference], None]) -> None:
        self._joint_names, self._heard = tuple(joint_names), heard
        topic = node.get_parameter("reference_topic").value
        self.subscriptions: list[Subscription] = [
            node.create_subscription(JointTrajectory, topic, self._on_trajectory, qos_profile_sensor_data)
        ]
        if JointTrajectoryControllerState is not None:
            controller = node.get_parameter("trajectory_topic").value.rpartition("/")[0]
            self.subscriptions.append(
                node.create_subscription(
                    JointTrajectoryControllerState,
                    f"{controller}/controller_state",
                    lambda message: self._take(message, message.reference),
                    qos_profile_sensor_data,
                )
            )

    def _on_trajectory(self, message: JointTrajectory) -> None:
        if len(message.points) == 1:
            self._take(message, message.points[0])

    def _take(self, message: object, point: JointTrajectoryPoint) -> None:
        names, joints = list(message.joint_names), self._joint_names
        sizes = {len(names), len(point.positions), len(point.velocities)}
        if len(sizes) != 1 or any(names.count(name) != 1 for name in joints):
            return
        order = [names.index(name) for name in joints]
        position, velocity = np.array(point.positions)[order], np.array(point.velocities)[order]
        if np.isfinite(position).all() and np.isfinite(velocity).all():
            self._heard(Reference(seconds(message.header.stamp), position, velocity))
