"""The history holds what the arm was really told, and never what it will be told."""

import numpy as np

from step_ros.control.history import CommandHistory
from step_ros.control.timing import make_trajectory

FPS = 30.0


def ramp(t_obs: float, offset: float = 0.0):
    """A trajectory whose position at time t is t - 100 + offset."""
    due = t_obs + np.arange(16) / FPS
    return make_trajectory(due[:, None] - 100.0 + offset, t_obs, FPS, 2)


def test_before_the_first_command_there_is_no_history() -> None:
    history = CommandHistory(1)
    assert np.isnan(history.sample(100.0, FPS, 8)).all()
    assert history.at(100.0) is None
    assert history.latest(100.0) is None


def test_the_last_row_is_what_was_due_at_the_observation() -> None:
    history = CommandHistory(1)
    history.add(ramp(100.0), since=100.0)
    rows = history.sample(100.0 + 8 / FPS, FPS, 8)
    np.testing.assert_allclose(rows[:, 0], np.arange(1, 9) / FPS, atol=1e-6)


def test_rows_before_the_episode_are_empty() -> None:
    history = CommandHistory(1)
    history.add(ramp(100.0), since=100.0)
    rows = history.sample(100.0 + 2 / FPS, FPS, 8)
    assert np.isnan(rows[:5]).all()
    np.testing.assert_allclose(rows[5:, 0], [0.0, 1 / FPS, 2 / FPS], atol=1e-6)


def test_a_trajectory_counts_only_from_when_it_was_sent() -> None:
    history = CommandHistory(1)
    history.add(ramp(100.0), since=100.0)
    t_obs = 100.0 + 8 / FPS
    history.add(ramp(t_obs, offset=5.0), since=t_obs + 2.5 / FPS)
    rows = history.sample(t_obs + 4 / FPS, FPS, 4)
    np.testing.assert_allclose(rows[:, 0], [9 / FPS, 10 / FPS, 5 + 11 / FPS, 5 + 12 / FPS], atol=1e-6)


def test_cycles_that_come_late_see_what_the_arm_followed_meanwhile() -> None:
    history = CommandHistory(1)
    history.add(ramp(100.0), since=100.02)
    rows = history.sample(100.0 + 11.3 / FPS, FPS, 8)
    np.testing.assert_allclose(rows[:, 0], (11.3 - np.arange(7, -1, -1)) / FPS, atol=1e-6)


def test_future_commands_never_change_the_history() -> None:
    for offset in (0.0, 7.0):
        history = CommandHistory(1)
        history.add(ramp(100.0), since=100.0)
        history.add(ramp(100.2, offset), since=100.21)
        rows = history.sample(100.2, FPS, 4)
        np.testing.assert_allclose(rows[:, 0], 0.2 - np.arange(3, -1, -1) / FPS, atol=1e-6)


def test_a_reset_forgets_every_command() -> None:
    history = CommandHistory(1)
    history.add(ramp(100.0), since=100.0)
    history.reset()
    assert np.isnan(history.sample(100.1, FPS, 2)).all()
    assert history.latest(100.1) is None
