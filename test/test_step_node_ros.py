"""The node `/step` on real rclpy and Fast DDS, with a tiny checkpoint."""

from __future__ import annotations

import math
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from policy_helpers import arm_config
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.data.episode_marks import EpisodeMark, read_mark
from step_ros.nodes.decode import seconds
from step_ros.nodes.encode import stamp_message
from step_ros.nodes.step_node import StepNode
from step_ros.policy.checkpoint import save_checkpoint
from step_ros.policy.networks import build_networks

SIZE = 32
PATIENCE = 20.0
LIMITS = JointLimits.so101()


@pytest.fixture(scope="module", autouse=True)
def ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


RANGES = {name: {"min": [-0.15] * 6, "max": [0.15] * 6} for name in ("observation.state", "action")}
"""Where an untrained policy's joints stay: within reach of where the robot stands."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    config = arm_config(SIZE, SIZE, defaults={"sigma_stall": 1.25, "cold_start_steps": 3})
    save_checkpoint(folder, config, build_networks(config, RANGES), None)
    return folder


class Rig:
    """A step node, and a robot's worth of messages for it."""

    def __init__(self, parameters: dict[str, object], name: str = "step") -> None:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        self.node = StepNode(name, parameter_overrides=overrides)
        self.robot = rclpy.create_node("robot")
        self.trajectories: list[JointTrajectory] = []
        self.chunks: list[JointTrajectory] = []
        self.stalls: list[Bool] = []
        self.reports: list[DiagnosticStatus] = []
        topic = "/joint_trajectory_controller/joint_trajectory"
        self.robot.create_subscription(JointTrajectory, topic, self.trajectories.append, 10)
        self.robot.create_subscription(JointTrajectory, "/step/chunk", self.chunks.append, 10)
        self.robot.create_subscription(Bool, "/step/stalled", self.stalls.append, 10)
        self.robot.create_subscription(DiagnosticArray, "/diagnostics", self._on_report, 10)
        self._images = self.robot.create_publisher(Image, "/top/image_raw", qos_profile_sensor_data)
        self._joints = self.robot.create_publisher(JointState, "/joint_states", 10)
        self.encoding, self.names, self.position = "rgb8", list(JOINT_NAMES), [0.0] * 6
        self._start, self._frames = time.time(), 0
        self._pixels = array("B", bytes(SIZE * SIZE * 3))
        self.robot.create_timer(0.01, self._feed)
        self.feeding = True
        self._executors = [SingleThreadedExecutor(), SingleThreadedExecutor()]
        self._threads = []
        for executor, node in zip(self._executors, (self.node, self.robot), strict=True):
            executor.add_node(node)
            thread = threading.Thread(target=executor.spin, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _on_report(self, message: DiagnosticArray) -> None:
        """Keep the reports of this rig's own node."""
        if message.status[0].name == f"{self.node.get_name()}: policy":
            self.reports.append(message.status[0])

    def _feed(self) -> None:
        """Joints and image with one stamp, on a grid of 30 per second, never ahead of the clock."""
        stamp = self._start + self._frames / 30
        if not self.feeding or stamp > time.time():
            return
        self._frames += 1
        joints = JointState(name=self.names, position=self.position)
        joints.header.stamp = stamp_message(stamp)
        self._joints.publish(joints)
        image = Image(height=SIZE, width=SIZE, step=3 * SIZE, encoding=self.encoding, data=self._pixels)
        image.header.stamp = joints.header.stamp
        self._images.publish(image)

    def wait(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what}; last report: {self.reports[-1:]}"
            time.sleep(0.01)

    def wait_for_report(self, words: str, level: bytes) -> DiagnosticStatus:
        def reported() -> bool:
            return any(words in report.message and report.level == level for report in self.reports)

        self.wait(reported, f"no report with '{words}'")
        return next(report for report in self.reports if words in report.message)

    def call(self, kind: type, name: str, request: object) -> object:
        client = self.robot.create_client(kind, name)
        assert client.wait_for_service(PATIENCE)
        future = client.call_async(request)
        self.wait(future.done, f"no answer from {name}")
        return future.result()

    def set(self, name: str, value: object) -> tuple[bool, str]:
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        result = self.call(SetParameters, f"/{self.node.get_name()}/set_parameters", request).results[0]
        return result.successful, result.reason

    def get(self, name: str) -> object:
        return self.node.get_parameter(name).value

    def close(self) -> None:
        for executor, thread in zip(self._executors, self._threads, strict=True):
            executor.shutdown()
            thread.join()
        self.node.destroy_node()
        self.robot.destroy_node()


@pytest.fixture
def start(checkpoint) -> Iterator[Callable[..., Rig]]:
    rigs = []

    def start_rig(**parameters: object) -> Rig:
        defaults = {"checkpoint": str(checkpoint), "engine": "torch"}
        patient = {"camera_timeout": 5.0, "joint_timeout": 5.0}
        rigs.append(Rig(defaults | patient | parameters))
        return rigs[-1]

    yield start_rig
    for rig in rigs:
        rig.close()


@pytest.fixture
def moving(start) -> Rig:
    rig = start()
    rig.wait(lambda: len(rig.trajectories) >= 2, "no trajectories")
    return rig


def is_hold(message: JointTrajectory) -> bool:
    return seconds(message.header.stamp) == 0


def test_chunks_go_out_as_anchored_trajectories_within_the_limits(moving: Rig) -> None:
    message = moving.trajectories[0]
    assert list(message.joint_names) == list(JOINT_NAMES)
    moving.wait(lambda: moving.chunks and moving.stalls, "no chunk or stall message")
    chunk = moving.chunks[0]
    assert len(chunk.points) == 16
    ticks = (seconds(chunk.header.stamp) - moving._start) * 30
    assert abs(ticks - round(ticks)) < 1e-4, "the stamp is an image's"
    for message in moving.trajectories:
        positions = np.array([point.positions for point in message.points])
        assert np.isfinite(positions).all()
        assert (positions >= LIMITS.lower).all()
        assert (positions <= LIMITS.upper).all()
        assert list(message.points[-1].velocities) == [0.0] * 6
        times = [seconds(point.time_from_start) for point in message.points]
        assert times == sorted(set(times))


def test_an_episode_is_marked_with_the_parameters_in_force_for_whoever_comes_later(moving: Rig) -> None:
    marks: list[EpisodeMark] = []
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    moving.robot.create_subscription(
        DiagnosticArray, "/step/episode", lambda message: marks.append(read_mark(message)), latched
    )
    moving.wait(lambda: marks, "no mark")
    assert marks[0].kind == "begin"
    assert marks[0].values["method"] == "step"
    assert marks[0].values["sigma_stall"] == "1.25"
    assert moving.set("sigma_stall", 0.5)[0]
    moving.wait(lambda: marks[-1].kind == "changed", "no mark of the change")
    assert marks[-1].values["sigma_stall"] == "0.5"
    assert moving.call(SetBool, "/step/enable", SetBool.Request(data=False)).success
    moving.wait(lambda: "end" in [mark.kind for mark in marks], "no mark of the end")


def test_diagnostics_tell_latency_policy_time_and_counts(moving: Rig) -> None:
    moving.wait(lambda: moving.reports and "cycle_ms_p50" in str(moving.reports[-1].values), "no latency")
    values = {item.key: item.value for item in moving.reports[-1].values}
    assert values["state"] == "active"
    assert values["method"] == "step"
    assert float(values["cycle_ms_p50"]) > float(values["policy_ms_p50"]) > 0
    assert float(values["cycle_ms_p95"]) >= float(values["cycle_ms_p50"])
    assert float(values["overhead_ms_p95"]) >= float(values["overhead_ms_p50"]) > 0
    assert {"cycles", "skipped_cycles", "stalls", "nfe", "refused_messages", "pace"} <= set(values)
    assert {"received camera top", "received joint state", "precision", "action_steps"} <= set(values)


def test_the_time_of_each_cycle_is_told_to_whoever_listens(moving: Rig) -> None:
    heard: list[DiagnosticArray] = []
    moving.robot.create_subscription(DiagnosticArray, "/step/timing", heard.append, 10)
    moving.wait(lambda: heard, "no timing message")
    stamp = seconds(heard[0].header.stamp)
    moving.wait(lambda: any(seconds(t.header.stamp) == stamp for t in moving.trajectories), "no such command")
    values = {item.key: float(item.value) for item in heard[0].status[0].values}
    assert values["latency"] > values["policy_total"] > 0
    assert values["overhead"] == pytest.approx(values["latency"] - values["policy_total"], abs=0.1)
    assert {"busy", "decode", "policy_encode", "policy_predict", "policy_denoise"} <= set(values)


@pytest.mark.parametrize("folder", ["", "/no/such/folder"])
def test_a_bad_checkpoint_path_leaves_the_node_alive_and_unconfigured_with_the_reason(start, folder) -> None:
    rig = start(checkpoint=folder)
    rig.wait_for_report("cannot configure", DiagnosticStatus.ERROR)
    assert folder in rig.reports[-1].message
    assert rig.set("sigma_stall", 0.5) == (True, "")
    rig.wait(lambda: rig.node._state_machine.current_state[1] == "unconfigured", "still configuring")


@pytest.mark.parametrize(("name", "value"), [("engine", "steam"), ("precision", "int3"), ("method", "magic")])
def test_what_the_policy_cannot_be_built_with_leaves_the_node_unconfigured_with_the_reason(
    start, name, value
) -> None:
    rig = start(**{name: value})
    rig.wait_for_report("cannot configure", DiagnosticStatus.ERROR)
    assert name in rig.reports[-1].message
    assert str(value) in rig.reports[-1].message
    rig.wait(lambda: rig.node._state_machine.current_state[1] == "unconfigured", "still configuring")


def test_with_one_action_per_cycle_every_image_makes_a_cycle_or_is_counted(start) -> None:
    rig = start(action_steps=1)
    rig.wait(lambda: len(rig.trajectories) >= 20, "no trajectories")
    rig.feeding = False
    statistics = rig.node._runner.statistics
    received = statistics.received["camera top"]
    rig.wait(lambda: statistics.cycles + statistics.skipped >= received - 2, "cycles are missing")


def test_an_unusable_checkpoint_can_be_followed_by_another_try(start, checkpoint, tmp_path) -> None:
    rig = start(checkpoint=str(tmp_path / "later"))
    rig.wait_for_report("cannot configure", DiagnosticStatus.ERROR)
    (tmp_path / "later").symlink_to(checkpoint)
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    assert rig.call(ChangeState, "/step/change_state", request).success


def test_limits_for_another_number_of_joints_are_refused(start) -> None:
    rig = start(position_lower=[-1.0, -1.0])
    rig.wait_for_report("position_lower", DiagnosticStatus.ERROR)


def test_a_policy_that_wants_what_no_topic_has_is_refused(start, tmp_path) -> None:
    inputs = {"observation.state": (6,), "observation.environment_state": (7,)}
    config = arm_config(input_features=inputs, predictor=None)
    ranges = RANGES | {"observation.environment_state": {"min": [-1.0] * 7, "max": [1.0] * 7}}
    save_checkpoint(tmp_path, config, build_networks(config, ranges), None)
    rig = start(checkpoint=str(tmp_path), method="ddim")
    rig.wait_for_report("environment_state", DiagnosticStatus.ERROR)


def test_without_autostart_the_node_waits_for_its_transitions(start) -> None:
    rig = start(autostart=False)
    rig.wait(lambda: any(report.message == "not configured" for report in rig.reports), "no report")
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        request = ChangeState.Request(transition=Transition(id=transition))
        assert rig.call(ChangeState, "/step/change_state", request).success
    rig.wait(lambda: rig.trajectories, "no trajectory")


def test_deactivation_holds_the_arm_where_it_is(moving: Rig) -> None:
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
    assert moving.call(ChangeState, "/step/change_state", request).success
    moving.wait(lambda: is_hold(moving.trajectories[-1]), "no hold")
    hold = moving.trajectories[-1]
    assert len(hold.points) == 1
    assert list(hold.points[0].positions) == moving.position


def test_settings_read_back_what_is_in_force_from_the_checkpoint_or_the_user(start) -> None:
    rig = start(sigma_scale=0.5)
    rig.wait(lambda: rig.trajectories, "no trajectory")
    assert rig.get("sigma_stall") == 1.25
    assert rig.get("cold_start_steps") == 3
    assert rig.get("sigma_scale") == rig.node._loaded.policy.settings.sigma_scale == 0.5
    assert list(rig.get("timesteps")) == [-1]


def test_changed_parameters_are_in_force_from_the_next_cycle(moving: Rig) -> None:
    assert moving.set("num_inference_steps", 3) == (True, "")
    assert moving.set("method", "ddim") == (True, "")
    assert moving.set("timesteps", [50, 0]) == (True, "")
    policy = moving.node._loaded.policy
    assert (policy.method, policy.settings.timesteps) == ("ddim", (50, 0))
    assert moving.set("timesteps", [-1]) == (True, "")
    assert policy.settings.timesteps is None
    moving.wait(
        lambda: any(value.key == "nfe" and value.value == "3" for value in moving.reports[-1].values),
        "3 steps are not in force",
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("sigma_stall", 99.0, "range"),
        ("sigma_stall", -0.1, "range"),
        ("sigma_stall", math.nan, "range"),
        ("sigma_stall", "much", "type"),
        ("sigma_stall", 1, "type"),
        ("num_inference_steps", 0, "range"),
        ("num_inference_steps", 2.5, "type"),
        ("action_steps", 16, "at most 15"),
        ("entry_timestep", 100, "at most 99"),
        ("method", "magic", "one of step"),
        ("warm_start", "cold", "matched"),
        ("stall_source", "velocity", "action, motion, both"),
        ("timesteps", [10, 20], "decreasing"),
        ("camera_timeout", math.inf, "range"),
        ("camera_timeout", math.nan, "range"),
        ("checkpoint", "/other", "read-only"),
        ("engine", "torch", "read-only"),
        ("threads", 2, "read-only"),
        ("precision", "bf16", "read-only"),
        ("enabled", "yes", "type"),
        ("no_such_parameter", 1, ""),
    ],
)
def test_a_refused_parameter_leaves_everything_as_it_was_and_says_why(shared, name, value, words) -> None:
    before = (shared.node._loaded.policy.method, shared.node._loaded.policy.settings)
    read_back = {key: shared.get(key) for key in ("sigma_stall", "method", "camera_timeout", "enabled")}
    successful, reason = shared.set(name, value)
    assert not successful
    assert reason
    assert words in reason.lower()
    assert (shared.node._loaded.policy.method, shared.node._loaded.policy.settings) == before
    assert {key: shared.get(key) for key in read_back} == read_back


