"""The node `/mujoco_bridge`: a simulated SO-ARM101 under the topics of a real one.

    python -m step_ros.nodes.mujoco_bridge --ros-args -p task:=pick_place -p seed:=7

It stands in for the robot's drivers and its cameras, and with `controller:=internal` for
joint_trajectory_controller as well; with `controller:=ros2_control` a real one moves it through
`hw/joint_commands` and `hw/joint_states`. Time follows the wall clock, or passes on demand: see
`step_on_demand` below. Physics, rendering and callbacks share one thread: MuJoCo's renderer is bound to the
thread that made it, and nothing needs a lock.
"""

from __future__ import annotations

import sys

import rclpy
from builtin_interfaces.msg import Time as TimeMessage
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseArray
from numpy.typing import NDArray
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from step_ros.control.joints import JOINT_NAMES
from step_ros.nodes import bridge_messages as messages
from step_ros.nodes.bridge_parameters import declare_parameters
from step_ros.nodes.controllers import Controller, HardwareTopics, InternalController
from step_ros.nodes.decode import seconds
from step_ros.nodes.encode import diagnostics_message
from step_ros.nodes.pacing import OnDemandPacer, Pacer
from step_ros.sim.world import CONTROL_RATE, SUBSTEPS, World

SERVO_RATE = 120
"""Set points per simulated second while time follows the wall clock."""
DIAGNOSTICS_RATE = 1
SUBSTEPS_PER_SET_POINT = CONTROL_RATE * SUBSTEPS // SERVO_RATE
CONTROLLERS = ("internal", "ros2_control")
REPEAT_SECONDS = 0.2
"""On demand: wall seconds without an answer after which the newest observation is sent again, unchanged."""
REPEATS_OF_A_START = 7
"""On demand: as often before the start of an episode is shown anew, for who was not listening yet."""
UNSEEN_TICKS = 6
"""On demand: ticks without images between two showings, so that no observation is made of both."""
EPISODE_GAP = 2
"""On demand: seconds that lie between two episodes, so that no listener takes them for one."""


