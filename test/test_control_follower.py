"""The follower does what joint_trajectory_controller does with its default settings."""

import numpy as np
import pytest

from step_ros.control.errors import TrajectoryRejectedError
from step_ros.control.follower import TrajectoryCommand, TrajectoryFollower, TrajectoryPoint
from step_ros.control.timing import make_trajectory

NAMES = ("a", "b")
START = np.array([0.5, -0.5])


def command(times, positions, velocities=None, stamp=0.0, names=NAMES, **fields) -> TrajectoryCommand:
    velocities = [()] * len(times) if velocities is None else velocities
    points = [
        TrajectoryPoint(t, p, v, **fields) for t, p, v in zip(times, positions, velocities, strict=True)
    ]
    return TrajectoryCommand(names, stamp, points)


@pytest.fixture
def follower() -> TrajectoryFollower:
    return TrajectoryFollower(NAMES, START)


def test_it_stays_where_it_was_reset_until_a_trajectory_comes(follower) -> None:
    position, velocity = follower.sample(123.0)
    np.testing.assert_array_equal(position, START)
    np.testing.assert_array_equal(velocity, 0)


def test_stamp_zero_starts_now_and_bridges_from_the_measured_position(follower) -> None:
    follower.accept(command([1.0], [[1.0, 1.0]]), now=10.0, measured=np.array([0.0, 0.0]))
    np.testing.assert_allclose(follower.sample(10.0)[0], [0, 0])
    np.testing.assert_allclose(follower.sample(10.5)[0], [0.5, 0.5])
    np.testing.assert_allclose(follower.sample(11.0)[0], [1, 1])


def test_the_bridge_starts_at_rest_where_the_points_carry_velocities(follower) -> None:
    follower.accept(command([1.0], [[1.0, 1.0]], [[0.0, 0.0]]), now=10.0, measured=np.zeros(2))
    np.testing.assert_allclose(follower.sample(10.0)[1], 0)
    np.testing.assert_allclose(follower.sample(10.25)[0], 3 * 0.25**2 - 2 * 0.25**3)


def test_a_past_stamp_is_entered_at_the_present_moment_without_a_bridge(follower) -> None:
    follower.accept(command([0.0, 1.0], [[0.0, 0.0], [1.0, 1.0]], stamp=10.0), now=10.6)
    np.testing.assert_allclose(follower.sample(10.6)[0], 0.6)


def test_a_past_stamp_whose_first_point_is_still_to_come_is_bridged(follower) -> None:
    follower.accept(command([1.0, 2.0], [[1.0, 1.0], [2.0, 2.0]], stamp=10.0), now=10.5, measured=np.zeros(2))
    np.testing.assert_allclose(follower.sample(10.75)[0], 0.5)
    np.testing.assert_allclose(follower.sample(11.5)[0], 1.5)


def test_a_future_stamp_drops_the_old_trajectory_and_ramps_over_the_whole_wait(follower) -> None:
    follower.accept(command([5.0], [[9.0, 9.0]]), now=0.0)
    follower.accept(command([0.0], [[1.0, 1.0]], stamp=12.0), now=10.0, measured=np.zeros(2))
    np.testing.assert_allclose(follower.sample(11.0)[0], 0.5)


def test_a_new_trajectory_replaces_the_old_one_completely(follower) -> None:
    follower.accept(command([0.0, 10.0], [[0.0, 0.0], [10.0, 10.0]], stamp=100.0), now=100.0)
    follower.accept(command([0.0, 1.0], [[3.0, 3.0], [4.0, 4.0]], stamp=101.0), now=101.0)
    np.testing.assert_allclose(follower.sample(105.0)[0], 4.0)


def test_the_last_point_is_held_at_rest(follower) -> None:
    follower.accept(command([0.0, 1.0], [[0.0, 0.0], [1.0, 2.0]], stamp=10.0), now=10.0)
    position, velocity = follower.sample(50.0)
    np.testing.assert_array_equal(position, [1, 2])
    np.testing.assert_array_equal(velocity, 0)


