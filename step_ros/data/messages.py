"""ROS messages to arrays, in the units and order of the package; anything odd is refused with a reason.

Reads fields and imports no message class, so messages of a running graph (rclpy) and of a bag (rosbags) are
decoded by the same lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np

_COLOURS = {
    "rgb8": (3, None),
    "bgr8": (3, cv2.COLOR_BGR2RGB),
    "rgba8": (4, cv2.COLOR_RGBA2RGB),
    "bgra8": (4, cv2.COLOR_BGRA2RGB),
}


class MessageError(Exception):
    """A message that cannot be used; says which field, what was found and what is accepted."""


def seconds(time: Any) -> float:
    """A stamp or duration in seconds; a stamp of today is exact to 0.3 microseconds."""
    return time.sec + 1e-9 * time.nanosec


def image(message: Any, height: int, width: int) -> Callable[[], np.ndarray]:
    """What makes a sensor_msgs Image or CompressedImage RGB (height, width, 3) uint8, when it is called.

    A larger image of the same aspect ratio is reduced by averaging areas. Whether a raw image can be used its
    header tells, so the call will not fail; a compressed one has to be decoded to find out.

    Raises:
        MessageError: unknown encoding, empty, data that do not fit the stated size, or another aspect ratio;
            for a compressed image by the call.
    """
    if not hasattr(message, "format"):
        _check_header(message)
        _check_size(message.height, message.width, height, width)
    elif not len(message.data):
        raise _undecodable(message)
    return lambda: _reduced(_pixels(message), height, width)


def picture(message: Any) -> np.ndarray:
    """A sensor_msgs Image or CompressedImage in its own size, RGB (H, W, 3) uint8; raises MessageError."""
    if not hasattr(message, "format"):
        _check_header(message)
    return _pixels(message)


def _pixels(message: Any) -> np.ndarray:
    return _compressed(message) if hasattr(message, "format") else _raw(message)


def _check_header(message: Any) -> None:
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


def _raw(message: Any) -> np.ndarray:
    channels, conversion = _COLOURS[message.encoding]
    height, width = message.height, message.width
    rows = np.frombuffer(message.data, np.uint8).reshape(height, message.step)
    pixels = rows[:, : width * channels].reshape(height, width, channels)
    return pixels if conversion is None else cv2.cvtColor(pixels, conversion)


def _compressed(message: Any) -> np.ndarray:
    data = np.frombuffer(message.data, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if pixels is None:
        raise _undecodable(message)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _undecodable(message: Any) -> MessageError:
    return MessageError(f"compressed image ('{message.format}', {len(message.data)} bytes) cannot be decoded")


def joint_positions(message: Any, joint_names: Sequence[str]) -> np.ndarray:
    """Positions (J,) [rad] of the named joints; other joints in the message do not matter.

    Args:
        message: sensor_msgs/JointState.

    Raises:
        MessageError: a joint is missing or named twice, sizes differ, or a position is not finite.
    """
    names = list(message.name)
    if len(message.position) != len(names):
        raise MessageError(f"joint state has {len(message.position)} positions for {len(names)} names")
    positions = np.array(message.position)[_order(names, joint_names, "joint state")]
    if not np.isfinite(positions).all():
        bad = [name for name, value in zip(joint_names, positions, strict=True) if not np.isfinite(value)]
        raise MessageError(f"joint state position of {', '.join(bad)} is not finite")
    return positions


def trajectory(
    message: Any, joint_names: Sequence[str]
) -> tuple[float, np.ndarray, np.ndarray, np.ndarray | None]:
    """A trajectory_msgs/JointTrajectory of exactly the named joints, in their order.

    Returns:
        stamp [s], 0 for "from now on"; times (N,) [s] after it; positions (N, J) [rad]; velocities (N, J)
        [rad/s], or None unless every point has them.

    Raises:
        MessageError: other joints, no points, times that do not increase, sizes that differ, or values that
            are not finite.
    """
    names = list(message.joint_names)
    if sorted(names) != sorted(joint_names):
        raise MessageError(
            f"trajectory has joints {', '.join(names) or 'none'}, accepted: {', '.join(joint_names)}"
        )
    order = _order(names, joint_names, "trajectory")
    times = np.array([seconds(point.time_from_start) for point in message.points])
    if not len(times) or (np.diff(times) <= 0).any():
        raise MessageError(f"trajectory has {len(times)} points, accepted: at least 1, at increasing times")
    positions = _rows(message, "positions", len(names))[:, order]
    moving = all(len(point.velocities) for point in message.points)
    velocities = _rows(message, "velocities", len(names))[:, order] if moving else None
    return seconds(message.header.stamp), times, positions, velocities


def _rows(message: Any, field: str, joints: int) -> np.ndarray:
    rows = [getattr(point, field) for point in message.points]
    sizes = sorted({len(row) for row in rows})
    if sizes != [joints]:
        raise MessageError(f"trajectory points have {sizes} {field}, accepted: {joints}")
    values = np.array(rows, dtype=float)
    if not np.isfinite(values).all():
        raise MessageError(f"trajectory {field} hold NaN or infinite numbers")
    return values


def _order(names: Sequence[str], wanted: Sequence[str], what: str) -> list[int]:
    """Where each wanted joint is among `names`."""
    missing = [name for name in wanted if name not in names]
    if missing:
        raise MessageError(f"{what} lacks {', '.join(missing)}; it has {', '.join(names) or 'no joints'}")
    twice = [name for name in wanted if list(names).count(name) > 1]
    if twice:
        raise MessageError(f"{what} names {', '.join(twice)} more than once")
    return [names.index(name) for name in wanted]
