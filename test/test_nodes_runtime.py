"""A node's process ends in good order."""

from __future__ import annotations

import os
import signal

import pytest
import rclpy
from rclpy.node import Node
from rclpy.parameter import Parameter

from step_ros.nodes.runtime import run


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_process_with_the_middleware_still_open_for_the_node(number: int) -> None:
    ended = []

    class Ending(Node):
        def __init__(self) -> None:
            super().__init__("ending")
            self.create_timer(0.01, lambda: os.kill(os.getpid(), number))

        def destroy_node(self) -> None:
            ended.append(self.context.ok())
            super().destroy_node()

    assert run(Ending) == 0
    assert ended == [True]
    assert not rclpy.ok()


def test_a_parameter_of_the_wrong_type_ends_the_process_with_the_reason(capsys) -> None:
    def create() -> Node:
        node = Node("typed", parameter_overrides=[Parameter("steps", value="many")])
        node.declare_parameter("steps", 2)
        return node

    assert run(create) == 1
    assert "steps" in capsys.readouterr().err
    assert not rclpy.ok()
