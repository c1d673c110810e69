"""A bridge on the test's thread, and the nodes that talk to it on another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from step_ros.nodes.mujoco_bridge import MujocoBridge


class BridgeRig:
    """A thread of their own for the others: the bridge's executor answers one message per period."""

    def __init__(self, *others: Node, **parameters: object) -> None:
        self.bridge = MujocoBridge([Parameter(name, value=value) for name, value in parameters.items()])
        self.executor, self._hearing = SingleThreadedExecutor(), SingleThreadedExecutor()
        self.executor.add_node(self.bridge)
        self._others = others
        for node in others:
            self._hearing.add_node(node)
        self._thread = threading.Thread(target=self._hearing.spin)
        self._thread.start()

    def until(self, condition: Callable[[], object], allowed: float = 120.0) -> None:
        """Lets the bridge run until something holds, which has to happen within so many seconds."""
        deadline = time.monotonic() + allowed
        while not condition():
            assert time.monotonic() < deadline, "nothing happened within the time allowed"
            self.bridge.spin_once(self.executor)

    def call(self, client: Client) -> Trigger.Response:
        self.until(client.service_is_ready)
        future = client.call_async(Trigger.Request())
        self.until(future.done)
        return future.result()

    def close(self) -> None:
        self._hearing.shutdown()
        self._thread.join()
        self.executor.shutdown()
        for node in (*self._others, self.bridge):
            node.destroy_node()
