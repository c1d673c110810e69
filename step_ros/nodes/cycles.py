"""The cycle of the step node, observe - infer - send, and when not to: all of it without ROS.

Messages come in on one thread, cycles run on another, and frames that a cycle will need are prepared on
further ones (`ahead.py`). A lock guards everything but the policy, which guards itself. Whatever ends a
motion (a hold, a reset, a jump in time) starts a new generation; what a policy returns for an older one is
thrown away, so nothing can move the arm after it was told to hold.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from step_ros.control.faults import Fault, Severity
from step_ros.control.monitors import ClockMonitor, FollowMonitor
from step_ros.control.plan import Reference
from step_ros.control.seams import ChunkRefusedError
from step_ros.control.trajectory import Trajectory
from step_ros.data.episode_marks import BEGIN, END, RESET
from step_ros.data.messages import MessageError
from step_ros.nodes.ahead import FramesAhead, Work
from step_ros.nodes.commands import Command, Commander
from step_ros.nodes.diagnostics import CycleStatistics, CycleTimes
from step_ros.nodes.pace import Pace
from step_ros.nodes.permission import JOINTS, Permission, camera_stream
from step_ros.nodes.worker import LatestWorker
from step_ros.policy.cadence import Cadence
from step_ros.policy.frames import Frame
from step_ros.policy.policy import Plan, Policy
from step_ros.policy.window import Observation, ObservationWindow


class Outlet(Protocol):
    """Where the results go; called from either thread, under the lock."""

    def send(self, trajectory: Trajectory) -> None:
        """A command for the arm; stamp 0 means from now on."""

    def planned(self, plan: Plan, stamp: float) -> None:
        """What the policy returned for the observation at `stamp` [s]."""

    def timed(self, times: CycleTimes) -> None:
        """Where the time of a cycle went whose command was sent."""

    def marked(self, kind: str) -> None:
        """An episode began or ended, or what was seen is forgotten (`data.episode_marks`)."""

    def failed(self, error: Exception) -> None:
        """The policy raised."""

    def alarmed(self) -> None:
        """Something happened that should be reported at once."""


_PATIENCE = 2.0
"""Seconds after which a policy that has not answered counts as hanging: far more than a chunk is good for."""


@dataclass(frozen=True)
class _Request:
    generation: int
    observation: Observation


class CycleRunner:
    """Turns observations into trajectories while nothing speaks against it, and holds the arm otherwise.

    Args:
        policy: loaded; from now on only threads of this object call it (settings may be updated any time).
        cameras: names of the policy's cameras.
        commander: makes safe commands of plans.
        follow: notices when the arm does not follow.
        camera_timeout, joint_timeout: age [s] above which an input is stale.
        outlet: where results go.
        clock: the node's time [s], on which stamps are.
        monotonic: the machine's time [s].
    """

    def __init__(
        self,
        policy: Policy,
        cameras: tuple[str, ...],
        commander: Commander,
        follow: FollowMonitor,
        camera_timeout: float,
        joint_timeout: float,
        outlet: Outlet,
        clock: Callable[[], float],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy, self._outlet = policy, outlet
        self._clock, self._monotonic = clock, monotonic
        self._fps, self._steps = policy.config.fps, policy.config.n_obs_steps
        self._window = ObservationWindow(cameras, self._steps, self._fps)
        self._permission = Permission(
            cameras,
            f"{self._steps} frames of every camera, {1000 / self._fps:.0f} ms apart, "
            "with joint states around them",
        )
        self.set_timeouts(camera_timeout, joint_timeout)
        self._commander, self._follow = commander, follow
        self._clock_monitor = ClockMonitor()
        self._pace = Pace(self._fps, policy.config.longest_execution)
        self._distrusted: set[str] = set()
        self._lock = threading.RLock()
        self._generation, self._policy_generation = 0, -1
        self._thinking_since: float | None = None
        self._cadence = Cadence(self._fps)
        self.statistics = CycleStatistics()
        self.hold_reason: str | None = "inactive"
        self._worker: LatestWorker[_Request] = LatestWorker(self._cycle, "cycles")
        self._ahead = FramesAhead(policy, cameras, self._undecodable, self._fail)

    # What the node tells.

    def start(self, enabled: bool = True) -> None:
        """Begin to act on what comes in."""
        with self._lock:
            self._permission.start(enabled, self._monotonic())
            self._forget()
            self.check()

    def stop(self) -> None:
        """Hold, and ignore what comes in."""
        with self._lock:
            self._permission.running = False
            self.check()

    def close(self) -> None:
        """Hold, and end the threads."""
        self.stop()
        self._worker.stop()
        self._ahead.stop()

    def reset(self) -> None:
        """Forget the episode so far, and a failure of the policy; the next cycle starts cold."""
        with self._lock:
            self._permission.failure = None
            self._forget()
            self._begin_episode()
            self.check()

    def enable(self, enabled: bool) -> None:
        """Allow or forbid motion; forbidding holds the arm."""
        with self._lock:
            self._permission.enabled = enabled
            if enabled:
                self._permission.failure = None
            self.check()

    def emergency_stop(self, stopped: bool) -> None:
        """Hold at once and until released; a release leaves the arm disabled."""
        with self._lock:
            self._permission.stopped = stopped
            self._permission.enabled = False
            if stopped:
                self._hold("emergency stop", always=True)
            else:
                self.check()

    def set_timeouts(self, camera: float, joints: float) -> None:
        """Ages [s] above which inputs are stale."""
        self._permission.set_timeouts(camera, joints)

    def add_image(self, camera: str, stamp: float, frame: Frame) -> None:
        """An image came that decodes to the policy's size, as far as can be told before."""
        if camera in self._distrusted and not self._decodes(camera, frame):
            return
        with self._lock:
            self._came(camera_stream(camera), stamp, self._window.add_image(camera, stamp, frame))
            needed = stamp >= self._due() - (self._steps - 1) / self._fps
            if self.hold_reason is None and not self._submit() and needed:
                self._ahead.submit(Work(self._generation, camera, frame))

    def add_joints(self, stamp: float, positions: np.ndarray) -> None:
        """Measured joint positions (J,) [rad] came."""
        doubt = self._commander.doubt(positions)
        if doubt is not None:
            self.refuse(JOINTS, doubt)
            return
        with self._lock:
            self._came(JOINTS, stamp, self._window.add_joints(stamp, positions))
            if self.hold_reason is None:
                self._check_following(stamp, positions)
            if self.hold_reason is None:
                self._submit()

    def add_reference(self, reference: Reference) -> None:
        """The controller published its set point, in the policy's order of joints."""
        with self._lock:
            self._commander.heard(reference)

    def set_blend(self, seconds: float) -> None:
        """How long a new chunk takes to be followed exactly."""
        with self._lock:
            self._commander.blend = seconds

    def set_rivals(self, rivals: int) -> None:
        """How many others publish commands for the arm."""
        with self._lock:
            self._permission.rivals = rivals

    def refuse(self, stream: str, reason: str) -> None:
        """A message came that cannot be used."""
        with self._lock:
            self.statistics.refused[stream] += 1
            self._permission.watchdog.refused(stream, reason)
            self._warn(f"{stream}: {reason}")

    @property
    def busy(self) -> bool:
        """Whether a cycle is in work or about to be."""
        return self._worker.busy

    @property
    def complaint(self) -> str | None:
        """Why cycles do not keep the pace that the settings ask for, None when they do."""
        with self._lock:
            return self._pace.complaint()

    def values(self) -> dict[str, object]:
        """The statistics and the reason to hold, for a diagnostic status."""
        with self._lock:
            return {"hold_reason": self.hold_reason or "", **self.statistics.values()}

    def check(self) -> None:
        """Hold if something speaks against moving, go on if nothing does any more. Call it regularly."""
        with self._lock:
            now, monotonic = self._clock(), self._monotonic()
            leap = self._clock_monitor.update(now, monotonic)
            if leap is not None:
                self._leapt(leap)
            reason = self._permission.objection(now, monotonic, complete=self._window.newest() is not None)
            reason = reason or self._hanging(monotonic)
            if reason is None:
                if self.hold_reason is not None:
                    self.hold_reason = None
                    self._begin_episode()
                    self._outlet.marked(BEGIN)
            elif self.hold_reason is None:
                self._hold(reason)
            elif self.hold_reason != reason:
                self.hold_reason = reason
                self._outlet.alarmed()
            self._check_taken()

    # Under the lock.

    def _hanging(self, monotonic: float) -> str | None:
        """Says that the policy takes longer than any answer would be worth."""
        since = self._thinking_since
        if since is None or monotonic - since <= _PATIENCE:
            return None
        return f"policy has not answered for {_PATIENCE:g} s"

    def _hold(self, reason: str, always: bool = False) -> None:
        """Stay where the arm is; says so only if this node has commanded it (`always`: in any case)."""
        if self.hold_reason is None:
            self._outlet.marked(END)
        self.hold_reason = reason
        now = self._clock()
        fresh = not self._permission.watchdog.stale(JOINTS, now, self._monotonic())
        rest = self._commander.rest(now, self._window.newest_joints() if fresh else None, always)
        if rest is not None:
            self._outlet.send(rest)
        self._begin_episode()
        self._outlet.alarmed()

    def _leapt(self, leap: Fault) -> None:
        """The clock is another one: nothing that was seen or sent has a place on it."""
        self.statistics.faults[leap.name] += 1
        self._warn(str(leap))
        if self.hold_reason is None:
            self._hold(str(leap))
        self._permission.watchdog.forget()
        self._forget()

    def _check_following(self, stamp: float, positions: np.ndarray) -> None:
        told = self._commander.told(stamp)
        fault = None if told is None else self._follow.update(stamp, told, positions)
        if fault is not None:
            self._permission.failure = f"{fault}; call reset to go on"
            self.check()

    def _check_taken(self) -> None:
        """Report a command that the controller did not take."""
        verdict = self._commander.verdict()
        if verdict is not None and verdict.fault is not None:
            self.statistics.faults[verdict.fault.name] += 1
            self._warn(str(verdict.fault))

    def _refuse_chunk(self, fault: Fault) -> None:
        """A chunk is not sent: the plan in force goes on to its end, or the arm holds at once."""
        self.statistics.faults[fault.name] += 1
        self._warn(str(fault))
        if fault.severity is Severity.HOLD:
            self._hold(str(fault))

    def _forget(self) -> None:
        self._window.clear()
        self._outlet.marked(RESET)

    def _begin_episode(self) -> None:
        self._generation += 1
        self._cadence.reset()
        self._commander.forget()
        self._follow.reset()
        self._pace.restart()

    def _warn(self, warning: str) -> None:
        news = warning != self.statistics.last_warning
        self.statistics.last_warning = warning
        self.statistics.warnings += 1
        if news:
            self._outlet.alarmed()

    def _came(self, stream: str, stamp: float, restart: str | None) -> None:
        self.statistics.received[stream] += 1
        self._permission.watchdog.saw(stream, stamp, self._monotonic())
        if restart:
            self.statistics.restarts += 1
            self._begin_episode()
            self._warn(restart)

    def _due(self) -> float:
        """The stamp from which on a new cycle is due."""
        return self._cadence.due(self._policy.settings.action_steps)

    def _submit(self) -> bool:
        """Begin a cycle if one is due and its observation complete; whether that was so."""
        stamp = self._window.newest(after=self._due())
        if stamp is None:
            return False
        self._worker.submit(_Request(self._generation, self._window.observation(stamp)))
        return True

    # On the threads that decode frames.

    def _decodes(self, camera: str, frame: Frame) -> bool:
        """Whether an image can be used, of a camera whose last one could not."""
        try:
            frame.pixels()
        except MessageError as error:
            self.refuse(camera_stream(camera), str(error))
            return False
        self._distrusted.discard(camera)
        return True

    def _undecodable(self, camera: str, frame: Frame, error: MessageError) -> None:
        """A frame was taken for usable and is not: until a good one comes, none is taken unseen."""
        with self._lock:
            if self._window.discard(camera, frame):
                self._distrusted.add(camera)
                self.refuse(camera_stream(camera), str(error))

    # On the worker's thread.

    def _cycle(self, request: _Request) -> None:
        began = self._thinking_since = self._monotonic()
        try:
            self._carry_out(request, began)
        finally:
            self._thinking_since = None

    def _carry_out(self, request: _Request, began: float) -> None:
        observation = request.observation
        arrays = self._decoded(observation)
        if arrays is None:
            return
        with self._lock:
            if request.generation != self._generation or observation.stamp < self._due():
                return
            action_steps = self._policy.settings.action_steps
            left_out = self._cadence.begin(observation.stamp, action_steps)
            commanded = self._commander.past(observation.stamp)
        try:
            if self._policy_generation != request.generation:
                self._policy.reset()
                self._policy_generation = request.generation
            plan = self._policy.act(arrays, commanded)
            with self._lock:
                if request.generation == self._generation:
                    sent = self._publish(observation, plan, began, action_steps)
                    self.statistics.skipped += left_out
                    self._pace.cycle(action_steps, self._monotonic() - began, left_out, late=not sent)
        except Exception as error:  # a policy may fail in any way, and whichever it is, the arm must hold
            self._fail(request.generation, error)

    def _decoded(self, observation: Observation) -> dict[str, np.ndarray] | None:
        """The observation as the policy takes it, None when a frame of it cannot be decoded."""
        for camera, frames in observation.frames.items():
            for frame in frames:
                try:
                    frame.pixels()
                except MessageError as error:
                    self._undecodable(camera, frame, error)
                    return None
        return observation.arrays()

    def _publish(self, observation: Observation, plan: Plan, began: float, action_steps: int) -> bool:
        """Send a plan as a command; whether that could be done."""
        stamp, measured = observation.stamp, self._window.newest_joints()
        try:
            command = self._commander.command(plan, stamp, self._clock(), measured, action_steps)
        except ChunkRefusedError as refused:
            self._outlet.planned(plan, stamp)
            self._refuse_chunk(refused.fault)
            return False
        self._outlet.send(command.trajectory)
        self._note(command)
        times = CycleTimes(
            stamp,
            self._clock() - stamp,
            self._monotonic() - began,
            observation.decode_ms,
            plan.milliseconds,
            command.seam,
        )
        self.statistics.finished(plan, times, limited=bool(command.faults))
        self._outlet.planned(plan, stamp)
        self._outlet.timed(times)
        return True

    def _note(self, command: Command) -> None:
        for fault in command.faults:
            self.statistics.faults[fault.name] += 1
            self.statistics.last_change = str(fault)

    def _fail(self, generation: int, error: Exception) -> None:
        with self._lock:
            self.statistics.failures += 1
            self._outlet.failed(error)
            if generation == self._generation:
                self._permission.failure = (
                    f"policy failed ({type(error).__name__}: {error}); call reset to go on"
                )
                self.check()
