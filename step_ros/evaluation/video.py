"""Film recorded episodes again, from outside, with the simulated world set to each recorded state."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import av
import numpy as np

from step_ros.evaluation.recording import Recording
from step_ros.sim.world import VIEW_CAMERA, World

VIDEO_RATE = 30
"""Frames per second of the film."""
SPEED = 2
"""The film shows this many seconds of the episode in one."""


def film(world: World, episode: Recording) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 of one episode, SPEED / VIDEO_RATE seconds of it apart."""
    if not len(episode.object_times):
        return
    start, end = episode.object_times[0], episode.object_times[-1]
    for now in np.arange(start, end, SPEED / VIDEO_RATE):
        joints = [np.interp(now, episode.state_times, column) for column in episode.positions.T]
        newest = np.searchsorted(episode.object_times, now, side="right") - 1
        world.set_state(np.array(joints), episode.object_poses[newest])
        yield world.render(VIEW_CAMERA)


def encode_mp4(frames: Iterable[np.ndarray]) -> bytes:
    """An H.264 film that browsers play, from frames (H, W, 3) uint8 with even sides."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = None
        for image in frames:
            if stream is None:
                stream = container.add_stream("libx264", rate=VIDEO_RATE, options={"crf": "24"})
                stream.height, stream.width = image.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        if stream is None:
            raise ValueError("a film needs at least one frame")
        container.mux(stream.encode())
    return buffer.getvalue()
