"""Film recorded episodes again, from outside, with the simulated world set to each recorded state."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import numpy as np

from step_ros.evaluation.recording import Recording
from step_ros.sim.cameras import VIEW_CAMERA
from step_ros.sim.world import World

FRAME_RATE = 30
"""Frames per second of the film."""
SPEED = 2
"""Seconds of an episode that the film shows in one."""
LINGER = 15
"""Frames for which the last one of an episode stays."""


@dataclass(frozen=True)
class Scene:
    """Where an episode is in a film: when it begins and when it has ended, seconds."""

    start: float
    end: float


@dataclass(frozen=True)
class Film:
    """Episodes one after the other, as H.264 in MP4."""

    mp4: bytes
    scenes: tuple[Scene, ...]


def film_episodes(world: World, episodes: Iterable[Recording]) -> Film:
    """Film episodes, each cut out of its recording, at the world's image size (even sides)."""
    scenes: list[Scene] = []
    shown = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal shown
        for episode in episodes:
            start = shown
            for image in _frames(world, episode):
                shown += 1
                yield image
            end = shown
            for _ in range(LINGER):
                shown += 1
                yield image
            scenes.append(Scene(start / FRAME_RATE, end / FRAME_RATE))

    return Film(encode_mp4(frames()), tuple(scenes))


def _frames(world: World, episode: Recording) -> Iterator[np.ndarray]:
    start, end = episode.object_times[[0, -1]]
    for now in np.arange(start, end + SPEED / FRAME_RATE, SPEED / FRAME_RATE):
        joints = [np.interp(now, episode.state_times, column) for column in episode.positions.T]
        newest = np.searchsorted(episode.object_times, now, side="right") - 1
        world.set_state(np.array(joints), episode.object_poses[newest])
        yield world.render(VIEW_CAMERA)


def encode_mp4(frames: Iterable[np.ndarray], rate: int = FRAME_RATE) -> bytes:
    """A film that browsers play, from at least one frame (H, W, 3) uint8 with even sides."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "24"})
        stream.pix_fmt = "yuv420p"
        for number, image in enumerate(frames):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        if not stream.width:
            raise ValueError("a film needs at least one frame")
        container.mux(stream.encode())
    return buffer.getvalue()
