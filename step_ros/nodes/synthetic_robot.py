"""The node `/synthetic_robot`: camera images and joint states of a robot that stands still, to load `/step`.

    python -m step_ros.nodes.synthetic_robot --ros-args -p cameras:="[top, wrist]" -p seconds:=60.0

It waits until somebody listens to every camera, publishes for a while, and then only reports how much it has
published. The cameras are synchronous: in each round all images and the joint states carry one stamp, taken
when the round begins, so that time from the stamp on includes what publishing costs.
"""

from __future__ import annotations

import sys
import time
from array import array

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Header

from step_ros.control.joints import JOINT_NAMES
from step_ros.nodes.bridge_messages import image
from step_ros.nodes.encode import diagnostics_message
from step_ros.nodes.process import prepare_for_images
from step_ros.nodes.runtime import run

NAME = "synthetic_robot"
IMAGE_RATE = 30
JOINT_STATE_RATE = 60
PICTURES = 8
"""Different images in turn: a policy that finds a frame again must not gain from it here."""
SETTLING_SECONDS = 1.0
"""Between the first look at which all listeners are there and the first image."""
REPORT_PERIOD = 0.5


class SyntheticRobot(Node):
    """Publishes noise as images and zeros as joint states."""

    def __init__(self, **options: object) -> None:
        """Takes what `Node` takes, but the name."""
        super().__init__(NAME, **options)
        cameras = self._parameter("cameras", ["top"], "Names of the cameras.")
        height, width = self._parameter("image_size", [480, 640], "Height and width in pixels.")
        self._seconds = self._parameter("seconds", 120.0, "How long to publish.")
        joints = self._parameter("joint_names", list(JOINT_NAMES), "The joints' names.")
        self._images = {
            camera: self.create_publisher(Image, f"/{camera}/image_raw", qos_profile_sensor_data)
            for camera in cameras
        }
        self._joints = self.create_publisher(JointState, "/joint_states", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        random = np.random.default_rng(0)
        header = Header()
        self._pictures = [
            image(header.stamp, "camera", random.integers(0, 256, (height, width, 3), np.uint8))
            for _ in range(PICTURES)
        ]
        self._state = JointState(name=joints, position=[0.0] * len(joints))
        self._state.position = array("d", self._state.position)
        self._rounds = self._published = 0
        self._begin_at: float | None = None
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1 / JOINT_STATE_RATE, self._round, clock=steady)
        self.create_timer(REPORT_PERIOD, self._report, clock=steady)

    def _parameter(self, name: str, default: object, description: str) -> object:
        descriptor = ParameterDescriptor(description=description, read_only=True)
        return self.declare_parameter(name, default, descriptor).value

    @property
    def _phase(self) -> str:
        if self._begin_at is None or time.monotonic() < self._begin_at:
            return "waiting"
        return "publishing" if time.monotonic() < self._begin_at + self._seconds else "done"

    def _round(self) -> None:
        if self._begin_at is None and all(
            publisher.get_subscription_count() for publisher in (*self._images.values(), self._joints)
        ):
            self._begin_at = time.monotonic() + SETTLING_SECONDS
        if self._phase != "publishing":
            return
        # Joint states first: an observation is complete with the joint state at its images' stamp, and a
        # robot's own broadcaster would not wait for the cameras.
        stamp = self._state.header.stamp = self.get_clock().now().to_msg()
        self._joints.publish(self._state)
        if self._rounds % (JOINT_STATE_RATE // IMAGE_RATE) == 0:
            picture = self._pictures[self._published % PICTURES]
            picture.header.stamp = stamp
            for publisher in self._images.values():
                publisher.publish(picture)
            self._published += 1
        self._rounds += 1

    def _report(self) -> None:
        now = self.get_clock().now().nanoseconds * 1e-9
        values = {"images_per_camera": self._published}
        self._diagnostics.publish(diagnostics_message(now, NAME, DiagnosticStatus.OK, self._phase, values))


def main(args: list[str] | None = None) -> int:
    """Publish until the process is asked to stop."""
    prepare_for_images()
    return run(SyntheticRobot, args)


if __name__ == "__main__":
    sys.exit(main())
