"""The simulated robot over real topics: it follows, shows, resets, refuses, and comes back after a crash."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import rclpy
from bridge_helpers import BridgeRig
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from step_ros.control.joints import JOINT_NAMES
from step_ros.nodes.decode import seconds
from step_ros.nodes.encode import duration_message, stamp_message

FACTOR = 4.0
"""Simulated seconds per wall second, so that tests are short where the machine can."""
# Best effort matches reliable publishers too.
ANY_PUBLISHER = QoSProfile(depth=1000, reliability=ReliabilityPolicy.BEST_EFFORT)
COMMANDS = "/joint_trajectory_controller/joint_trajectory"


TOPICS = {
    "/joint_states": JointState,
    "/top/image_raw": Image,
    "/top/camera_info": CameraInfo,
    "/wrist/image_raw": Image,
    "/mujoco_bridge/objects": PoseArray,
    "/mujoco_bridge/success": Bool,
    "/diagnostics": DiagnosticArray,
}


class Listener(Node):
    """Keeps the newest message of every topic and the stamps of those that have one."""

    def __init__(self) -> None:
        super().__init__("listener")
        self.newest: dict[str, object] = {}
        self.stamps: dict[str, list[float]] = {}
        for topic, kind in TOPICS.items():
            self.create_subscription(kind, topic, self._keep(topic), ANY_PUBLISHER)
        self.commands = self.create_publisher(JointTrajectory, COMMANDS, 1)
        self.resetting = self.create_client(Trigger, "/mujoco_bridge/reset")

    def _keep(self, topic: str) -> Callable[[object], None]:
        def keep(message: object) -> None:
            self.newest[topic] = message
            if hasattr(message, "header"):
                self.stamps.setdefault(topic, []).append(seconds(message.header.stamp))

        return keep

    @property
    def now(self) -> float:
        return self.stamps["/joint_states"][-1]

    @property
    def positions(self) -> np.ndarray:
        return np.array(self.newest["/joint_states"].position)

    @property
    def report(self) -> dict[str, str]:
        return {pair.key: pair.value for pair in self.newest["/diagnostics"].status[0].values}

    @property
    def object_poses(self) -> list[tuple[float, float, float]]:
        return [
            (pose.position.x, pose.position.y, pose.position.z)
            for pose in self.newest["/mujoco_bridge/objects"].poses
        ]


class Rig(BridgeRig):
    """The bridge and the listener."""

    def __init__(self) -> None:
        self.listener = Listener()
        super().__init__(self.listener, seed=3, real_time_factor=FACTOR)
        self.until(lambda: len(self.listener.newest) == len(TOPICS))
        self.until(lambda: self.listener.commands.get_subscription_count() > 0)

    def simulate(self, duration: float) -> None:
        end = self.listener.now + duration
        self.until(lambda: self.listener.now >= end)

    def reset(self, seed: int) -> str:
        self.bridge.set_parameters([Parameter("seed", value=seed)])
        answer = self.call(self.listener.resetting)
        self.simulate(0.1)
        return answer.message


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    rclpy.init()
    rig = Rig()
    yield rig
    rig.close()
    rclpy.shutdown()


def trajectory(stamp: float, times: list[float], positions: list, names=JOINT_NAMES) -> JointTrajectory:
    message = JointTrajectory(joint_names=list(names))
    message.header.stamp = stamp_message(stamp)
    message.points = [
        JointTrajectoryPoint(time_from_start=duration_message(t), positions=[float(x) for x in row])
        for t, row in zip(times, positions, strict=True)
    ]
    return message


def test_arm_follows_a_trajectory_to_its_end_and_stays(rig):
    rig.reset(3)
    start = rig.listener.positions
    goal = start + np.array([0.3, 0.2, -0.2, -0.1, 0.3, -0.4])
    rig.listener.commands.publish(trajectory(rig.listener.now, [0.0, 0.5], [start, goal]))
    rig.simulate(1.0)
    np.testing.assert_allclose(rig.listener.positions, goal, atol=0.03)
    rig.simulate(1.0)
    np.testing.assert_allclose(rig.listener.positions, goal, atol=0.03)


def test_newer_trajectory_replaces_the_one_in_force(rig):
    rig.reset(3)
    start = rig.listener.positions
    rig.listener.commands.publish(trajectory(rig.listener.now, [0.0, 2.0], [start, start + 0.3]))
    rig.simulate(0.3)
    rig.listener.commands.publish(trajectory(0.0, [0.2], [start]))
    rig.simulate(1.0)
    np.testing.assert_allclose(rig.listener.positions, start, atol=0.03)


def test_command_beyond_the_limits_stops_at_the_limits(rig):
    rig.reset(3)
    rig.listener.commands.publish(trajectory(0.0, [0.2], [[9.0, 0, 0, 0, 0, 0.5]]))
    rig.simulate(1.5)
    assert rig.listener.positions[0] < 1.95


def test_each_image_has_the_stamp_of_a_joint_state_and_of_its_camera_info(rig):
    rig.simulate(0.3)
    # The first and last few may have lost their partner at the edge of the run.
    images = rig.listener.stamps["/top/image_raw"][2:-2]
    assert len(images) > 3
    assert set(images) <= set(rig.listener.stamps["/joint_states"])
    assert set(images) <= set(rig.listener.stamps["/top/camera_info"])


def test_stamps_increase_on_every_topic(rig):
    rig.simulate(0.2)
    for topic in ("/joint_states", "/top/image_raw", "/wrist/image_raw", "/mujoco_bridge/objects"):
        assert (np.diff(rig.listener.stamps[topic]) > 0).all(), topic


def test_images_are_rgb_pictures_of_a_lit_scene(rig):
    for topic in ("/top/image_raw", "/wrist/image_raw"):
        message = rig.listener.newest[topic]
        assert (message.height, message.width, message.encoding, message.step) == (96, 96, "rgb8", 288)
        assert np.ptp(np.frombuffer(message.data, np.uint8)) > 50


def test_joints_are_named_as_everywhere_and_carry_velocities(rig):
    message = rig.listener.newest["/joint_states"]
    assert tuple(message.name) == JOINT_NAMES
    assert len(message.position) == len(message.velocity) == len(JOINT_NAMES)


def test_reset_with_the_same_seed_gives_the_same_episode(rig):
    assert "seed 11" in rig.reset(11)
    first, joints = rig.listener.object_poses, rig.listener.positions
    rig.reset(12)
    assert np.abs(np.subtract(rig.listener.object_poses, first)).max() > 1e-3
    rig.reset(11)
    np.testing.assert_allclose(rig.listener.object_poses, first, atol=1e-4)
    np.testing.assert_allclose(rig.listener.positions, joints, atol=0.01)


def test_reset_forgets_the_trajectory_in_force(rig):
    rig.reset(3)
    start = rig.listener.positions
    rig.listener.commands.publish(trajectory(rig.listener.now, [0.0, 3.0], [start, start + 0.5]))
    rig.simulate(0.5)
    rig.reset(3)
    rig.simulate(1.0)
    np.testing.assert_allclose(rig.listener.positions, start, atol=0.03)


def test_seed_out_of_range_is_refused_and_the_old_one_stays(rig):
    rig.reset(4)
    result = rig.bridge.set_parameters([Parameter("seed", value=-1)])[0]
    assert not result.successful
    assert "out of range" in result.reason
    assert rig.bridge.get_parameter("seed").value == 4


NAN = [[float("nan")] * 6]
HOME = [[0.0] * 6]
MALFORMED = {
    "NaN": (lambda now: trajectory(now, [0.2], NAN), "NaN"),
    "unknown joint": (lambda now: trajectory(now, [0.2], HOME, ["elbow", *JOINT_NAMES[1:]]), "joints"),
    "missing joint": (lambda now: trajectory(now, [0.2], [[0.0] * 5], JOINT_NAMES[:5]), "joints"),
    "wrong size": (lambda now: trajectory(now, [0.2], [[0.0] * 4]), "4 positions"),
    "times not increasing": (lambda now: trajectory(now, [0.2, 0.2], HOME * 2), "increase"),
    "all in the past": (lambda now: trajectory(now - 5.0, [0.2], HOME), "ago"),
    "no points": (lambda now: trajectory(now, [], []), "no points"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_trajectory_is_refused_with_a_reason_and_the_arm_holds(rig, case, capfd):
    make, reason = MALFORMED[case]
    rig.reset(3)
    start = rig.listener.positions
    before = int(rig.listener.report["trajectories_rejected"])
    rig.listener.commands.publish(make(rig.listener.now))
    rig.until(lambda: int(rig.listener.report["trajectories_rejected"]) == before + 1)
    assert reason in rig.listener.report["last_rejection"]
    assert f"trajectory rejected: {rig.listener.report['last_rejection']}" in capfd.readouterr().err
    np.testing.assert_allclose(rig.listener.positions, start, atol=0.02)
