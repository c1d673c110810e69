"""What goes wrong over time is noticed, named, and ends as it should."""

import numpy as np
import pytest

from step_ros.control.errors import LimitsError
from step_ros.control.faults import NAMES, Fault, Severity
from step_ros.control.monitors import ClockMonitor, FollowMonitor


def test_a_clock_that_runs_gives_no_fault() -> None:
    clock = ClockMonitor()
    assert all(clock.update(100.0 + 0.1 * k, 5.0 + 0.1 * k) is None for k in range(20))


def test_a_simulation_faster_than_real_time_gives_no_fault() -> None:
    clock = ClockMonitor()
    assert all(clock.update(2.0 * k, 0.1 * k) is None for k in range(20))


@pytest.mark.parametrize(("now", "words"), [(99.9, "back by 0.1"), (160.0, "ahead by 60")])
def test_a_jump_of_the_clock_is_named_once(now: float, words: str) -> None:
    clock = ClockMonitor()
    clock.update(100.0, 5.0)
    fault = clock.update(now, 5.01)
    assert fault.name == "clock jump"
    assert words in fault.text
    assert clock.update(now + 0.01, 5.02) is None


def follow() -> FollowMonitor:
    return FollowMonitor(("lift", "gripper"), np.array([0.2, np.inf]), patience=0.5)


def test_an_arm_that_lags_for_a_moment_gives_no_fault() -> None:
    monitor = follow()
    assert all(monitor.update(t, np.ones(2), np.zeros(2)) is None for t in (0.0, 0.25, 0.5))
    assert monitor.update(0.51, np.ones(2), np.full(2, 0.9)) is None
    assert monitor.update(0.9, np.ones(2), np.zeros(2)) is None


def test_an_arm_that_stays_away_is_named_with_its_joint() -> None:
    monitor = follow()
    monitor.update(0.0, np.ones(2), np.zeros(2))
    fault = monitor.update(0.6, np.ones(2), np.zeros(2))
    assert fault.severity is Severity.HOLD
    assert str(fault).startswith("follow error: lift is 1.000 rad")
    monitor.reset()
    assert monitor.update(0.7, np.ones(2), np.zeros(2)) is None


def test_a_gripper_may_be_blocked_by_what_it_holds() -> None:
    monitor = follow()
    assert all(monitor.update(t, np.array([0.0, 0.0]), np.array([0.0, 1.0])) is None for t in range(5))


def test_a_joint_that_measures_nan_does_not_follow() -> None:
    monitor = follow()
    monitor.update(0.0, np.ones(2), np.array([np.nan, 0.0]))
    assert monitor.update(1.0, np.ones(2), np.array([np.nan, 0.0])).name == "follow error"


@pytest.mark.parametrize(("largest", "patience"), [([0.1], 0.5), ([0.1, 0.0], 0.5), ([0.1, 0.1], 0.0)])
def test_a_follow_monitor_refuses_what_makes_no_sense(largest, patience) -> None:
    with pytest.raises(LimitsError, match="follow error"):
        FollowMonitor(("a", "b"), np.array(largest), patience)


def test_every_fault_says_how_it_ends() -> None:
    assert all(Fault(name, "").clears for name in NAMES)
    with pytest.raises(KeyError):
        Fault("something", "")
