"""The internal follower does in every case what the table says of the real controller."""

from __future__ import annotations

import math
from importlib import resources

import numpy as np
import pytest
import yaml

from step_ros.control.errors import TrajectoryRejectedError
from step_ros.control.follower import (
    FollowerSettings,
    TrajectoryCommand,
    TrajectoryFollower,
    TrajectoryPoint,
)
from step_ros.control.joints import JOINT_NAMES

TABLE = yaml.safe_load(resources.files("step_ros.control").joinpath("controller_cases.yaml").read_text())
T0 = 100.0


def row(value: object, joints: int) -> list[float]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value] * joints


def command(send: dict) -> TrajectoryCommand:
    names = send.get("joints", TABLE["joints"])
    effort = [send["effort"]] * len(names) if "effort" in send else []
    points = [
        TrajectoryPoint(time, *[row(value, len(names)) for value in (fields + [None] * 3)[:3]], effort)
        for time, *fields in send["points"]
    ]
    return TrajectoryCommand(names, 0.0 if send["stamp"] == "zero" else T0 + send["stamp"], points)


def send(follower: TrajectoryFollower, message: dict, measured: dict | None) -> None:
    now = T0 + message["at"]
    state = [] if measured is None else [np.full(6, measured[field]) for field in ("position", "velocity")]
    follower.sample(now)  # As the controller does in every period.
    if "rejected" in message:
        with pytest.raises(TrajectoryRejectedError, match=message["rejected"]):
            follower.accept(command(message), now, *state)
    else:
        follower.accept(command(message), now, *state)


def check(follower: TrajectoryFollower, expected: dict) -> None:
    found = dict(zip(("position", "velocity"), follower.sample(T0 + expected["at"]), strict=True))
    for quantity in found.keys() & expected.keys():
        named = expected[quantity]
        named = named if isinstance(named, dict) else dict.fromkeys(JOINT_NAMES, named)
        for joint, value in named.items():
            at = f"{joint} {quantity} at {expected['at']}"
            assert math.isclose(found[quantity][JOINT_NAMES.index(joint)], value, abs_tol=1e-6), at


@pytest.mark.parametrize("case", TABLE["cases"], ids=lambda case: case["name"])
def test_the_follower_does_what_the_controller_does(case: dict) -> None:
    settings = FollowerSettings(**case.get("settings", {}))
    follower = TrajectoryFollower(TABLE["joints"], np.full(6, case["start"]), settings)
    events = [(entry["at"], entry) for entry in case["sends"] + case["expect"]]
    for _, entry in sorted(events, key=lambda event: event[0]):
        if "points" in entry:
            send(follower, entry, case.get("measured"))
        else:
            check(follower, entry)


def test_every_case_says_something_of_its_own() -> None:
    names = [case["name"] for case in TABLE["cases"]]
    assert len(set(names)) == len(names)
    assert tuple(TABLE["joints"]) == JOINT_NAMES
