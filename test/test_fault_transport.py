"""Faults that need transport: a real `/step` on rclpy and Fast DDS, a robot in a process of its own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from policy_helpers import arm_config
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from trajectory_msgs.msg import JointTrajectory

from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.nodes.decode import seconds
from step_ros.nodes.processes import NodeProcesses
from step_ros.nodes.step_node import StepNode
from step_ros.policy.untrained import save_untrained

PATIENCE = 30.0
TIMEOUT = 1.5
STORM_SECONDS = 2.0
LIMITS = JointLimits.so101()
TOPIC = "/joint_trajectory_controller/joint_trajectory"
CONFIG = arm_config()


class Graph:
    """`/step`, a stand-in for the controller's node, whoever listens, and a robot that can be killed."""

    def __init__(self, checkpoint: str, robots: NodeProcesses) -> None:
        # Before /step is activated: it then looks at the controller's settings.
        self.controller = rclpy.create_node("joint_trajectory_controller")
        self.controller.declare_parameter("interpolate_from_desired_state", True)
        self.listener = rclpy.create_node("listener")
        self.sent: list[JointTrajectory] = []
        self.reports: list[DiagnosticStatus] = []
        self.timings: list[DiagnosticStatus] = []
        self.listener.create_subscription(JointTrajectory, TOPIC, self.sent.append, 10)
        self.listener.create_subscription(DiagnosticArray, "/diagnostics", self._on_report, 10)
        self.listener.create_subscription(DiagnosticArray, "/step/timing", self._on_timing, 10)
        parameters = {"checkpoint": checkpoint, "engine": "torch"}
        parameters |= {"camera_timeout": TIMEOUT, "joint_timeout": TIMEOUT}
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.step = StepNode(parameter_overrides=overrides)
        self._robots = robots
        self._executors, self._threads = [], []
        for nodes in ([self.step], [self.listener, self.controller]):
            executor = SingleThreadedExecutor()
            for node in nodes:
                executor.add_node(node)
            thread = threading.Thread(target=executor.spin, daemon=True)
            thread.start()
            self._executors.append(executor)
            self._threads.append(thread)
        self.start_robot()

    def start_robot(self) -> None:
        names = f"[{', '.join(JOINT_NAMES)}]"
        parameters = {"cameras": "[top]", "image_size": "[16, 16]", "seconds": "600.0", "joint_names": names}
        arguments = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
        self._robots.start("synthetic_robot", *arguments)

    def kill_robot(self) -> None:
        os.kill(self._robots.pid("synthetic_robot"), 9)

    def _on_report(self, message: DiagnosticArray) -> None:
        if message.status[0].name == "step: policy":
            self.reports.append(message.status[0])

    def _on_timing(self, message: DiagnosticArray) -> None:
        self.timings.append(message.status[0])

    def wait(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what}; last report: {self.reports[-1:]}"
            time.sleep(0.01)

    def wait_until_held(self, words: str) -> None:
        known = len(self.reports)
        self.wait(lambda: self.sent and is_hold(self.sent[-1]), "no hold")
        self.wait(
            lambda: any("holding" in r.message and words in r.message for r in self.reports[known:]),
            f"no report of '{words}'",
        )

    def wait_until_moving(self) -> None:
        known = len(self.sent)
        self.wait(lambda: any(not is_hold(message) for message in self.sent[known:]), "does not move")

    def close(self) -> None:
        for executor, thread in zip(self._executors, self._threads, strict=True):
            executor.shutdown()
            thread.join()
        for node in (self.step, self.listener, self.controller):
            node.destroy_node()


def is_hold(message: JointTrajectory) -> bool:
    return seconds(message.header.stamp) == 0


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Graph]:
    folder = tmp_path_factory.mktemp("faults")
    save_untrained(folder / "policy", CONFIG, reach=0.15)
    rclpy.init()
    with NodeProcesses(folder / "logs", dict(os.environ)) as robots:
        graph = Graph(str(folder / "policy"), robots)
        yield graph
        graph.close()
    rclpy.shutdown()


@pytest.fixture
def graph(running: Graph) -> Iterator[Graph]:
    running.wait_until_moving()
    yield running
    for message in running.sent:
        positions = np.array([point.positions for point in message.points])
        assert np.isfinite(positions).all()
        assert (positions >= LIMITS.lower).all()
        assert (positions <= LIMITS.upper).all()


def test_a_setting_of_the_controller_that_makes_motion_jerk_is_warned_of(graph: Graph) -> None:
    words = "interpolate_from_desired_state is True, better False"
    graph.wait(
        lambda: any(words in r.message and r.level == DiagnosticStatus.WARN for r in graph.reports),
        "no warning",
    )


def test_the_jump_at_each_seam_is_told_on_the_timing_topic(graph: Graph) -> None:
    graph.wait(lambda: len(graph.timings) > 3, "no timings")
    values = {item.key: float(item.value) for item in graph.timings[-1].values}
    assert values["seam_position"] < 0.01
    assert values["seam_velocity"] >= 0
    assert "seam_acceleration" in values


def test_blending_is_a_parameter_that_can_be_changed_while_the_arm_moves(graph: Graph) -> None:
    assert graph.step.set_parameters([Parameter("blend", value=0.0)])[0].successful
    assert graph.step._runner._commander.blend == 0.0
    graph.wait_until_moving()
    refused = graph.step.set_parameters([Parameter("blend", value=-0.1)])[0]
    assert not refused.successful
    assert graph.step._runner._commander.blend == 0.0
    assert graph.step.set_parameters([Parameter("blend", value=0.15)])[0].successful


def test_a_second_publisher_of_commands_makes_the_arm_hold_until_it_is_gone(graph: Graph) -> None:
    rival = graph.listener.create_publisher(JointTrajectory, TOPIC, 1)
    graph.wait_until_held("1 other publishers of commands")
    graph.listener.destroy_publisher(rival)
    graph.wait_until_moving()


def test_parameters_that_change_a_hundred_times_a_second_disturb_nothing(graph: Graph) -> None:
    client = graph.listener.create_client(SetParameters, "/step/set_parameters")
    assert client.wait_for_service(PATIENCE)
    random, known, futures = np.random.default_rng(20_000), len(graph.sent), []
    values = [float(value) for value in random.uniform(0.1, 1.5, round(100 * STORM_SECONDS))]
    for value in values:
        request = SetParameters.Request(
            parameters=[
                Parameter("sigma_stall", value=value).to_parameter_msg(),
                Parameter("blend", value=value / 5).to_parameter_msg(),
                Parameter("num_inference_steps", value=int(1 + 3 * value)).to_parameter_msg(),
            ]
        )
        futures.append(client.call_async(request))
        time.sleep(0.01)
    graph.wait(lambda: all(future.done() for future in futures), "changes are not answered")
    assert all(result.successful for future in futures for result in future.result().results)
    assert graph.step._loaded.policy.settings.sigma_stall == values[-1]
    assert len(graph.sent) > known
    graph.wait_until_moving()


def test_a_robot_that_is_killed_makes_the_arm_hold_until_one_is_back(graph: Graph) -> None:
    graph.kill_robot()
    graph.wait_until_held(f"older than {TIMEOUT:g} s")
    graph.start_robot()
    graph.wait_until_moving()
