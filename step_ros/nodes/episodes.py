"""Run episodes over ROS: put the world to a seed, let `/step` act, and see what comes of it.

Everything goes through topics and services that anyone could use; nothing here knows policy or world.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseArray
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from step_ros.nodes.decode import seconds

READY_SECONDS = 180.0
"""How long the nodes may take to start, the policy's conversion included."""
ANSWER_SECONDS = 20.0
"""How long a service or a topic may be silent."""
WAKE_SECONDS = 0.05
STEP, BRIDGE = "step: policy", "mujoco_bridge"
"""Names under which the two nodes report on /diagnostics."""


class EpisodeError(Exception):
    """The episodes cannot go on; the message says which node did not do what."""


@dataclass
class Episode:
    """What one episode came to, and while it runs what it has come to so far."""

    seed: int
    start: float = 0.0
    """Simulated time at its start, seconds of the system clock."""
    end: float = 0.0
    success: bool = False
    cycle_ms: list[float] = field(default_factory=list)
    """Per cycle: from the newest image's stamp to the trajectory's publication."""
    nfe: int = 0
    """Denoiser evaluations of the newest cycle."""
    stalls: int = 0
    skipped_cycles: int = 0
    slipped_seconds: float = 0.0
    """Time that the simulation gave up because the machine was too slow, to within a second's report."""

    @property
    def seconds(self) -> float:
        """Simulated seconds from start to success or the limit."""
        return self.end - self.start

    def row(self) -> dict[str, object]:
        """The episode as a row of a table; times of no cycle are None."""
        p50, p95 = percentiles(self.cycle_ms)
        return {
            "seed": self.seed,
            "success": self.success,
            "seconds": round(self.seconds, 3),
            "cycles": len(self.cycle_ms),
            "cycle_ms_p50": p50,
            "cycle_ms_p95": p95,
            "nfe": self.nfe,
            "stalls": self.stalls,
            "skipped_cycles": self.skipped_cycles,
            "slipped_seconds": round(self.slipped_seconds, 3),
            "start": self.start,
            "end": self.end,
        }


@dataclass(frozen=True)
class Report:
    """The newest words of a node on /diagnostics."""

    level: bytes
    message: str
    values: dict[str, str]

    def number(self, key: str) -> float | None:
        """A value as a number, None where there is none (yet)."""
        text = self.values.get(key)
        return None if text is None else float(text)

    def counted_since(self, before: Report, key: str) -> float:
        """How far a counter has come since an earlier report; one that is not there yet is 0."""
        return (self.number(key) or 0) - (before.number(key) or 0)


