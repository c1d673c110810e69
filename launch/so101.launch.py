"""Starts the SO-ARM101 and /step: description, controllers, cameras, and the policy once they are active.

For example (`--show-args` lists every argument):

    ros2 launch step_ros so101.launch.py method:=ddim record:=run1_bag
    ros2 launch step_ros so101.launch.py hardware:=feetech cameras:="top=/dev/video0 wrist=/dev/video2"
    ros2 launch step_ros so101.launch.py hardware:=robot checkpoint:=/path/to/policy

The order: everything but the controllers starts at once, and /step loads its policy; then
joint_state_broadcaster and joint_trajectory_controller are activated; then /step is. Whatever cannot be done
ends the launch with the reason. With hardware:=robot nothing but /step is started; see ROBOT_MUST_RUN.
docs/ros2_control.md has the rest.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.events.process import ProcessExited
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from step_ros import bringup
from step_ros.data.recorded import recorded_pattern
from step_ros.launching import activate, configure, required, step_node, typed

SHARE = FindPackageShare("step_ros")
CONTROLLER_NAMES = ("joint_state_broadcaster", "joint_trajectory_controller")
CONTROLLER_PATIENCE = "60"
"""Seconds that the controller manager, and then a switch of controllers, may take."""
ROBOT_MUST_RUN = (
    "hardware:=robot starts only /step. Already running must be: a joint_trajectory_controller for the six "
    "joints, a joint_state_broadcaster on /joint_states, and for each camera of the policy an image "
    "publisher on <camera>/image_raw, all stamped by one clock."
)
BOOLEAN = ["true", "false"]


def share(*parts: object) -> PathJoinSubstitution:
    """A file of this package, installed."""
    return PathJoinSubstitution([SHARE, *parts])


def argument(name: str, default: object, description: str, choices: object = None) -> DeclareLaunchArgument:
    """A launch argument."""
    return DeclareLaunchArgument(
        name,
        default_value=default,
        description=description,
        choices=None if choices is None else list(choices),
    )


ARGUMENTS = [
    argument(
        "hardware",
        "mujoco",
        "What moves: a simulation, servos, or an arm that runs already.",
        bringup.HARDWARE,
    ),
    argument(
        "controller",
        "auto",
        "ros2_control, or internal: the simulation follows trajectories. auto: ros2_control if installed.",
        bringup.CONTROLLERS,
    ),
    argument("task", "pick_place", "What the simulation sets up and which shipped policy is the default."),
    argument(
        "checkpoint",
        share("models", "policies", LaunchConfiguration("task")),
        "Folder of the policy (config.json and model.safetensors).",
    ),
    argument("method", "step", "How chunks are sampled: step, ddim, ddpm or predictor."),
    argument("seed", "0", "Seed of the simulated episode. Only hardware:=mujoco."),
    argument(
        "autostart",
        "true",
        "false: /step waits for `ros2 lifecycle set /step configure`, then `activate`.",
        BOOLEAN,
    ),
    argument(
        "use_sim_time",
        "auto",
        "Whether time comes from /clock. auto: where a simulation needs it.",
        ["auto", *BOOLEAN],
    ),
    argument("port", "/dev/ttyACM0", "Serial port of the servos. Only hardware:=feetech."),
    argument("ids", "1 2 3 4 5 6", "Ids of the servos in joint order. Only hardware:=feetech."),
    argument(
        "offsets",
        "2048 2048 2048 2048 2048 2048",
        "Tick (0 to 4095) of each servo at which its joint is at 0 rad. Only hardware:=feetech.",
    ),
    argument(
        "cameras", "", 'Cameras to start and their devices, such as "top=/dev/video0 wrist=/dev/video2".'
    ),
    argument("camera_driver", "usb_cam", "Package of the cameras' driver.", bringup.CAMERA_DRIVERS),
    argument("camera_size", "640x480", "Width and height of the cameras' images in pixels."),
    argument("record", "", "Folder of a new bag that gets what replay needs. Empty: record nothing."),
    argument("rviz", "false", "Show the arm and its cameras in RViz.", BOOLEAN),
    argument("step_params", share("config", "step.yaml"), "Parameter file of /step."),
    argument("bridge_params", share("config", "mujoco_bridge.yaml"), "Parameter file of /mujoco_bridge."),
    argument("controller_params", share("config", "controllers.yaml"), "Parameter file of the controllers."),
]


def generate_launch_description() -> LaunchDescription:
    """The arguments, then what they ask for."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=bring_up)])


