"""The step node's parameters: declared once, with descriptions and ranges, and read back as what is in force.

Run-time settings are declared from the policy's own `Settings`. They have no value until a checkpoint is
loaded, because a checkpoint may recommend its own; what the user gave wins.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from step_ros.policy.engine import ENGINES, PRECISIONS
from step_ros.policy.methods import METHODS
from step_ros.policy.settings import Settings

_SETTINGS = {field.name: field for field in dataclasses.fields(Settings)}
_HINTS = typing.get_type_hints(Settings)
_TYPES = {int: Parameter.Type.INTEGER, float: Parameter.Type.DOUBLE, str: Parameter.Type.STRING}
_OFF = -1
"""As the only element of a list of timesteps: none (a command line cannot give an empty array)."""

_READ_ONLY: dict[str, tuple[object, str]] = {
    "checkpoint": ("", "Folder of the policy (config.json and model.safetensors)."),
    "engine": ("auto", f"What runs the networks: {', '.join(ENGINES)}."),
    "precision": (
        "fp32",
        f"Number format of the networks' arithmetic: {', '.join(PRECISIONS)}; not every engine has each.",
    ),
    "seed": (0, "Seed of the sampler's noise."),
    "autostart": (True, "Configure and activate at the start, without waiting for lifecycle transitions."),
    "joint_states_topic": ("/joint_states", "Measured joints."),
    "trajectory_topic": ("/joint_trajectory_controller/joint_trajectory", "Where commands go."),
    "image_topics": (
        Parameter.Type.STRING_ARRAY,
        "One per camera of the policy, in its order; by default <camera>/image_raw. "
        "One that ends in /compressed carries CompressedImage.",
    ),
    "joint_names": (
        Parameter.Type.STRING_ARRAY,
        "The policy's joints as they are called in messages, in its order; by default as in the checkpoint.",
    ),
    "position_lower": (Parameter.Type.DOUBLE_ARRAY, "Lowest position per joint, rad; by default SO-101."),
    "position_upper": (Parameter.Type.DOUBLE_ARRAY, "Highest position per joint, rad; by default SO-101."),
    "max_velocity": (Parameter.Type.DOUBLE_ARRAY, "Largest speed per joint, rad/s; by default SO-101."),
    "max_step": (
        Parameter.Type.DOUBLE_ARRAY,
        "Largest distance per joint from the plan in force at which a chunk may begin, rad; "
        "by default SO-101.",
    ),
    "max_acceleration": (
        Parameter.Type.DOUBLE_ARRAY,
        "Largest acceleration per joint, rad/s^2; by default SO-101.",
    ),
    "follow_error": (
        Parameter.Type.DOUBLE_ARRAY,
        "Distance per joint from its set point, rad, that makes the arm hold when it lasts; 0: not watched; "
        "by default 0.5, and 0 for a joint called gripper.",
    ),
    "reference_topic": (
        "/joint_trajectory_controller/reference",
        "Where a controller without control_msgs publishes its set point (trajectory_msgs/JointTrajectory).",
    ),
}
_READ_ONLY_NUMBERS: dict[str, tuple[float, float, float, str]] = {
    "position_margin": (
        0.0,
        0.0,
        0.5,
        "Distance to the ends of every joint's range that commands keep, rad.",
    ),
    "follow_patience": (0.5, 0.05, 10.0, "Seconds for which a joint may be further off than follow_error."),
    "table_height": (0.0, -1.0, 1.0, "Height of the table in the arm's base frame, m."),
    "table_margin": (
        0.001,
        -1.0,
        0.2,
        "Distance that the gripper keeps from the table, m; negative: no guard. Only for SO-101's joints.",
    ),
}


def declare(node: Node) -> None:
    """Declare every parameter of the step node.

    Raises:
        rclpy.exceptions.ParameterException: a value given at the start is of the wrong type or out of range.
    """
    for name, (default, description) in _READ_ONLY.items():
        node.declare_parameter(name, default, ParameterDescriptor(description=description, read_only=True))
    for name, (default, low, high, description) in _READ_ONLY_NUMBERS.items():
        node.declare_parameter(name, default, _number(description, low, high, read_only=True))
    node.declare_parameter(
        "threads",
        1,
        ParameterDescriptor(
            description="CPU threads per network call; more seldom help, and hurt where cores are shared.",
            integer_range=[IntegerRange(from_value=1, to_value=256)],
            read_only=True,
        ),
    )
    node.declare_parameter("enabled", True, ParameterDescriptor(description="Whether the arm may be moved."))
    methods = f"one of {', '.join(METHODS)}"
    node.declare_parameter(
        "method",
        "step",
        ParameterDescriptor(description="How chunks are made.", additional_constraints=methods),
    )
    for name, what in (("camera_timeout", "camera image"), ("joint_timeout", "joint state")):
        description = f"Age of the newest {what} above which the arm holds, s."
        node.declare_parameter(name, 0.5, _number(description, 0.02, 60.0))
    description = (
        "Seconds in which a new chunk's offset to the plan in force decays; 0 sends chunks as they are."
    )
    node.declare_parameter("blend", 0.15, _number(description, 0.0, 2.0))
    for name in _SETTINGS:
        node.declare_parameter(name, _type(name), _descriptor(name))


def changed_settings(parameters: Iterable[Parameter]) -> dict[str, object]:
    """The policy settings that have a value among some parameters, as `Settings` takes them."""
    changes = {}
    for parameter in parameters:
        if parameter.name in _SETTINGS and parameter.type_ != Parameter.Type.NOT_SET:
            value = parameter.value
            if _type(parameter.name) == Parameter.Type.INTEGER_ARRAY:
                value = None if list(value) in ([], [_OFF]) else tuple(value)
            changes[parameter.name] = value
    return changes


def given_settings(node: Node) -> dict[str, object]:
    """The policy settings that have a value."""
    return changed_settings(given(node, name) for name in _SETTINGS)


def given(node: Node, name: str) -> Parameter:
    """A parameter that may have no value yet; its type then is NOT_SET and its value None."""
    return node.get_parameter_or(name, Parameter(name))


def in_force(settings: Settings) -> list[Parameter]:
    """Parameters that say what is in force."""
    values = dataclasses.asdict(settings)
    return [
        Parameter(name, _type(name), list(value or [_OFF]) if _is_list(name) else value)
        for name, value in values.items()
    ]


def _number(description: str, low: float, high: float, read_only: bool = False) -> ParameterDescriptor:
    return ParameterDescriptor(
        description=description,
        floating_point_range=[FloatingPointRange(from_value=low, to_value=high)],
        read_only=read_only,
    )


def _is_list(name: str) -> bool:
    return _type(name) == Parameter.Type.INTEGER_ARRAY


def _type(name: str) -> Parameter.Type:
    return _TYPES.get(_HINTS[name], Parameter.Type.INTEGER_ARRAY)


def _descriptor(name: str) -> ParameterDescriptor:
    rule = _SETTINGS[name].metadata
    descriptor = ParameterDescriptor(description=f"{rule['description']}.")
    if rule["choices"]:
        descriptor.additional_constraints = f"one of {', '.join(rule['choices'])}"
    elif _is_list(name):
        descriptor.additional_constraints = (
            f"each from {rule['low']} to {rule['high']}, decreasing; [{_OFF}]: none"
        )
    elif _HINTS[name] is str:
        return descriptor
    elif _HINTS[name] is int:
        descriptor.integer_range = [IntegerRange(from_value=rule["low"], to_value=rule["high"])]
    else:
        return _number(descriptor.description, float(rule["low"]), float(rule["high"]))
    return descriptor
