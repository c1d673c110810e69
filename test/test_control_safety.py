"""What leaves safety can be carried out, and what was safe leaves unchanged."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from step_ros.control.errors import LimitsError, UnsafeCommandError
from step_ros.control.faults import Severity
from step_ros.control.interpolation import cubic_peaks, cubic_ranges
from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.control.safety import check_chunk, hold, make_safe
from step_ros.control.timing import make_trajectory
from step_ros.control.trajectory import Trajectory
from step_ros.control.workspace import WorkspaceGuard

FPS, T_OBS = 30.0, 100.0
SO101 = JointLimits.so101()
CENTRE = np.array([0.0, -0.5, 0.2, 0.2, 0.0, 0.5])
HOME = np.array([0.0, -0.55, 0.55, 1.45, 0.0, 0.9])
PROFILE = settings(max_examples=60, deadline=None)

sizes = st.sampled_from([0.01, 0.3, 3.0, 1e6])
starts = st.floats(0.0, 0.45)


@st.composite
def chunks(draw, rows: int = 16):
    """Anything from a smooth motion to pure noise."""
    size = draw(sizes)
    around = draw(arrays(np.float64, 6, elements=st.floats(-2, 2)))
    return around + draw(arrays(np.float64, (rows, 6), elements=st.floats(-size, size)))


@st.composite
def limits(draw):
    lower = draw(arrays(np.float64, 6, elements=st.floats(-3, 1)))
    span = draw(arrays(np.float64, 6, elements=st.floats(0.1, 4)))
    speeds, steps, accelerations = (
        draw(arrays(np.float64, 6, elements=st.floats(low, high)))
        for low, high in ((0.05, 10), (0.01, 1), (0.5, 200))
    )
    margin = draw(st.floats(0, 0.04))
    return JointLimits(lower, lower + span, speeds, steps, accelerations, margin)


positions = arrays(np.float64, 6, elements=st.floats(-4, 4))


def trajectory_of(chunk: np.ndarray) -> Trajectory:
    return make_trajectory(chunk, T_OBS, FPS, 2)


def smooth(size: float = 0.2, at: np.ndarray = HOME) -> Trajectory:
    """A slow motion from rest to rest."""
    phase = np.arange(16) / 15
    return trajectory_of(at + size * (3 * phase**2 - 2 * phase**3)[:, None] * np.ones(6))


def assert_possible(sent: Trajectory, limits: JointLimits) -> None:
    """Finite, increasing, inside every limit, between the points too; checked on the samples as well."""
    assert all(np.isfinite(values).all() for values in (sent.times, sent.positions, sent.velocities))
    assert (np.diff(sent.times) > 0).all()
    assert not sent.velocities[-1].any()
    motion = (sent.times, sent.positions, sent.velocities)
    (lowest, highest), (speed, acceleration) = cubic_ranges(*motion), cubic_peaks(*motion)
    assert (lowest >= limits.lower - 1e-8).all()
    assert (highest <= limits.upper + 1e-8).all()
    assert (speed <= limits.max_velocity * (1 + 1e-8)).all()
    assert (acceleration <= limits.max_acceleration * (1 + 1e-8)).all()
    for time in np.linspace(sent.stamp + sent.times[0], sent.end, 20):
        position, velocity, acceleration = sent.state(time)
        assert ((position >= limits.lower - 1e-8) & (position <= limits.upper + 1e-8)).all()
        assert (np.abs(velocity) <= limits.max_velocity * (1 + 1e-8)).all()
        assert (np.abs(acceleration) <= limits.max_acceleration * (1 + 1e-6)).all()


@PROFILE
@given(chunk=chunks(), limits=limits(), in_force=positions, start=starts)
def test_whatever_is_asked_what_leaves_can_be_carried_out(chunk, limits, in_force, start) -> None:
    switch = T_OBS + start
    sent = make_safe(trajectory_of(chunk), limits, switch, in_force).trajectory
    assert_possible(sent, limits)
    here = np.clip(in_force, limits.lower, limits.upper)
    assert (np.abs(sent.sample(switch)[0] - here) <= limits.max_step + 1e-5).all()


@PROFILE
@given(chunk=chunks(), limits=limits(), in_force=positions, start=starts)
def test_what_left_safety_is_safe_and_passes_unchanged(chunk, limits, in_force, start) -> None:
    switch = T_OBS + start
    sent = make_safe(trajectory_of(chunk), limits, switch, in_force).trajectory
    again = make_safe(sent, limits, switch, in_force)
    assert again.trajectory is sent
    assert again.faults == ()


@PROFILE
@given(chunk=chunks(), in_force=positions, start=starts)
def test_the_gripper_stays_above_the_table(chunk, in_force, start) -> None:
    guard, switch = WorkspaceGuard(margin=0.005), T_OBS + start
    sent = make_safe(trajectory_of(chunk), SO101, switch, in_force, guard).trajectory
    assert_possible(sent, SO101)
    heights = guard.clearance(sent.positions_at(np.linspace(switch, sent.end + 0.1, 300)))
    assert (heights >= min(guard.margin, heights[0]) - 0.002).all()
    assert make_safe(sent, SO101, switch, in_force, guard).trajectory is sent


def test_a_safe_motion_leaves_as_the_same_object() -> None:
    asked = smooth()
    checked = make_safe(asked, SO101, T_OBS + 0.03, asked.sample(T_OBS + 0.03)[0], WorkspaceGuard())
    assert checked.trajectory is asked
    assert checked.faults == ()
    assert checked.delay == 0.0


def test_a_motion_too_fast_is_slowed_down_along_its_own_path() -> None:
    asked = smooth(1.5, at=np.array([-0.8, -0.8, -0.8, -0.8, -0.8, 0.1]))  # Up to 4.5 rad/s.
    slow = JointLimits(SO101.lower, SO101.upper, np.full(6, 1.0), SO101.max_step, SO101.max_acceleration)
    checked = make_safe(asked, slow, T_OBS, asked.positions[0])
    assert_possible(checked.trajectory, slow)
    np.testing.assert_array_equal(checked.trajectory.positions, asked.positions)
    assert checked.delay > 0.9
    assert [fault.name for fault in checked.faults] == ["too fast"]


def test_a_hard_stop_at_the_end_changes_nothing_of_the_beginning() -> None:
    ramp = trajectory_of(CENTRE + 1.0 * np.arange(16)[:, None] / FPS)  # 1 rad/s, then suddenly at rest.
    sent = make_safe(ramp, SO101, T_OBS, CENTRE).trajectory
    np.testing.assert_allclose(sent.times[:11], ramp.times[:11])
    np.testing.assert_allclose(sent.velocities[:11], ramp.velocities[:11])
    assert sent.times[-1] > ramp.times[-1]
    assert_possible(sent, SO101)


def test_the_velocity_in_force_at_the_switch_is_kept() -> None:
    phase = np.arange(16) / FPS
    asked = trajectory_of(CENTRE + 0.2 * np.sin(12 * phase)[:, None] * np.ones(6))
    gentle = JointLimits(SO101.lower, SO101.upper, SO101.max_velocity, SO101.max_step, np.full(6, 20.0))
    switch = T_OBS + 0.05
    before = asked.sample(switch)
    sent = make_safe(asked, gentle, switch, before[0]).trajectory
    np.testing.assert_allclose(sent.sample(switch)[0], before[0])
    np.testing.assert_allclose(sent.sample(switch + 1e-6)[1], before[1], atol=1e-3)


def test_a_clipped_joint_does_not_change_the_velocity_in_force() -> None:
    asked = trajectory_of(CENTRE + np.arange(16)[:, None] / FPS * np.array([0.3, 0.3, 0.3, 4.0, 0.3, 0.3]))
    switch = T_OBS + 0.05
    before = asked.sample(switch)
    sent = make_safe(asked, SO101, switch, before[0]).trajectory
    np.testing.assert_allclose(sent.sample(switch + 1e-6)[1], before[1], atol=1e-3)


def test_only_positions_out_of_range_are_clipped() -> None:
    asked = smooth(0.4, at=np.array([0.0, -0.55, 0.55, 1.45, 0.0, 0.9]))  # wrist_flex to 1.85.
    checked = make_safe(asked, SO101, T_OBS, asked.positions[0])
    assert "position limit" in {fault.name for fault in checked.faults}
    others = [0, 1, 2, 4, 5]
    np.testing.assert_array_equal(checked.trajectory.positions[:, others], asked.positions[:, others])
    assert checked.trajectory.positions[-1, 3] == SO101.upper[3]


def test_the_margin_is_kept_unless_the_arm_is_inside_it_already() -> None:
    wide = JointLimits(SO101.lower, SO101.upper, SO101.max_velocity, SO101.max_step, margin=0.1)
    at_the_end = np.where(np.arange(6) == 5, SO101.lower[5] + 0.02, HOME)
    asked = trajectory_of(np.tile(np.where(np.arange(6) == 5, SO101.lower[5], HOME), (16, 1)))
    sent = make_safe(asked, wide, T_OBS, at_the_end).trajectory
    assert sent.positions[-1, 5] == pytest.approx(SO101.lower[5] + 0.02)
    sent = make_safe(asked, wide, T_OBS, HOME).trajectory
    assert sent.positions[-1, 5] == pytest.approx(SO101.lower[5] + 0.1)


def test_a_chunk_far_from_the_arm_begins_one_step_away() -> None:
    asked = trajectory_of(np.tile(HOME + 0.5, (16, 1)) - np.eye(6)[3])
    checked = make_safe(asked, SO101, T_OBS + 0.1, HOME)
    assert "large step" in {fault.name for fault in checked.faults}
    np.testing.assert_allclose(
        checked.trajectory.sample(T_OBS + 0.1)[0] - HOME, [0.15] * 3 + [-0.15, 0.15, 0.15]
    )
    np.testing.assert_allclose(checked.trajectory.positions[-1], asked.positions[-1])


def test_a_chunk_through_the_table_is_held_at_its_last_safe_point() -> None:
    down = np.array([0.0, 0.6, 0.0, 0.0, 0.0, 0.0])
    asked = trajectory_of(HOME + np.arange(16)[:, None] / 15 * down)
    guard = WorkspaceGuard(margin=0.01)
    assert guard.clearance(asked.positions[-1]) < 0
    checked = make_safe(asked, SO101, T_OBS, HOME, guard)
    assert "workspace" in {fault.name for fault in checked.faults}
    end = checked.trajectory.positions[-1]
    assert 0.009 < guard.clearance(end) < 0.03
    np.testing.assert_allclose((end - HOME) / down.max(), (end[1] - HOME[1]) / down.max() * (down > 0))


def test_an_arm_below_the_margin_may_rise_but_not_sink() -> None:
    guard = WorkspaceGuard(margin=0.3)
    up, down = (trajectory_of(HOME + s * np.arange(16)[:, None] / 15 * np.eye(6)[1]) for s in (-0.3, 0.3))
    risen = make_safe(up, SO101, T_OBS, HOME, guard)
    assert "workspace" not in {fault.name for fault in risen.faults}
    np.testing.assert_array_equal(risen.trajectory.positions[-1], up.positions[-1])
    sunk = make_safe(down, SO101, T_OBS, HOME, guard).trajectory
    np.testing.assert_allclose(sunk.positions[-1], HOME, atol=0.01)


def test_the_plan_in_force_before_the_switch_stays_in_the_message() -> None:
    ramp = trajectory_of(CENTRE + 1.0 * np.arange(16)[:, None] / FPS)
    switch = T_OBS + 0.08
    sent = make_safe(ramp, SO101, switch, ramp.sample(switch)[0]).trajectory
    assert sent.times[0] == 0.0
    for time in (T_OBS + 0.01, T_OBS + 0.07):
        np.testing.assert_allclose(sent.sample(time)[0], ramp.sample(time)[0])


@pytest.mark.parametrize(
    ("chunk", "name"),
    [
        (np.zeros((16, 5)), "wrong shape"),
        (np.zeros(6), "wrong shape"),
        (np.zeros((8, 6)), "chunk too short"),
        (np.where(np.arange(96).reshape(16, 6) == 40, np.nan, 0.0), "not finite"),
        (np.where(np.arange(96).reshape(16, 6) == 40, -np.inf, 0.0), "not finite"),
    ],
)
def test_a_chunk_that_makes_no_trajectory_is_named(chunk, name) -> None:
    fault = check_chunk(chunk, joints=6, n_obs_steps=2, actions=8)
    assert fault.name == name
    assert fault.severity is Severity.HOLD


def test_a_chunk_just_long_enough_is_fine() -> None:
    assert check_chunk(np.zeros((9, 6)), joints=6, n_obs_steps=2, actions=8) is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("field", ["positions", "velocities", "times", "in_force"])
def test_nothing_that_is_not_finite_passes(bad: float, field: str) -> None:
    asked, in_force = smooth(), HOME.copy()
    (in_force if field == "in_force" else getattr(asked, field))[3] = bad
    with pytest.raises(UnsafeCommandError, match=r"NaN|increase"):
        make_safe(asked, SO101, T_OBS, in_force)


@pytest.mark.parametrize(
    ("asked", "switch", "in_force", "words"),
    [
        (trajectory_of(np.zeros((16, 5))), T_OBS, HOME, "5 joints"),
        (smooth(), T_OBS, HOME[:5], "shape"),
        (smooth(), T_OBS + 9.0, HOME, "go on after"),
        (Trajectory(T_OBS, np.arange(2.0), np.zeros((2, 6))), T_OBS, HOME, "velocities"),
    ],
)
def test_what_does_not_fit_is_refused(asked, switch, in_force, words) -> None:
    with pytest.raises(UnsafeCommandError, match=words):
        make_safe(asked, SO101, switch, in_force)


def test_a_hold_stays_inside_the_range_and_refuses_nan() -> None:
    np.testing.assert_array_equal(hold(np.full(6, 9.0), SO101).positions[0], SO101.upper)
    with pytest.raises(UnsafeCommandError, match="finite"):
        hold(np.array([0, 0, np.nan, 0, 0, 0]), SO101)


def test_a_guard_needs_the_whole_arm_and_a_margin() -> None:
    with pytest.raises(LimitsError, match="joints"):
        WorkspaceGuard(joint_names=JOINT_NAMES[:5])
    with pytest.raises(LimitsError, match="margin"):
        WorkspaceGuard(margin=-0.01)


def test_a_guard_knows_joints_by_name() -> None:
    backwards = WorkspaceGuard(joint_names=JOINT_NAMES[::-1])
    np.testing.assert_allclose(backwards.clearance(HOME[::-1]), WorkspaceGuard().clearance(HOME))