class EpisodeRunner(Node):
    """Runs one episode after the other.

    Args:
        context: an initialised rclpy context.
        time_limit: simulated seconds after which an episode has failed.
        check_nodes: called often; raises when a node has died.
        progress: called often with the running episode.
    """

    def __init__(
        self,
        context: Context,
        time_limit: float,
        check_nodes: Callable[[], None],
        progress: Callable[[Episode, Report], None],
    ):
        super().__init__("episodes", context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self)
        self._time_limit, self._check_nodes, self._progress = time_limit, check_nodes, progress
        self._episode: Episode | None = None
        self._now: float | None = None
        self._heard = time.monotonic()
        self._success: bool | None = None
        self.reports: dict[str, Report] = {}
        self._parameters = AsyncParameterClient(self, "mujoco_bridge")
        self._reset_world = self.create_client(Trigger, "/mujoco_bridge/reset")
        self._reset_step = self.create_client(Trigger, "/step/reset")
        self._enable_step = self.create_client(SetBool, "/step/enable")
        self.create_subscription(PoseArray, "/mujoco_bridge/objects", self._on_objects, 1)
        self.create_subscription(Bool, "/mujoco_bridge/success", self._on_success, 1)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)
        self.create_subscription(
            JointTrajectory, "/joint_trajectory_controller/joint_trajectory", self._on_trajectory, 10
        )

    def wait_until_ready(self) -> None:
        """Wait until the world runs and `/step` has loaded its policy, and forbid it to move.

        Raises:
            EpisodeError: one of them is not ready in time, or the policy cannot be loaded.
        """
        self._until(lambda: self._now is not None, "no message on /mujoco_bridge/objects", READY_SECONDS)
        self._until(self._step_is_active, "/step is not active", READY_SECONDS)
        self._until(lambda: BRIDGE in self.reports, "/mujoco_bridge does not report")
        self._disable()

    def run(self, seed: int) -> Episode:
        """Run the episode that belongs to `seed`; `/step` is disabled before and after.

        Raises:
            EpisodeError: a node does not answer or `/step` sends nothing.
        """
        setting = self._parameters.set_parameters([Parameter("seed", value=seed)])
        self._answer(setting, "/mujoco_bridge/set_parameters")
        self._call(self._reset_world, Trigger.Request())
        # With a message of the new episode, no image of the old one is under way any more.
        self._now = self._success = None
        self._until(lambda: self._now is not None and self._success is False, "the world did not reset")
        self._call(self._reset_step, Trigger.Request())
        before = dict(self.reports)
        episode = self._episode = Episode(seed, start=self._now, end=self._now)
        self._call(self._enable_step, SetBool.Request(data=True))
        while not self._success and episode.seconds < self._time_limit:
            self._spin()
            episode.end = self._now
            self._progress(episode, self.reports[STEP])
        episode.success = bool(self._success)
        self._episode = None
        if not episode.cycle_ms:
            raise EpisodeError(f"/step sent nothing for seed {seed}; it says: {self.reports[STEP].message}")
        self._disable()
        step, bridge = self.reports[STEP], self.reports[BRIDGE]
        episode.nfe = int(step.number("nfe"))
        episode.stalls = int(step.counted_since(before[STEP], "stalls"))
        episode.skipped_cycles = int(step.counted_since(before[STEP], "skipped_cycles"))
        episode.slipped_seconds = bridge.counted_since(before[BRIDGE], "slipped_seconds")
        return episode

    def destroy_node(self) -> None:
        """End the executor with the node."""
        self._executor.shutdown()
        super().destroy_node()

    def _step_is_active(self) -> bool:
        report = self.reports.get(STEP)
        state = report and report.values["state"]
        if state == "unconfigured" and report.level == DiagnosticStatus.ERROR:
            raise EpisodeError(f"/step: {report.message}")
        return state == "active"

    def _disable(self) -> None:
        """Forbid motion, and wait for the report that says so: it counts everything before."""
        self._call(self._enable_step, SetBool.Request(data=False))
        self._until(
            lambda: self.reports[STEP].values["hold_reason"] == "disabled", "/step does not report 'disabled'"
        )

    def _call(self, client: Client, request: object) -> None:
        name = client.srv_name
        self._until(client.service_is_ready, f"service {name} is not there")
        response = self._answer(client.call_async(request), name)
        if not response.success:
            raise EpisodeError(f"{name} refused: {response.message}")

    def _answer(self, future: Future, name: str) -> object:
        self._until(future.done, f"no answer from {name}")
        return future.result()

    def _until(self, condition: Callable[[], bool], complaint: str, allowed: float = ANSWER_SECONDS) -> None:
        deadline = time.monotonic() + allowed
        while not condition():
            if time.monotonic() > deadline:
                raise EpisodeError(f"{complaint} within {allowed:.0f} s")
            self._spin(silence_allowed=allowed)

    def _spin(self, silence_allowed: float = ANSWER_SECONDS) -> None:
        self._check_nodes()
        self._executor.spin_once(timeout_sec=WAKE_SECONDS)
        if time.monotonic() - self._heard > silence_allowed:
            raise EpisodeError(f"no message on /mujoco_bridge/objects for {silence_allowed:.0f} s")

    def _on_objects(self, message: PoseArray) -> None:
        self._now = seconds(message.header.stamp)
        self._heard = time.monotonic()

    def _on_success(self, message: Bool) -> None:
        self._success = message.data

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self.reports[status.name] = Report(status.level, status.message, values)

    def _on_trajectory(self, message: JointTrajectory, info: dict[str, int]) -> None:
        stamp = seconds(message.header.stamp)
        # A stamp of zero is a hold, not a cycle.
        if stamp and self._episode is not None:
            self._episode.cycle_ms.append(info["source_timestamp"] / 1e6 - 1e3 * stamp)


def percentiles(values: list[float]) -> tuple[float | None, float | None]:
    """Median and 95th percentile, rounded to hundredths; None where there are no values."""
    if not values:
        return None, None
    p50, p95 = np.percentile(values, [50, 95])
    return round(float(p50), 2), round(float(p95), 2)


def run_episodes(
    seeds: Iterable[int],
    time_limit: float,
    check_nodes: Callable[[], None],
    progress: Callable[[Episode, Report], None],
    finished: Callable[[Episode], None],
) -> dict[str, Report]:
    """Run an episode for each seed, and return what the nodes report in the end, by name.

    Args:
        seeds: one per episode.
        time_limit, check_nodes, progress: see EpisodeRunner.
        finished: called with each episode that ended.

    Raises:
        EpisodeError: a node does not do its part.
    """
    context = Context()
    # Ctrl-C stays Python's: it unwinds through here, so that everything is ended in order.
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    runner = EpisodeRunner(context, time_limit, check_nodes, progress)
    try:
        runner.wait_until_ready()
        for seed in seeds:
            finished(runner.run(seed))
        return runner.reports
    finally:
        runner.destroy_node()
        context.shutdown()
