"""Controllers, description, bridge and /step are told the same: joints, rates, topics. No ROS 2 needed."""

from __future__ import annotations

import re

import pytest
import yaml

from step_ros.control.joints import JOINT_NAMES
from step_ros.nodes.controllers import (
    HARDWARE_COMMANDS_TOPIC,
    HARDWARE_STATES_TOPIC,
    TRAJECTORY_TOPIC,
    HardwareTopics,
)
from step_ros.nodes.mujoco_bridge import SERVO_RATE
from step_ros.paths import share_path
from step_ros.sim.world import CONTROL_RATE

CONTROLLER = "joint_trajectory_controller"
TELLS_WHAT = {"type", "joints", "command_interfaces", "state_interfaces"}
"""Parameters without a usable default, that say what there is and not how to follow."""


def parameters(file: str) -> dict[str, dict[str, object]]:
    content = yaml.safe_load(share_path("config", file).read_text())
    return {name: section["ros__parameters"] for name, section in content.items()}


@pytest.fixture(scope="module")
def controllers() -> dict[str, dict[str, object]]:
    return parameters("controllers.yaml")


def xacro(name: str) -> str:
    return share_path("models", "so101", name).read_text()


def test_the_controller_has_the_arms_joints_in_their_order(controllers) -> None:
    assert tuple(controllers[CONTROLLER]["joints"]) == JOINT_NAMES


def test_the_controller_takes_what_the_description_offers(controllers) -> None:
    text = xacro("so101.ros2_control.xacro")
    assert controllers[CONTROLLER]["command_interfaces"] == re.findall(
        r'<command_interface name="(\w+)"', text
    )
    assert controllers[CONTROLLER]["state_interfaces"] == re.findall(r'<state_interface name="(\w+)"', text)


def test_how_the_controller_follows_is_left_at_its_defaults(controllers) -> None:
    assert set(controllers[CONTROLLER]) == TELLS_WHAT


def test_the_controllers_are_called_as_the_launch_file_spawns_them(controllers) -> None:
    spawned = re.search(r"CONTROLLER_NAMES = \((.*)\)", share_path("launch", "so101.launch.py").read_text())
    assert re.findall(r'"(\w+)"', spawned[1]) == [
        name for name in controllers if name != "controller_manager"
    ]


def test_step_commands_the_topic_of_that_controller(controllers) -> None:
    step = yaml.safe_load(share_path("config", "step.yaml").read_text())["/**/step"]["ros__parameters"]
    assert CONTROLLER in controllers
    assert step["trajectory_topic"] == TRAJECTORY_TOPIC == f"/{CONTROLLER}/joint_trajectory"
    assert step["joint_states_topic"] == "/joint_states"


def test_the_controller_manager_runs_once_per_tick_of_the_bridges_clock(controllers) -> None:
    assert controllers["controller_manager"]["update_rate"] == SERVO_RATE == HardwareTopics.state_rate
    assert SERVO_RATE % CONTROL_RATE == 0


def test_a_bus_is_read_every_whole_number_of_cycles(controllers) -> None:
    (rate,) = re.findall(r'rw_rate="(\d+)"', xacro("so101.ros2_control.xacro"))
    assert controllers["controller_manager"]["update_rate"] % int(rate) == 0


def test_bridge_and_description_name_the_same_hardware_topics() -> None:
    topics = dict(
        re.findall(r'<param name="(joint_\w+_topic)">(.*)</param>', xacro("so101.ros2_control.xacro"))
    )
    assert topics == {
        "joint_commands_topic": f"/{HARDWARE_COMMANDS_TOPIC}",
        "joint_states_topic": f"/{HARDWARE_STATES_TOPIC}",
    }


def test_servos_speeds_reach_neither_controller() -> None:
    over = parameters("controllers_feetech.yaml")
    assert over[CONTROLLER]["state_interfaces"] == ["position"]
    assert over["joint_state_broadcaster"]["interfaces"] == ["position"]
    assert tuple(over["joint_state_broadcaster"]["joints"]) == JOINT_NAMES


def test_the_controller_manager_leaves_limits_to_step_on_both_distributions(controllers) -> None:
    assert controllers["controller_manager"]["enforce_command_limits"] is False
