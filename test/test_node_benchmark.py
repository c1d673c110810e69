"""The benchmark of the node: what it refuses, what it makes of what it hears, and the whole of it."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from policy_helpers import arm_config
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rich.console import Console
from sensor_msgs.msg import Image, JointState
from trajectory_msgs.msg import JointTrajectory

from step_ros.control.joints import JOINT_NAMES
from step_ros.node_benchmark import PROFILE_VARIABLES, NodeBenchmarkError, bench_node
from step_ros.nodes import encode, usage
from step_ros.nodes.node_meter import TRAJECTORIES, NodeMeter, NodeMeterError
from step_ros.nodes.synthetic_robot import SyntheticRobot
from step_ros.paths import share_path
from step_ros.policy.untrained import save_untrained


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seconds": 0.0}, "seconds: found 0"),
        ({"cameras": 3}, "cameras: found 3, accepted: 1 to 2"),
        ({"parameters": ["action_steps"]}, "NAME:=VALUE"),
        ({"dds_profile": Path("no_such.xml")}, "no_such.xml is not there"),
        ({"checkpoint": Path("no_such_policy")}, "holds no config.json"),
        ({"checkpoint": share_path("models", "policies", "pick_place")}, "96 x 96 .* 480 x 640"),
        ({"image_size": (48, 64)}, "96 x 128 .* 48 x 64"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_what_is_accepted(tmp_path, options, words: str) -> None:
    with pytest.raises(NodeBenchmarkError, match=words):
        bench_node(tmp_path / "node.json", **options)
    assert not (tmp_path / "node.json").exists()


def test_a_busy_process_is_seen_to_be_busy() -> None:
    meter = usage.CpuMeter(os.getpid())
    before = usage.cpu_seconds(os.getpid())
    while usage.cpu_seconds(os.getpid()) < before + 0.05:
        np.random.default_rng(0).random(1000).sort()
    assert meter.share() > 0
    assert usage.resident_bytes(os.getpid()) > 2**20


@pytest.fixture
def context() -> Context:
    context = Context()
    rclpy.init(context=context)
    yield context
    context.try_shutdown()


def test_a_trajectory_and_what_the_node_says_of_its_cycle_are_put_together_by_stamp(context) -> None:
    meter = NodeMeter(context, lambda: None)
    for stamp in (12.5, 12.75):
        trajectory = JointTrajectory()
        trajectory.header.stamp = encode.stamp_message(stamp)
        told = encode.diagnostics_message(
            stamp, "step: cycle", DiagnosticStatus.OK, "ms", {"policy_total": 2.0, "overhead": 1.5}
        )
        if stamp == 12.75:
            meter._on_diagnostics(told)
        times = {
            "source_timestamp": int((stamp + 0.004) * 1e9),
            "received_timestamp": int((stamp + 0.005) * 1e9),
        }
        meter._on_trajectory(trajectory, times)
        if stamp == 12.5:
            meter._on_diagnostics(told)
    meter._on_trajectory(JointTrajectory(), {"source_timestamp": 1, "received_timestamp": 1})
    assert [cycle.stamp for cycle in meter.cycles] == [12.5, 12.75], "a hold is no cycle"
    for cycle in meter.cycles:
        assert cycle.published_ms == pytest.approx(4.0, abs=0.01)
        assert cycle.received_ms == pytest.approx(5.0, abs=0.01)
        assert cycle.told == {"policy_total": 2.0, "overhead": 1.5}
    meter.destroy_node()


def test_trajectories_of_somebody_else_end_the_measurement_instead_of_entering_it(context) -> None:
    meter = NodeMeter(context, lambda: None)
    meter.create_publisher(JointTrajectory, TRAJECTORIES, 1)
    meter.check_alone()
    meter.create_publisher(JointTrajectory, TRAJECTORIES, 1)
    with pytest.raises(NodeMeterError, match=r"1 more publisher.*ROS_DOMAIN_ID"):
        meter.check_alone()
    meter.destroy_node()


def test_the_synthetic_robot_waits_for_listeners_publishes_for_its_time_and_counts() -> None:
    rclpy.init()
    given = {"image_size": [6, 8], "seconds": 1.0}
    robot = SyntheticRobot(
        parameter_overrides=[Parameter(name, value=value) for name, value in given.items()]
    )
    executor = SingleThreadedExecutor()
    executor.add_node(robot)
    images, states = [], []
    robot.create_subscription(Image, "/top/image_raw", images.append, qos_profile_sensor_data)
    assert robot._phase == "waiting"
    robot.create_subscription(JointState, "/joint_states", states.append, 10)
    while robot._phase != "done":
        executor.spin_once(timeout_sec=0.1)
    for _ in range(5):
        executor.spin_once(timeout_sec=0.05)
    executor.shutdown()
    assert images
    assert robot._published >= len(images)
    assert (images[0].height, images[0].width, images[0].encoding) == (6, 8, "rgb8")
    assert list(states[0].name) == list(JOINT_NAMES)
    assert images[0].header.stamp in [state.header.stamp for state in states]
    assert len({bytes(image.data) for image in images[:4]}) == len(images[:4]), "every frame is another"
    robot.destroy_node()
    rclpy.shutdown()


@pytest.mark.slow
def test_the_whole_benchmark_runs_the_real_node_and_writes_what_it_measured(tmp_path, monkeypatch) -> None:
    for variable in PROFILE_VARIABLES:
        monkeypatch.setenv(variable, "")
    save_untrained(tmp_path / "policy", arm_config(24, 32), reach=0.15)
    result = bench_node(
        tmp_path / "node.json",
        checkpoint=tmp_path / "policy",
        seconds=3.0,
        dds_profile=share_path("config", "fastdds_images.xml"),
        parameters=["action_steps:=2", "engine:=torch"],
        console=Console(file=io.StringIO()),
    )
    assert json.loads((tmp_path / "node.json").read_text()) == result
    assert result["action_steps"] == 2
    assert result["engine"] == "torch"
    assert 0 < result["cycles"]["made"] <= result["cycles"]["expected"]
    row = result["milliseconds"]
    assert row["stamp to publication"]["p50"] > row["overhead"]["p50"] > 0
    assert set(result["images"]) == {"top"}
    assert result["resident_mb"] > 10
