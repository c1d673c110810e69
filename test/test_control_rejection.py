"""Whether a controller took a chunk can be seen from its set point, and why not from the message."""

import numpy as np
import pytest

from step_ros.control.follower import FollowerSettings, TrajectoryFollower
from step_ros.control.plan import Reference
from step_ros.control.rejection import Outcome, judge
from step_ros.control.timing import make_trajectory
from step_ros.control.trajectory import Trajectory

NAMES = ("a", "b")
FPS, T0 = 30.0, 100.0


def ramp(t_obs: float, shift: float = 0.0) -> Trajectory:
    times = t_obs + np.arange(16) / FPS
    return make_trajectory(np.stack([times - T0 + shift, times - T0], axis=1), t_obs, FPS, 2)


BEFORE = ramp(T0)
SENT = ramp(T0 + 0.2, shift=0.1)
SINCE = T0 + 0.24


def references(plan: Trajectory, since: float = SINCE, shift: float = 0.0) -> list[Reference]:
    """What a controller that follows `plan` publishes at 50 Hz."""
    stamps = since + np.arange(10) / 50
    return [Reference(t, plan.sample(t)[0] + shift, plan.sample(t)[1]) for t in stamps]


def test_a_chunk_that_is_followed_gives_no_fault() -> None:
    verdict = judge(SENT, BEFORE, references(SENT), SINCE, NAMES)
    assert verdict.outcome is Outcome.FOLLOWED
    assert verdict.fault is None


def test_the_time_that_a_message_takes_is_not_held_against_the_controller() -> None:
    seen = references(BEFORE)[:3] + references(SENT, SINCE + 0.06)
    assert judge(SENT, BEFORE, seen, SINCE, NAMES).outcome is Outcome.FOLLOWED


def test_a_set_point_that_goes_on_as_before_means_that_the_chunk_was_rejected() -> None:
    verdict = judge(SENT, BEFORE, references(BEFORE), SINCE, NAMES)
    assert verdict.outcome is Outcome.IGNORED
    assert verdict.fault.name == "rejected chunk"
    assert "log" in verdict.fault.text


def moving_end() -> Trajectory:
    return Trajectory(SENT.stamp, SENT.times, SENT.positions, np.full_like(SENT.positions, 1.0))


@pytest.mark.parametrize(
    ("sent", "settings", "words"),
    [
        (moving_end(), None, "last point is not zero"),
        (Trajectory(T0 - 9.0, SENT.times, SENT.positions + 1, SENT.velocities), None, "ended"),
        (
            Trajectory(SENT.stamp, np.zeros(16), SENT.positions + 1, SENT.velocities),
            FollowerSettings(allow_nonzero_velocity_at_trajectory_end=True),
            "increase",
        ),
    ],
)
def test_the_likely_reason_is_the_controllers_own(sent, settings, words) -> None:
    verdict = judge(sent, BEFORE, references(BEFORE), SINCE, NAMES, settings)
    assert words in verdict.fault.text


def test_a_set_point_on_neither_plan_is_reported() -> None:
    verdict = judge(SENT, BEFORE, references(BEFORE, shift=-0.5), SINCE, NAMES)
    assert verdict.outcome is Outcome.ELSEWHERE
    assert "another sender" in verdict.fault.text


def test_nothing_is_said_without_evidence() -> None:
    assert judge(SENT, BEFORE, [], SINCE, NAMES).outcome is Outcome.SILENT
    assert judge(SENT, BEFORE, references(SENT, T0), SINCE, NAMES).outcome is Outcome.SILENT
    agreeing = ramp(T0 + 0.2)
    assert judge(agreeing, BEFORE, references(BEFORE), SINCE, NAMES).outcome is Outcome.UNCLEAR


def test_the_internal_follower_is_judged_as_it_behaves() -> None:
    follower = TrajectoryFollower(NAMES, np.zeros(2))
    seen = [Reference(t, *follower.sample(t)) for t in SINCE + np.arange(10) / 50]
    resting = Trajectory(T0, np.zeros(1), np.zeros((1, 2)))
    assert judge(SENT, resting, seen, SINCE, NAMES).outcome is Outcome.IGNORED