def test_parameters_set_together_are_refused_together(shared) -> None:
    before = shared.node._loaded.policy.settings
    result = shared.node.set_parameters_atomically(
        [Parameter("sigma_scale", value=0.1), Parameter("action_steps", value=16)]
    )
    assert not result.successful
    assert shared.node._loaded.policy.settings == before
    assert shared.get("sigma_scale") == before.sigma_scale


@pytest.fixture(scope="module")
def shared(checkpoint, ros) -> Iterator[Rig]:
    """One configured, silent node for tests that only talk to its parameters."""
    parameters = {
        "checkpoint": str(checkpoint),
        "trajectory_topic": "/another/joint_trajectory",
        "engine": "torch",
        "autostart": False,
    }
    rig = Rig(parameters, name="other_step")
    rig.feeding = False
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    assert rig.call(ChangeState, "/other_step/change_state", request).success
    yield rig
    rig.close()


def test_the_stall_rule_can_be_told_to_watch_the_joints_while_the_node_runs(shared) -> None:
    for name, value in (("stall_source", "motion"), ("stall_response", "push"), ("stall_exempt", "grip")):
        assert shared.set(name, value) == (True, "")
        assert shared.get(name) == value
        assert shared.node.describe_parameter(name).description
    assert shared.node._loaded.policy.settings.stall_source == "motion"
    assert "motion" in shared.node.describe_parameter("stall_source").additional_constraints


