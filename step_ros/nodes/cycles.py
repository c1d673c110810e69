"""The cycle of the step node, observe - infer - send, and when not to: all of it without ROS.

Messages come in on one thread, the policy runs on another. A lock guards everything but the policy
itself, which only the worker touches. Whatever ends a motion (a hold, a reset, a jump in time) starts a
new generation; what a policy returns for an older one is thrown away, so nothing can move the arm after
it was told to hold.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from step_ros.control.history import CommandHistory
from step_ros.control.joints import JointLimits
from step_ros.control.limits import limit, takeover_index
from step_ros.control.timing import make_trajectory
from step_ros.control.trajectory import Trajectory
from step_ros.control.watchdog import Watchdog
from step_ros.nodes.diagnostics import CycleStatistics
from step_ros.nodes.inference import InferenceWorker
from step_ros.nodes.window import ObservationWindow
from step_ros.policy.policy import Plan, Policy

JOINTS = "joint state"
HOLD_TIME = 0.2
"""Seconds in which a hold brings the arm to rest."""
WINDOW_PATIENCE = 1.0
"""Seconds for which fresh inputs may fail to make a complete observation window."""


def camera_stream(camera: str) -> str:
    """The name of a camera's stream in reasons and counters."""
    return f"camera {camera}"


class Outlet(Protocol):
    """Where the results go; called from either thread, under the lock."""

    def send(self, trajectory: Trajectory) -> None:
        """A command for the arm; stamp 0 means from now on."""

    def planned(self, plan: Plan, stamp: float) -> None:
        """What the policy returned for the observation at `stamp` [s]."""

    def failed(self, error: Exception) -> None:
        """The policy raised."""

    def alarmed(self) -> None:
        """Something happened that should be reported at once."""


@dataclass(frozen=True)
class _Request:
    generation: int
    stamp: float
    observation: dict[str, np.ndarray]
    commanded: np.ndarray


