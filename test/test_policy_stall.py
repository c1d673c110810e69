"""Stall rule: what is measured, when it fires, and what it pushes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from step_ros.policy.settings import Settings
from step_ros.policy.stall import StallRule, StallState, pushed, stall_distance

JOINTS = 3
ALL = np.ones(JOINTS, bool)
positions = arrays(np.float64, JOINTS, elements=st.floats(-2.0, 2.0))
pushes = st.none() | arrays(np.float64, JOINTS, elements=st.floats(-1.0, 1.0))
sources = st.sampled_from(("motion", "both"))


def rule(**settings: object) -> StallRule:
    return StallRule.from_settings(
        Settings(**{"stall_source": "motion", "stall_response": "push", **settings})
    )


def still_chunks() -> tuple[np.ndarray, ...]:
    return (np.zeros((8, JOINTS)), np.zeros((8, JOINTS)))


def run(checked: StallRule, wants: float, made: list[float], watched: np.ndarray = ALL) -> list:
    """Verdicts on an arm that is asked in every cycle to go `wants` further, and goes `made` (all joints)."""
    at, verdicts = 0.0, []
    state = StallState(measured=np.zeros(JOINTS))
    for step in made:
        push = 0.0 if state.push is None else state.push
        commanded, at = np.full(JOINTS, at + wants) + push, at + step
        verdicts.append(checked.judge(state, (), commanded, np.full(JOINTS, at), watched))
        state = verdicts[-1].state
    return verdicts


def test_distance_is_the_rms_of_all_elements() -> None:
    first = np.zeros((8, 3))
    second = first.copy()
    second[0] = 0.6
    assert stall_distance((first, second)) == pytest.approx(0.6 / np.sqrt(8))


@pytest.mark.parametrize("executed", [(), (np.zeros((8, 3)),), (np.zeros((8, 3)), np.zeros((4, 3)))])
def test_there_is_no_distance_without_two_chunks_of_one_length(executed: tuple[np.ndarray, ...]) -> None:
    assert stall_distance(executed) is None


def test_the_rule_fires_after_patience_still_cycles_and_starts_over_on_motion() -> None:
    checked = StallRule.from_settings(Settings(stall_threshold=0.02, stall_patience=2))
    count, fired = 0, []
    for distance in (0.5, 0.01, 0.01, 0.01, 0.02, 0.01, None, 0.01):
        count = checked.still_cycles(distance, count)
        fired.append(checked.stalled(count))
    assert fired == [False, False, True, True, False, False, False, False]


def test_threshold_zero_switches_the_rule_off() -> None:
    checked = StallRule.from_settings(Settings(stall_threshold=0.0))
    assert not checked.stalled(checked.still_cycles(0.0, 5))


def test_by_default_joints_do_not_matter_and_nothing_is_pushed() -> None:
    checked = StallRule.from_settings(Settings())
    still = checked.judge(StallState(), still_chunks(), np.full(JOINTS, np.nan), None, ALL)
    stuck = checked.judge(StallState(measured=np.zeros(JOINTS)), (), np.ones(JOINTS), np.zeros(JOINTS), ALL)
    assert still.stalled and not stuck.stalled
    assert still.state.push is None and stuck.state.push is None


def test_joints_that_are_told_to_move_and_do_not_are_stalled() -> None:
    stuck, moving = (run(rule(), 0.2, [made])[0] for made in (0.0, 0.15))
    assert (stuck.stalled, stuck.progress) == (True, 0.0)
    assert (moving.stalled, moving.progress) == (False, pytest.approx(0.75))


def test_both_fires_only_when_commands_stand_still_as_well() -> None:
    state = StallState(measured=np.zeros(JOINTS))
    told, at = np.full(JOINTS, 0.2), np.zeros(JOINTS)
    moving_chunks = (np.zeros((8, JOINTS)), np.ones((8, JOINTS)))
    checked = rule(stall_source="both")
    assert checked.judge(state, still_chunks(), told, at, ALL).stalled
    assert not checked.judge(state, moving_chunks, told, at, ALL).stalled
    assert not checked.judge(state, still_chunks(), at, at, ALL).stalled


def test_a_joint_that_is_not_watched_may_stand_still_and_is_not_pushed() -> None:
    watched = np.array([True, True, False])
    state = StallState(measured=np.zeros(JOINTS))
    grips = rule().judge(state, (), np.array([0.0, 0.0, -0.5]), np.zeros(JOINTS), watched)
    assert not grips.stalled
    stuck = rule().judge(state, (), np.array([0.2, 0.0, -0.5]), np.zeros(JOINTS), watched)
    assert stuck.stalled and stuck.state.push[2] == 0.0


@given(sources, positions, positions, pushes, st.floats(0.0, 2.0))
def test_it_never_fires_without_a_command_to_move(
    source: str, at: np.ndarray, now: np.ndarray, push: np.ndarray | None, least: float
) -> None:
    before = StallState(measured=at, push=push)
    told_to_stay = at if push is None else at + push
    verdict = rule(stall_source=source, stall_min_motion=least).judge(
        before, still_chunks(), told_to_stay, now, ALL
    )
    # at + push - push is at but for rounding, which is no command either as long as `least` says so.
    assert not verdict.stalled or (least < 1e-9 and push is not None)


@given(st.floats(0.05, 1.0), st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=30), st.floats(0.01, 1.0))
def test_the_push_is_bounded_whatever_the_arm_does(wants: float, made: list[float], limit: float) -> None:
    for verdict in run(rule(push_limit=limit), wants, made):
        push = verdict.state.push
        assert push is None or np.abs(push).max() <= limit


@given(pushes.filter(lambda push: push is not None), positions, positions)
def test_the_push_is_within_a_limit_that_was_lowered_meanwhile(
    push: np.ndarray, at: np.ndarray, now: np.ndarray
) -> None:
    verdict = rule(push_limit=0.1).judge(StallState(measured=at, push=push), (), at + push, now, ALL)
    assert verdict.state.push is None or np.abs(verdict.state.push).max() <= 0.1


def test_the_push_grows_from_small_while_the_joints_stand() -> None:
    grown = [verdict.state.push[0] for verdict in run(rule(push_limit=1.0), 0.1, [0.0] * 4)]
    assert grown == pytest.approx([0.025, 0.05, 0.075, 0.10])


@given(st.integers(1, 10), st.floats(0.1, 0.5))
def test_the_push_ends_with_the_first_cycle_in_which_the_joints_move(stuck: int, wants: float) -> None:
    verdicts = run(rule(), wants, [0.0] * stuck + [wants])
    assert verdicts[stuck - 1].state.push is not None
    assert verdicts[stuck].state.push is None


def test_the_push_itself_is_not_taken_for_a_command_to_move() -> None:
    # The joints are where they were meant to be; only the push says further.
    state = StallState(measured=np.full(JOINTS, 0.1), push=np.full(JOINTS, 0.3))
    verdict = rule().judge(state, (), np.full(JOINTS, 0.4), np.full(JOINTS, 0.1), ALL)
    assert not verdict.stalled


@pytest.mark.parametrize("missing", ["before", "now", "command"])
def test_without_a_measurement_or_command_it_does_not_fire(missing: str) -> None:
    state = StallState(measured=None if missing == "before" else np.zeros(JOINTS))
    measured = None if missing == "now" else np.zeros(JOINTS)
    command = np.full(JOINTS, np.nan if missing == "command" else 0.5)
    verdict = rule().judge(state, (), command, measured, ALL)
    assert not verdict.stalled and verdict.progress is None


def test_patience_counts_cycles_in_which_the_joints_stand() -> None:
    fired = [verdict.stalled for verdict in run(rule(stall_patience=3), 0.2, [0.0, 0.0, 0.0, 0.2, 0.0])]
    assert fired == [False, False, True, False, False]


def test_a_push_comes_and_goes_evenly_while_the_chunk_is_executed() -> None:
    chunk = np.zeros((16, 1), np.float32)
    moved = pushed(chunk, np.array([0.1]), np.array([0.5]), first=1, steps=8)[:, 0]
    assert moved[:2] == pytest.approx([0.1, 0.15])
    assert np.diff(moved[:9]) == pytest.approx([0.05] * 8)
    assert moved[8:] == pytest.approx([0.5] * 8)
    assert moved.dtype == np.float32


def test_without_a_push_the_chunk_stays_as_it_is() -> None:
    chunk = np.ones((16, JOINTS))
    assert pushed(chunk, None, None, first=1, steps=8) is chunk