class MujocoBridge(Node):
    """Simulates one task in step with the wall clock and speaks ROS about it.

    Args:
        parameter_overrides: values of parameters, before those of the command line.

    Raises:
        ValueError, ParameterException: a parameter's value is refused; the message names it.
    """

    def __init__(self, parameter_overrides: list[Parameter] | None = None):
        super().__init__("mujoco_bridge", parameter_overrides=parameter_overrides)
        declare_parameters(self)
        size = tuple(self.get_parameter("image_size").value)
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"parameter image_size: found {list(size)}, accepted: [height, width], both > 0")
        self._on_demand: bool = self.get_parameter("step_on_demand").value
        self._world = World(self.get_parameter("task").value, self.get_parameter("servo").value, size)
        self._world.reset(self.get_parameter("seed").value)
        self._controller = self._create_controller()
        self._reported = (0, 0)
        self._create_interfaces()
        for camera in self._world.cameras:
            # The first picture takes far longer than a period, so it is taken before the clock runs.
            self._world.render(camera)
        if self._on_demand:
            self._pacer = OnDemandPacer(CONTROL_RATE)
            self._stand_still()
        else:
            self._pacer = Pacer(SERVO_RATE, self.get_parameter("real_time_factor").value)

    def _create_controller(self) -> Controller:
        kind = self.get_parameter("controller").value
        if kind not in CONTROLLERS:
            raise ValueError(f"parameter controller: found '{kind}', accepted: {', '.join(CONTROLLERS)}")
        if kind == "internal":
            return InternalController(self, JOINT_NAMES, self, self._accepted)
        if self._on_demand:
            raise ValueError("parameter step_on_demand: found true, accepted with ros2_control: false")
        return HardwareTopics(self, JOINT_NAMES, self)

    def _create_interfaces(self) -> None:
        self._clock_publisher = self.create_publisher(Clock, "/clock", 1)
        self._images = {
            camera: self.create_publisher(Image, f"/{camera}/image_raw", qos_profile_sensor_data)
            for camera in self._world.cameras
        }
        self._infos = {
            camera: self.create_publisher(CameraInfo, f"/{camera}/camera_info", qos_profile_sensor_data)
            for camera in self._world.cameras
        }
        self._objects_publisher = self.create_publisher(PoseArray, "~/objects", 10)
        self._success_publisher = self.create_publisher(Bool, "~/success", 10)
        self._diagnostics_publisher = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self.create_service(Trigger, "~/reset", self._reset)
        self.create_service(Trigger, "~/step", self._step)

    def spin_once(self, executor: Executor) -> None:
        """Answer one message, waiting no longer than to the next period; simulate that when it is due."""
        executor.spin_once(timeout_sec=self._pacer.seconds_to_next())
        if self._pacer.seconds_to_next() == 0.0:
            self._simulate()
        elif self._on_demand and self._pacer.idle_seconds > REPEAT_SECONDS:
            self._repeat()

    def _simulate(self) -> None:
        self._pacer.advance()
        set_point = self._controller.set_point(self.now)
        if self._on_demand:
            self._world.step(set_point)
        else:
            self._world.command(set_point)
            self._world.advance(SUBSTEPS_PER_SET_POINT)
        self._publish()

    @property
    def now(self) -> float:
        """Simulated time in seconds."""
        return seconds(self._stamp)

    @property
    def joint_positions(self) -> NDArray:
        """Measured joint positions (6,) rad."""
        return self._world.joint_positions

    @property
    def joint_velocities(self) -> NDArray:
        """Measured joint velocities (6,) rad/s."""
        return self._world.joint_velocities

    @property
    def _stamp(self) -> TimeMessage:
        return Time(nanoseconds=self._pacer.stamp_ns).to_msg()

    # Time on demand.

    def _accepted(self, stamp: float) -> None:
        """A trajectory is in force: one for the newest observation lets time pass, any other does not."""
        if self._on_demand and abs(stamp - self.now) < 0.5 / CONTROL_RATE:
            self._answered = True
            self._pacer.request(self.get_parameter("ticks_per_trajectory").value)

    def _stand_still(self) -> None:
        """Begin an episode: show its start for two ticks, as an arm that rests there would be seen.

        Stamps go on from showing to showing: a listener may have thrown away what came before.
        """
        self._answered, self._repeats = False, 0
        for _ in range(UNSEEN_TICKS):
            self._pacer.advance()
            self._publish_joints(self._stamp)
        for _ in range(2):
            self._pacer.advance()
            self._publish()

    def _repeat(self) -> None:
        """Somebody may have missed the observation, or listens only now."""
        self._repeats += 1
        if not self._answered and self._repeats > REPEATS_OF_A_START:
            self._stand_still()
        else:
            self._pacer.rest()
            self._publish()
        self._publish_diagnostics(self._stamp)

    def _step(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._on_demand
        if self._on_demand:
            self._pacer.request(1)
            response.message = f"one tick of 1/{CONTROL_RATE} s after {self.now:.3f} s"
        else:
            response.message = "time follows the wall clock; ~/step needs step_on_demand"
        return response

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        seed = self.get_parameter("seed").value
        self._world.reset(seed)
        self._controller.reset(self._world.joint_positions)
        if self._on_demand:
            self._pacer.skip(EPISODE_GAP)
            self._stand_still()
        response.success = True
        response.message = f"task {self._world.task.name}, seed {seed}"
        self.get_logger().info(f"reset: {response.message}")
        return response

    # Messages.

    def _publish(self) -> None:
        """Everything that is due in this period."""
        stamp = self._stamp
        for rate, publish in (
            (self._controller.state_rate, self._publish_joints),
            (CONTROL_RATE, self._publish_scene),
            (DIAGNOSTICS_RATE, self._publish_diagnostics),
        ):
            if self._pacer.periods % max(self._pacer.rate // rate, 1) == 0:
                publish(stamp)

    def _publish_joints(self, stamp: TimeMessage) -> None:
        # Joints first: a controller that wakes by the clock reads them at once.
        self._controller.publish(stamp, self._world.joint_positions, self._world.joint_velocities)
        self._clock_publisher.publish(Clock(clock=stamp))

    def _publish_scene(self, stamp: TimeMessage) -> None:
        self._objects_publisher.publish(messages.pose_array(stamp, self._world.object_poses))
        self._success_publisher.publish(Bool(data=self._world.success))
        for camera in self._world.cameras:
            if not self._images[camera].get_subscription_count():
                continue
            frame_id = f"{camera}_optical_frame"
            self._images[camera].publish(messages.image(stamp, frame_id, self._world.render(camera)))
            self._infos[camera].publish(
                messages.camera_info(
                    stamp, frame_id, self._world.image_size, self._world.camera_intrinsics(camera)
                )
            )

    def _publish_diagnostics(self, _: TimeMessage) -> None:
        news = {
            self._controller.complaint: self._controller.refused,
            "slower than the wall clock": self._pacer.slips,
        }
        before, self._reported = self._reported, tuple(news.values())
        complaints = [name for name, count in zip(news, before, strict=True) if news[name] > count]
        self._diagnostics_publisher.publish(
            diagnostics_message(
                self.now,
                "mujoco_bridge",
                DiagnosticStatus.WARN if complaints else DiagnosticStatus.OK,
                "; ".join(complaints) or self._doing,
                {
                    "task": self._world.task.name,
                    "seed": self.get_parameter("seed").value,
                    "success": self._world.success,
                    **self._controller.values(),
                    "slips": self._pacer.slips,
                    "slipped_seconds": self._pacer.slipped_ns / 1e9,
                },
            )
        )

    @property
    def _doing(self) -> str:
        waiting = self._on_demand and self._pacer.seconds_to_next() > 0.0
        return f"waiting for an answer to the observation at {self.now:.3f} s" if waiting else "simulating"

    def destroy_node(self) -> None:
        """Free the renderer with the node."""
        self._world.close()
        super().destroy_node()


def main(args: list[str] | None = None) -> None:
    """Simulate until the process is asked to stop."""
    rclpy.init(args=args)
    try:
        bridge = MujocoBridge()
    except (ValueError, ParameterException) as error:
        rclpy.try_shutdown()
        sys.exit(f"mujoco_bridge: {error}")
    executor = SingleThreadedExecutor()
    executor.add_node(bridge)
    try:
        while rclpy.ok():
            bridge.spin_once(executor)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass  # Asked to stop; everything that is left to do is below.
    finally:
        bridge.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
