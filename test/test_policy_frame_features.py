"""Features of frames: each frame is encoded once, found again by its pixels, from any thread."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from policy_helpers import TOP, observation, tiny_config, tiny_networks

from step_ros.policy.errors import ObservationError
from step_ros.policy.frame_features import FrameFeatures
from step_ros.policy.policy import Policy

FRAMES = np.arange(8, dtype=np.uint8)[:, None, None, None] * np.ones((2, 2, 3), np.uint8)


class CountingEncoder:
    """Encodes a frame to its first pixel; `calls` are the frames it has seen."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, name: str, frame: np.ndarray) -> np.ndarray:
        assert frame.shape == (1, 2, 2, 3)
        self.calls.append(int(frame.flat[0]))
        return np.array([[float(frame.flat[0])]])


def test_a_frame_is_encoded_once() -> None:
    encoder = CountingEncoder()
    features = FrameFeatures(encoder, ["top"], 4)
    found = [features("top", FRAMES[index].copy())[0] for index in (0, 1, 1, 2, 1, 0)]
    assert found == [0, 1, 1, 2, 1, 0] and encoder.calls == [0, 1, 2]


def test_a_frame_that_changes_in_place_is_another_frame() -> None:
    encoder = CountingEncoder()
    features, frame = FrameFeatures(encoder, ["top"], 4), FRAMES[1].copy()
    features("top", frame)
    frame[:] = 5
    assert features("top", frame)[0] == 5


def test_only_the_last_frames_are_remembered() -> None:
    encoder = CountingEncoder()
    features = FrameFeatures(encoder, ["top"], 2)
    for index in (0, 1, 2, 0):
        features("top", FRAMES[index])
    assert encoder.calls == [0, 1, 2, 0]


def test_cameras_are_kept_apart() -> None:
    features = FrameFeatures(lambda name, frame: np.array([[name]]), ["top", "wrist"], 2)
    assert features("top", FRAMES[0])[0] == "top" and features("wrist", FRAMES[0])[0] == "wrist"


def test_a_thread_waits_for_a_frame_that_another_is_encoding() -> None:
    inside, go_on, calls = threading.Event(), threading.Event(), []

    def encode(name: str, frame: np.ndarray) -> np.ndarray:
        calls.append(name)
        inside.set()
        assert go_on.wait(10)
        return np.zeros((1, 1))

    features = FrameFeatures(encode, ["top"], 2)
    workers = [threading.Thread(target=features, args=("top", FRAMES[0])) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert inside.wait(10)
    go_on.set()
    for worker in workers:
        worker.join(10)
    assert calls == ["top"]


def test_prefetched_frames_are_not_encoded_again_by_the_cycle() -> None:
    policy = Policy(tiny_config(), tiny_networks(), "ddim", "torch")
    encode, calls = policy._networks.encode, []
    policy._features._encode = lambda name, frame: calls.append(name) or encode(name, frame)
    window = observation()
    for frame in window[TOP]:
        policy.prefetch(TOP, frame)
    prefetched = policy.act(window).chunk
    assert len(calls) == 2
    fresh = Policy(tiny_config(), tiny_networks(), "ddim", "torch")
    np.testing.assert_array_equal(prefetched, fresh.act(window).chunk)


def test_prefetching_does_not_wait_for_a_cycle_that_denoises() -> None:
    policy = Policy(tiny_config(), tiny_networks(), "ddim", "torch")
    denoise, inside, go_on = policy._networks.denoise, threading.Event(), threading.Event()

    def slow(*inputs: np.ndarray) -> np.ndarray:
        inside.set()
        assert go_on.wait(10)
        return denoise(*inputs)

    policy._networks.denoise = slow
    worker = threading.Thread(target=policy.act, args=(observation(0),))
    worker.start()
    assert inside.wait(10)
    policy.prefetch(TOP, observation(1)[TOP][0])
    assert worker.is_alive()
    go_on.set()
    worker.join(10)


def test_prefetching_while_acting_changes_no_chunk() -> None:
    policy = Policy(tiny_config(), tiny_networks(), "step", "auto")
    windows = [observation(seed) for seed in range(12)]
    expected = [policy.act(window).chunk for window in windows]
    policy = Policy(tiny_config(), tiny_networks(), "step", "auto")

    def prefetch() -> None:
        for window in windows:
            for frame in window[TOP]:
                policy.prefetch(TOP, frame)

    workers = [threading.Thread(target=prefetch) for _ in range(2)]
    for worker in workers:
        worker.start()
    found = [policy.act(window).chunk for window in windows]
    for worker in workers:
        worker.join(30)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "frame", "reason"),
    [
        ("observation.images.side", FRAMES[0], f"no image input; accepted: {TOP}"),
        (TOP, FRAMES[0], r"\(2, 2, 3\) of uint8; accepted: \(32, 32, 3\) of uint8"),
        (TOP, np.zeros((32, 32, 3)), "of float64; accepted"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(name: str, frame: np.ndarray, reason: str) -> None:
    policy = Policy(tiny_config(), tiny_networks(), "ddim", "torch")
    with pytest.raises(ObservationError, match=reason):
        policy.prefetch(name, frame)
