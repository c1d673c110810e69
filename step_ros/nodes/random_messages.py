"""Messages that nobody should send: every field right, wrong, absurd or missing, by a seeded generator."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence

import numpy as np
from sensor_msgs.msg import CompressedImage, Image, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

_ODD = (math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -0.0, 1e9, 3.5)
_ENCODINGS = ("rgb8", "bgr8", "rgba8", "bgra8", "mono8", "16UC1", "yuv422", "", "RGB8", "\u00e9")
_SIZES = (0, 1, 8, 16, 32, 64, 96, 4_294_967_295)
_INT32 = (-(2**31), -1, 0, 1, 2**31 - 1)


class RandomMessages:
    """Draws messages of every kind that `/step` subscribes to.

    Args:
        joint_names: the robot's joints, which most messages name, more or less.
        image_size: height and width [pixels] of images that the node takes.
        now: the time [s] that about half of the stamps are near.
        seed: of the generator.
    """

    def __init__(
        self,
        joint_names: Sequence[str],
        image_size: tuple[int, int],
        now: Callable[[], float],
        seed: int,
    ) -> None:
        self._names, self._image_size, self._now = tuple(joint_names), image_size, now
        self._random = np.random.default_rng(seed)

    def image(self) -> Image:
        """A raw image whose size, encoding, step and data may all disagree."""
        height, width = self._image_size if self._likely() else (self._choice(_SIZES), self._choice(_SIZES))
        encoding = "rgb8" if self._likely() else self._choice(_ENCODINGS)
        step = 3 * min(width, 4096) if self._likely() else self._choice((*_SIZES, 3 * self._image_size[1]))
        fits = step * height <= 1 << 20 and self._likely()
        length = step * height if fits else int(self._random.integers(0, 5000))
        message = Image(height=height, width=width, encoding=encoding, step=step)
        message.data = array("B", self._random.bytes(length))
        return self._stamped(message)

    def compressed_image(self) -> CompressedImage:
        """Bytes that are hardly ever a picture, some with a picture's first bytes."""
        begin = self._choice((b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"GIF89a"))
        message = CompressedImage(format=self._choice(("jpeg", "png", "", "h264")))
        message.data = array("B", begin + self._random.bytes(int(self._random.integers(0, 300))))
        return self._stamped(message)

    def joint_state(self) -> JointState:
        """Joints in any order and number, with values of any size."""
        names = self._some_names()
        message = JointState(name=names)
        for field in ("position", "velocity", "effort"):
            setattr(message, field, self._values(len(names)))
        return self._stamped(message)

    def reference(self) -> JointTrajectory:
        """A set point, or a trajectory where a set point should be."""
        names = self._some_names()
        message = JointTrajectory(joint_names=names)
        for _ in range(self._choice((0, 1, 1, 1, 2))):
            point = JointTrajectoryPoint(positions=self._values(len(names)))
            point.velocities = self._values(len(names))
            message.points.append(point)
        return self._stamped(message)

    def _stamped(self, message: object) -> object:
        stamp = message.header.stamp
        if self._likely():
            now = self._now() + float(self._random.normal(0.0, 0.2))
            stamp.sec, stamp.nanosec = int(now), int(now % 1 * 1e9)
        else:
            stamp.sec, stamp.nanosec = self._choice(_INT32), self._choice((0, 999_999_999, 2**32 - 1))
        return message

    def _some_names(self) -> list[str]:
        if self._likely():
            return list(self._names)
        pool = (*self._names, "", "claw", "\u00e9")
        return [self._choice(pool) for _ in range(int(self._random.integers(0, 9)))]

    def _values(self, length: int) -> array:
        length = length if self._likely() else int(self._random.integers(0, 9))
        values = self._random.uniform(-2.0, 2.0, length)
        odd = self._random.random(length) < self._choice((0.0, 0.0, 0.2, 1.0))
        values[odd] = self._random.choice(_ODD, int(odd.sum()))
        return array("d", values.tolist())

    def _likely(self) -> bool:
        return bool(self._random.random() < 0.7)

    def _choice(self, among: Sequence) -> object:
        return among[int(self._random.integers(len(among)))]
