"""The node `/mujoco_bridge`: a simulated SO-ARM101 under the topics of a real one.

    python -m step_ros.nodes.mujoco_bridge --ros-args -p task:=pick_place -p seed:=7

It stands in for the robot's drivers, its cameras and joint_trajectory_controller. Physics, rendering and
callbacks share one thread: MuJoCo's renderer is bound to the thread that made it, and nothing needs a lock.
"""

from __future__ import annotations

import sys

import rclpy
from builtin_interfaces.msg import Time as TimeMessage
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseArray
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rclpy.time import Time
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from step_ros.control.errors import TrajectoryRejectedError
from step_ros.control.follower import TrajectoryFollower
from step_ros.control.joints import JOINT_NAMES
from step_ros.nodes import bridge_messages as messages
from step_ros.nodes.encode import diagnostics_message
from step_ros.nodes.pacing import Pacer
from step_ros.sim.servo import SERVOS
from step_ros.sim.world import CONTROL_RATE, SUBSTEPS, TASKS, World

SERVO_RATE = 120
"""Set points per simulated second: the follower's sampling rate."""
JOINT_STATE_RATE = 60
DIAGNOSTICS_RATE = 1
SUBSTEPS_PER_SET_POINT = CONTROL_RATE * SUBSTEPS // SERVO_RATE


class MujocoBridge(Node):
    """Simulates one task in step with the wall clock and speaks ROS about it.

    Args:
        parameter_overrides: values of parameters, before those of the command line.

    Raises:
        ValueError, ParameterException: a parameter's value is refused; the message names it.
    """

    def __init__(self, parameter_overrides: list[Parameter] | None = None):
        super().__init__("mujoco_bridge", parameter_overrides=parameter_overrides)
        self._declare_parameters()
        size = tuple(self.get_parameter("image_size").value)
        if len(size) != 2 or min(size) < 1:
            raise ValueError(f"parameter image_size: found {list(size)}, accepted: [height, width], both > 0")
        self._world = World(self.get_parameter("task").value, self.get_parameter("servo").value, size)
        self._world.reset(self.get_parameter("seed").value)
        self._follower = TrajectoryFollower(JOINT_NAMES, self._world.joint_positions)
        self._accepted, self._rejected, self._last_rejection = 0, 0, ""
        self._reported = (0, 0)
        self._create_interfaces()
        for camera in self._world.cameras:
            # The first picture takes far longer than a period, so it is taken before the clock runs.
            self._world.render(camera)
        self._pacer = Pacer(SERVO_RATE, self.get_parameter("real_time_factor").value)

    def _declare_parameters(self) -> None:
        def declare(name: str, default: object, description: str, **details: object) -> None:
            self.declare_parameter(name, default, ParameterDescriptor(description=description, **details))

        declare("task", "pick_place", f"What is on the table: {', '.join(TASKS)}.", read_only=True)
        declare("servo", "sts3215", f"Servo model: {', '.join(SERVOS)}.", read_only=True)
        declare("image_size", [96, 96], "Height and width of the camera images, pixels.", read_only=True)
        declare(
            "seed",
            0,
            "Start poses of the episode that ~/reset begins.",
            integer_range=[IntegerRange(from_value=0, to_value=2**31 - 1)],
        )
        declare(
            "real_time_factor",
            1.0,
            "Simulated seconds per wall second; other than 1 needs use_sim_time in every other node.",
            floating_point_range=[FloatingPointRange(from_value=0.05, to_value=20.0)],
            read_only=True,
        )

    def _create_interfaces(self) -> None:
        self._clock_publisher = self.create_publisher(Clock, "/clock", 1)
        self._joints_publisher = self.create_publisher(JointState, "/joint_states", 10)
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
        self.create_subscription(
            JointTrajectory, "/joint_trajectory_controller/joint_trajectory", self._follow, 1
        )
        self.create_service(Trigger, "~/reset", self._reset)

    def spin_once(self, executor: Executor) -> None:
        """Answer one message, waiting no longer than to the next period; simulate that when it is due."""
        executor.spin_once(timeout_sec=self._pacer.seconds_to_next())
        if self._pacer.seconds_to_next() == 0.0:
            self._simulate()

    def _simulate(self) -> None:
        self._pacer.advance()
        set_point, _ = self._follower.sample(self._now)
        self._world.command(set_point)
        self._world.advance(SUBSTEPS_PER_SET_POINT)
        stamp = Time(nanoseconds=self._pacer.stamp_ns).to_msg()
        for rate, publish in (
            (JOINT_STATE_RATE, self._publish_joints),
            (CONTROL_RATE, self._publish_scene),
            (DIAGNOSTICS_RATE, self._publish_diagnostics),
        ):
            if self._pacer.periods % (SERVO_RATE // rate) == 0:
                publish(stamp)

    @property
    def _now(self) -> float:
        """Simulated time in seconds."""
        return self._pacer.stamp_ns / 1e9

    def _follow(self, message: JointTrajectory) -> None:
        try:
            self._follower.accept(
                messages.trajectory_command(message), self._now, self._world.joint_positions
            )
            self._accepted += 1
        except TrajectoryRejectedError as reason:
            self._rejected += 1
            self._last_rejection = str(reason)
            self.get_logger().error(f"trajectory rejected: {reason}")

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        seed = self.get_parameter("seed").value
        self._world.reset(seed)
        self._follower.reset(self._world.joint_positions)
        response.success = True
        response.message = f"task {self._world.task.name}, seed {seed}"
        self.get_logger().info(f"reset: {response.message}")
        return response

    def _publish_joints(self, stamp: TimeMessage) -> None:
        self._clock_publisher.publish(Clock(clock=stamp))
        self._joints_publisher.publish(
            messages.joint_state(stamp, self._world.joint_positions, self._world.joint_velocities)
        )

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
        news = {"trajectory rejected": self._rejected, "slower than the wall clock": self._pacer.slips}
        before, self._reported = self._reported, tuple(news.values())
        complaints = [name for name, count in zip(news, before, strict=True) if news[name] > count]
        self._diagnostics_publisher.publish(
            diagnostics_message(
                self._now,
                "mujoco_bridge",
                DiagnosticStatus.WARN if complaints else DiagnosticStatus.OK,
                "; ".join(complaints) or "simulating",
                {
                    "task": self._world.task.name,
                    "seed": self.get_parameter("seed").value,
                    "success": self._world.success,
                    "trajectories_accepted": self._accepted,
                    "trajectories_rejected": self._rejected,
                    "last_rejection": self._last_rejection,
                    "slips": self._pacer.slips,
                    "slipped_seconds": self._pacer.slipped_ns / 1e9,
                },
            )
        )

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
