"""What the controller says of its set point, as the node takes it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from step_ros.control.plan import Reference
from step_ros.nodes.encode import stamp_message
from step_ros.nodes.reference import ReferenceInput

JOINTS = ("pan", "lift", "grip")


class Listening:
    """A node without ROS, with a `ReferenceInput` on it."""

    def __init__(self) -> None:
        self.heard: list[Reference] = []
        self.topics: dict[str, object] = {}
        ReferenceInput(self, JOINTS, self.heard.append)

    def get_parameter(self, name: str) -> SimpleNamespace:
        return SimpleNamespace(value={"reference_topic": "/r", "trajectory_topic": "/c/trajectory"}[name])

    def create_subscription(self, kind: type, topic: str, callback: object, profile: object) -> str:
        self.topics[topic] = callback
        return topic


@pytest.fixture
def listening() -> Listening:
    return Listening()


def message(**changes: object) -> JointTrajectory:
    fields = {"positions": [1.0, 2.0, 3.0], "velocities": [0.1, 0.2, 0.3]}
    names = changes.pop("joint_names", list(JOINTS))
    found = JointTrajectory(joint_names=names, points=[JointTrajectoryPoint(**(fields | changes))])
    found.header.stamp = stamp_message(12.5)
    return found


def test_a_set_point_is_taken_with_its_stamp(listening) -> None:
    listening.topics["/r"](message())
    (reference,) = listening.heard
    assert reference.stamp == 12.5
    np.testing.assert_array_equal(reference.position, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(reference.velocity, [0.1, 0.2, 0.3])


def test_joints_in_another_order_come_in_the_policys(listening) -> None:
    listening.topics["/r"](message(joint_names=["grip", "pan", "lift"]))
    np.testing.assert_array_equal(listening.heard[0].position, [2.0, 3.0, 1.0])
    np.testing.assert_array_equal(listening.heard[0].velocity, [0.2, 0.3, 0.1])


def test_joints_that_the_policy_does_not_have_do_not_matter(listening) -> None:
    names, four = ["rail", *JOINTS], [9.0, 1.0, 2.0, 3.0]
    listening.topics["/r"](message(joint_names=names, positions=four, velocities=four))
    np.testing.assert_array_equal(listening.heard[0].position, [1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    "spoiled",
    [
        {"positions": [1.0, 2.0]},
        {"velocities": []},
        {"positions": [1.0, math.nan, 3.0]},
        {"velocities": [0.0, 0.0, math.inf]},
        {"joint_names": ["pan", "lift", "claw"]},
        {"joint_names": ["pan", "lift"], "positions": [1.0, 2.0], "velocities": [0.0, 0.0]},
        {"joint_names": ["pan", "lift", "grip", "grip"], "positions": [0.0] * 4, "velocities": [0.0] * 4},
        {"joint_names": [], "positions": [], "velocities": []},
    ],
    ids=str,
)
def test_a_set_point_that_cannot_be_used_is_no_news(listening, spoiled: dict[str, list]) -> None:
    listening.topics["/r"](message(**spoiled))
    assert listening.heard == []


@pytest.mark.parametrize("points", [0, 2])
def test_a_trajectory_is_no_set_point(listening, points: int) -> None:
    trajectory = message()
    trajectory.points = trajectory.points * points
    listening.topics["/r"](trajectory)
    assert listening.heard == []
