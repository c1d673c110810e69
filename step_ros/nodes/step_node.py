"""The node `/step`: camera images and joint states in, joint trajectories out.

    python -m step_ros.nodes.step_node --ros-args -p checkpoint:=models/policies/pick_place

This file wires topics, services, parameters and the lifecycle to `CycleRunner`, which does the work:
configure loads and compiles the policy, activate starts it, deactivate holds the arm. What is in a message
is the matter of `decode.py` and `encode.py`, of a report that of `report.py`, and how parameters become a
policy that of `loading.py`. Services: `~/reset` forgets the episode, `~/enable` allows or forbids motion,
`~/estop` holds until it is released, and leaves the arm disabled then.
"""

from __future__ import annotations

import sys
import traceback
from functools import partial

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from step_ros.control.errors import ControlError
from step_ros.control.linter import Advice
from step_ros.control.timing import due_times
from step_ros.control.trajectory import Trajectory
from step_ros.data.episode_marks import CHANGED, STATUS_NAME
from step_ros.nodes import decode, encode, parameters, report
from step_ros.nodes.controller_settings import examine
from step_ros.nodes.cycles import CycleRunner
from step_ros.nodes.diagnostics import CycleTimes
from step_ros.nodes.loading import Loaded, load
from step_ros.nodes.permission import JOINTS, camera_stream
from step_ros.nodes.process import prepare_for_images
from step_ros.nodes.reference import ReferenceInput
from step_ros.nodes.runtime import run
from step_ros.policy.errors import ConfigError, PolicyError
from step_ros.policy.methods import METHODS
from step_ros.policy.policy import Plan
from step_ros.policy.settings import Settings