class CycleRunner:
    """Turns observations into trajectories while nothing speaks against it, and holds the arm otherwise.

    Args:
        policy: loaded; from now on only the worker thread calls it (settings may be updated any time).
        cameras: names of the policy's cameras.
        limits: what the joints may do, in the policy's order.
        camera_timeout, joint_timeout: age [s] above which an input is stale.
        outlet: where results go.
        clock: the node's time [s], on which stamps are.
        monotonic: the machine's time [s].
    """

    def __init__(
        self,
        policy: Policy,
        cameras: tuple[str, ...],
        limits: JointLimits,
        camera_timeout: float,
        joint_timeout: float,
        outlet: Outlet,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy, self._limits, self._outlet = policy, limits, outlet
        self._clock, self._monotonic = clock, monotonic
        self._cameras = cameras
        self._fps, self._steps = policy.config.fps, policy.config.n_obs_steps
        self._window = ObservationWindow(cameras, self._steps, self._fps)
        self._watchdog = Watchdog({})
        self.set_timeouts(camera_timeout, joint_timeout)
        self._history = CommandHistory(limits.lower.size)
        self._lock = threading.RLock()
        self._generation, self._policy_generation = 0, -1
        self._last_stamp: float | None = None
        self._window_complete_at = monotonic()
        self._running, self._enabled, self._stopped = False, True, False
        self._failure: str | None = None
        self.statistics = CycleStatistics()
        self.hold_reason: str | None = "inactive"
        self._worker: InferenceWorker[_Request] = InferenceWorker(self._cycle)

    # What the node tells.

    def start(self, enabled: bool = True) -> None:
        """Begin to act on what comes in."""
        with self._lock:
            self._running, self._enabled, self._failure = True, enabled, None
            self._window.clear()
            self._watchdog.forget()
            self._window_complete_at = self._monotonic()
            self.check()

    def stop(self) -> None:
        """Hold, and ignore what comes in."""
        with self._lock:
            self._running = False
            self.check()

    def close(self) -> None:
        """Hold, and end the worker thread."""
        self.stop()
        self._worker.stop()

    def reset(self) -> None:
        """Forget the episode so far, and a failure of the policy; the next cycle starts cold."""
        with self._lock:
            self._failure = None
            self._window.clear()
            self._begin_episode()
            self.check()

    def enable(self, enabled: bool) -> None:
        """Allow or forbid motion; forbidding holds the arm."""
        with self._lock:
            self._enabled = enabled
            if enabled:
                self._failure = None
            self.check()

    @property
    def emergency_stopped(self) -> bool:
        return self._stopped

    def emergency_stop(self, stopped: bool) -> None:
        """Hold at once and until released; a release leaves the arm disabled."""
        with self._lock:
            self._stopped = stopped
            self._enabled = False
            if stopped:
                self._hold("emergency stop", always=True)
            else:
                self.check()

    def set_timeouts(self, camera: float, joints: float) -> None:
        """Ages [s] above which inputs are stale."""
        self._watchdog.max_age = {JOINTS: joints} | {camera_stream(name): camera for name in self._cameras}

    def add_image(self, camera: str, stamp: float, image: np.ndarray) -> None:
        """An image (H, W, 3) uint8 of the policy's size came."""
        with self._lock:
            self._came(camera_stream(camera), stamp, self._window.add_image(camera, stamp, image))

    def add_joints(self, stamp: float, positions: np.ndarray) -> None:
        """Measured joint positions (J,) [rad] came."""
        with self._lock:
            self._came(JOINTS, stamp, self._window.add_joints(stamp, positions))

    def refuse(self, stream: str, reason: str) -> None:
        """A message came that cannot be used."""
        with self._lock:
            self.statistics.refused[stream] += 1
            self._watchdog.refused(stream, reason)
            self._warn(f"{stream}: {reason}")

    def values(self) -> dict[str, object]:
        """The statistics and the reason to hold, for a diagnostic status."""
        with self._lock:
            return {"hold_reason": self.hold_reason or "", **self.statistics.values()}

    def check(self) -> None:
        """Hold if something speaks against moving, go on if nothing does any more. Call it regularly."""
        with self._lock:
            reason = self._objection()
            if reason is None:
                if self.hold_reason is not None:
                    self.hold_reason = None
                    self._begin_episode()
            elif self.hold_reason is None:
                self._hold(reason)
            elif self.hold_reason != reason:
                self.hold_reason = reason
                self._outlet.alarmed()

    # Under the lock.

    def _objection(self) -> str | None:
        if not self._running:
            return "inactive"
        if self._stopped:
            return "emergency stop"
        if not self._enabled:
            return "disabled"
        return (
            self._failure
            or self._watchdog.reason(self._clock(), self._monotonic())
            or self._incomplete_window_reason()
        )

    def _incomplete_window_reason(self) -> str | None:
        now = self._monotonic()
        if self._window.observation() is not None:
            self._window_complete_at = now
        if now - self._window_complete_at <= WINDOW_PATIENCE:
            return None
        return (
            f"inputs come, but make no complete observation: {self._steps} frames of every camera, "
            f"{1000 / self._fps:.0f} ms apart, with joint states around them"
        )

    def _hold(self, reason: str, always: bool = False) -> None:
        """Stay where the arm is; says so only if this node has commanded it (`always`: in any case)."""
        self.hold_reason = reason
        now = self._clock()
        position = self._history.latest(now)
        moving = position is not None
        if not self._watchdog.stale(JOINTS, now, self._monotonic()):
            position = self._window.newest_joints()
        if position is not None and (moving or always):
            rest = np.clip(position, self._limits.lower, self._limits.upper)[None]
            self._outlet.send(Trajectory(0.0, np.array([HOLD_TIME]), rest, np.zeros_like(rest)))
        self._begin_episode()
        self._outlet.alarmed()

    def _begin_episode(self) -> None:
        self._generation += 1
        self._last_stamp = None
        self._history.reset()

    def _warn(self, warning: str) -> None:
        news = warning != self.statistics.last_warning
        self.statistics.last_warning = warning
        self.statistics.warnings += 1
        if news:
            self._outlet.alarmed()

    def _came(self, stream: str, stamp: float, restart: str | None) -> None:
        self._watchdog.saw(stream, stamp, self._monotonic())
        if restart:
            self.statistics.restarts += 1
            self._begin_episode()
            self._warn(restart)
        if self.hold_reason is None:
            self._submit()

    def _due(self) -> float:
        """The stamp from which on a new cycle is due."""
        if self._last_stamp is None:
            return -np.inf
        return self._last_stamp + (self._policy.settings.action_steps - 0.5) / self._fps

    def _submit(self) -> None:
        found = self._window.observation(after=self._due())
        if found is not None:
            stamp, observation = found
            commanded = self._history.sample(stamp, self._fps, self._policy.config.n_action_steps)
            self._worker.submit(_Request(self._generation, stamp, observation, commanded))

    def _begin_cycle(self, request: _Request) -> bool:
        """Whether `request` is still wanted; notes the cycles that were left out before it."""
        if request.generation != self._generation or request.stamp < self._due():
            return False
        if self._last_stamp is not None:
            ticks = (request.stamp - self._last_stamp) * self._fps
            self.statistics.skipped += int((ticks + 0.5) // self._policy.settings.action_steps) - 1
        self._last_stamp = request.stamp
        return True

    # On the worker's thread.

    def _cycle(self, request: _Request) -> None:
        with self._lock:
            if not self._begin_cycle(request):
                return
        try:
            if self._policy_generation != request.generation:
                self._policy.reset()
                self._policy_generation = request.generation
            plan = self._policy.act(request.observation, request.commanded)
            with self._lock:
                if request.generation == self._generation:
                    self._publish(request, plan)
        except Exception as error:  # a policy may fail in any way, and whichever it is, the arm must hold
            self._fail(request, error)

    def _publish(self, request: _Request, plan: Plan) -> None:
        now = self._clock()
        measured = self._window.newest_joints()
        anchor = self._history.latest(request.stamp)
        asked = make_trajectory(
            plan.chunk, request.stamp, self._fps, self._steps, measured if anchor is None else anchor
        )
        self._outlet.planned(plan, request.stamp)
        if asked.end <= now:
            self.statistics.late += 1
            self._warn(
                f"a chunk was ready {now - request.stamp:.2f} s after its observation: too late to send"
            )
            return
        start = takeover_index(asked, now)
        in_force = self._history.latest(asked.stamp + asked.times[start])
        sent = limit(asked, self._limits, start, measured if in_force is None else in_force)
        self._outlet.send(sent)
        self._history.add(sent, max(now, request.stamp))
        limited = not np.array_equal(sent.positions[start:], asked.positions[start:])
        self.statistics.finished(plan, now - request.stamp, limited)

    def _fail(self, request: _Request, error: Exception) -> None:
        with self._lock:
            self.statistics.failures += 1
            self._outlet.failed(error)
            if request.generation == self._generation:
                self._failure = f"policy failed ({type(error).__name__}: {error}); call reset to go on"
                self.check()
