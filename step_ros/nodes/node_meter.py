"""Leads `/step` through its lifecycle and measures what it publishes, by topics that anyone could use."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from trajectory_msgs.msg import JointTrajectory

from step_ros.nodes.decode import seconds
from step_ros.nodes.episodes import STEP, Report
from step_ros.nodes.synthetic_robot import NAME as ROBOT

CYCLE = "step: cycle"
TRAJECTORIES = "/joint_trajectory_controller/joint_trajectory"
ANSWER_SECONDS = 20.0
WAKE_SECONDS = 0.05


class NodeMeterError(Exception):
    """A node did not do its part; the message says which and what it says itself."""


@dataclass
class Cycle:
    """One trajectory that came, and what the node says of it.

    Attributes:
        stamp: of the observation [s].
        published_ms: from the stamp to when the node's middleware sent the trajectory.
        received_ms: from the stamp to when it was here.
        told: the node's own figures from ~/timing [ms]; empty until they are here.
    """

    stamp: float
    published_ms: float
    received_ms: float
    told: dict[str, float]


class NodeMeter(Node):
    """Measures `/step` under a `/synthetic_robot`.

    Args:
        context: an initialised rclpy context.
        check_nodes: called often; raises when a node has died.
    """

    def __init__(self, context: Context, check_nodes: Callable[[], None]) -> None:
        super().__init__("node_meter", context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self)
        self._check_nodes = check_nodes
        self._cycles: dict[tuple[int, int], Cycle] = {}
        self._reports: dict[str, Report] = {}
        self._change_state = self.create_client(ChangeState, "/step/change_state")
        self.create_subscription(JointTrajectory, TRAJECTORIES, self._on_trajectory, 100)
        self.create_subscription(DiagnosticArray, "/step/timing", self._on_diagnostics, 100)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 100)

    @property
    def cycles(self) -> list[Cycle]:
        """Everything that came, in the order of stamps."""
        return [self._cycles[key] for key in sorted(self._cycles)]

    @property
    def step(self) -> Report:
        """What `/step` says of itself."""
        return self._reports[STEP]

    @property
    def robot(self) -> Report:
        """What `/synthetic_robot` says of itself."""
        return self._reports[ROBOT]

    def configure(self, allowed: float) -> None:
        """Let `/step` load its policy within `allowed` seconds.

        Raises:
            NodeMeterError: it cannot, or takes longer.
        """
        self._transition(Transition.TRANSITION_CONFIGURE, allowed)

    def activate(self) -> None:
        """Let `/step` listen and act."""
        self._transition(Transition.TRANSITION_ACTIVATE, ANSWER_SECONDS)

    def check_alone(self) -> None:
        """Raise NodeMeterError when somebody else's trajectories come here as well."""
        others = self.count_publishers(TRAJECTORIES) - 1
        if others > 0:
            raise NodeMeterError(
                f"found {others} more publisher(s) of {TRAJECTORIES}, accepted: none but the measured /step; "
                "set ROS_DOMAIN_ID to a domain that nobody uses"
            )

    def wait(self, seconds: float) -> None:
        """Listen for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._spin()

    def wait_until_robot_is(self, phase: str, allowed: float) -> None:
        """Listen until `/synthetic_robot` reports `phase`.

        Raises:
            NodeMeterError: it does not within `allowed` seconds.
        """
        self._until(
            lambda: ROBOT in self._reports and self.robot.message == phase,
            f"/{ROBOT} is not {phase}",
            allowed,
        )

    def destroy_node(self) -> None:
        """End the executor with the node."""
        self._executor.shutdown()
        super().destroy_node()

    def _transition(self, number: int, allowed: float) -> None:
        self._until(self._change_state.service_is_ready, "/step is not there", allowed)
        future = self._change_state.call_async(ChangeState.Request(transition=Transition(id=number)))
        self._until(future.done, "/step does not answer", allowed)
        if not future.result().success:
            self._until(lambda: STEP in self._reports, "/step does not report", ANSWER_SECONDS)
            raise NodeMeterError(f"/step: {self.step.message}")

    def _until(self, condition: Callable[[], bool], complaint: str, allowed: float) -> None:
        deadline = time.monotonic() + allowed
        while not condition():
            if time.monotonic() > deadline:
                raise NodeMeterError(f"{complaint} within {allowed:.0f} s")
            self._spin()

    def _spin(self) -> None:
        self._check_nodes()
        self._executor.spin_once(timeout_sec=WAKE_SECONDS)

    def _on_trajectory(self, message: JointTrajectory, info: dict[str, int]) -> None:
        stamp = seconds(message.header.stamp)
        if not stamp:
            return  # a hold, not a cycle
        cycle = self._cycle(message)
        cycle.published_ms = info["source_timestamp"] / 1e6 - 1e3 * stamp
        cycle.received_ms = info["received_timestamp"] / 1e6 - 1e3 * stamp

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            if status.name == CYCLE:
                self._cycle(message).told = {key: float(value) for key, value in values.items()}
            else:
                self._reports[status.name] = Report(status.level, status.message, values)

    def _cycle(self, message: JointTrajectory | DiagnosticArray) -> Cycle:
        stamp = message.header.stamp
        return self._cycles.setdefault(
            (stamp.sec, stamp.nanosec), Cycle(seconds(stamp), float("nan"), float("nan"), {})
        )


@contextmanager
def metering(check_nodes: Callable[[], None]) -> Iterator[NodeMeter]:
    """A `NodeMeter` in a context of its own; Ctrl-C stays Python's, so that all nodes are ended in order."""
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    meter = NodeMeter(context, check_nodes)
    try:
        yield meter
    finally:
        meter.destroy_node()
        context.shutdown()