def bring_up(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Everything that is started, in the order of the file's docstring.

    Raises:
        BringupError: an argument makes no sense or a package is missing.
    """
    chosen = {each.name: LaunchConfiguration(each.name).perform(context) for each in ARGUMENTS}
    plan = bringup.make_plan(chosen["hardware"], chosen["controller"], chosen["use_sim_time"])
    entities = [LogInfo(msg=f"controller: {plan.controller}, because {plan.why}")]
    if chosen["hardware"] == "robot":
        entities.append(LogInfo(msg=ROBOT_MUST_RUN))
    entities += recorder(chosen)
    if chosen["cameras"]:
        entities.append(included("cameras", chosen, "cameras", "camera_driver", "camera_size"))
    spawner = None
    if plan.controller == "ros2_control":
        names = ("hardware", "port", "ids", "offsets", "controller_params")
        entities.append(included("control", chosen, *names, use_sim_time=str(plan.use_sim_time).lower()))
        spawner = make_spawner(controller_files(chosen))
    if chosen["hardware"] == "mujoco":
        entities.append(bridge(chosen, plan))
    entities += viewer(chosen, plan)
    step = step_node(plan.use_sim_time)
    if chosen["autostart"] == "false":
        return [*entities, step] + ([] if spawner is None else [spawner, after_spawner(spawner)])
    if spawner is None:
        return [*entities, *configure(step, then=[activate(step)])]
    return [*entities, after_spawner(spawner, activate(step)), *configure(step, then=[spawner])]


def included(file: str, chosen: dict[str, str], *names: str, **more: str) -> IncludeLaunchDescription:
    """Another launch file of this package with some of the arguments."""
    source = PythonLaunchDescriptionSource(share("launch", f"{file}.launch.py"))
    values = {name: chosen[name] for name in names} | more
    return IncludeLaunchDescription(source, launch_arguments=values.items())


def controller_files(chosen: dict[str, str]) -> list[str]:
    """Parameter files of the controllers, later ones over earlier ones."""
    files = [chosen["controller_params"]]
    if chosen["hardware"] == "feetech":
        files.append(str(Path(get_package_share_directory("step_ros"), "config", "controllers_feetech.yaml")))
    return files


def make_spawner(files: list[str]) -> Node:
    """Activates the controllers, one after the other, and ends."""
    parameters = [part for file in files for part in ("--param-file", file)]
    patience = ["--controller-manager-timeout", CONTROLLER_PATIENCE, "--switch-timeout", CONTROLLER_PATIENCE]
    return Node(
        package="controller_manager",
        executable="spawner",
        output="screen",
        arguments=[*CONTROLLER_NAMES, *parameters, *patience],
    )


def bridge(chosen: dict[str, str], plan: bringup.Plan) -> Node:
    """The simulated arm and its cameras."""
    return required(
        "step_ros",
        "mujoco_bridge",
        name="mujoco_bridge",
        additional_env={"MUJOCO_GL": EnvironmentVariable("MUJOCO_GL", default_value="egl")},
        parameters=[
            chosen["bridge_params"],
            {
                "task": typed("task", str),
                "seed": typed("seed", int),
                "controller": plan.controller,
            },
        ],
    )


def recorder(chosen: dict[str, str]) -> list[LaunchDescriptionEntity]:
    """Records the topics that `step-ros replay` needs, episode marks and parameters among them."""
    if not chosen["record"]:
        return []
    bringup.require("record", "ros2bag", "rosbag2_storage_mcap")
    what = ["--storage", "mcap", "--regex", recorded_pattern()]
    command = ["ros2", "bag", "record", *what, "--output", chosen["record"]]
    return [ExecuteProcess(cmd=command, output="screen")]


def viewer(chosen: dict[str, str], plan: bringup.Plan) -> list[LaunchDescriptionEntity]:
    """RViz; closing it ends nothing."""
    if chosen["rviz"] == "false":
        return []
    bringup.require("rviz", "rviz2")
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", share("config", "so101.rviz")],
            parameters=[{"use_sim_time": plan.use_sim_time}],
        )
    ]


def after_spawner(spawner: Node, *then: LaunchDescriptionEntity) -> RegisterEventHandler:
    """Goes on when the controllers are active, ends everything when they are not."""

    def ended(event: ProcessExited, context: LaunchContext) -> list[LaunchDescriptionEntity]:
        if event.returncode == 0:
            return [LogInfo(msg=f"active: {', '.join(CONTROLLER_NAMES)}"), *then]
        reason = f"{' and '.join(CONTROLLER_NAMES)} could not be activated; the spawner says why above"
        return [] if context.is_shutdown else [LogInfo(msg=reason), Shutdown(reason=reason)]

    return RegisterEventHandler(OnProcessExit(target_action=spawner, on_exit=ended))
