"""The simulated robot's process: it starts only with sensible parameters, and comes back after a crash."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image

from step_ros.nodes.decode import seconds
from step_ros.nodes.mujoco_bridge import MujocoBridge


def test_images_nobody_asks_for_are_not_rendered():
    rclpy.init()
    bridge, executor = MujocoBridge(), SingleThreadedExecutor()
    executor.add_node(bridge)
    rendered: list[str] = []
    bridge._world.render = rendered.append
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        bridge.spin_once(executor)
    executor.shutdown()
    bridge.destroy_node()
    rclpy.shutdown()
    assert not rendered


@pytest.mark.parametrize(
    ("parameter", "word"),
    [("task", "task"), ("servo", "servo"), ("image_size", "image_size"), ("controller", "controller")],
)
def test_parameter_with_an_impossible_value_is_named(parameter, word):
    value = [0, 96] if parameter == "image_size" else "nonsense"
    rclpy.init()
    try:
        with pytest.raises(ValueError, match=word):
            MujocoBridge([Parameter(parameter, value=value)])
    finally:
        rclpy.shutdown()


def test_killed_and_restarted_bridge_is_heard_again_and_its_stamps_do_not_go_back():
    command = [sys.executable, "-m", "step_ros.nodes.mujoco_bridge"]
    rclpy.init()
    listener, executor = Node("listener"), SingleThreadedExecutor()
    executor.add_node(listener)
    stamps: list[float] = []
    listener.create_subscription(
        Image,
        "/top/image_raw",
        lambda message: stamps.append(seconds(message.header.stamp)),
        qos_profile_sensor_data,
    )

    def hear(process: subprocess.Popen, more: int) -> None:
        heard = len(stamps)
        deadline = time.monotonic() + 60
        while len(stamps) < heard + more:
            assert process.poll() is None and time.monotonic() < deadline
            executor.spin_once(timeout_sec=0.1)

    first = subprocess.Popen(command)
    hear(first, 5)
    first.kill()
    first.wait()
    second = subprocess.Popen(command)
    hear(second, 5)
    second.send_signal(signal.SIGINT)
    assert second.wait(timeout=20) == 0, "Ctrl-C is the normal way to end it"

    executor.shutdown()
    listener.destroy_node()
    rclpy.shutdown()
    assert (np.diff(stamps) > 0).all()
