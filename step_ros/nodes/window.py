"""The policy's observation window, put together from stamped images and joint states. Knows no ROS.

The newest moment at which every camera has a frame and the joints are known is the time of the
observation; earlier frames are those nearest to one tick (1/fps) before, two ticks before, and so on.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from step_ros.policy.config import IMAGES, STATE

_KEPT = 64
"""Messages remembered per stream."""
_LONGEST_GAP = 0.1
"""Seconds between two joint states that may still be bridged by interpolation."""
_CANDIDATES = 4
"""How many of the newest frames are tried as the time of the observation."""


class _Stream:
    """Stamped values of one source, oldest first."""

    def __init__(self) -> None:
        self.stamps: list[float] = []
        self.values: list[np.ndarray] = []

    def clear(self) -> None:
        self.stamps.clear()
        self.values.clear()

    def add(self, stamp: float, value: np.ndarray) -> None:
        self.stamps.append(stamp)
        self.values.append(value)
        del self.stamps[:-_KEPT], self.values[:-_KEPT]

    def nearest(self, stamp: float, tolerance: float) -> np.ndarray | None:
        k = bisect_left(self.stamps, stamp)
        k = min(
            (i for i in (k - 1, k) if 0 <= i < len(self.stamps)), key=lambda i: abs(self.stamps[i] - stamp)
        )
        return self.values[k] if abs(self.stamps[k] - stamp) <= tolerance else None

    def interpolated(self, stamp: float) -> np.ndarray | None:
        k = bisect_left(self.stamps, stamp)
        if k == len(self.stamps):
            return None
        if self.stamps[k] == stamp:
            return self.values[k]
        if k == 0 or self.stamps[k] - self.stamps[k - 1] > _LONGEST_GAP:
            return None
        share = (stamp - self.stamps[k - 1]) / (self.stamps[k] - self.stamps[k - 1])
        return (1 - share) * self.values[k - 1] + share * self.values[k]


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
        self._images = {camera: _Stream() for camera in self._cameras}
        self._joints = _Stream()

    def clear(self) -> None:
        """Forget everything."""
        for stream in (*self._images.values(), self._joints):
            stream.clear()

    def add_image(self, camera: str, stamp: float, image: np.ndarray) -> str | None:
        """Add an image (H, W, 3) uint8; returns the reason when its stamp started a new window."""
        return self._add(self._images[camera], f"camera {camera}", stamp, image)

    def add_joints(self, stamp: float, positions: np.ndarray) -> str | None:
        """Add joint positions (J,) [rad]; returns the reason when their stamp started a new window."""
        return self._add(self._joints, "joint state", stamp, positions)

    def _add(self, stream: _Stream, name: str, stamp: float, value: np.ndarray) -> str | None:
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
        return reason

    def newest_joints(self) -> np.ndarray | None:
        """The last joint positions (J,) [rad]."""
        return self._joints.values[-1] if self._joints.values else None

    def joints_at(self, stamp: float) -> np.ndarray | None:
        """Joint positions (J,) [rad] at `stamp` [s], interpolated."""
        return self._joints.interpolated(stamp)

    def observation(self, after: float = -np.inf) -> tuple[float, dict[str, np.ndarray]] | None:
        """The newest complete window not older than `after` [s]: its time and its arrays (To, *shape).

        Returns None when there is no such window.
        """
        clock = self._images[self._cameras[0]] if self._cameras else self._joints
        for stamp in reversed(clock.stamps[-_CANDIDATES:]):
            if stamp < after:
                return None
            frames = self._frames(stamp)
            if frames is not None:
                return stamp, frames
        return None

    def _frames(self, stamp: float) -> dict[str, np.ndarray] | None:
        """The window whose newest frame is at `stamp`, oldest frame first, or None when a part is missing."""
        ticks = [stamp - k / self._fps for k in reversed(range(self._steps))]
        columns: dict[str, list[np.ndarray | None]] = {
            STATE: [self._joints.interpolated(tick) for tick in ticks],
        }
        for camera, stream in self._images.items():
            if not stream.stamps:
                return None
            columns[IMAGES + camera] = [stream.nearest(tick, 0.5 / self._fps) for tick in ticks]
        if any(value is None for column in columns.values() for value in column):
            return None
        return {name: np.stack(column) for name, column in columns.items()}
