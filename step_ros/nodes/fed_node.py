"""The real `/step` in this process, fed by calling what its subscriptions call: as fast as it can take it.

Its clock is not the wall's but the messages': each tick of the played robot is 1/30 s on it, so a cycle
follows a cycle without waiting, and nothing of the node is left out but the transport.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import rclpy
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState

from step_ros.control.trajectory import Trajectory
from step_ros.nodes import bridge_messages as messages
from step_ros.nodes.encode import stamp_message
from step_ros.nodes.random_messages import RandomMessages
from step_ros.nodes.reference import ReferenceInput
from step_ros.nodes.step_node import StepNode

EPOCH = 1_700_000_000.0
PICTURES = 8
_CYCLE_PATIENCE = 60.0
_JOINT_STATES_PER_IMAGE = 2


class FedNodeError(Exception):
    """The node could not be configured, or makes no cycles; the message says why."""


class FedNode(StepNode):
    """`StepNode` on a clock that whoever feeds it turns on, which remembers its last command."""

    def __init__(self, parameters: dict[str, object]) -> None:
        self.time = EPOCH
        self.commanded: Trajectory | None = None
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        super().__init__("step", parameter_overrides=overrides)

    def send(self, trajectory: Trajectory) -> None:
        """Publish a command, and remember it."""
        self.commanded = trajectory
        super().send(trajectory)

    def _now(self) -> float:
        return self.time


class Feeder:
    """A robot that follows its commands exactly, and what it shows to the node.

    Args:
        node: configured and active.

    Attributes:
        random_fed: how often the node was given random messages.
    """

    def __init__(self, node: FedNode) -> None:
        self._node, self._policy = node, node._loaded.policy
        self._fps = self._policy.config.fps
        self._cameras = {camera: node._loaded.image_size(camera) for camera in node._loaded.image_topics}
        self._names = node._loaded.joint_names
        self._joints = np.zeros(len(self._names))
        self._reference = ReferenceInput(node, self._names, node._runner.add_reference)
        random = np.random.default_rng(0)
        self._pictures = {
            camera: [random.integers(0, 256, (*size, 3), np.uint8) for _ in range(PICTURES)]
            for camera, size in self._cameras.items()
        }
        self._ticks = self.random_fed = 0

    def cycle(self) -> float:
        """Feed the node until it has made one more command; how long that took on the wall's clock [s].

        Raises:
            FedNodeError: it makes none.
        """
        statistics, began = self._node._runner.statistics, time.perf_counter()
        made = statistics.cycles
        for _ in range(100 * self._policy.settings.action_steps):
            self._tick()
            if self._wait(lambda: statistics.cycles > made):
                return time.perf_counter() - began
        raise FedNodeError(f"no cycle any more: {self._node._runner.hold_reason or 'nothing is said'}")

    def feed_random(self, messages: RandomMessages) -> None:
        """Give the node one random message of every kind, as if from each of its topics."""
        node = self._node
        joints, reference = messages.joint_state(), messages.reference()
        images = {camera: (messages.image(), messages.compressed_image()) for camera in self._cameras}
        node._on_joints(joints)
        self._reference._on_trajectory(reference)
        for camera, both in images.items():
            for image in both:
                node._on_image(camera, self._cameras[camera], image)
        node._on_check()
        node.time += 1 / self._fps
        self.random_fed += 1

    def restart(self) -> None:
        """After random messages, as a person would: reset the node, with the robot where it was."""
        self._node.commanded = None
        self._node._runner.reset()

    def random_messages(self, seed: int) -> RandomMessages:
        """Random messages for this node's joints and its first camera."""
        # Else it says of every broken picture that it is broken.
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        size = next(iter(self._cameras.values()))
        return RandomMessages(self._names, size, lambda: self._node.time, seed)

    def _tick(self) -> None:
        """One image of every camera, and joint states and set points at twice that rate."""
        node = self._node
        for _ in range(_JOINT_STATES_PER_IMAGE):
            node.time += 1 / (_JOINT_STATES_PER_IMAGE * self._fps)
            velocity = np.zeros_like(self._joints)
            command = node.commanded
            if command is not None and command.stamp:
                self._joints, velocity = command.sample(node.time)
            stamp = stamp_message(node.time)
            state = JointState(name=list(self._names), position=array("d", self._joints))
            state.header.stamp = stamp
            node._on_joints(state)
            self._reference._on_trajectory(messages.reference(stamp, self._names, self._joints, velocity))
        self._ticks += 1
        if self._ticks % round(self._fps) == 0:
            node._on_report()
        for camera, pictures in self._pictures.items():
            image = messages.image(stamp, camera, pictures[self._ticks % PICTURES])
            node._on_image(camera, self._cameras[camera], image)
        node._on_check()

    def _wait(self, made: Callable[[], bool]) -> bool:
        """Wait for the cycle that the node has begun, if it has."""
        deadline = time.monotonic() + _CYCLE_PATIENCE
        while self._node._runner.busy and time.monotonic() < deadline:
            time.sleep(0.0002)
        return made()


@contextmanager
def fed_node(checkpoint: Path, **parameters: object) -> Iterator[tuple[FedNode, Feeder]]:
    """A node that runs the policy in `checkpoint`, active, and what feeds it.

    Raises:
        FedNodeError: the node cannot be configured.
    """
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = FedNode({"checkpoint": str(checkpoint), "autostart": False, **parameters})
        try:
            node.trigger_configure()
            if node._loaded is None:
                raise FedNodeError(node._fault)
            node.trigger_activate()
            yield node, Feeder(node)
        finally:
            node.destroy_node()
    finally:
        rclpy.try_shutdown()
