"""Whatever is asked for, what is sent is finite and within what the joints may do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from step_ros.control.errors import UnsafeCommandError
from step_ros.control.joints import JointLimits
from step_ros.control.limits import limit, takeover_index
from step_ros.control.timing import make_trajectory
from step_ros.control.trajectory import central_velocities

FPS = 30.0
LIMITS = JointLimits.so101()
chunks = arrays(np.float64, (16, 6), elements=st.floats(-1e6, 1e6))
positions = arrays(np.float64, 6, elements=st.floats(-1e6, 1e6))


def smooth_chunk() -> np.ndarray:
    return 0.5 * np.sin(np.arange(16) / FPS)[:, None] * np.ones(6)


def sine_trajectory():
    return make_trajectory(smooth_chunk(), 100.0, FPS, 2)


@settings(max_examples=60, deadline=None)
@given(chunk=chunks, in_force=positions, start=st.integers(0, 15))
def test_every_point_is_within_range_step_and_speed(chunk, in_force, start) -> None:
    sent = limit(make_trajectory(chunk, 100.0, FPS, 2), LIMITS, start, in_force)
    assert np.isfinite(sent.positions).all()
    assert np.isfinite(sent.velocities).all()
    assert (sent.positions >= LIMITS.lower).all()
    assert (sent.positions <= LIMITS.upper).all()
    assert (np.abs(np.diff(sent.positions, axis=0)) <= LIMITS.max_step + 1e-9).all()
    assert (np.abs(sent.velocities) <= LIMITS.max_velocity).all()
    origin = np.clip(in_force, LIMITS.lower, LIMITS.upper)
    assert (np.abs(sent.positions[start] - origin) <= LIMITS.max_step + 1e-9).all()


@settings(max_examples=40, deadline=None)
@given(chunk=chunks, in_force=positions)
def test_the_cubics_between_the_points_stay_within_range(chunk, in_force) -> None:
    sent = limit(make_trajectory(chunk, 100.0, FPS, 2), LIMITS, 0, in_force)
    for time in 100.0 + np.linspace(0, sent.times[-1], 150):
        position, _ = sent.sample(time)
        assert (position >= LIMITS.lower - 1e-9).all()
        assert (position <= LIMITS.upper + 1e-9).all()


def test_a_motion_within_the_limits_is_sent_as_it_is() -> None:
    asked = sine_trajectory()
    sent = limit(asked, LIMITS, 0, asked.positions[0])
    np.testing.assert_array_equal(sent.positions, asked.positions)
    np.testing.assert_array_equal(sent.velocities, central_velocities(asked.times, asked.positions))


def test_a_plan_far_from_the_one_in_force_is_approached_step_by_step() -> None:
    asked = make_trajectory(np.full((16, 6), 1.0), 100.0, FPS, 2)
    sent = limit(asked, LIMITS, 3, np.zeros(6))
    np.testing.assert_allclose(sent.positions[3:7, 0], [0.15, 0.3, 0.45, 0.6])


def test_a_slower_speed_limit_shortens_the_steps() -> None:
    slow = JointLimits(LIMITS.lower, LIMITS.upper, np.full(6, 0.3), LIMITS.max_step)
    asked = make_trajectory(np.full((16, 6), 1.0), 100.0, FPS, 2)
    np.testing.assert_allclose(np.diff(limit(asked, slow, 0, np.zeros(6)).positions, axis=0)[0], 0.3 / FPS)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nothing_is_sent_from_a_set_point_that_is_not_finite(value: float) -> None:
    with pytest.raises(UnsafeCommandError, match="NaN"):
        limit(sine_trajectory(), LIMITS, 0, np.full(6, value))


def test_sizes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UnsafeCommandError, match="limits of 6"):
        limit(make_trajectory(np.zeros((16, 5)), 100.0, FPS, 2), LIMITS, 0, np.zeros(6))


def test_a_trajectory_takes_over_at_its_last_point_already_due() -> None:
    trajectory = sine_trajectory()
    assert takeover_index(trajectory, 99.0) == 0
    assert takeover_index(trajectory, 100.0) == 0
    assert takeover_index(trajectory, 100.09) == 2
    assert takeover_index(trajectory, 105.0) == 15