_CHECK_PERIOD = 0.05
"""Seconds between two looks at the age of the inputs."""
_REPORT_PERIOD = 1.0
"""Seconds between two reports on /diagnostics when nothing happens."""
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class StepNode(LifecycleNode):
    """Runs a policy on the arm.

    Args:
        name, **options: as for `LifecycleNode`.

    Raises:
        rclpy.exceptions.ParameterException: a parameter given at the start cannot be taken.
    """

    def __init__(self, name: str = "step", **options: object) -> None:
        super().__init__(name, **options)
        parameters.declare(self)
        self._loaded: Loaded | None = None
        self._runner: CycleRunner | None = None
        self._inputs: list[Subscription] = []
        self._emergency = False
        self._fault, self._reported_warnings = "", 0
        self._trajectory = JointTrajectory()
        self._commands = self.create_publisher(JointTrajectory, self._text("trajectory_topic"), 1)
        self._chunks = self.create_publisher(JointTrajectory, "~/chunk", 10)
        self._stalls = self.create_publisher(Bool, "~/stalled", 10)
        self._timing = self.create_publisher(DiagnosticArray, "~/timing", 10)
        self._episodes = self.create_publisher(DiagnosticArray, "~/episode", _LATCHED)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_service(Trigger, "~/reset", self._on_reset)
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_service(SetBool, "~/estop", self._on_estop)
        self.add_on_set_parameters_callback(self._on_parameters)
        self.add_post_set_parameters_callback(self._on_changed_parameters)
        # Not the node's clock: a simulation that stands still must not stop the watch over it.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(_CHECK_PERIOD, self._on_check, clock=steady)
        self.create_timer(_REPORT_PERIOD, self._on_report, clock=steady)
        if self.get_parameter("autostart").value:
            self._autostart = self.create_timer(0.0, self._on_autostart, clock=steady)

    # Lifecycle.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load and compile the policy; without success the node stays unconfigured and says why."""
        try:
            self._load()
        except Exception as error:  # rclpy drops what a transition raises without a word
            self._fault = f"cannot configure: {error}"
            self.get_logger().error(self._fault)
            if not isinstance(error, (PolicyError, ControlError)):
                self.get_logger().error(traceback.format_exc())
            self._report()
            return TransitionCallbackReturn.FAILURE
        self._fault = ""
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen, and move the arm if enabled."""
        self._reported_warnings = 0
        self._runner.start(enabled=self.get_parameter("enabled").value)
        self._subscribe()
        self._examine_controller()
        self._report()
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Hold the arm and listen no more."""
        self._runner.stop()
        self._unsubscribe()
        self._report()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forget the policy."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Hold the arm and forget the policy."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """After a transition that failed: as if never configured."""
        self._release()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Hold the arm first."""
        self._release()
        super().destroy_node()

    def _on_autostart(self) -> None:
        self.destroy_timer(self._autostart)
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _load(self) -> None:
        """Build policy and runner from the parameters.

        Raises:
            PolicyError, ControlError: a parameter or the checkpoint cannot be used.
        """
        loaded = load(self)
        self._runner = CycleRunner(
            loaded.policy,
            tuple(loaded.image_topics),
            loaded.commander,
            loaded.follow,
            self.get_parameter("camera_timeout").value,
            self.get_parameter("joint_timeout").value,
            self,
            self._now,
        )
        self._loaded = loaded
        if self._emergency:
            self._runner.emergency_stop(True)
        policy = loaded.policy
        self.set_parameters(parameters.in_force(policy.settings))
        self.get_logger().info(
            f"loaded {self._text('checkpoint')}, networks on {policy.engine} in {policy.precision}"
        )

    def _release(self) -> None:
        if self._runner is not None:
            self._runner.close()
            self._unsubscribe()
            self._runner, self._loaded = None, None

    # Messages.

    def _subscribe(self) -> None:
        self._inputs.append(
            self.create_subscription(
                JointState, self._text("joint_states_topic"), self._on_joints, qos_profile_sensor_data
            )
        )
        references = ReferenceInput(self, self._loaded.joint_names, self._runner.add_reference)
        self._inputs.extend(references.subscriptions)
        for camera, topic in self._loaded.image_topics.items():
            kind = CompressedImage if topic.endswith("/compressed") else Image
            callback = partial(self._on_image, camera, self._loaded.image_size(camera))
            self._inputs.append(self.create_subscription(kind, topic, callback, qos_profile_sensor_data))

    def _unsubscribe(self) -> None:
        for subscription in self._inputs:
            self.destroy_subscription(subscription)
        self._inputs.clear()

    def _on_image(self, camera: str, size: tuple[int, int], message: Image | CompressedImage) -> None:
        try:
            frame = decode.frame(message, *size)
        except decode.MessageError as error:
            self._runner.refuse(camera_stream(camera), str(error))
        else:
            self._runner.add_image(camera, decode.seconds(message.header.stamp), frame)

    def _on_joints(self, message: JointState) -> None:
        try:
            positions = decode.joint_positions(message, self._loaded.joint_names)
        except decode.MessageError as error:
            self._runner.refuse(JOINTS, str(error))
        else:
            self._runner.add_joints(decode.seconds(message.header.stamp), positions)

    # Results, from `CycleRunner`.

    def send(self, trajectory: Trajectory) -> None:
        """Publish a command."""
        self._publish(self._commands, trajectory)

    def planned(self, plan: Plan, stamp: float) -> None:
        """Publish what the policy wanted, whole and without limits."""
        config = self._loaded.policy.config
        times = due_times(config.horizon, config.fps, config.n_obs_steps)
        chunk = Trajectory(stamp, times, plan.chunk)
        self._publish(self._chunks, chunk)
        self._stalls.publish(Bool(data=plan.stalled))

    def _publish(self, publisher: Publisher, trajectory: Trajectory) -> None:
        """Under the runner's lock, so that one message does for all."""
        names = self._loaded.joint_names
        publisher.publish(encode.trajectory_message(trajectory, names, reused=self._trajectory))

    def timed(self, times: CycleTimes) -> None:
        """Publish where the time of a cycle went, for whoever listens."""
        if self._timing.get_subscription_count():
            name = f"{self.get_name()}: cycle"
            self._timing.publish(
                encode.diagnostics_message(times.stamp, name, DiagnosticStatus.OK, "ms", times.values())
            )

    def marked(self, kind: str) -> None:
        """Mark an episode for recordings, with the parameters in force; the newest mark stays to be had."""
        values = {key: str(given.value) for key, given in self.get_parameters_by_prefix("").items()}
        name = f"{self.get_name()}: {STATUS_NAME}"
        self._episodes.publish(
            encode.diagnostics_message(self._now(), name, DiagnosticStatus.OK, kind, values)
        )

    def failed(self, error: Exception) -> None:
        """Log where the policy failed."""
        self.get_logger().error("".join(traceback.format_exception(error)))

    def alarmed(self) -> None:
        """Report at once."""
        self._report()

    # Services and parameters.

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._runner is None:
            response.message = "not configured"
            return response
        self._runner.reset()
        response.success, response.message = True, self._runner.hold_reason or "a new episode begins"
        return response

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        result = self.set_parameters([Parameter("enabled", Parameter.Type.BOOL, request.data)])[0]
        response.success, response.message = result.successful, result.reason
        return response

    def _on_estop(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._emergency = request.data
        if self._runner is not None:
            self._runner.emergency_stop(request.data)
        self.set_parameters([Parameter("enabled", Parameter.Type.BOOL, False)])
        response.success = True
        response.message = "stopped" if request.data else "released; ~/enable allows motion again"
        return response

    def _on_parameters(self, changed: list[Parameter]) -> SetParametersResult:
        """Put changed parameters in force, all or none."""
        values = {parameter.name: parameter.value for parameter in changed}
        reason = None
        if values.get("enabled") and self._emergency:
            reason = "emergency stop is latched: release it with ~/estop first"
        if reason is None:
            try:
                self._put_in_force(values.get("method"), parameters.changed_settings(changed))
            except PolicyError as error:
                reason = str(error)
        if reason is not None:
            return SetParametersResult(successful=False, reason=reason)
        if self._runner is not None:
            if "enabled" in values:
                self._runner.enable(values["enabled"])
            names = ("camera_timeout", "joint_timeout")
            self._runner.set_timeouts(*(values.get(name, self.get_parameter(name).value) for name in names))
            if "blend" in values:
                self._runner.set_blend(values["blend"])
        return SetParametersResult(successful=True)

    def _on_changed_parameters(self, _: list[Parameter]) -> None:
        """Say so in recordings, if the arm is being moved with them."""
        if self._runner is not None and self._runner.hold_reason is None:
            self.marked(CHANGED)

    def _put_in_force(self, method: str | None, settings: dict[str, object]) -> None:
        """Change the loaded policy, or only check what a policy to come will be given; raises PolicyError."""
        if self._loaded is not None:
            self._loaded.policy.update(method, **settings)
            return
        Settings().changed(**settings)
        if method is not None and method not in METHODS:
            raise ConfigError("method", method, f"one of {', '.join(METHODS)}")

    # Watch and report.

    def _on_check(self) -> None:
        if self._runner is not None:
            self._runner.set_rivals(self.count_publishers(self._commands.topic_name) - 1)
            self._runner.check()

    def _examine_controller(self) -> None:
        """Warn of each setting of the controller that will make motion jerk; does not wait for it."""
        config = self._loaded.policy.config
        examine(self, self._commands.topic_name, self._loaded.joint_names, config.fps, self._advised)

    def _advised(self, advice: list[Advice]) -> None:
        for item in advice:
            self.get_logger().warning(f"controller: {item}")
        if self._runner is not None:
            self._runner.statistics.advice = "; ".join(map(str, advice))
            self._report()

    def _on_report(self) -> None:
        self._report()
        if self._runner is not None:
            self._reported_warnings = self._runner.statistics.warnings

    def _report(self) -> None:
        state = self._state_machine.current_state[1]
        if self._runner is None:
            said = report.unconfigured(state, self._fault)
        else:
            said = report.configured(state, self._loaded.policy, self._runner, self._reported_warnings)
        name = f"{self.get_name()}: policy"
        self._diagnostics.publish(
            encode.diagnostics_message(self._now(), name, said.level, said.summary, said.values)
        )

    def _now(self) -> float:
        return self.get_clock().now().nanoseconds * 1e-9

    def _text(self, name: str) -> str:
        return self.get_parameter(name).value


def main(args: list[str] | None = None) -> int:
    """Run the node until the process is asked to stop."""
    prepare_for_images()
    return run(StepNode, args)


if __name__ == "__main__":
    sys.exit(main())