def test_parameters_carry_descriptions_and_ranges(shared) -> None:
    descriptor = shared.node.describe_parameter("num_inference_steps")
    assert descriptor.description
    assert descriptor.integer_range[0].from_value == 1
    assert shared.node.describe_parameter("sigma_stall").floating_point_range[0].to_value == 3.0
    assert "ddpm" in shared.node.describe_parameter("method").additional_constraints
    assert shared.node.describe_parameter("checkpoint").read_only


def test_a_denoiser_that_returns_nan_makes_the_arm_hold_until_a_reset(moving: Rig) -> None:
    networks = moving.node._loaded.policy._networks
    denoise, fused = networks.denoise, networks.fused
    networks.denoise, networks.fused = lambda x, *rest: np.full_like(x, np.nan), lambda program: None
    moving.wait_for_report("holding: policy failed", DiagnosticStatus.ERROR)
    moving.wait(lambda: is_hold(moving.trajectories[-1]), "no hold")
    for message in moving.trajectories:
        assert np.isfinite([point.positions for point in message.points]).all()
    networks.denoise, networks.fused = denoise, fused
    assert moving.call(Trigger, "/step/reset", Trigger.Request()).success
    moving.wait(lambda: not is_hold(moving.trajectories[-1]), "the arm does not go on")


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("encoding", "16UC1", "image encoding is '16UC1'"),
        ("names", [*JOINT_NAMES[:5], "claw"], "lacks gripper"),
        ("position", [0.0] * 5 + [math.nan], "gripper is not finite"),
    ],
)
def test_messages_that_cannot_be_used_make_the_arm_hold_with_the_reason(
    start, attribute, value, words
) -> None:
    rig = start(camera_timeout=1.0, joint_timeout=1.0)
    rig.wait(lambda: len(rig.trajectories) >= 2, "no trajectories")
    setattr(rig, attribute, value)
    rig.wait(lambda: is_hold(rig.trajectories[-1]), "no hold")
    rig.wait(
        lambda: any("holding" in r.message and words in r.message for r in rig.reports),
        f"no report of '{words}'",
    )
    setattr(
        rig, attribute, {"encoding": "rgb8", "names": list(JOINT_NAMES), "position": [0.0] * 6}[attribute]
    )
    rig.wait(lambda: not is_hold(rig.trajectories[-1]), "the arm does not go on")


