"""Episodes against stand-ins of the two nodes: order, results, and what is said when a node fails."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from step_ros.nodes import episodes, processes
from step_ros.nodes.encode import diagnostics_message, stamp_message
from step_ros.nodes.episodes import BRIDGE, STEP, Episode, EpisodeError, Report, run_episodes
from step_ros.nodes.processes import NodeDiedError, NodeProcesses

TICK = 0.01
SIMULATED_TICK = 0.1
LATENCY = 0.025


class World(Node):
    """Stands in for the bridge: even seeds succeed half a simulated second after the first command."""

    def __init__(self, events: list[str]):
        super().__init__("mujoco_bridge")
        self._events = events
        self.declare_parameter("seed", 99)
        self._objects = self.create_publisher(PoseArray, "~/objects", 10)
        self._success = self.create_publisher(Bool, "~/success", 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_subscription(
            JointTrajectory, "/joint_trajectory_controller/joint_trajectory", self._follow, 10
        )
        self.create_service(Trigger, "~/reset", self._reset)
        self._now, self._moved = 1000.0, None
        self.create_timer(TICK, self._tick)

    def _reset(self, _, response):
        self._events.append(f"world reset to {self.get_parameter('seed').value}")
        self._moved = None
        response.success = True
        return response

    def _follow(self, message):
        if message.header.stamp.sec:
            self._moved = self._moved or self._now

    def _tick(self):
        self._now += SIMULATED_TICK
        poses = PoseArray()
        poses.header.stamp = stamp_message(self._now)
        self._objects.publish(poses)
        done = self._moved and self._now > self._moved + 0.5 and self.get_parameter("seed").value % 2 == 0
        self._success.publish(Bool(data=bool(done)))
        self._diagnostics.publish(
            diagnostics_message(
                self._now, BRIDGE, DiagnosticStatus.OK, "", {"slipped_seconds": self._now / 10}
            )
        )


class Policy(Node):
    """Stands in for `/step`: one chunk per tick while enabled, unless told to be silent or broken."""

    silent = False
    broken = False
    refusing = False

    def __init__(self, events: list[str]):
        super().__init__("step")
        self._events, self._enabled, self._cycles = events, True, 0
        self._commands = self.create_publisher(
            JointTrajectory, "/joint_trajectory_controller/joint_trajectory", 1
        )
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_service(Trigger, "~/reset", self._reset)
        self.create_service(SetBool, "~/enable", self._enable)
        self.create_timer(TICK, self._tick)

    def _reset(self, _, response):
        self._events.append("step reset")
        response.success, response.message = not self.refusing, "not configured"
        return response

    def _enable(self, request, response):
        self._events.append("step enabled" if request.data else "step disabled")
        self._enabled = request.data
        response.success = True
        return response

    def _tick(self):
        if self._enabled and not self.silent:
            self._cycles += 1
            command = JointTrajectory()
            command.header.stamp = stamp_message(time.time() - LATENCY)
            self._commands.publish(command)
        hold = JointTrajectory()
        self._commands.publish(hold)
        values = {
            "state": "unconfigured" if self.broken else "active",
            "hold_reason": "" if self._enabled else "disabled",
            "nfe": 2,
            "stalls": self._cycles,
            "skipped_cycles": 0,
        }
        level = DiagnosticStatus.ERROR if self.broken else DiagnosticStatus.OK
        message = "cannot configure: no model.safetensors" if self.broken else "holding: no camera"
        self._diagnostics.publish(diagnostics_message(0.0, STEP, level, message, values))


@pytest.fixture
def stage() -> Iterator[tuple[list[str], Policy]]:
    """Both stand-ins, spinning: (what happened, the policy)."""
    events: list[str] = []
    rclpy.init()
    nodes = [World(events), Policy(events)]
    executor = SingleThreadedExecutor()
    for node in nodes:
        executor.add_node(node)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    yield events, nodes[1]
    executor.shutdown()
    thread.join()
    for node in nodes:
        node.destroy_node()
    rclpy.shutdown()


def nothing(*_: object) -> None:
    pass


def run(seeds: list[int], check=nothing, progress=nothing) -> tuple[list[Episode], dict[str, Report]]:
    finished: list[Episode] = []
    reports = run_episodes(seeds, 3.0, check, progress, finished.append)
    return finished, reports


def test_each_episode_has_its_seed_and_moves_only_after_both_resets(stage):
    events, _ = stage
    run([4, 6])
    assert events == [
        "step disabled",
        *("world reset to 4", "step reset", "step enabled", "step disabled"),
        *("world reset to 6", "step reset", "step enabled", "step disabled"),
    ]


def test_success_ends_an_episode_and_the_time_limit_the_others(stage):
    (won, lost), _ = run([2, 3])
    assert won.success and not lost.success
    assert won.seconds < 3.0 <= lost.seconds


def test_latency_is_from_stamp_to_publication_and_holds_do_not_count(stage):
    (episode,), _ = run([3])
    # Stamps carry 0.3 microseconds; a busy machine may publish later, never earlier.
    assert min(episode.cycle_ms) >= 1e3 * LATENCY - 0.001
    assert max(episode.cycle_ms) < 1e6, "a stamp of zero would be decades"


def test_counters_of_the_nodes_are_counted_per_episode(stage):
    for episode in run([3, 5])[0]:
        assert episode.nfe == 2
        assert 0 < episode.stalls < 1.5 * len(episode.cycle_ms)
        assert 0.2 < episode.slipped_seconds < 1.0


def test_reports_of_both_nodes_come_back(stage):
    _, reports = run([2])
    assert reports[STEP].number("nfe") == 2
    assert reports[BRIDGE].number("slipped_seconds") > 0
    assert reports[BRIDGE].number("policy_ms_p50") is None


def test_progress_is_shown_while_it_runs(stage):
    seen: list[tuple[int, float]] = []
    run([3], progress=lambda episode, report: seen.append((episode.seed, episode.seconds)))
    assert {seed for seed, _ in seen} == {3}
    assert sorted(seen) == seen and len(seen) > 2


def test_policy_that_sends_nothing_is_named_with_its_reason(stage):
    stage[1].silent = True
    with pytest.raises(EpisodeError, match="sent nothing for seed 2; it says: holding: no camera"):
        run([2])


def test_policy_that_cannot_be_loaded_is_said_at_once(stage):
    stage[1].broken = True
    with pytest.raises(EpisodeError, match=r"cannot configure: no model\.safetensors"):
        run([2])


def test_service_that_refuses_is_named(stage):
    stage[1].refusing = True
    with pytest.raises(EpisodeError, match="step/reset refused: not configured"):
        run([2])


def test_node_that_dies_ends_the_run(stage):
    def check() -> None:
        if "step enabled" in stage[0]:
            raise NodeDiedError("step_node ended")

    with pytest.raises(NodeDiedError):
        run([2], check=check)


def test_silence_is_not_waited_for_for_ever(monkeypatch):
    monkeypatch.setattr(episodes, "READY_SECONDS", 0.3)
    with pytest.raises(EpisodeError, match="mujoco_bridge/objects"):
        run([2])


def test_episode_without_cycles_has_no_times():
    row = Episode(seed=1, start=10.0, end=12.5).row()
    assert row["seconds"] == 2.5
    assert row["cycles"] == 0
    assert row["cycle_ms_p50"] is None


def test_dead_process_is_reported_with_the_end_of_its_log(tmp_path):
    with NodeProcesses(tmp_path) as nodes:
        nodes.start("no_such_node")
        deadline = time.monotonic() + 30
        with pytest.raises(NodeDiedError, match=r"no_such_node ended with status 1(.|\n)*No module named"):
            while time.monotonic() < deadline:
                nodes.check()
                time.sleep(0.05)


@pytest.fixture
def stubborn(tmp_path, monkeypatch) -> NodeProcesses:
    """A node process that writes its id, and ends neither by Ctrl-C nor by itself."""
    interpreter = tmp_path / "python"
    interpreter.write_text("#!/bin/sh\ntrap '' INT\necho $$\nexec sleep 100\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr(processes.sys, "executable", str(interpreter))
    monkeypatch.setattr(processes, "STOP_SECONDS", 0.2)
    return NodeProcesses(tmp_path / "logs")


def started(tmp_path) -> int:
    log = tmp_path / "logs" / "stubborn.log"
    deadline = time.monotonic() + 30
    while not log.read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return int(log.read_text())


def test_process_that_does_not_end_is_killed(stubborn, tmp_path):
    with stubborn:
        stubborn.start("stubborn")
        process = started(tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_signal_to_the_demo_leaves_no_process_behind(stubborn, tmp_path, number, raised):
    with pytest.raises(raised), stubborn:
        stubborn.start("stubborn")
        process = started(tmp_path)
        os.kill(os.getpid(), number)
        time.sleep(5)
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
