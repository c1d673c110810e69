"""A bag played into the real `/step` gives the chunks that the offline replay gives for the same stamps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
import rclpy
from bag_helpers import SIZE, ns, trajectory, write_bag
from diagnostic_msgs.msg import DiagnosticArray
from policy_helpers import tiny_config
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from trajectory_msgs.msg import JointTrajectory

from step_ros.control.joints import JOINT_NAMES
from step_ros.data.bag_topics import find_topics
from step_ros.data.bag_writer import BagWriter, mark
from step_ros.data.bags import Bag
from step_ros.data.episode_marks import BEGIN, read_mark
from step_ros.data.recorded import CHUNKS, EPISODES, TRAJECTORIES
from step_ros.evaluation.replay.cycles import Cut, CycleReader
from step_ros.nodes.player import Player
from step_ros.nodes.step_node import StepNode
from step_ros.policy.cadence import Cadence
from step_ros.policy.checkpoint import save_checkpoint
from step_ros.policy.networks import build_networks
from step_ros.policy.policy import load_policy

STATE, TOP = "observation.state", "observation.images.top"
SEED = 7
PATIENCE = 30.0
AHEAD_NS = 100_000
"""Less than lies between any two stamps of the bag, so that a time says what was played before it."""


@pytest.fixture(scope="module", autouse=True)
def ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    inputs = {STATE: (6,), TOP: (SIZE, SIZE, 3)}
    config = tiny_config(input_features=inputs, action_names=JOINT_NAMES)
    ranges = {"min": [-0.4] * 6, "max": [0.5] * 6}
    save_checkpoint(folder, config, build_networks(config, {STATE: ranges, "action": ranges}), None)
    return folder


class Listener(Node):
    """Keeps what `/step` says, each with the time [ns] on the bag's clock at which it came."""

    def __init__(self) -> None:
        super().__init__("listener")
        self.now = 0
        self.heard: list[tuple[int, str, object]] = []
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        for topic, kind, qos in (
            (CHUNKS, JointTrajectory, 10),
            (TRAJECTORIES, JointTrajectory, 10),
            (EPISODES, DiagnosticArray, latched),
        ):
            self.create_subscription(
                kind, topic, lambda m, topic=topic: self.heard.append((self.now, topic, m)), qos
            )

    def on(self, topic: str) -> list:
        return [message for _, heard, message in self.heard if heard == topic]


def wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


def stamp_ns(message) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def play(bag, policy) -> list[tuple[int, str, object]]:
    """Play a bag into `/step`, waiting for every cycle; what was heard."""
    given = {"checkpoint": str(policy), "engine": "torch", "seed": SEED, "use_sim_time": True}
    # The recorded joints do not follow what this node sends.
    patient = {"camera_timeout": 30.0, "joint_timeout": 30.0, "follow_error": [0.0] * 6}
    step = StepNode(parameter_overrides=[Parameter(k, value=v) for k, v in {**given, **patient}.items()])
    player, listener = Player(bag, paced=False, ahead_ns=AHEAD_NS), Listener()
    executors = [SingleThreadedExecutor(), SingleThreadedExecutor()]
    executors[0].add_node(step)
    executors[1].add_node(listener)
    threads = [threading.Thread(target=executor.spin, daemon=True) for executor in executors]
    for thread in threads:
        thread.start()
    try:
        wait(lambda: step._inputs, "/step is not active")
        wait(lambda: all(output.get_subscription_count() for output in player._outputs.values()), "no ear")
        received, window = step._runner.statistics.received, step._runner._window
        cadence, cycles, begun = Cadence(30.0), 0, False
        for number in range(1, 10**6):
            if player.upcoming is None:
                break
            listener.now = player.tick()
            wait(lambda: step.get_clock().now().nanoseconds >= listener.now - 1000, "no clock")
            player.step()
            wait(partial(lambda count: received.total() == count, number), "a message was lost")
            if not begun and window.newest() is not None:
                wait(lambda: step._runner.hold_reason is None, "the node holds")
                begun = True
            elif begun and window.newest(after=cadence.due(8)) is not None:
                cycles += 1
                for topic in (CHUNKS, TRAJECTORIES):
                    wait(partial(lambda topic, count: len(listener.on(topic)) == count, topic, cycles), topic)
                assert step._runner.hold_reason is None
                cadence.begin(stamp_ns(listener.on(CHUNKS)[-1]) * 1e-9, 8)
    finally:
        for executor, thread in zip(executors, threads, strict=True):
            executor.shutdown()
            thread.join()
        step.destroy_node()
        player.destroy_node()
        listener.destroy_node()
    return listener.heard


def as_recorded(message):
    """A heard trajectory in the form that is written into bags."""
    positions = np.array([point.positions for point in message.points])
    velocities = [np.array(point.velocities) for point in message.points]
    times = [p.time_from_start.sec + 1e-9 * p.time_from_start.nanosec for p in message.points]
    moving = velocities if all(len(v) for v in velocities) else None
    return trajectory(stamp_ns(message), times, positions, moving, message.joint_names)


def test_chunks_of_the_running_node_are_those_of_the_offline_replay(policy, tmp_path) -> None:
    bag = write_bag(tmp_path / "bag", 2.0, actions=False, phase=0.003)
    heard = play(bag, policy)
    chunks = [message for _, topic, message in heard if topic == CHUNKS]
    assert len(chunks) >= 6

    with Bag(bag) as played, BagWriter(tmp_path / "recorded") as out:
        entries = [(m.time_ns + AHEAD_NS, m.topic, m.content) for m in played.messages(list(played.types))]
        for now, topic, message in heard:
            if topic != EPISODES:
                entries.append((now, topic, as_recorded(message)))
                continue
            found = read_mark(message)
            # What the node says before the bag's clock runs has no stamp, and came before everything.
            stamp = stamp_ns(message) or ns(-1.0)
            entries.append((stamp, topic, mark(stamp, found.kind, found.values)))
        for arrival, topic, message in sorted(entries, key=lambda entry: entry[0]):
            out.write(topic, message, arrival)
    assert BEGIN in [read_mark(m).kind for _, topic, m in heard if topic == EPISODES]

    for follow in (True, False):
        offline = load_policy(policy, engine="torch", seed=SEED)
        with Bag(tmp_path / "recorded") as recorded:
            topics = find_topics(recorded, ("top",))
            cut = Cut.of(offline.config)
            reader = CycleReader(recorded, topics, cut, JOINT_NAMES, 8, follow_chunks=follow)
            cycles = list(reader)
        stamps = np.array([cycle.stamps_ns[""] for cycle in cycles])
        assert np.abs(stamps - [stamp_ns(chunk) for chunk in chunks]).max() < 1000
        for cycle, chunk in zip(cycles, chunks, strict=True):
            if cycle.first:
                offline.reset()
            plan = offline.act(cycle.observation, cycle.commanded)
            live = np.array([point.positions for point in chunk.points])
            np.testing.assert_allclose(plan.chunk, live, rtol=0, atol=1e-5)
