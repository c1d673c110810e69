"""What the step node needs to run a policy, built from its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rclpy.node import Node

from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.control.monitors import FollowMonitor
from step_ros.control.units import GRIPPER, check_units, lerobot_units
from step_ros.control.workspace import WorkspaceGuard
from step_ros.nodes import parameters
from step_ros.nodes.commands import Commander
from step_ros.policy.config import IMAGES, STATE, PolicyConfig
from step_ros.policy.errors import ConfigError
from step_ros.policy.policy import Policy, load_policy

FOLLOW_ERROR = 0.5
"""Distance [rad] from its set point that a joint of the arm may have for a short time: a full speed's lag."""


@dataclass(frozen=True)
class Loaded:
    """A policy, ready to run, and how its inputs and outputs are called on this robot.

    Attributes:
        policy: compiled and warmed up.
        commander: makes safe commands of plans.
        follow: notices when the arm does not follow.
        joint_names: the policy's joints as messages call them.
        image_topics: topic of each camera of the policy, by the camera's name, in the policy's order.
    """

    policy: Policy
    commander: Commander
    follow: FollowMonitor
    joint_names: tuple[str, ...]
    image_topics: dict[str, str]

    def image_size(self, camera: str) -> tuple[int, int]:
        """Height and width [pixels] of the images that the policy takes from a camera."""
        return self.policy.config.input_features[IMAGES + camera][:2]


def load(node: Node) -> Loaded:
    """Load, compile and warm up what the parameters name; may take a minute for a large network.

    Raises:
        PolicyError, ControlError: a parameter or the checkpoint cannot be used.
    """
    checkpoint = node.get_parameter("checkpoint").value
    if not checkpoint:
        raise ConfigError("checkpoint", "", "a folder with config.json and model.safetensors")
    policy = load_policy(
        checkpoint,
        node.get_parameter("method").value,
        node.get_parameter("engine").value,
        node.get_parameter("seed").value,
        threads=node.get_parameter("threads").value,
        precision=node.get_parameter("precision").value,
        **parameters.given_settings(node),
    )
    config = policy.config
    _check_inputs(config)
    cameras = [name.removeprefix(IMAGES) for name in config.image_names]
    topics = _array(node, "image_topics", len(cameras)) or [f"{camera}/image_raw" for camera in cameras]
    limits = _joint_limits(node, config)
    _check_units(policy, limits)
    joint_names = tuple(_array(node, "joint_names", config.action_dim) or config.action_names)
    loaded = Loaded(
        policy,
        Commander(config, limits, joint_names, _guard(node, config), node.get_parameter("blend").value),
        _follow_monitor(node, config),
        joint_names,
        dict(zip(cameras, topics, strict=True)),
    )
    policy.warm_up()
    return loaded


def _check_inputs(config: PolicyConfig) -> None:
    """Raise ConfigError when the policy wants what this node cannot give it, or gives what no arm may get."""
    if config.units != "rad":
        raise ConfigError(
            "units", config.units, "rad: `step-ros import` or `train predictor` converts a policy"
        )
    for name, shape in config.input_features.items():
        if name == STATE and shape != (config.action_dim,):
            raise ConfigError(f"input_features[{name}]", shape, f"one value per joint ({config.action_dim})")
        if name != STATE and name not in config.image_names:
            raise ConfigError("input_features", name, f"{STATE} and {IMAGES}<camera>: no topic has more")


def _joint_limits(node: Node, config: PolicyConfig) -> JointLimits:
    """Limits from the parameters, from the arm's table where there are none."""
    names = {
        "position_lower": "lower",
        "position_upper": "upper",
        "max_velocity": "max_velocity",
        "max_step": "max_step",
        "max_acceleration": "max_acceleration",
    }
    given = {field: _array(node, name, config.action_dim) for name, field in names.items()}
    if not all(given.values()):
        table = JointLimits.so101(config.action_names)
        given = {field: values or getattr(table, field) for field, values in given.items()}
    arrays = {field: np.array(values) for field, values in given.items()}
    margin = node.get_parameter("position_margin").value
    return JointLimits(**arrays, margin=margin, names=config.action_names)


def _check_units(policy: Policy, limits: JointLimits) -> None:
    """Raise UnitsError when the policy's actions cannot be radians of this arm."""
    names = policy.config.action_names
    if set(names) <= set(JOINT_NAMES):
        check_units(lerobot_units("radians", names), *policy.action_range, limits)


def _guard(node: Node, config: PolicyConfig) -> WorkspaceGuard | None:
    """The table, where the parameters want it guarded and the arm's kinematics are known."""
    margin = node.get_parameter("table_margin").value
    if margin < 0 or sorted(config.action_names) != sorted(JOINT_NAMES):
        return None
    return WorkspaceGuard(config.action_names, node.get_parameter("table_height").value, margin)


def _follow_monitor(node: Node, config: PolicyConfig) -> FollowMonitor:
    names = config.action_names
    given = _array(node, "follow_error", config.action_dim)
    largest = given or [0.0 if name == GRIPPER else FOLLOW_ERROR for name in names]
    patience = node.get_parameter("follow_patience").value
    return FollowMonitor(names, np.array([value or np.inf for value in largest]), patience)


def _array(node: Node, name: str, length: int) -> list | None:
    """An array parameter, or None when it has no value; raises ConfigError when its length is wrong."""
    values = parameters.given(node, name).value
    if not values:
        return None
    if len(values) != length:
        raise ConfigError(name, list(values), f"{length} elements")
    return list(values)
