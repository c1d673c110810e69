"""Settings of the controller that make motion jerk are named, with the better value."""

import pytest

from step_ros.control.joints import JOINT_NAMES
from step_ros.control.linter import lint

GOOD = {
    "joints": list(JOINT_NAMES),
    "command_interfaces": ["position"],
    "state_interfaces": ["position", "velocity"],
    "interpolate_from_desired_state": False,
    "allow_nonzero_velocity_at_trajectory_end": False,
    "allow_partial_joints_goal": False,
    "interpolation_method": "splines",
    "speed_scaling.initial_scaling_factor": 1.0,
    "speed_scaling.state_interface": "",
    "set_last_command_interface_value_as_state_on_activation": True,
    "constraints.goal_time": 0.0,
    "constraints.stopped_velocity_tolerance": 0.01,
    "constraints.elbow_flex.trajectory": 0.0,
    "constraints.elbow_flex.goal": 0.0,
    "update_rate": 100,
}


def test_the_defaults_give_no_warning() -> None:
    assert lint(GOOD, JOINT_NAMES, fps=30.0) == []
    assert lint({}) == []


@pytest.mark.parametrize(
    ("parameter", "value", "better"),
    [
        ("interpolate_from_desired_state", True, False),
        ("open_loop_control", True, False),
        ("allow_nonzero_velocity_at_trajectory_end", True, False),
        ("interpolation_method", "none", "splines"),
        ("speed_scaling.initial_scaling_factor", 0.5, 1.0),
        ("speed_scaling.state_interface", "speed/scaling", ""),
        ("set_last_command_interface_value_as_state_on_activation", False, True),
        ("command_interfaces", ["position", "velocity"], ["position"]),
        ("joints", list(JOINT_NAMES[:5]), list(JOINT_NAMES)),
        ("constraints.elbow_flex.trajectory", 0.1, 0.0),
        ("constraints.goal_time", 0.5, 0.0),
        ("update_rate", 50, ">= 60"),
    ],
)
def test_a_setting_that_makes_motion_jerk_is_named(parameter, value, better) -> None:
    (warning,) = lint(GOOD | {parameter: value}, JOINT_NAMES, fps=30.0)
    assert (warning.parameter, warning.found, warning.better) == (parameter, value, better)
    assert str(warning).startswith(f"{parameter} is {value}, better {better}: ")


def test_joints_in_another_order_give_no_warning() -> None:
    assert lint(GOOD | {"joints": list(JOINT_NAMES[::-1])}, JOINT_NAMES) == []


def test_a_controller_with_more_joints_needs_to_allow_partial_goals() -> None:
    arm = JOINT_NAMES[:5]
    assert lint(GOOD, arm)[0].parameter == "joints"
    assert lint(GOOD | {"allow_partial_joints_goal": True}, arm) == []
