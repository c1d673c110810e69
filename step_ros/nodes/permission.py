"""Everything that must be so for the arm to be moved, and what is said when it is not. Knows no ROS."""

from __future__ import annotations

from collections.abc import Iterable

from step_ros.control.watchdog import Watchdog

JOINTS = "joint state"
WINDOW_PATIENCE = 1.0
"""Seconds for which fresh inputs may fail to make a complete observation window."""


def camera_stream(camera: str) -> str:
    """The name of a camera's stream in reasons and counters."""
    return f"camera {camera}"


class Permission:
    """Collects what speaks against moving.

    Args:
        cameras: names of the policy's cameras.
        observation: what makes a complete observation, in words.

    Attributes:
        running: the node is active.
        enabled: the user allows motion.
        stopped: emergency stop; outweighs `enabled`.
        failure: what the policy or the arm could not do, None when all is well.
        rivals: others that publish commands for the arm.
        watchdog: judges the age of each input.
    """

    def __init__(self, cameras: Iterable[str], observation: str) -> None:
        self._cameras, self._observation = tuple(cameras), observation
        self.running, self.enabled, self.stopped = False, True, False
        self.failure: str | None = None
        self.rivals = 0
        self.watchdog = Watchdog({})
        self._complete_at = 0.0

    def set_timeouts(self, camera: float, joints: float) -> None:
        """Ages [s] above which inputs are stale."""
        self.watchdog.max_age = {JOINTS: joints} | {camera_stream(name): camera for name in self._cameras}

    def start(self, enabled: bool, arrival: float) -> None:
        """The node becomes active at `arrival` [s, monotonic clock] and waits for its first messages."""
        self.running, self.enabled, self.failure = True, enabled, None
        self.watchdog.forget()
        self._complete_at = arrival

    def objection(self, now: float, arrival: float, complete: bool) -> str | None:
        """Why the arm must not move, None when it may.

        Args:
            now, arrival: the node's and the monotonic clock [s].
            complete: the inputs make a complete observation.
        """
        if complete:
            self._complete_at = arrival
        if not self.running:
            return "inactive"
        if self.stopped:
            return "emergency stop"
        if not self.enabled:
            return "disabled"
        if self.rivals:
            return f"{self.rivals} other publishers of commands for this arm: only one may move it"
        reason = self.failure or self.watchdog.reason(now, arrival)
        if reason is None and arrival - self._complete_at > WINDOW_PATIENCE:
            reason = f"inputs come, but make no complete observation: {self._observation}"
        return reason
