"""The policy's observation window, put together from stamped images and joint states. Knows no ROS.

The newest moment at which every camera has a frame and the joints are known is the time of the
observation; earlier frames are those nearest to one tick (1/fps) before, two ticks before, and so on.
Which moment that is, the stamps alone tell; frames are decoded by who needs their pixels.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from step_ros.policy.config import IMAGES, STATE
from step_ros.policy.frames import Frame

T = TypeVar("T")

_LAG = 0.5
"""Seconds by which one input may lag behind another."""
_LONGEST_GAP = 0.1
"""Seconds between two joint states that may still be bridged by interpolation."""
_CANDIDATES = 4
"""How many of the newest frames are tried as the time of the observation."""


@dataclass(frozen=True)
class Observation:
    """One complete window.

    Attributes:
        stamp: its time [s], that of its newest frame.
        states: joint positions (To, J) [rad], oldest first.
        frames: To frames of each camera, oldest first.
    """

    stamp: float
    states: np.ndarray
    frames: dict[str, list[Frame]]

    def arrays(self) -> dict[str, np.ndarray]:
        """What the policy takes, (To, *shape) under each input's name; decodes what is not decoded yet.

        Raises:
            Exception: a frame cannot be decoded; what its decoder raised.
        """
        images = {
            IMAGES + camera: np.stack([frame.pixels() for frame in frames])
            for camera, frames in self.frames.items()
        }
        return {STATE: self.states, **images}

    @property
    def decode_ms(self) -> float:
        """What decoding its frames took, ahead of the cycle or in it."""
        return sum(frame.milliseconds for frames in self.frames.values() for frame in frames)


class _Stream(Generic[T]):
    """Stamped values of one source, oldest first."""

    def __init__(self) -> None:
        self.stamps: list[float] = []
        self.values: list[T] = []

    def clear(self) -> None:
        self.stamps.clear()
        self.values.clear()

    def add(self, stamp: float, value: T) -> None:
        self.stamps.append(stamp)
        self.values.append(value)

    def discard(self, value: T) -> bool:
        if value not in self.values:
            return False
        index = self.values.index(value)
        del self.stamps[index], self.values[index]
        return True

    def forget_before(self, stamp: float) -> None:
        old = bisect_left(self.stamps, stamp)
        del self.stamps[:old], self.values[:old]

    def nearest(self, stamp: float, tolerance: float) -> int | None:
        """Index of the value nearest to `stamp`, None when none is near."""
        k = bisect_left(self.stamps, stamp)
        near = [i for i in (k - 1, k) if 0 <= i < len(self.stamps)]
        k = min(near, key=lambda i: abs(self.stamps[i] - stamp), default=None)
        return k if k is not None and abs(self.stamps[k] - stamp) <= tolerance else None

    def span(self, stamp: float) -> tuple[int, float] | None:
        """Where `stamp` lies between two values: the later one's index and the share of the way to it."""
        k = bisect_left(self.stamps, stamp)
        if k == len(self.stamps):
            return None
        if self.stamps[k] == stamp:
            return k, 1.0
        if k == 0 or self.stamps[k] - self.stamps[k - 1] > _LONGEST_GAP:
            return None
        return k, (stamp - self.stamps[k - 1]) / (self.stamps[k] - self.stamps[k - 1])


class ObservationWindow:
    """Keeps the last moments of every input and cuts observations out of them.

    Args:
        cameras: camera names; may be empty, then joint states alone set the time.
        n_obs_steps: To, frames per observation.
        fps: frames per second that the policy was trained at.
        max_jump: a stamp further than this [s] after the one before starts a new window.
    """

    def __init__(self, cameras: Sequence[str], n_obs_steps: int, fps: float, max_jump: float = 1.0) -> None:
        self._cameras, self._steps, self._fps = tuple(cameras), n_obs_steps, fps
        self._max_jump = max_jump
        self._images: dict[str, _Stream[Frame]] = {camera: _Stream() for camera in self._cameras}
        self._joints: _Stream[np.ndarray] = _Stream()

    def clear(self) -> None:
        """Forget everything."""
        for stream in (*self._images.values(), self._joints):
            stream.clear()

    def add_image(self, camera: str, stamp: float, frame: Frame) -> str | None:
        """Add an image; returns the reason when its stamp started a new window."""
        return self._add(self._images[camera], f"camera {camera}", stamp, frame)

    def add_joints(self, stamp: float, positions: np.ndarray) -> str | None:
        """Add joint positions (J,) [rad]; returns the reason when their stamp started a new window."""
        return self._add(self._joints, "joint state", stamp, positions)

    def _add(self, stream: _Stream[T], name: str, stamp: float, value: T) -> str | None:
        reason = None
        if stream.stamps:
            change = stamp - stream.stamps[-1]
            if change == 0:
                return None
            if change < 0:
                reason = f"{name}: time went back by {-change:.3f} s"
            elif change > self._max_jump:
                reason = f"{name}: time jumped ahead by {change:.3f} s"
        if reason:
            self.clear()
        stream.add(stamp, value)
        # A frame that is not decoded yet is large: no more is kept than a window can reach back to.
        stream.forget_before(stamp - (self._steps + _CANDIDATES) / self._fps - _LAG)
        return reason

    def discard(self, camera: str, frame: Frame) -> bool:
        """Forget a frame that cannot be decoded; whether it was still known."""
        return self._images[camera].discard(frame)

    def newest_joints(self) -> np.ndarray | None:
        """The last joint positions (J,) [rad]."""
        return self._joints.values[-1] if self._joints.values else None

    def joints_at(self, stamp: float) -> np.ndarray | None:
        """Joint positions (J,) [rad] at `stamp` [s], interpolated."""
        found = self._joints.span(stamp)
        if found is None:
            return None
        later, share = found
        if share == 1.0:
            return self._joints.values[later]
        return (1 - share) * self._joints.values[later - 1] + share * self._joints.values[later]

    def newest(self, after: float = -np.inf) -> float | None:
        """The time [s] of the newest complete window not older than `after`, None when there is none."""
        clock = self._images[self._cameras[0]] if self._cameras else self._joints
        for stamp in reversed(clock.stamps[-_CANDIDATES:]):
            if stamp < after:
                return None
            if self.complete(stamp):
                return stamp
        return None

    def observation(self, stamp: float) -> Observation:
        """The window at a time that `newest` returned."""
        ticks = self._ticks(stamp)
        states = np.stack([self.joints_at(tick) for tick in ticks])
        frames = {
            camera: [stream.values[stream.nearest(tick, self._tolerance)] for tick in ticks]
            for camera, stream in self._images.items()
        }
        return Observation(stamp, states, frames)

    def complete(self, stamp: float) -> bool:
        """Whether every part of the window whose newest frame is at `stamp` [s] is there."""
        ticks = self._ticks(stamp)
        return all(self._joints.span(tick) is not None for tick in ticks) and all(
            stream.nearest(tick, self._tolerance) is not None
            for stream in self._images.values()
            for tick in ticks
        )

    def _ticks(self, stamp: float) -> list[float]:
        """The times of the window whose newest frame is at `stamp`, oldest first."""
        return [stamp - k / self._fps for k in reversed(range(self._steps))]

    @property
    def _tolerance(self) -> float:
        """How far a frame may be from the time that it stands for [s]."""
        return 0.5 / self._fps
