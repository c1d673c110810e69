"""What the launch files share. Needs `launch` and `launch_ros`, which only a ROS 2 distribution has."""

from __future__ import annotations

from collections.abc import Callable

from launch import LaunchContext, LaunchDescriptionEntity
from launch.actions import EmitEvent, LogInfo, RegisterEventHandler, Shutdown
from launch.events import matches_action
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode, Node
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.parameter_descriptions import ParameterValue
from lifecycle_msgs.msg import Transition

_NOT_CONFIGURED = "/step cannot be configured; it says why above"


def required(package: str, executable: str, **details: object) -> Node:
    """A node without which nothing goes on; `details` as for `Node`."""
    ending = end_launch(f"{details.get('name', executable)} ended")
    return Node(package=package, executable=executable, output="screen", on_exit=ending, **details)


def end_launch(reason: str) -> Callable[[ProcessExited, LaunchContext], list[LaunchDescriptionEntity]]:
    """For `on_exit`: ends the launch, unless it is ending already (launch_ros cannot be ended twice)."""

    def ended(_: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        return [] if context.is_shutdown else [Shutdown(reason=reason)]

    return ended


def typed(name: str, value_type: type) -> ParameterValue:
    """A launch argument as a node parameter of a given type, so that a folder named 1 stays a string."""
    return ParameterValue(LaunchConfiguration(name), value_type=value_type)


def step_node(use_sim_time: bool, **parameters: object) -> LifecycleNode:
    """The node /step without autostart, from the launch arguments step_params, checkpoint and method."""
    own = {
        "checkpoint": typed("checkpoint", str),
        "method": typed("method", str),
        "autostart": False,
        "use_sim_time": use_sim_time,
    }
    return LifecycleNode(
        package="step_ros",
        executable="step_node",
        name="step",
        namespace="",
        output="screen",
        on_exit=end_launch("/step ended"),
        parameters=[LaunchConfiguration("step_params"), own | parameters],
    )


def configure(step: LifecycleNode, then: list[LaunchDescriptionEntity]) -> list[LaunchDescriptionEntity]:
    """Starts /step and configures it; goes on with `then`, or ends the launch when that fails."""
    return [
        after(step, "configuring", "inactive", *then),
        after(
            step,
            "configuring",
            "unconfigured",
            LogInfo(msg=_NOT_CONFIGURED),
            Shutdown(reason=_NOT_CONFIGURED),
        ),
        step,
        _change_state(step, Transition.TRANSITION_CONFIGURE),
    ]


def activate(step: LifecycleNode) -> EmitEvent:
    """Lets /step move the arm."""
    return _change_state(step, Transition.TRANSITION_ACTIVATE)


def after(
    step: LifecycleNode, start: str, goal: str, *entities: LaunchDescriptionEntity
) -> RegisterEventHandler:
    """Does something when /step has gone from one state to another."""
    return RegisterEventHandler(
        OnStateTransition(
            target_lifecycle_node=step, start_state=start, goal_state=goal, entities=list(entities)
        )
    )


def _change_state(step: LifecycleNode, transition: int) -> EmitEvent:
    return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(step), transition_id=transition))
