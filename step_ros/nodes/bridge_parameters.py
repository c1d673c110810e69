"""The parameters of `/mujoco_bridge`, declared once with their defaults, descriptions and ranges."""

from __future__ import annotations

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from step_ros.sim.servo import SERVOS
from step_ros.sim.world import TASKS


def declare_parameters(node: Node) -> None:
    """Declare every parameter; raises ParameterException for a value given at the start that is refused."""

    def declare(name: str, default: object, description: str, **details: object) -> None:
        node.declare_parameter(name, default, ParameterDescriptor(description=description, **details))

    declare("task", "pick_place", f"What is on the table: {', '.join(TASKS)}.", read_only=True)
    declare("servo", "sts3215", f"Servo model: {', '.join(SERVOS)}.", read_only=True)
    declare("image_size", [96, 96], "Height and width of the camera images, pixels.", read_only=True)
    declare(
        "seed",
        0,
        "Start poses of the episode that ~/reset begins.",
        integer_range=[IntegerRange(from_value=0, to_value=2**31 - 1)],
    )
    declare(
        "real_time_factor",
        1.0,
        "Simulated seconds per wall second; other than 1 needs use_sim_time in every other node.",
        floating_point_range=[FloatingPointRange(from_value=0.05, to_value=20.0)],
        read_only=True,
    )
    declare(
        "controller",
        "internal",
        "internal: follow trajectories itself. ros2_control: be its hardware, through hw/joint_commands "
        "and hw/joint_states.",
        read_only=True,
    )
    declare(
        "step_on_demand",
        False,
        "Let time pass only for trajectories that answer the newest observation, and for ~/step; needs "
        "use_sim_time in every other node.",
        read_only=True,
    )
    declare(
        "ticks_per_trajectory",
        8,
        "On demand: ticks of 1/30 s that an answer lets pass; the action_steps of /step.",
        integer_range=[IntegerRange(from_value=1, to_value=64)],
    )
