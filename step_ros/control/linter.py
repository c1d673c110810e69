"""Finds settings of a joint_trajectory_controller with which anchored chunks do not move smoothly.

Its defaults are right for chunks that are stamped with their observation's time, begin with the position due
at that time, carry velocities and end at rest; what is reported here departs from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_SLOW = 2.0
"""Controller periods that an element of a chunk should last at least."""


@dataclass(frozen=True)
class Advice:
    """A setting and the better one.

    Attributes:
        parameter: of the controller.
        found: its value.
        better: what it should be.
        reason: what happens otherwise.
    """

    parameter: str
    found: object
    better: object
    reason: str

    def __str__(self) -> str:
        return f"{self.parameter} is {self.found}, better {self.better}: {self.reason}"


_EXACT: dict[str, tuple[object, str]] = {
    "interpolate_from_desired_state": (
        False,
        "a chunk whose first point is past is then bridged from a set point of another time; "
        "measured 1.2 rad/s of velocity error (99 %) against 0.04 with the default",
    ),
    "open_loop_control": (False, "the old name of interpolate_from_desired_state, with the same effect"),
    "allow_nonzero_velocity_at_trajectory_end": (
        False,
        "nothing then refuses a chunk that ends in motion, and at its end the set point stops at once; "
        "measured 4 rad/s of velocity error where chunks ended before the next one came",
    ),
    "interpolation_method": ("splines", "the set point then goes in steps, one per element of a chunk"),
    "speed_scaling.initial_scaling_factor": (
        1.0,
        "the controller then plays a chunk slower or faster than its stamps say",
    ),
    "speed_scaling.state_interface": ("", "the hardware may then stretch a chunk's time, so seams jump"),
    "set_last_command_interface_value_as_state_on_activation": (
        True,
        "the arm sags or jumps when the controller is activated",
    ),
}


def lint(
    parameters: Mapping[str, object], joint_names: Sequence[str] = (), fps: float | None = None
) -> list[Advice]:
    """Everything in a controller's parameters that will make motion jerk.

    Args:
        parameters: values by full name, such as `constraints.goal_time`; what is missing counts as default.
        joint_names: joints of the policy; not compared when left out.
        fps: rate of a chunk's elements [1/s]; compared with `update_rate`, where that is known.
    """
    warnings = [
        Advice(name, parameters[name], better, reason)
        for name, (better, reason) in _EXACT.items()
        if name in parameters and parameters[name] != better
    ]
    return [
        *warnings,
        *_interfaces(parameters),
        *_joints(parameters, joint_names),
        *_tolerances(parameters),
        *_rate(parameters, fps),
    ]


def _interfaces(parameters: Mapping[str, object]) -> list[Advice]:
    found = list(parameters.get("command_interfaces") or ["position"])
    if found == ["position"]:
        return []
    reason = "chunks are positions; with other interfaces the gains of a loop decide how the arm follows"
    return [Advice("command_interfaces", found, ["position"], reason)]


def _joints(parameters: Mapping[str, object], joint_names: Sequence[str]) -> list[Advice]:
    found = list(parameters.get("joints") or joint_names)
    if not joint_names or sorted(found) == sorted(joint_names):
        return []
    partial = set(joint_names) < set(found) and parameters.get("allow_partial_joints_goal")
    if partial:
        return []
    return [Advice("joints", found, list(joint_names), "every chunk will be rejected, and the arm stays")]


def _tolerances(parameters: Mapping[str, object]) -> list[Advice]:
    """State tolerances end a motion in the middle, whenever the arm lags."""
    warnings = []
    for name, value in parameters.items():
        watched = name.startswith("constraints.") and name.endswith(".trajectory")
        if watched and isinstance(value, (int, float)) and value > 0:
            reason = "an arm that lags by more is held where it is, in the middle of a chunk"
            warnings.append(Advice(name, value, 0.0, reason))
    goal_time = parameters.get("constraints.goal_time", 0.0)
    if isinstance(goal_time, (int, float)) and goal_time > 0:
        reason = "an arm that is not at a chunk's end in time is held where it is"
        warnings.append(Advice("constraints.goal_time", goal_time, 0.0, reason))
    return warnings


def _rate(parameters: Mapping[str, object], fps: float | None) -> list[Advice]:
    rate = parameters.get("update_rate")
    if not fps or not isinstance(rate, (int, float)) or not 0 < rate < _SLOW * fps:
        return []
    reason = f"chunks have {fps:g} elements a second; with fewer than two periods for each it goes in steps"
    return [Advice("update_rate", rate, f">= {_SLOW * fps:g}", reason)]
