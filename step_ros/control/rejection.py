"""Says whether a controller took what was sent, from the set point that it publishes.

A joint_trajectory_controller that rejects a message tells only its own log. But its reference then goes on
along the old plan, and that can be seen as soon as old and new differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from step_ros.control.errors import TrajectoryRejectedError
from step_ros.control.faults import Fault
from step_ros.control.follower import (
    FollowerSettings,
    TrajectoryCommand,
    TrajectoryFollower,
    TrajectoryPoint,
)
from step_ros.control.plan import Reference
from step_ros.control.trajectory import Trajectory


class Outcome(Enum):
    """What became of a trajectory."""

    FOLLOWED = "the controller's set point is on what was sent"
    IGNORED = "the controller's set point is still on the plan before"
    ELSEWHERE = "the controller's set point is on neither"
    SILENT = "the controller has not said anything since"
    UNCLEAR = "what was sent and the plan before do not differ enough yet"


@dataclass(frozen=True)
class Verdict:
    """What became of a trajectory, and the fault where it was not followed."""

    outcome: Outcome
    fault: Fault | None = None


def judge(
    sent: Trajectory,
    before: Trajectory,
    references: Sequence[Reference],
    since: float,
    joint_names: Sequence[str],
    settings: FollowerSettings | None = None,
    grace: float = 0.05,
    tolerance: float = 0.01,
) -> Verdict:
    """Compare the controller's set point with what was sent and with the plan before.

    Args:
        sent: the trajectory as published.
        before: the plan that it was to replace.
        references: set points that the controller published, in any order.
        since: when `sent` was published [s], or when it takes over if that is later.
        joint_names: of the arrays' columns.
        settings: the controller's parameters, for the likely reason.
        grace: seconds that the message and the controller may take.
        tolerance: distance [rad] at which a set point is on a plan.
    """
    later = sorted((r for r in references if r.stamp >= since + grace), key=lambda r: r.stamp)
    if not later:
        return Verdict(Outcome.SILENT)
    to_sent, to_before = (max(_distance(plan, reference) for reference in later) for plan in (sent, before))
    if to_sent <= tolerance:
        return Verdict(Outcome.UNCLEAR if to_before <= tolerance else Outcome.FOLLOWED)
    if to_before <= tolerance:
        reason = likely_reason(sent, before, since, later[0].stamp, joint_names, settings)
        return Verdict(Outcome.IGNORED, Fault("rejected chunk", reason))
    text = (
        f"the set point is {to_sent:.3f} rad from what was sent and {to_before:.3f} rad from the plan "
        "before: another sender, a hold of the controller, or a speed scaling"
    )
    return Verdict(Outcome.ELSEWHERE, Fault("rejected chunk", text))


def likely_reason(
    sent: Trajectory,
    before: Trajectory,
    since: float,
    controller_time: float,
    joint_names: Sequence[str],
    settings: FollowerSettings | None = None,
) -> str:
    """Why a controller with these joints and settings would reject `sent`, as the internal follower does."""
    follower = TrajectoryFollower(joint_names, before.sample(since)[0], settings)
    try:
        follower.accept(_message(sent, joint_names), controller_time)
    except TrajectoryRejectedError as reason:
        return str(reason)
    return (
        "nothing in the message explains it; see the controller's log: is it active, does it have these "
        "joints, does its clock agree with the stamps, is the topic's name right?"
    )


def _distance(plan: Trajectory, reference: Reference) -> float:
    return float(np.abs(plan.sample(reference.stamp)[0] - reference.position).max())


def _message(sent: Trajectory, joint_names: Sequence[str]) -> TrajectoryCommand:
    velocities = [()] * len(sent.times) if sent.velocities is None else sent.velocities
    points = zip(sent.times, sent.positions, velocities, strict=True)
    return TrajectoryCommand(joint_names, sent.stamp, [TrajectoryPoint(*point) for point in points])