def test_the_arm_holds_when_the_robot_falls_silent_and_goes_on_when_it_is_back(start) -> None:
    rig = start(camera_timeout=0.5, joint_timeout=0.5)
    rig.wait(lambda: len(rig.trajectories) >= 2, "no trajectories")
    rig.feeding = False
    rig.wait_for_report("older than 0.5 s", DiagnosticStatus.ERROR)
    rig.wait(lambda: is_hold(rig.trajectories[-1]), "no hold")
    rig._start, rig._frames, rig.feeding = time.time(), 0, True
    rig.wait(lambda: not is_hold(rig.trajectories[-1]), "the arm does not go on")


def test_services_disable_enable_and_stop_the_arm(moving: Rig) -> None:
    assert moving.call(SetBool, "/step/enable", SetBool.Request(data=False)).success
    moving.wait(lambda: is_hold(moving.trajectories[-1]), "no hold")
    assert moving.get("enabled") is False
    assert moving.call(SetBool, "/step/enable", SetBool.Request(data=True)).success
    moving.wait(lambda: not is_hold(moving.trajectories[-1]), "the arm does not go on")

    assert moving.call(SetBool, "/step/estop", SetBool.Request(data=True)).success
    moving.wait(lambda: is_hold(moving.trajectories[-1]), "no hold")
    refused = moving.call(SetBool, "/step/enable", SetBool.Request(data=True))
    assert not refused.success
    assert "estop" in refused.message
    assert moving.call(SetBool, "/step/estop", SetBool.Request(data=False)).success
    moving.wait_for_report("holding: disabled", DiagnosticStatus.WARN)
    assert is_hold(moving.trajectories[-1])
    assert moving.call(SetBool, "/step/enable", SetBool.Request(data=True)).success
    moving.wait(lambda: not is_hold(moving.trajectories[-1]), "the arm does not go on")
