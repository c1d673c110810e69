"""The controller is asked for its settings, and what makes motion jerk is said; on real rclpy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from step_ros.control.linter import Advice
from step_ros.nodes.controller_settings import examine

PATIENCE = 20.0
SETTINGS = {
    "joints": ["pan", "lift"],
    "interpolate_from_desired_state": True,
    "constraints.goal_time": 0.0,
    "update_rate": 100,
}


@pytest.fixture(scope="module", autouse=True)
def ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


@pytest.fixture
def spinning() -> Iterator[Callable[..., Node]]:
    """Makes nodes that spin until the test ends."""
    executor = SingleThreadedExecutor()
    thread = threading.Thread(target=executor.spin, daemon=True)
    nodes = []

    def create(name: str, **parameters: object) -> Node:
        node = rclpy.create_node(name)
        for key, value in parameters.items():
            node.declare_parameter(key, value)
        nodes.append(node)
        executor.add_node(node)
        return node

    thread.start()
    yield create
    executor.shutdown()
    thread.join()
    for node in nodes:
        node.destroy_node()


def wait(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def asked(node: Node, controller: str, joints: tuple[str, ...] = ("pan", "lift")) -> list[list[Advice]]:
    answers: list[list[Advice]] = []
    examine(node, f"/{controller}/joint_trajectory", joints, 30.0, answers.append)
    return answers


def test_a_setting_that_makes_motion_jerk_is_found_on_a_running_controller(spinning) -> None:
    spinning("arm_controller", **SETTINGS)
    answers = asked(spinning("asking"), "arm_controller")
    wait(lambda: answers)
    assert [advice.parameter for advice in answers[0]] == ["interpolate_from_desired_state"]
    assert "better False" in str(answers[0][0])


def test_good_settings_give_no_advice(spinning) -> None:
    spinning("good_controller", **SETTINGS | {"interpolate_from_desired_state": False})
    answers = asked(spinning("asking"), "good_controller")
    wait(lambda: answers)
    assert answers == [[]]


def test_a_controller_of_other_joints_is_said_to_be(spinning) -> None:
    spinning("other_controller", **SETTINGS)
    answers = asked(spinning("asking"), "other_controller", ("pan", "grip"))
    wait(lambda: answers)
    assert "joints" in [advice.parameter for advice in answers[0]]


def test_a_controller_that_is_not_there_is_not_waited_for_forever_and_leaves_nothing_behind(
    spinning, monkeypatch
) -> None:
    monkeypatch.setattr("step_ros.nodes.controller_settings._PATIENCE", 0.3)
    node = spinning("asking")
    clients, timers = len(list(node.clients)), len(list(node.timers))
    answers = asked(node, "no_controller")
    wait(lambda: len(list(node.clients)) == clients and len(list(node.timers)) == timers)
    assert answers == []
