"""The real node under messages and cycles that nobody should send it: it lives, and memory stays flat."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from policy_helpers import arm_config
from rich.console import Console
from sensor_msgs.msg import JointState

from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.nodes.fed_node import FedNode, FedNodeError, Feeder, fed_node
from step_ros.nodes.random_messages import RandomMessages
from step_ros.nodes.usage import resident_bytes
from step_ros.policy.untrained import save_untrained
from step_ros.soak import bench_soak

MESSAGES = 2000
LIMITS = JointLimits.so101()
CONFIG = arm_config()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    save_untrained(folder, CONFIG, reach=0.15)
    return folder


@pytest.fixture
def fed(checkpoint) -> Iterator[tuple[FedNode, Feeder]]:
    with fed_node(checkpoint, engine="torch") as both:
        yield both


def test_the_fed_node_makes_one_command_per_cycle_on_its_own_clock(fed) -> None:
    node, feeder = fed
    began = node.time
    for _ in range(5):
        feeder.cycle()
    assert node._runner.statistics.cycles == 5
    assert node._runner.statistics.skipped == 0
    assert node._runner.hold_reason is None
    assert node.time - began == pytest.approx((2 + 4 * 8) / 30, abs=0.02)


def test_the_node_outlives_random_messages_of_every_kind_with_flat_memory(fed) -> None:
    node, feeder = fed
    feeder.cycle()
    sent = []
    publish = node.send
    node.send = lambda trajectory: (sent.append(trajectory), publish(trajectory))
    random = feeder.random_messages(seed=20_000)
    for _ in range(MESSAGES // 2):
        feeder.feed_random(random)
    before = resident_bytes(os.getpid())
    for _ in range(MESSAGES // 2):
        feeder.feed_random(random)
    assert resident_bytes(os.getpid()) < 1.02 * before
    statistics = node._runner.statistics
    assert statistics.refused["camera top"] > MESSAGES / 2
    assert statistics.refused["joint state"] > MESSAGES / 10
    assert statistics.received["joint state"] > MESSAGES / 10, "some are good"
    assert statistics.failures == 0
    for trajectory in sent:
        assert (trajectory.positions >= LIMITS.lower - 1e-9).all()
        assert (trajectory.positions <= LIMITS.upper + 1e-9).all()
        assert (np.abs(trajectory.velocities) <= LIMITS.max_velocity).all()
    feeder.restart()
    feeder.cycle()
    assert node._runner.hold_reason is None


def test_a_stream_of_one_absurd_message_never_raises(fed) -> None:
    node, _ = fed
    for value in (np.nan, np.inf, 1e308, -1e308, 5e-324):
        state = JointState(name=list(JOINT_NAMES), position=[value] * 6, velocity=[value] * 6)
        node._on_joints(state)
    assert node._runner.hold_reason is not None


def test_random_messages_are_the_same_for_the_same_seed_and_differ_otherwise() -> None:
    def drawn(seed: int) -> list[object]:
        messages = RandomMessages(JOINT_NAMES, (16, 16), lambda: 100.0, seed)
        kinds = (messages.image, messages.compressed_image, messages.joint_state, messages.reference)
        return [str(kind()) for _ in range(20) for kind in kinds]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_a_policy_that_cannot_be_loaded_is_said_to_be(tmp_path) -> None:
    with pytest.raises(FedNodeError, match="cannot configure"), fed_node(tmp_path / "none", engine="torch"):
        pass


def test_the_soak_writes_memory_and_time_with_where_they_come_from(checkpoint, tmp_path) -> None:
    out = tmp_path / "results" / "soak.json"
    console = Console(record=True, width=120)
    bench_soak(out, checkpoint=checkpoint, cycles=20, messages=20, engine="torch", console=console)
    result = json.loads(out.read_text())
    assert result["cycles"]["made"] == 20
    assert result["cycles"]["window"] == 10
    assert result["cycles"]["first_ms"] > 0
    assert result["random_messages"] == result["random_messages"] | {"of_each_kind": 20, "alive_after": True}
    assert result["cycles"]["memory_mb_after"] > 0
    assert not result["interrupted"]
    assert {"commit", "versions", "processor", "command"} <= set(result)
    assert "random messages" in console.export_text()


def test_a_soak_that_is_interrupted_says_so_and_keeps_what_was_measured(
    checkpoint, tmp_path, monkeypatch
) -> None:
    cycle, calls = Feeder.cycle, []

    def interrupted(feeder: Feeder) -> float:
        calls.append(1)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return cycle(feeder)

    monkeypatch.setattr(Feeder, "cycle", interrupted)
    out = tmp_path / "soak.json"
    result = bench_soak(out, checkpoint=checkpoint, cycles=20, messages=20, engine="torch", console=Console())
    assert result["interrupted"]
    assert result["cycles"]["made"] == 5
    assert result["random_messages"]["of_each_kind"] == 0
    assert json.loads(out.read_text()) == result
