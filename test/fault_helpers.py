"""A robot around a `CycleRunner`, on a clock of its own, whose every part can be made to fail.

Messages are real ones and take the way that `/step` gives them; the policy, the threads and the transport
are played. One tick is 1/120 s: joint states and set points come every second tick, images every fourth, and
the node looks at its inputs every sixth (`step_node` does so every 0.05 s).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from sensor_msgs.msg import CompressedImage, Image, JointState

from step_ros.control.errors import TrajectoryRejectedError
from step_ros.control.follower import TrajectoryCommand, TrajectoryFollower, TrajectoryPoint
from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.control.monitors import FollowMonitor
from step_ros.control.plan import Reference
from step_ros.control.trajectory import Trajectory
from step_ros.nodes import ahead, cycles, report
from step_ros.nodes.commands import Commander
from step_ros.nodes.cycles import CycleRunner
from step_ros.nodes.diagnostics import CycleTimes
from step_ros.nodes.encode import stamp_message
from step_ros.nodes.step_node import _CHECK_PERIOD, StepNode
from step_ros.policy.config import PolicyConfig, Settings
from step_ros.policy.policy import Plan

FPS = 30.0
TICK = 1 / 120
EPOCH = 1_700_000_000.0
TIMEOUT = 0.5
"""Age [s] above which the world's inputs are stale."""
PREFIX = 8 / FPS
"""Seconds from one cycle to the next."""
CYCLE = 0.03
"""Seconds that the policy thinks."""
CONTROL_PERIOD = _CHECK_PERIOD + TICK
"""Seconds within which the arm is told to hold, from when a fault can be noticed."""
FOLLOW_ERROR, FOLLOW_PATIENCE = 0.3, 0.5
CAMERAS = ("top", "wrist")
SIZE = 16
LIMITS = JointLimits.so101()
CONFIG = PolicyConfig(
    input_features={"observation.state": (6,)}
    | {f"observation.images.{camera}": (SIZE, SIZE, 3) for camera in CAMERAS},
    action_names=JOINT_NAMES,
)


class PlayedPolicy:
    """Swings the first joint, as a function of time alone."""

    method, engine, precision = "step", "played", "fp32"

    def __init__(self, now: Callable[[], float]) -> None:
        self.config, self.settings, self._now = CONFIG, Settings(), now
        self.heal()

    def heal(self) -> None:
        self.errors: Iterable[Exception] = iter(())
        self.mangle: Callable[[np.ndarray], np.ndarray] = lambda chunk: chunk
        self.meanwhile: Callable[[], object] = lambda: None

    def prefetch(self, name: str, frame: np.ndarray) -> None:
        """Nothing to keep."""

    def reset(self) -> None:
        """Nothing to forget."""

    def act(self, observation: dict, commanded: np.ndarray) -> Plan:
        error = next(self.errors, None)
        if error is not None:
            raise error
        self.meanwhile()
        times = self._now() - CYCLE - 0.01 + np.arange(-1, 15) / FPS
        chunk = np.zeros((16, 6))
        chunk[:, 0] = 0.6 * np.sin(2 * np.pi * 0.3 * (times - EPOCH))
        chunk = self.mangle(chunk)
        cold = bool(np.isnan(commanded).all())
        return Plan(chunk, chunk[1:9], 2, 1, cold, False, None, (20, 10), "step", {"total": 3.0})


class Thinking:
    """In the worker's place: runs the newest request, which takes the world's time."""

    def __init__(self, run: Callable[[object], None], world: World) -> None:
        self._run, self._world = run, world
        self._slot = self._work = None
        self._running = False
        self._done_at = 0.0

    def submit(self, request: object) -> None:
        self._slot = request

    def tick(self) -> None:
        if self._running:
            return
        if self._work is not None and self._world.time >= self._done_at:
            work, self._work = self._work, None
            self._running = True
            self._run(work)
            self._running = False
        if self._work is None and self._slot is not None:
            self._work, self._slot = self._slot, None
            self._done_at = self._world.time + self._world.thinking

    def stop(self) -> None:
        """Nothing to end."""


class AtOnce:
    """In the place of the workers that encode ahead."""

    def __init__(self, run: Callable[[object], None], name: str) -> None:
        self.submit = run

    def stop(self) -> None:
        """Nothing to end."""


@dataclass(frozen=True)
class Sent:
    """A command, when it was sent [s] and the controller's set point then."""

    time: float
    now: float
    trajectory: Trajectory
    set_point: np.ndarray

    @property
    def is_hold(self) -> bool:
        return self.trajectory.stamp == 0


