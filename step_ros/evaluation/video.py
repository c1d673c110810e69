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
class Film:
    """Episodes one after the other, as H.264 in MP4."""

    mp4: bytes
    starts: tuple[float, ...]
    """When each episode begins, seconds of the film."""


def film_episodes(world: World, episodes: Iterable[Recording]) -> Film:
    """Film episodes, each cut out of its recording, at the world's image size (even sides)."""
    starts: list[float] = []
    shown = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal shown
        for episode in episodes:
            starts.append(shown / FRAME_RATE)
            for image in _frames(world, episode):
                shown += 1
                yield image

    return Film(encode_mp4(frames()), tuple(starts))


def _frames(world: World, episode: Recording) -> Iterator[np.ndarray]:
    start, end = episode.object_times[0], episode.object_times[-1]
    image = None
    for now in np.arange(start, end, SPEED / FRAME_RATE):
        joints = [np.interp(now, episode.state_times, column) for column in episode.positions.T]
        newest = np.searchsorted(episode.object_times, now, side="right") - 1
        world.set_state(np.array(joints), episode.object_poses[newest])
        image = world.render(VIEW_CAMERA)
        yield image
    if image is not None:
        yield from [image] * LINGER


def encode_mp4(frames: Iterable[np.ndarray]) -> bytes:
    """A film that browsers play, from at least one frame (H, W, 3) uint8 with even sides."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": "24"})
        stream.pix_fmt = "yuv420p"
        for number, image in enumerate(frames):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        if not stream.width:
            raise ValueError("a film needs at least one frame")
        container.mux(stream.encode())
    return buffer.getvalue()
