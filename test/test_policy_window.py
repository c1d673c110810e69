"""The observation window is cut out of stamped messages, whatever order and rate they come in."""

import numpy as np
import pytest

from step_ros.policy.frames import Frame
from step_ros.policy.window import ObservationWindow

FPS = 30.0
TICK = 1 / FPS
T = 1_700_000_000.0


def picture(value: int) -> Frame:
    return Frame(lambda: np.full((4, 4, 3), value, np.uint8))


def newest(window: ObservationWindow) -> tuple[float, dict[str, np.ndarray]]:
    stamp = window.newest()
    return stamp, window.observation(stamp).arrays()


@pytest.fixture
def window() -> ObservationWindow:
    return ObservationWindow(("top", "wrist"), n_obs_steps=2, fps=FPS)


def feed(window: ObservationWindow, ticks, cameras=("top", "wrist"), offset: float = 0.0) -> None:
    for k in ticks:
        window.add_joints(T + k * TICK, np.full(6, float(k)))
        for camera in cameras:
            window.add_image(camera, T + k * TICK + offset, picture(k))


def test_it_is_complete_with_two_frames_of_each_camera_one_tick_apart(window) -> None:
    feed(window, [0])
    assert window.newest() is None
    feed(window, [1])
    stamp, arrays = newest(window)
    assert stamp == T + TICK
    assert arrays["observation.images.top"].shape == (2, 4, 4, 3)
    assert arrays["observation.images.wrist"][:, 0, 0, 0].tolist() == [0, 1]
    assert arrays["observation.state"][:, 0].tolist() == [0.0, 1.0]


def test_the_newest_complete_moment_wins_while_a_camera_is_behind(window) -> None:
    feed(window, [0, 1])
    feed(window, [2], cameras=("top",))
    assert window.newest() == T + TICK
    window.add_image("wrist", T + 2 * TICK, picture(2))
    assert window.newest() == T + 2 * TICK


def test_nothing_older_than_asked_for_is_returned(window) -> None:
    feed(window, [0, 1])
    assert window.newest(after=T + 1.5 * TICK) is None


def test_joint_positions_are_interpolated_to_the_images_stamp(window) -> None:
    feed(window, [0, 1, 2], offset=0.25 * TICK)
    stamp, arrays = newest(window)
    assert stamp == pytest.approx(T + 1.25 * TICK)
    np.testing.assert_allclose(arrays["observation.state"][:, 0], [0.25, 1.25], atol=1e-4)


def test_an_image_waits_for_a_joint_state_not_older_than_itself(window) -> None:
    feed(window, [0])
    window.add_image("top", T + TICK, picture(1))
    window.add_image("wrist", T + TICK, picture(1))
    assert window.newest() is None
    window.add_joints(T + TICK, np.ones(6))
    assert window.newest() is not None


def test_frames_of_a_faster_camera_are_chosen_one_tick_apart(window) -> None:
    for k in range(9):
        window.add_joints(T + k * TICK / 4, np.zeros(6))
        window.add_image("top", T + k * TICK / 4, picture(k))
        window.add_image("wrist", T + k * TICK / 4, picture(k))
    assert newest(window)[1]["observation.images.top"][:, 0, 0, 0].tolist() == [4, 8]


def test_frames_too_far_apart_make_no_window(window) -> None:
    feed(window, [0, 2, 4])
    assert window.newest() is None


@pytest.mark.parametrize(("stamp", "words"), [(T - 5.0, "went back by 5"), (T + 60.0, "jumped ahead by 60")])
def test_a_stamp_that_goes_back_or_jumps_starts_a_new_window_and_says_why(window, stamp, words) -> None:
    feed(window, [0])
    assert words in window.add_image("wrist", stamp, picture(9))
    assert window.newest_joints() is None
    assert window.add_image("top", stamp, picture(9)) is None
    for k in (0, 1):
        window.add_joints(stamp + k * TICK, np.zeros(6))
    window.add_image("top", stamp + TICK, picture(10))
    window.add_image("wrist", stamp + TICK, picture(10))
    assert newest(window)[1]["observation.images.wrist"][:, 0, 0, 0].tolist() == [9, 10]


def test_the_same_stamp_twice_counts_once(window) -> None:
    feed(window, [0, 1])
    assert window.add_image("top", T + TICK, picture(99)) is None
    assert newest(window)[1]["observation.images.top"][1, 0, 0, 0] == 1


def test_a_policy_without_cameras_observes_at_each_joint_state() -> None:
    window = ObservationWindow((), n_obs_steps=2, fps=FPS)
    feed(window, [0, 1], cameras=())
    assert window.newest() == T + TICK


def test_memory_stays_bounded(window) -> None:
    feed(window, range(200))
    assert len(window._joints.values) < 100
    assert len(window._images["top"].values) < 30


def test_finding_the_window_decodes_nothing_and_asking_for_it_only_its_own_frames(window) -> None:
    decoded = []

    def frame(number: int) -> Frame:
        return Frame(lambda: decoded.append(number) or np.zeros((4, 4, 3), np.uint8))

    for k in range(6):
        window.add_joints(T + k * TICK, np.zeros(6))
        window.add_image("top", T + k * TICK, frame(k))
        window.add_image("wrist", T + k * TICK, frame(k))
    observation = window.observation(window.newest())
    assert decoded == []
    observation.arrays()
    observation.arrays()
    assert decoded == [4, 5, 4, 5]


def test_a_frame_that_was_discarded_is_in_no_window(window) -> None:
    feed(window, [0])
    bad = picture(1)
    window.add_joints(T + TICK, np.zeros(6))
    window.add_image("top", T + TICK, bad)
    window.add_image("wrist", T + TICK, picture(1))
    assert window.newest() == T + TICK
    assert window.discard("top", bad)
    assert window.newest() is None
    assert not window.discard("top", bad)
