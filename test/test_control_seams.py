"""A new chunk is entered from the plan in force without a jump, and then followed exactly."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from step_ros.control.faults import Severity
from step_ros.control.history import CommandHistory
from step_ros.control.plan import Reference, plan_in_force
from step_ros.control.seams import ChunkRefusedError, SeamJump, join, seam_jump, switching_time
from step_ros.control.timing import make_trajectory
from step_ros.control.trajectory import SAME_TIME, Motion, Trajectory

FPS, T0 = 30.0, 100.0
CYCLE = 8 / FPS
PROFILE = settings(max_examples=80, deadline=None)
chunks = arrays(np.float64, (16, 2), elements=st.floats(-1, 1))


def trajectory_of(chunk: np.ndarray, t_obs: float = T0) -> Trajectory:
    return make_trajectory(chunk, t_obs, FPS, 2)


def sine(t_obs: float, shift: float = 0.0) -> Trajectory:
    times = t_obs + np.arange(16) / FPS
    return trajectory_of(np.stack([np.sin(2 * times) + shift, np.cos(2 * times)], axis=1), t_obs)


OLD, NEW = sine(T0), sine(T0 + CYCLE, shift=0.05)
NOW = T0 + CYCLE + 0.043


def assert_same(one: Trajectory, other: Trajectory, since: float, until: float) -> None:
    for time in np.linspace(since, until, 30, endpoint=False):
        for a, b in zip(one.state(time)[:2], other.state(time)[:2], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


@PROFILE
@given(old=chunks, new=chunks, latency=st.floats(0, 0.2), lead=st.floats(0, 0.03), blend=st.floats(0.02, 0.6))
def test_a_seam_is_continuous_in_position_and_velocity_and_ends_on_the_chunk(
    old, new, latency, lead, blend
) -> None:
    plan, chunk = trajectory_of(old), trajectory_of(new, T0 + CYCLE)
    now = T0 + CYCLE + latency
    switch = switching_time(chunk, plan, now, lead)
    sent = join(chunk, plan, now, switch, blend)
    jump = seam_jump(plan.state(switch), sent.state(switch))
    # Moments nearer than SAME_TIME are one, which counts at speeds that no arm has.
    speed = np.abs(plan.state(switch)[1]).max()
    assert jump.position < 1e-5 + SAME_TIME * speed
    assert jump.velocity < 1e-3
    assert (np.diff(sent.times) > 0).all()
    assert sent.stamp + sent.times[0] <= now
    assert not sent.velocities[-1].any()
    if switch + blend < chunk.end:
        assert_same(sent, chunk, switch + blend, chunk.end)
    np.testing.assert_array_equal(sent.positions[-1], chunk.positions[-1])


def test_the_offset_decays_without_growing_first() -> None:
    switch = NOW
    sent = join(NEW, OLD, NOW, switch, 0.15)
    offsets = [
        np.abs(sent.sample(t)[0] - NEW.sample(t)[0])[0] for t in np.linspace(switch, switch + 0.15, 40)
    ]
    assert offsets[0] == pytest.approx(0.05, rel=0.05)
    assert max(offsets) < 0.052
    assert offsets[-1] < 1e-6


def test_a_blend_of_zero_sends_the_chunk_itself() -> None:
    assert join(NEW, OLD, NOW, NOW, 0.0) is NEW


def test_an_identical_chunk_is_sent_as_it_is() -> None:
    again = sine(T0)
    assert join(again, OLD, T0 + 0.05, T0 + 0.05, 0.2) is again


def test_a_chunk_of_the_same_motion_is_sent_nearly_as_it_is() -> None:
    sent = join(sine(T0 + CYCLE), OLD, NOW, NOW, 0.2)
    assert_same_motion = np.abs(sent.sample(NOW + 0.1)[0] - sine(T0 + CYCLE).sample(NOW + 0.1)[0]).max()
    assert assert_same_motion < 1e-3


@PROFILE
@given(old=chunks, new=chunks, latency=st.floats(0, 0.2), lead=st.floats(0.001, 0.05))
def test_before_the_switch_the_message_repeats_the_plan_in_force(old, new, latency, lead) -> None:
    plan, chunk, now = trajectory_of(old), trajectory_of(new, T0 + CYCLE), T0 + CYCLE + latency
    sent = join(chunk, plan, now, now + lead, 0.2)
    for time in np.linspace(max(now - 0.09, chunk.stamp), now + lead, 9):
        np.testing.assert_allclose(sent.sample(time)[0], plan.sample(time)[0], atol=0.01)


def test_after_the_end_of_the_plan_in_force_a_chunk_starts_from_rest_at_its_end() -> None:
    now = OLD.end + 0.1
    late = sine(T0 + 0.5)
    sent = join(late, OLD, now, now, 0.1)
    np.testing.assert_allclose(sent.sample(now)[0], OLD.positions[-1], atol=1e-9)
    np.testing.assert_allclose(sent.sample(now)[1], 0, atol=1e-9)


def test_a_blend_longer_than_the_chunk_ends_with_it() -> None:
    now = NEW.end - 0.1
    sent = join(NEW, OLD, now, now, 5.0)
    assert sent.end == pytest.approx(NEW.end)
    np.testing.assert_array_equal(sent.positions[-1], NEW.positions[-1])


def test_a_chunk_observed_slightly_in_the_future_follows_the_plan_until_it_begins() -> None:
    now = NEW.stamp - 0.1
    switch = switching_time(NEW, OLD, now)
    assert switch == NEW.stamp
    sent = join(NEW, OLD, now, switch, 0.2)
    assert sent.stamp + sent.times[0] == pytest.approx(now)
    assert sent.times[0] >= 0
    np.testing.assert_allclose(sent.sample(now)[0], OLD.sample(now)[0], atol=1e-8)
    assert_same(sent, NEW, switch + 0.2, NEW.end)


@pytest.mark.parametrize("blend", [-0.1, np.nan, np.inf])
def test_a_blend_that_is_no_time_is_refused(blend: float) -> None:
    with pytest.raises(ValueError, match="blend"):
        join(NEW, OLD, NOW, NOW, blend)


@pytest.mark.parametrize(
    ("chunk", "now", "name"),
    [
        (NEW, NEW.end + 0.01, "late chunk"),
        (NEW, NEW.end - 0.001, "late chunk"),
        (sine(T0 - CYCLE), T0, "stale chunk"),
        (sine(T0 + 1.0), T0 + 0.5, "clocks differ"),
    ],
)
def test_a_chunk_that_must_not_replace_the_plan_is_refused_by_name(chunk, now, name) -> None:
    with pytest.raises(ChunkRefusedError) as refused:
        switching_time(chunk, OLD, now, lead=0.01)
    assert refused.value.fault.name == name
    assert refused.value.fault.severity is Severity.REFUSED


def test_the_same_observation_again_is_not_stale() -> None:
    assert switching_time(sine(T0), OLD, T0 + 0.05) == T0 + 0.05


def test_jumps_are_those_of_the_worst_joint() -> None:
    before = Motion(np.zeros(2), np.zeros(2), np.zeros(2))
    after = Motion(np.array([0.1, -0.3]), np.array([2.0, 1.0]), np.array([0.0, -4.0]))
    assert seam_jump(before, after) == SeamJump(0.3, 2.0, 4.0)


# The plan in force.


def sent_history() -> CommandHistory:
    history = CommandHistory(2)
    history.add(OLD, since=T0)
    return history


def reference(stamp: float, off: float = 0.0) -> Reference:
    position, velocity = OLD.sample(stamp)
    return Reference(stamp, position + off, velocity)


ELSEWHERE = np.full(2, 9.0)


def test_what_was_sent_is_in_force_while_the_controller_agrees() -> None:
    plan = plan_in_force(sent_history(), reference(T0 + 0.1, off=0.01), ELSEWHERE, T0 + 0.12)
    assert plan.source == "model"
    assert plan.trajectory is OLD


def test_a_controller_that_is_elsewhere_is_believed() -> None:
    now = T0 + 0.12
    plan = plan_in_force(sent_history(), reference(T0 + 0.1, off=0.3), ELSEWHERE, now)
    assert plan.source == "reference"
    position, velocity = OLD.sample(T0 + 0.1)
    np.testing.assert_allclose(plan.trajectory.sample(now)[0], position + 0.3 + 0.02 * velocity, atol=0.005)
    assert not plan.trajectory.sample(now + 1.0)[1].any()


@pytest.mark.parametrize("stamp", [T0 - 3.0, T0 + 5.0])
def test_a_reference_of_another_time_is_ignored(stamp: float) -> None:
    plan = plan_in_force(sent_history(), Reference(stamp, ELSEWHERE, ELSEWHERE), ELSEWHERE, T0 + 0.1)
    assert plan.source == "model"


def test_before_the_first_chunk_the_controller_is_asked_then_the_arm() -> None:
    empty = CommandHistory(2)
    held = Reference(T0, np.array([0.2, 0.3]), np.zeros(2))
    plan = plan_in_force(empty, held, ELSEWHERE, T0 + 0.05)
    assert plan.source == "reference"
    np.testing.assert_array_equal(plan.trajectory.sample(T0 + 0.05)[0], held.position)
    plan = plan_in_force(empty, None, ELSEWHERE, T0)
    assert plan.source == "measured"
    np.testing.assert_array_equal(plan.trajectory.sample(T0 + 1)[0], ELSEWHERE)
