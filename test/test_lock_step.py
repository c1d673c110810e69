"""/step and the bridge in lock-step over real messages give the episode that the library gives."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
import torch
from bridge_helpers import BridgeRig
from numpy.typing import NDArray
from policy_helpers import STATE, TOP, tiny_config
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from step_ros.control.joints import JOINT_NAMES
from step_ros.evaluation.rollout import run_episode
from step_ros.nodes.bridge_messages import hold
from step_ros.nodes.controllers import TRAJECTORY_TOPIC
from step_ros.nodes.decode import seconds
from step_ros.nodes.encode import stamp_message
from step_ros.nodes.mujoco_bridge import MujocoBridge
from step_ros.nodes.step_node import StepNode
from step_ros.paths import share_path
from step_ros.policy.checkpoint import save_checkpoint
from step_ros.policy.networks import build_networks
from step_ros.policy.policy import Plan, load_policy
from step_ros.sim.task import HOME
from step_ros.sim.world import World

SEED = 20007
SIZE = (32, 32)
TICKS = 40
TOLERANCE = 1e-5
"""Radians between the same element of two chunks: stamps are in whole nanoseconds, which 1/30 s is not, and a
random policy doubles a difference with every chunk."""


class Recorded:
    """A policy that keeps the chunks it planned."""

    def __init__(self, policy: object) -> None:
        self._policy = policy
        self.chunks: list[NDArray] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._policy, name)

    def act(self, *arguments: object) -> Plan:
        plan = self._policy.act(*arguments)
        self.chunks.append(plan.chunk)
        return plan


class Listener(Node):
    """Keeps the chunks that /step planned and whether the task is done."""

    def __init__(self) -> None:
        super().__init__("listener")
        self.chunks: list[NDArray] = []
        self.stamps: list[float] = []
        self.success = False
        self.create_subscription(JointTrajectory, "/step/chunk", self._keep, QoSProfile(depth=100))
        self.create_subscription(Bool, "/mujoco_bridge/success", self._judge, QoSProfile(depth=100))
        self.stepping = self.create_client(Trigger, "/mujoco_bridge/step")
        self.resetting = self.create_client(Trigger, "/mujoco_bridge/reset")

    def _keep(self, message: JointTrajectory) -> None:
        self.chunks.append(np.array([point.positions for point in message.points]))
        self.stamps.append(seconds(message.header.stamp))

    def _judge(self, message: Bool) -> None:
        self.success = self.success or message.data


class Rig(BridgeRig):
    """The bridge, stepped on demand, nodes under test and a listener."""

    def __init__(self, *nodes: Node, **parameters: object) -> None:
        self.listener = Listener()
        super().__init__(*nodes, self.listener, step_on_demand=True, **parameters)


@pytest.fixture(autouse=True)
def ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


def start_step(checkpoint: Path, **parameters: object) -> StepNode:
    # The library's rollout neither joins chunks nor limits accelerations.
    plain = {"blend": 0.0, "max_acceleration": [1000.0] * 6}
    values = {"checkpoint": str(checkpoint), "seed": SEED, "use_sim_time": True} | plain | parameters
    return StepNode(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A random policy from one small camera and the joints, too gentle for any limit to change its chunks."""
    with World(image_size=SIZE) as world:
        world.reset(SEED)
        start = world.joint_positions
    config = tiny_config(input_features={STATE: (6,), TOP: (*SIZE, 3)}, action_names=JOINT_NAMES)
    stats = {
        name: {"min": (start - reach).tolist(), "max": (start + reach).tolist()}
        for name, reach in ((STATE, 0.02), ("action", np.array([0.004] * 5 + [0.02])))
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks = build_networks(config, stats).eval()
    save_checkpoint(tmp_path / "policy", config, networks)
    return tmp_path / "policy"


def test_an_episode_over_topics_is_the_librarys(checkpoint: Path) -> None:
    policy = Recorded(load_policy(checkpoint, engine="torch", seed=SEED))
    with World(image_size=SIZE) as world:
        run_episode(world, policy, SEED, max_ticks=TICKS)
    rig = Rig(start_step(checkpoint, engine="torch"), seed=SEED, image_size=list(SIZE))
    rig.until(lambda: len(rig.listener.chunks) > len(policy.chunks))
    chunks, stamps = rig.listener.chunks, rig.listener.stamps
    rig.close()
    np.testing.assert_allclose(np.diff(stamps), 8 / 30, atol=2e-9)
    np.testing.assert_allclose(chunks[: len(policy.chunks)], policy.chunks, atol=TOLERANCE)
    assert np.abs(np.diff(chunks, axis=0)).max() > 100 * TOLERANCE, "chunks differ from each other"


@pytest.mark.slow
def test_the_shipped_policy_solves_over_topics_what_it_solves_in_the_library() -> None:
    shipped = share_path("models", "policies", "pick_place")
    policy = Recorded(load_policy(shipped, seed=SEED))
    with World() as world:
        result = run_episode(world, policy, SEED)
    rig = Rig(start_step(shipped), seed=SEED)
    rig.until(lambda: rig.listener.success or len(rig.listener.chunks) > len(policy.chunks))
    chunks, success = rig.listener.chunks[: len(policy.chunks)], rig.listener.success
    rig.close()
    assert (success, len(chunks)) == (result.success, len(policy.chunks))
    # Later ones drift apart: contacts and the policy multiply a nanosecond's difference.
    np.testing.assert_allclose(chunks[:3], policy.chunks[:3], atol=1e-3)


class Asker(Node):
    """Sends trajectories and asks for ticks."""

    def __init__(self) -> None:
        super().__init__("asker")
        self.times: list[float] = []
        self.trajectories = self.create_publisher(JointTrajectory, TRAJECTORY_TOPIC, 1)
        self.create_subscription(JointState, "/joint_states", self._keep, QoSProfile(depth=100))

    def _keep(self, message: JointState) -> None:
        self.times.append(seconds(message.header.stamp))

    def send(self, stamp: float) -> None:
        message = hold(JOINT_NAMES, HOME, within=0.5)
        message.header.stamp = stamp_message(stamp)
        self.trajectories.publish(message)


@pytest.fixture
def asking() -> Iterator[tuple[Rig, Asker]]:
    asker = Asker()
    rig = Rig(asker, image_size=list(SIZE))
    rig.until(lambda: asker.times and asker.trajectories.get_subscription_count())
    yield rig, asker
    rig.close()


def advanced(rig: Rig, within: float = 0.1) -> float:
    """Ticks that pass in so many wall seconds, far less than an unanswered start takes to be shown again."""
    start, deadline = rig.bridge.now, time.monotonic() + within
    rig.until(lambda: time.monotonic() > deadline)
    return round(30 * (rig.bridge.now - start), 3)


def test_an_answer_to_the_newest_observation_lets_its_ticks_pass(asking) -> None:
    rig, asker = asking
    start = rig.bridge.now
    asker.send(start)
    rig.until(lambda: rig.bridge.now > start)
    rig.until(lambda: advanced(rig) == 0)
    assert rig.bridge.now - start == pytest.approx(8 / 30, abs=1e-8)
    assert max(np.diff(asker.times)) == pytest.approx(1 / 30, abs=1e-8), "every tick was published"


@pytest.mark.parametrize("stamp", [0.0, 0.5], ids=["a hold", "an answer to an old observation"])
def test_any_other_trajectory_lets_no_time_pass(asking, stamp: float) -> None:
    rig, asker = asking
    asker.send(rig.bridge.now)
    rig.until(lambda: advanced(rig) == 0 and rig.bridge.now > 1.5)
    asker.send(stamp)
    assert advanced(rig, within=1.0) == 0


def test_a_tick_can_be_asked_for_by_hand(asking) -> None:
    rig, asker = asking
    asker.send(rig.bridge.now)
    rig.until(lambda: advanced(rig) == 0)
    start = rig.bridge.now
    assert rig.call(rig.listener.stepping).success
    rig.until(lambda: rig.bridge.now > start)
    assert rig.bridge.now - start == pytest.approx(1 / 30, abs=1e-8)


def test_a_reset_shows_the_start_after_a_gap_in_time(asking) -> None:
    rig, _ = asking
    start = rig.bridge.now
    assert rig.call(rig.listener.resetting).success
    assert rig.bridge.now > start + 2


def test_on_demand_is_refused_where_ros2_control_keeps_time() -> None:
    with pytest.raises(ValueError, match="step_on_demand"):
        MujocoBridge([Parameter("step_on_demand", value=True), Parameter("controller", value="ros2_control")])
