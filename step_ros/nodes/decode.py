"""ROS messages to arrays, in the units and order of the package; anything odd is refused with a reason."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from builtin_interfaces.msg import Duration, Time
from sensor_msgs.msg import CompressedImage, Image, JointState

from step_ros.nodes.frames import Frame, MessageError

_COLOURS = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
}


def seconds(time: Time | Duration) -> float:
    """A stamp or duration in seconds; a stamp of today is exact to 0.3 microseconds."""
    return time.sec + 1e-9 * time.nanosec


def frame(message: Image | CompressedImage, height: int, width: int) -> Frame:
    """An image message as a frame that becomes RGB (height, width, 3) uint8 when it is needed.

    A larger image of the same aspect ratio is reduced by averaging areas. Whether a raw image can be used its
    header tells, so `Frame.pixels` will not fail; a compressed one has to be decoded to find out.

    Raises:
        MessageError: unknown encoding, empty, data that do not fit the stated size, or another aspect ratio.
    """
    if isinstance(message, CompressedImage):
        if not len(message.data):
            raise _undecodable(message)
        return Frame(lambda: _reduced(_compressed(message), height, width))
    _check_header(message)
    _check_size(message.height, message.width, height, width)
    return Frame(lambda: _reduced(_raw(message), height, width))


def _check_header(message: Image) -> None:
    if message.encoding not in _COLOURS:
        raise MessageError(f"image encoding is '{message.encoding}', accepted: {', '.join(_COLOURS)}")
    channels, _ = _COLOURS[message.encoding]
    height, width, step = message.height, message.width, message.step
    if not height or not width:
        raise MessageError(f"image is empty ({width}x{height})")
    if step < width * channels:
        raise MessageError(f"image step is {step} bytes, accepted: at least {width * channels}")
    if len(message.data) != step * height:
        raise MessageError(f"image has {len(message.data)} bytes, accepted: step x height = {step * height}")


def _check_size(found_height: int, found_width: int, height: int, width: int) -> None:
    if found_height * width != found_width * height or found_height < height:
        raise MessageError(
            f"image is {found_width}x{found_height}, accepted: {width}x{height} or larger with that "
            "aspect ratio"
        )


def _reduced(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    found = pixels.shape[:2]
    _check_size(*found, height, width)
    if found == (height, width):
        return pixels
    return cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)


def _raw(message: Image) -> np.ndarray:
    channels, conversion = _COLOURS[message.encoding]
    height, width = message.height, message.width
    rows = np.frombuffer(message.data, np.uint8).reshape(height, message.step)
    pixels = rows[:, : width * channels].reshape(height, width, channels)
    return pixels if conversion is None else cv2.cvtColor(pixels, conversion)


def _compressed(message: CompressedImage) -> np.ndarray:
    pixels = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise _undecodable(message)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _undecodable(message: CompressedImage) -> MessageError:
    return MessageError(f"compressed image ('{message.format}', {len(message.data)} bytes) cannot be decoded")


def joint_positions(message: JointState, joint_names: Sequence[str]) -> np.ndarray:
    """Positions (J,) [rad] of the named joints; other joints in the message do not matter.

    Raises:
        MessageError: a joint is missing or named twice, sizes differ, or a position is not finite.
    """
    names = list(message.name)
    if len(message.position) != len(names):
        raise MessageError(f"joint state has {len(message.position)} positions for {len(names)} names")
    missing = [name for name in joint_names if name not in names]
    if missing:
        raise MessageError(
            f"joint state lacks {', '.join(missing)}; it has {', '.join(names) or 'no joints'}"
        )
    twice = [name for name in joint_names if names.count(name) > 1]
    if twice:
        raise MessageError(f"joint state names {', '.join(twice)} more than once")
    positions = np.array([message.position[names.index(name)] for name in joint_names])
    if not np.isfinite(positions).all():
        bad = [name for name, value in zip(joint_names, positions, strict=True) if not np.isfinite(value)]
        raise MessageError(f"joint state position of {', '.join(bad)} is not finite")
    return positions
