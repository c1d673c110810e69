"""Which way a trajectory takes, measured on made-up trajectories whose answer is known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from step_ros.sim.behaviour import (
    Behaviour,
    changes,
    choice_of_side,
    choice_of_target,
    headed_for,
    reversals,
    way_round,
)

LEFT, RIGHT = np.array([0.0, 0.2]), np.array([0.0, -0.2])
NAMES = ("left", "right")


def line(*corners: tuple[float, float], step: float = 0.004) -> np.ndarray:
    """Points along a polygon, `step` apart: (T, 2)."""
    pieces = []
    for start, end in pairwise(corners):
        count = max(1, round(np.linalg.norm(np.subtract(end, start)) / step))
        pieces.append(np.linspace(start, end, count, endpoint=False))
    return np.vstack([*pieces, [corners[-1]]])


def resting(ticks: int) -> np.ndarray:
    """Two cubes that lie still, left and right: (T, 2, 3)."""
    return np.tile(np.array([[*LEFT, 0.0125], [*RIGHT, 0.0125]]), (ticks, 1, 1))


def test_changes_leave_out_what_cannot_be_told():
    assert changes([-1, 0, -1, 0, 1, -1, 1, 0]) == 2
    assert changes([-1, -1]) == 0


def test_a_tip_that_goes_straight_to_a_target_is_headed_for_it_all_the_way():
    tips = line((0.3, 0.0), tuple(LEFT))
    labels = headed_for(tips, np.tile(np.stack([LEFT, RIGHT]), (len(tips), 1, 1)))
    assert set(labels) == {-1, 0}
    assert (labels == 0).mean() > 0.7


def test_a_tip_that_hardly_moves_is_headed_nowhere():
    tips = line((0.3, 0.0), (0.3, 0.02), step=0.0005)
    assert (headed_for(tips, np.tile(np.stack([LEFT, RIGHT]), (len(tips), 1, 1))) == -1).all()


def test_a_way_between_two_targets_is_towards_neither():
    tips = line((0.3, 0.0), (0.1, 0.0))
    assert (headed_for(tips, np.tile(np.stack([LEFT, RIGHT]), (len(tips), 1, 1))) == -1).all()


def test_fewer_ticks_than_a_heading_takes_tell_nothing():
    assert (headed_for(np.zeros((3, 2)), np.zeros((3, 2, 2))) == -1).all()


def test_the_object_lifted_first_is_the_mode_and_turning_to_another_is_indecision():
    tips = line((0.3, 0.0), (0.15, 0.1), (0.2, -0.05), tuple(RIGHT))
    objects = resting(len(tips))
    objects[-3:, 1, 2] += 0.03
    assert choice_of_target(tips, objects, NAMES) == Behaviour("right", indecision=1, switches=0)


def test_putting_one_object_down_and_lifting_the_other_is_a_switch():
    objects = resting(60)
    objects[10:20, 0, 2] += 0.03
    objects[30:40, 1, 2] += 0.03
    behaviour = choice_of_target(np.zeros((60, 2)), objects, NAMES)
    assert (behaviour.mode, behaviour.switches) == ("left", 1)


def test_an_episode_in_which_nothing_is_lifted_has_no_mode():
    assert choice_of_target(line((0.3, 0.0), (0.2, 0.0)), resting(26), NAMES).mode is None


def test_the_side_counts_only_from_the_lift_on():
    passing = np.array([0] * 5 + [-1] * 5 + [1] * 5)
    height = np.full(15, 0.0125)
    passes = np.stack([LEFT, RIGHT])
    assert choice_of_side(np.zeros((15, 2)), height, passes, passing, NAMES).mode is None
    height[7:] += 0.05
    assert choice_of_side(np.zeros((15, 2)), height, passes, passing, NAMES) == Behaviour("right")


def test_passing_on_one_side_and_coming_back_on_the_other_is_a_switch():
    passing = np.array([-1, 0, 0, -1, 1, 1, -1])
    height = np.array([0.0] + [0.05] * 6)
    passes = np.stack([LEFT, RIGHT])
    behaviour = choice_of_side(np.zeros((7, 2)), height, passes, passing, NAMES)
    assert (behaviour.mode, behaviour.switches) == ("left", 1)


@pytest.mark.parametrize(("turn", "mode"), [(1, "growing"), (-1, "falling")])
def test_the_way_round_a_block_is_the_sense_in_which_the_agent_went_before_touching_it(turn: int, mode: str):
    angle = turn * np.linspace(0.0, 2.0, 40)
    agents = 100 * np.column_stack([np.cos(angle), np.sin(angle)])
    blocks = np.zeros((60, 8, 2))
    blocks[40:] += 5.0
    # After the first contact the agent goes back all the way, which no longer counts.
    agents = np.vstack([agents, agents[::-2]])
    assert way_round(agents, blocks, ("falling", "growing")) == Behaviour(mode)


def test_going_straight_to_the_block_is_neither_way_round():
    agents = np.column_stack([np.linspace(100, 40, 30), np.zeros(30)])
    assert way_round(agents, np.zeros((30, 8, 2)), ("falling", "growing")).mode is None


def test_turning_back_about_the_block_is_indecision():
    angle = np.concatenate([np.linspace(0, 1, 20), np.linspace(1, -1, 40)])
    agents = 100 * np.column_stack([np.cos(angle), np.sin(angle)])
    behaviour = way_round(agents, np.zeros((60, 8, 2)), ("falling", "growing"))
    assert (behaviour.mode, behaviour.indecision) == ("falling", 1)


def test_small_wobbles_are_no_reversals():
    slow = np.linspace(0, 3, 200) + 0.05 * np.sin(np.arange(200))
    assert reversals(slow, back=0.2) == 0
    assert reversals(np.array([0.0, 1.0, 0.0, 1.0]), back=0.2) == 2
