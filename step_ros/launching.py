"""What the launch files share. Needs `launch` and `launch_ros`, which only a ROS 2 distribution has."""

from __future__ import annotations

from collections.abc import Callable

from launch import LaunchContext, LaunchDescriptionEntity
from launch.actions import Shutdown
from launch.events.process import ProcessExited
from launch_ros.actions import Node


def required(package: str, executable: str, **details: object) -> Node:
    """A node without which nothing goes on; `details` as for `Node`."""
    ending = end_launch(f"{details.get('name', executable)} ended")
    return Node(package=package, executable=executable, output="screen", on_exit=ending, **details)


def end_launch(reason: str) -> Callable[[ProcessExited, LaunchContext], list[LaunchDescriptionEntity]]:
    """For `on_exit`: ends the launch, unless it is ending already (launch_ros cannot be ended twice)."""

    def ended(_: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return [] if context.is_shutdown else [Shutdown(reason=reason)]

    return ended
