"""A trajectory's values, its extremes, and points put into it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from step_ros.control.interpolation import (
    cubic_bounds,
    cubic_peaks,
    cubic_ranges,
    derivative,
    motion,
    segment,
    value,
)
from step_ros.control.trajectory import Trajectory

PROFILE = settings(max_examples=25, deadline=None)
numbers = arrays(np.float64, (5, 3), elements=st.floats(-10, 10))
spans = arrays(np.float64, 4, elements=st.floats(0.01, 2.0))


def trajectory_of(gaps, positions, velocities) -> Trajectory:
    return Trajectory(100.0, np.concatenate([[0.0], np.cumsum(gaps)]), positions, velocities)


@PROFILE
@given(gaps=spans, positions=numbers, velocities=numbers)
def test_extremes_are_reached_and_never_passed(gaps, positions, velocities) -> None:
    motion = trajectory_of(gaps, positions, velocities)
    given = (motion.times, positions, velocities)
    (lowest, highest), (speed, acceleration) = cubic_ranges(*given), cubic_peaks(*given)
    shares = np.linspace(0.001, 0.999, 60)
    for k in range(4):
        states = [motion.state(100.0 + motion.times[k] + share * gaps[k]) for share in shares]
        reached, fast, strong = (np.array(column) for column in zip(*states, strict=True))
        rounding = 1e-8 * (1 + np.abs(reached).max())
        assert (reached >= lowest[k] - rounding).all()
        assert (reached <= highest[k] + rounding).all()
        for values, largest in ((fast, speed[k]), (strong, acceleration[k])):
            assert (np.abs(values) <= largest * (1 + 1e-8) + 1e-8).all()
            assert (np.abs(values).max(axis=0) >= 0.9 * largest - 1e-6).all()


@PROFILE
@given(gaps=spans, positions=numbers, velocities=numbers)
def test_bounds_are_at_least_as_wide_as_what_is_reached(gaps, positions, velocities) -> None:
    motion = trajectory_of(gaps, positions, velocities)
    (low, high), (lowest, highest) = (
        extent(motion.times, positions, velocities) for extent in (cubic_bounds, cubic_ranges)
    )
    rounding = 1e-9 * (1 + np.abs(velocities).max() + np.abs(positions).max())
    assert (low <= lowest + rounding).all()
    assert (high >= highest - rounding).all()


def test_cubics_found_at_once_give_what_each_pair_of_points_gives() -> None:
    rng = np.random.default_rng(20_002)
    motion = Trajectory(3.0, np.cumsum(rng.uniform(0.01, 0.1, 9)), *rng.normal(size=(2, 9, 6)))
    for k in range(8):
        between = slice(k, k + 2)
        pair = Trajectory(
            3.0,
            motion.times[between],
            motion.positions[between],
            motion.velocities[between],
            np.full((2, 6), np.nan),  # points that carry no acceleration are computed pair by pair
        )
        moment = 3.0 + motion.times[between].mean()
        for whole, alone in zip(motion.state(moment), pair.state(moment), strict=True):
            np.testing.assert_array_equal(whole, alone)


@PROFILE
@given(gaps=spans, positions=numbers, velocities=numbers, share=st.floats(0.01, 0.99))
def test_a_point_put_in_does_not_change_the_motion(gaps, positions, velocities, share) -> None:
    motion = trajectory_of(gaps, positions, velocities)
    denser = motion.with_point(100.0 + share * motion.times[-1])
    times = np.linspace(100.0, motion.end, 50)
    np.testing.assert_allclose(denser.positions_at(times), motion.positions_at(times), atol=1e-4)
    assert (np.diff(denser.times) > 0).all()


def test_a_point_on_a_line_stays_on_the_line() -> None:
    line = Trajectory(0.0, np.array([0.0, 1.0]), np.array([[0.0], [1.0]]))
    assert line.with_point(0.25).positions[1, 0] == 0.25
    mixed = Trajectory(0.0, np.array([0.0, 1.0]), np.array([[0.0], [1.0]]), np.array([[np.nan], [0.0]]))
    assert mixed.with_point(0.25).sample(0.1)[0] == pytest.approx(0.1)


@pytest.mark.parametrize("time", [99.0, 100.0, 100.5, 101.0, 102.0])
def test_a_point_outside_or_on_another_is_not_put_in(time: float) -> None:
    motion = Trajectory(100.0, np.array([0.0, 0.5, 1.0]), np.zeros((3, 1)), np.zeros((3, 1)))
    assert motion.with_point(time) is motion


@pytest.mark.parametrize("points", [1, 5])
def test_many_samples_at_once_equal_each_alone(points: int) -> None:
    rng = np.random.default_rng(0)
    times = np.arange(points) * 0.1 + 0.05
    motion = Trajectory(7.0, times, *rng.normal(size=(2, points, 3)))
    moments = 7.0 + np.concatenate([times, np.linspace(-0.1, 0.7, 33)])
    positions, velocities = motion.samples(moments)
    alone = [motion.sample(moment) for moment in moments]
    np.testing.assert_allclose(positions, [position for position, _ in alone], atol=1e-12)
    np.testing.assert_allclose(velocities, [velocity for _, velocity in alone], atol=1e-12)
    np.testing.assert_array_equal(motion.positions_at(moments), positions)


@pytest.mark.parametrize("degree", [1, 3, 5])
def test_value_and_derivatives_at_once_are_those_of_each_polynomial(degree: int) -> None:
    coefficients = np.random.default_rng(20_004).normal(size=(degree + 1, 6))
    slope = derivative(coefficients)
    bend = derivative(slope) if degree > 1 else np.zeros((1, 6))
    for time in (0.0, 0.01, 0.4, 2.0):
        alone = [value(polynomial, time) for polynomial in (coefficients, slope, bend)]
        np.testing.assert_allclose(motion(coefficients, time), alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("degree", [1, 3, 5])
def test_a_segment_meets_its_ends(degree: int) -> None:
    ends = np.random.default_rng(20_001).normal(size=(3, 2, 4))
    coefficients = segment(0.7, *[tuple(pair) for pair in ends[: (degree + 1) // 2]])
    assert len(coefficients) == degree + 1
    for order in range((degree + 1) // 2):
        np.testing.assert_allclose([value(coefficients, t) for t in (0.0, 0.7)], ends[order], atol=1e-9)
        coefficients = derivative(coefficients)