def test_points_with_velocities_are_joined_by_cubics(follower) -> None:
    times = np.linspace(0.0, 1.0, 11)
    cubic = np.stack([times**3 - 1.5 * times**2, -(times**3) + 1.5 * times**2], axis=1)
    slope = np.stack([3 * times**2 - 3 * times, -3 * times**2 + 3 * times], axis=1)
    follower.accept(command(times, cubic, slope, stamp=10.0), now=10.0)
    for t in (0.03, 0.5, 0.97):
        position, velocity = follower.sample(10.0 + t)
        np.testing.assert_allclose(position[0], t**3 - 1.5 * t**2, atol=1e-9)
        np.testing.assert_allclose(velocity[0], 3 * t**2 - 3 * t, atol=1e-6)


def test_joints_are_matched_by_name(follower) -> None:
    follower.accept(command([0.0, 1.0], [[1.0, 2.0], [1.0, 2.0]], stamp=10.0, names=("b", "a")), now=10.0)
    np.testing.assert_array_equal(follower.sample(10.5)[0], [2, 1])


@pytest.mark.parametrize("latency", [0.003, 0.03, 0.08, 0.15])
def test_anchored_chunks_of_one_motion_join_without_a_seam(latency: float) -> None:
    def reference(t):
        return 0.4 * (1 - np.cos(np.pi * t))

    fps, follower = 30.0, TrajectoryFollower(["a"], np.zeros(1))
    chunks = [100.0 + k * 8 / fps for k in range(12)]
    for k, t_obs in enumerate(chunks[:-1]):
        chunk = reference(t_obs - 100.0 + np.arange(16) / fps)[:, None]
        sent = make_trajectory(chunk, t_obs, fps, 2)
        points = zip(sent.times, sent.positions, sent.velocities, strict=True)
        follower.accept(
            TrajectoryCommand(["a"], t_obs, [TrajectoryPoint(*point) for point in points]),
            now=t_obs + latency,
            measured=np.full(1, 99.0),
        )
        for now in np.arange(t_obs + latency, chunks[k + 1] + latency, 0.01):
            position, velocity = follower.sample(now)
            assert abs(position[0] - reference(now - 100.0)) < 1e-3
            assert abs(velocity[0] - 0.4 * np.pi * np.sin(np.pi * (now - 100.0))) < 0.08


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (command([0.1], [[1.0, 1.0]], names=("a", "c")), "expected"),
        (command([0.1], [[1.0]], names=("a",)), "expected"),
        (command([], []), "no points"),
        (command([0.1, 0.1], [[1.0, 1.0], [1.0, 1.0]]), "increase"),
        (command([0.1], [[1.0]]), "1 positions"),
        (command([0.1], [[1.0, 1.0]], [[0.0]]), "1 velocities"),
        (command([0.1], [[1.0, float("nan")]]), "NaN"),
        (command([0.1], [[1.0, 1.0]], [[0.0, float("inf")]]), "NaN"),
        (command([0.1], [[1.0, 1.0]], [[0.0, 0.2]]), "last point"),
        (command([0.1], [[1.0, 1.0]], stamp=10.0), "ended"),
        (command([0.1], [[1.0, 1.0]], effort=(1.0, 1.0)), "effort"),
        (command([0.1], [[1.0, 1.0]], accelerations=(1.0, 1.0)), "accelerations"),
    ],
)
def test_what_the_controller_refuses_is_refused_and_the_old_trajectory_goes_on(
    follower, refused, reason
) -> None:
    follower.accept(command([0.0, 10.0], [[0.0, 0.0], [10.0, 10.0]], stamp=15.0), now=15.0)
    with pytest.raises(TrajectoryRejectedError, match=reason):
        follower.accept(refused, now=20.0)
    np.testing.assert_allclose(follower.sample(20.0)[0], 5.0)
