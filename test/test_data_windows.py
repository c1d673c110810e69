"""Windows hold what a policy may know and what it shall do, and never a future action in the history."""

import types

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from step_ros.data.errors import DatasetError
from step_ros.data.reader import Episode
from step_ros.data.windows import Windows, split_episodes

LENGTHS = (30, 9, 40)


def fake_dataset(lengths=LENGTHS, actions=None):
    """Frame k of the dataset has action [k] and state [1000 + k], so that windows can be read off."""
    ends = np.cumsum([0, *lengths])
    episodes = tuple(Episode(i, int(ends[i]), int(ends[i + 1]), {"length": n}) for i, n in enumerate(lengths))
    frame = np.arange(ends[-1], dtype=np.float32)[:, None]
    columns = {"action": frame.copy() if actions is None else actions, "observation.state": 1000 + frame}
    return types.SimpleNamespace(root="fake", episodes=episodes, columns=columns, cameras=())


def window_of(windows, frame):
    index = int(np.flatnonzero(windows.present == frame)[0])
    return windows.batch(np.array([index]), ["observation.state"])


def test_in_mid_episode_a_window_spans_past_and_future_of_the_present_frame():
    batch = window_of(Windows(fake_dataset(), 2, 16, 8), 12)
    np.testing.assert_array_equal(batch.observation["observation.state"][0, :, 0], [1011, 1012])
    np.testing.assert_array_equal(batch.action[0, :, 0], np.arange(11, 27))
    np.testing.assert_array_equal(batch.history[0, :, 0], np.arange(4, 12))
    assert batch.action_mask.all()
    assert batch.history_mask.all()


def test_the_first_window_repeats_the_first_frame_and_has_no_history():
    batch = window_of(Windows(fake_dataset(), 2, 16, 8), 30 + 9)
    np.testing.assert_array_equal(batch.observation["observation.state"][0, :, 0], [1039, 1039])
    np.testing.assert_array_equal(batch.action[0, :3, 0], [39, 39, 40])
    assert batch.action_mask[0].tolist() == [False] + [True] * 15
    assert not batch.history_mask.any()


def test_the_history_mask_fills_up_as_the_episode_goes_on():
    windows = Windows(fake_dataset((30,)), 2, 16, 8)
    counts = windows.batch(np.arange(10), []).history_mask.sum(1)
    np.testing.assert_array_equal(counts, [0, 1, 2, 3, 4, 5, 6, 7, 8, 8])
    assert windows.batch(np.array([3]), []).history_mask[0].tolist() == [False] * 5 + [True] * 3


def test_the_last_window_executes_the_last_recorded_action():
    windows = Windows(fake_dataset((30,)), 2, 16, 8)
    assert windows.present[-1] == 22
    batch = window_of(windows, 22)
    np.testing.assert_array_equal(batch.action[0, 1:9, 0], np.arange(22, 30))
    np.testing.assert_array_equal(batch.action[0, 9:, 0], [29] * 7)
    assert batch.action_mask[0].tolist() == [True] * 9 + [False] * 7


def test_windows_of_chosen_episodes_stay_inside_them():
    windows = Windows(fake_dataset(), 2, 16, 8, episodes=[2])
    batch = windows.batch(np.arange(len(windows)), ["observation.state"])
    history = batch.history[batch.history_mask]
    for values in (batch.action, history, batch.observation["observation.state"] - 1000):
        assert values.min() >= 39
        assert values.max() <= 78


@settings(max_examples=50, deadline=None)
@given(
    n_obs_steps=st.integers(1, 3),
    n_action_steps=st.integers(1, 12),
    horizon=st.sampled_from([8, 16]),
    seed=st.integers(0, 1000),
)
def test_changing_present_and_future_actions_never_changes_the_history(
    n_obs_steps, n_action_steps, horizon, seed
):
    assume(n_action_steps <= horizon - n_obs_steps + 1)  # what a chunk can hold, as PolicyConfig demands
    rng = np.random.default_rng(seed)
    actions = rng.normal(size=(sum(LENGTHS), 1)).astype(np.float32)
    windows = Windows(fake_dataset(actions=actions), n_obs_steps, horizon, n_action_steps)
    index = rng.integers(len(windows))
    before = windows.batch(np.array([index]), [])
    actions[windows.present[index] :] += 1.0
    after = windows.batch(np.array([index]), [])
    np.testing.assert_array_equal(before.history, after.history)
    np.testing.assert_array_equal(before.history_mask, after.history_mask)
    assert not np.array_equal(before.action, after.action)


def test_the_newest_action_of_the_history_is_the_one_before_the_present():
    windows = Windows(fake_dataset(), 2, 16, 8)
    frames, mask = windows.history_frames(np.arange(len(windows)))
    newest = frames[:, -1][mask[:, -1]]
    np.testing.assert_array_equal(newest, windows.present[mask[:, -1]] - 1)


def test_a_shifted_history_is_moved_by_whole_ticks():
    windows = Windows(fake_dataset((40,)), 2, 16, 8)
    frames, mask = windows.history_frames(np.array([20, 20, 2]), np.array([3, -4, -4]))
    np.testing.assert_array_equal(frames[0], np.arange(15, 23))
    np.testing.assert_array_equal(frames[1], np.arange(8, 16))
    assert not mask[2].any()


def test_episodes_too_short_for_a_window_are_left_out_and_none_at_all_is_an_error():
    assert set(Windows(fake_dataset((30, 5)), 2, 16, 8).episode) == {0}
    with pytest.raises(DatasetError, match="at least 8 frames"):
        Windows(fake_dataset((7, 5)), 2, 16, 8)


def test_the_split_is_by_episode_disjoint_complete_and_repeatable():
    train, held_out = split_episodes(50, 0.1, seed=3)
    assert (len(train), len(held_out)) == (45, 5)
    assert sorted(train + held_out) == list(range(50))
    assert split_episodes(50, 0.1, seed=3) == (train, held_out)
    assert split_episodes(50, 0.1, seed=4)[1] != held_out


@pytest.mark.parametrize(("count", "share", "sizes"), [(1, 0.1, (1, 0)), (2, 0.1, (1, 1)), (5, 0.0, (5, 0))])
def test_something_is_always_left_to_train_on(count, share, sizes):
    assert tuple(map(len, split_episodes(count, share, 0))) == sizes
