"""Old inputs are named, with the likely cause."""

import pytest

from step_ros.control.watchdog import Watchdog


@pytest.fixture
def watchdog() -> Watchdog:
    watchdog = Watchdog({"joint state": 0.2, "camera top": 0.5})
    watchdog.saw("joint state", 100.0, 1.0)
    watchdog.saw("camera top", 100.0, 1.0)
    return watchdog


def test_fresh_inputs_give_no_reason(watchdog: Watchdog) -> None:
    assert watchdog.reason(100.1, 1.1) is None


def test_an_input_older_than_its_own_limit_is_named(watchdog: Watchdog) -> None:
    assert watchdog.reason(100.3, 1.3) == "joint state is older than 0.2 s"
    watchdog.saw("joint state", 100.6, 1.6)
    assert watchdog.reason(100.6, 1.6) == "camera top is older than 0.5 s"


def test_an_input_that_never_came_is_named(watchdog: Watchdog) -> None:
    watchdog.forget()
    assert watchdog.reason(100.0, 1.0) == "no joint state yet"


def test_the_reason_says_why_the_last_message_was_refused(watchdog: Watchdog) -> None:
    watchdog.refused("joint state", "it lacks gripper")
    assert watchdog.reason(100.1, 1.1) is None
    assert "it lacks gripper" in watchdog.reason(100.3, 1.3)


def test_a_stamp_in_the_future_means_that_clocks_differ(watchdog: Watchdog) -> None:
    assert "clocks differ" in watchdog.reason(90.0, 1.1)


def test_silence_counts_even_when_the_nodes_clock_stands_still(watchdog: Watchdog) -> None:
    assert watchdog.reason(100.0, 2.9) is None
    assert "silent" in watchdog.reason(100.0, 3.1)
