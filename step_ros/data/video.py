"""Camera frames to H.264 files and back.

Frames are coded as RGB (x264's `rgb24` mode), not as YUV 4:2:0: on 96 x 96 renders halving the colour
resolution costs more than all the rest (30 dB at any rate), and a running policy sees uncompressed renders.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from step_ros.data.errors import DatasetError

CODEC = "libx264rgb"
PRESET = "veryfast"
GROUP_SIZE = 10  # frames from one key frame to the next: the price of reading one frame at random


def encode_video(path: Path, frames: np.ndarray, fps: int, crf: int) -> None:
    """Writes frames (T, H, W, 3) uint8 as one MP4 file; crf 0 is lossless."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(CODEC, rate=fps, options={"crf": str(crf), "preset": PRESET})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        stream.codec_context.gop_size = GROUP_SIZE
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def iterate_video(path: Path, start: float, count: int) -> Iterator[np.ndarray]:
    """The `count` frames from time `start` (seconds) on, each (H, W, 3) uint8, one at a time.

    Raises `DatasetError` when the file is missing, unreadable or holds fewer frames.
    """
    left = count
    colours = VideoReformatter()  # one for all frames: setting it up takes longer than converting a frame
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            half_frame = 0.5 / float(stream.average_rate)
            if start > half_frame:
                container.seek(int(start / stream.time_base), stream=stream)
            for frame in container.decode(stream):
                if frame.time >= start - half_frame:
                    left -= 1
                    yield colours.reformat(frame, format="rgb24").to_ndarray()
                if left == 0:
                    return
    except (av.FFmpegError, IndexError) as error:
        raise DatasetError(path, "video", error, "a readable video file") from error
    raise DatasetError(path, "frames", f"{count - left} from {start:.3f} s on", f"{count} frames")


def video_info(path: Path, crf: int) -> dict[str, Any]:
    """The `info` block of a video feature, as the format describes its streams."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return {
            "video.height": stream.height,
            "video.width": stream.width,
            "video.codec": stream.codec.canonical_name,
            "video.pix_fmt": stream.pix_fmt,
            "video.fps": int(stream.average_rate),
            "video.channels": 3,
            "video.crf": crf,
            "video.preset": PRESET,
            "video.g": GROUP_SIZE,
            "video.is_depth_map": False,
            "has_audio": False,
        }