class World:
    """The arm, its controller and its cameras, around the runner under test."""

    def __init__(self, monkeypatch: object) -> None:
        self.time, self.ticks = 0.0, 0
        self.clock_offset, self.scene = 0.0, 0
        self.policy = PlayedPolicy(self.now)
        self.sent: list[Sent] = []
        self.times: list[CycleTimes] = []
        self.reports: list[tuple[float, str]] = []
        self.measured = np.zeros(6)
        self.away_since: float | None = None
        self.set_points: list[np.ndarray] = []
        self.follower = TrajectoryFollower(JOINT_NAMES, self.measured)
        self.controls = True
        self.heal()
        monkeypatch.setattr(cycles, "LatestWorker", lambda run, name: Thinking(run, self))
        monkeypatch.setattr(ahead, "LatestWorker", AtOnce)
        follow = FollowMonitor(JOINT_NAMES, np.full(6, FOLLOW_ERROR), FOLLOW_PATIENCE)
        commander = Commander(CONFIG, LIMITS, JOINT_NAMES, blend=0.15)
        self.runner = CycleRunner(
            self.policy, CAMERAS, commander, follow, TIMEOUT, TIMEOUT, self, self.now, lambda: self.time
        )
        loaded = SimpleNamespace(joint_names=JOINT_NAMES)
        self._node = SimpleNamespace(_runner=self.runner, _loaded=loaded)
        self.runner.start()

    def heal(self) -> None:
        """End every fault; a clock stays where it is, and a controller starts anew where the arm is."""
        self.policy.heal()
        if not self.controls:
            self.follower.reset(self.measured)
        self.thinking = CYCLE
        self.stamp: Callable[[float], float] = lambda stamp: stamp
        self.images: Callable[[str, Image], Iterable[Image | CompressedImage]] = lambda camera, image: [image]
        self.joints: Callable[[JointState], Iterable[JointState]] = lambda state: [state]
        self.speaks = self.takes = self.controls = True
        self.blocked = False
        self.still = False

    def now(self) -> float:
        """The node's clock [s]."""
        return EPOCH + self.time + self.clock_offset

    def run(self, seconds: float) -> World:
        """Let time pass."""
        for _ in range(round(seconds / TICK)):
            self._tick()
        return self

    def _tick(self) -> None:
        self.ticks += 1
        self.time = self.ticks * TICK
        if self.controls:
            set_point = self.follower.sample(self.now())[0]
            self.set_points.append(set_point)
            if not self.blocked:
                self.measured = set_point
        self._watch_following()
        stamp = stamp_message(self.stamp(self.now() - 0.01))
        if self.ticks % 2 == 0:
            self._publish_joints(stamp)
        if self.ticks % 4 == 0:
            self.scene += not self.still
            for camera in CAMERAS:
                for message in self.images(camera, self._image(stamp)):
                    StepNode._on_image(self._node, camera, (SIZE, SIZE), message)
        self.runner._worker.tick()
        if self.ticks % 6 == 0:
            self.runner.check()

    def _watch_following(self) -> None:
        told = self.runner._commander.told(self.now())
        away = told is not None and np.abs(told - self.measured).max() > FOLLOW_ERROR
        self.away_since = (self.away_since or self.time) if away else None

    def _publish_joints(self, stamp: object) -> None:
        state = JointState(name=list(JOINT_NAMES), position=self.measured.tolist(), velocity=[0.0] * 6)
        state.header.stamp = stamp
        for message in self.joints(state):
            StepNode._on_joints(self._node, message)
        if self.controls and self.speaks:
            position, velocity = self.follower.sample(self.now())
            self.runner.add_reference(Reference(self.now(), position, velocity))

    def _image(self, stamp: object) -> Image:
        pixels = np.full((SIZE, SIZE, 3), self.scene % 256, np.uint8)
        image = Image(height=SIZE, width=SIZE, step=3 * SIZE, encoding="rgb8")
        image.header.stamp = stamp
        image.data = array("B", pixels.tobytes())
        return image

    # What the runner says.

    def send(self, trajectory: Trajectory) -> None:
        self.sent.append(Sent(self.time, self.now(), trajectory, self.follower.sample(self.now())[0]))
        if not (self.takes and self.controls):
            return
        points = zip(trajectory.times, trajectory.positions, trajectory.velocities, strict=True)
        command = TrajectoryCommand(
            JOINT_NAMES, trajectory.stamp, [TrajectoryPoint(*point) for point in points]
        )
        try:
            self.follower.accept(command, self.now(), self.measured)
        except TrajectoryRejectedError as error:
            raise AssertionError(f"the controller refuses what was sent: {error}") from error

    def alarmed(self) -> None:
        said = report.configured("active", self.policy, self.runner, 0)
        self.reports.append((self.time, f"{said.summary}; {said.values['last_warning']}"))

    def planned(self, plan: Plan, stamp: float) -> None:
        """Not looked at."""

    def timed(self, times: CycleTimes) -> None:
        self.times.append(times)

    def marked(self, kind: str) -> None:
        """Not looked at."""

    def failed(self, error: Exception) -> None:
        """Not looked at."""

    # What happened.

    def since(self, time: float) -> list[Sent]:
        """Commands sent from `time` [s] on."""
        return [sent for sent in self.sent if sent.time >= time]

    def said(self, since: float) -> list[str]:
        """Reports on /diagnostics from `since` [s] on; the regular one, once a second, is the last."""
        self.alarmed()
        return [text for time, text in self.reports if time >= since]


def assert_within_limits(sent: Sent) -> None:
    """From when it is sent, no position, speed or acceleration of a command is beyond what a joint may do."""
    trajectory = sent.trajectory
    assert np.isfinite(trajectory.positions).all() and np.isfinite(trajectory.velocities).all()
    if sent.is_hold:
        assert (trajectory.positions >= LIMITS.lower).all() and (trajectory.positions <= LIMITS.upper).all()
        assert (trajectory.velocities == 0).all()
        return
    times = np.arange(max(sent.now, trajectory.stamp + trajectory.times[0]), trajectory.end, 1e-3)
    positions = trajectory.positions_at(times)
    assert (positions >= LIMITS.lower - 1e-9).all() and (positions <= LIMITS.upper + 1e-9).all()
    speed = np.diff(positions, axis=0) / 1e-3
    assert (np.abs(speed) <= LIMITS.max_velocity + 1e-3).all()
    # Times of 2023 are exact to 0.2 microseconds, so differences of speeds are to about 1 rad/s^2.
    assert (np.abs(np.diff(speed, axis=0)) / 1e-3 <= LIMITS.max_acceleration + 4).all()
    assert (trajectory.velocities[-1] == 0).all()
