"""A chunk becomes a trajectory that is due when the convention says."""

import numpy as np
import pytest

from step_ros.control.errors import UnsafeCommandError
from step_ros.control.timing import due_times, make_trajectory

FPS = 30.0


def chunk_of(function, n_obs_steps: int = 2, horizon: int = 16, t_obs: float = 100.0) -> np.ndarray:
    times = t_obs + due_times(horizon, FPS, n_obs_steps)
    return np.stack([function(times), -function(times)], axis=1)


def test_sixteen_elements_become_sixteen_points_anchored_at_the_observation() -> None:
    chunk = chunk_of(np.sin)
    trajectory = make_trajectory(chunk, 100.0, FPS, 2)
    assert trajectory.stamp == 100.0
    np.testing.assert_allclose(trajectory.times, np.arange(16) / FPS)
    np.testing.assert_array_equal(trajectory.positions, chunk)


def test_the_kth_executed_element_is_due_k_plus_one_ticks_after_the_observation() -> None:
    chunk = chunk_of(np.sin)
    trajectory = make_trajectory(chunk, 100.0, FPS, 2)
    for k, position in enumerate(chunk[1:9]):
        np.testing.assert_allclose(trajectory.sample(100.0 + (k + 1) / FPS)[0], position, atol=1e-9)


def test_elements_before_the_observation_are_not_sent() -> None:
    trajectory = make_trajectory(chunk_of(np.sin, n_obs_steps=4), 100.0, FPS, 4)
    assert len(trajectory.times) == 14
    np.testing.assert_allclose(trajectory.positions[0, 0], np.sin(100.0))


def test_one_observation_step_is_anchored_at_the_given_position() -> None:
    chunk = chunk_of(np.sin, n_obs_steps=1)
    trajectory = make_trajectory(chunk, 100.0, FPS, 1, anchor=np.array([0.5, -0.5]))
    assert len(trajectory.times) == 17
    np.testing.assert_array_equal(trajectory.positions[0], [0.5, -0.5])
    np.testing.assert_allclose(trajectory.positions[1, 0], np.sin(100.0 + 1 / FPS))
    with pytest.raises(UnsafeCommandError, match="anchor"):
        make_trajectory(chunk, 100.0, FPS, 1)


def test_velocities_follow_the_motion_and_end_at_rest() -> None:
    trajectory = make_trajectory(chunk_of(np.sin), 100.0, FPS, 2)
    times = 100.0 + trajectory.times
    np.testing.assert_allclose(trajectory.velocities[1:-1, 0], np.cos(times[1:-1]), atol=1e-3)
    np.testing.assert_array_equal(trajectory.velocities[-1], 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_chunk_that_is_not_finite_is_refused(value: float) -> None:
    chunk = chunk_of(np.sin)
    chunk[7, 1] = value
    with pytest.raises(UnsafeCommandError, match="NaN"):
        make_trajectory(chunk, 100.0, FPS, 2)


def test_a_chunk_of_a_wrong_shape_is_refused() -> None:
    with pytest.raises(UnsafeCommandError, match="shape"):
        make_trajectory(np.zeros(6), 100.0, FPS, 2)
