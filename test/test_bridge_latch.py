"""The latch below ros2_control: what moves the servos, what is dropped, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from step_ros.nodes.latch import CommandLatch, CommandRefusedError

NAMES = ("pan", "lift", "grip")
START = np.array([0.1, -0.2, 0.3])
NAN, INFINITE = float("nan"), float("inf")


@pytest.fixture
def latch() -> CommandLatch:
    """One whose controller commands the arm."""
    latch = CommandLatch(NAMES, START)
    latch.accept(NAMES, START)
    return latch


def test_a_command_stays_until_the_next_one(latch) -> None:
    latch.accept(NAMES, [1.0, 2.0, 3.0])
    latch.accept(["grip", "pan"], [0.5, -1.0])
    np.testing.assert_array_equal(latch.set_point, [-1.0, 2.0, 0.5])


def test_joints_are_told_apart_by_name(latch) -> None:
    latch.accept(NAMES[::-1], [3.0, 2.0, 1.0])
    np.testing.assert_array_equal(latch.set_point, [1.0, 2.0, 3.0])


@pytest.mark.parametrize("bad", [NAN, INFINITE, -INFINITE])
def test_a_joint_without_a_finite_command_keeps_its_set_point(latch, bad: float) -> None:
    latch.accept(NAMES, [1.0, bad, 3.0])
    np.testing.assert_array_equal(latch.set_point, [1.0, START[1], 3.0])
    assert latch.dropped == 1


@pytest.mark.parametrize(
    ("names", "positions"),
    [(NAMES, [1.0, 2.0]), (["pan", "pan", "lift"], [1.0, 2.0, 3.0]), (["wheel"], [1.0]), (NAMES, [])],
    ids=["sizes differ", "a joint twice", "unknown joint", "no positions"],
)
def test_a_command_that_makes_no_sense_changes_nothing(latch, names, positions) -> None:
    with pytest.raises(CommandRefusedError, match=r"positions for|at most once"):
        latch.accept(names, positions)
    np.testing.assert_array_equal(latch.set_point, START)


def test_after_a_reset_commands_for_the_pose_before_it_do_not_count(latch) -> None:
    latch.reset(START + 1.0)
    latch.accept(NAMES, START)
    np.testing.assert_array_equal(latch.set_point, START + 1.0)
    assert not latch.joined


def test_commands_count_again_once_they_have_come_to_the_arm(latch) -> None:
    latch.reset(START + 1.0)
    latch.accept(NAMES, START)
    latch.accept(NAMES, START + 1.01)
    latch.accept(NAMES, START + 2.0)
    np.testing.assert_array_equal(latch.set_point, START + 2.0)


@pytest.mark.parametrize("positions", [[0.1, NAN, 0.3], [NAN] * 3])
def test_a_controller_that_knows_no_positions_yet_does_not_move_the_arm(positions) -> None:
    latch = CommandLatch(NAMES, START)
    latch.accept(NAMES, positions)
    assert not latch.joined
    np.testing.assert_array_equal(latch.set_point, START)
