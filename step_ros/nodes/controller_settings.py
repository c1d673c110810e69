"""Asks a running joint_trajectory_controller for its parameters and has them examined.

Nothing waits for the answers. A controller that does not show up within a few seconds, as in simulation
without ros2_control, is not asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.task import Future

from step_ros.control.linter import Advice, lint

_PATIENCE = 5.0
"""Seconds in which the controller's services have to be found: another process is not known at once."""
_PERIOD = 0.1
_STEADY = Clock(clock_type=ClockType.STEADY_TIME)


def examine(
    node: Node,
    trajectory_topic: str,
    joint_names: Sequence[str],
    fps: float,
    advised: Callable[[list[Advice]], None],
) -> None:
    """Ask the controller that listens on `trajectory_topic`, and call `advised` when it has answered."""
    _Examination(node, trajectory_topic.rpartition("/")[0], joint_names, fps, advised)


class _Examination:
    def __init__(
        self,
        node: Node,
        controller: str,
        joint_names: Sequence[str],
        fps: float,
        advised: Callable[[list[Advice]], None],
    ) -> None:
        self._node, self._joint_names, self._fps, self._advised = node, tuple(joint_names), fps, advised
        self._list = node.create_client(ListParameters, f"{controller}/list_parameters")
        self._get = node.create_client(GetParameters, f"{controller}/get_parameters")
        self._names: list[str] = []
        self._looks_left = round(_PATIENCE / _PERIOD)
        self._timer = node.create_timer(_PERIOD, self._look, clock=_STEADY)

    def _look(self) -> None:
        self._looks_left -= 1
        found = self._list.service_is_ready() and self._get.service_is_ready()
        if not found and self._looks_left > 0:
            return
        self._node.destroy_timer(self._timer)
        if found:
            self._call(self._list, ListParameters.Request(), self._on_names)
        else:
            self._end()

    def _call(self, client: Client, request: object, answered: Callable[[Future], None]) -> None:
        client.call_async(request).add_done_callback(answered)

    def _on_names(self, future: Future) -> None:
        self._names = list(future.result().result.names)
        self._call(self._get, GetParameters.Request(names=self._names), self._on_values)

    def _on_values(self, future: Future) -> None:
        values = map(parameter_value_to_python, future.result().values)
        settings = dict(zip(self._names, values, strict=True))
        self._end()
        self._advised(lint(settings, self._joint_names, self._fps))

    def _end(self) -> None:
        self._node.destroy_client(self._list)
        self._node.destroy_client(self._get)
