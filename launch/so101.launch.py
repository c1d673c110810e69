"""Starts /step on the SO-ARM101, with MuJoCo in the robot's place unless told otherwise.

For example (`--show-args` lists every argument):

    ros2 launch step_ros so101.launch.py method:=ddim record:=run1_bag
    ros2 launch step_ros so101.launch.py hardware:=robot checkpoint:=/path/to/policy

With hardware:=robot nothing but /step is started; see ROBOT_MUST_RUN for what it expects to find.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, Shutdown
from launch.conditions import IfCondition
from launch.substitutions import (
    EnvironmentVariable,
    EqualsSubstitution,
    LaunchConfiguration,
    NotEqualsSubstitution,
    PathJoinSubstitution,
)
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare("step_ros")
TRAJECTORY_TOPIC = "/joint_trajectory_controller/joint_trajectory"
ROBOT_MUST_RUN = (
    "hardware:=robot starts only /step. Already running must be: a joint_trajectory_controller for the six "
    f"joints that listens on {TRAJECTORY_TOPIC}, a joint_state_broadcaster on /joint_states, and for each "
    "camera of the policy an image publisher on <camera>/image_raw, all stamped by one clock. The policies "
    "that come with the package have seen simulation only."
)

ARGUMENTS = [
    DeclareLaunchArgument(
        "hardware",
        default_value="mujoco",
        choices=["mujoco", "robot"],
        description="mujoco: also start the simulated arm and its cameras. robot: start only /step.",
    ),
    DeclareLaunchArgument(
        "task",
        default_value="pick_place",
        choices=["pick_place", "stack_cube"],
        description="What the simulation sets up and which shipped policy is the default checkpoint.",
    ),
    DeclareLaunchArgument(
        "checkpoint",
        default_value=PathJoinSubstitution([SHARE, "models", "policies", LaunchConfiguration("task")]),
        description="Folder of the policy (config.json and model.safetensors).",
    ),
    DeclareLaunchArgument(
        "method", default_value="step", description="How chunks are sampled: step, ddim, ddpm or predictor."
    ),
    DeclareLaunchArgument(
        "seed", default_value="0", description="Seed of the simulated episode. Not used with hardware:=robot."
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="true",
        choices=["true", "false"],
        description="false: /step waits for `ros2 lifecycle set /step configure`, then `activate`.",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="false",
        choices=["true", "false"],
        description="Whether /step takes the time from /clock. The simulation here stamps with wall time.",
    ),
    DeclareLaunchArgument(
        "record",
        default_value="",
        description="Folder of a new bag that gets every topic. Empty: record nothing.",
    ),
    DeclareLaunchArgument(
        "step_params",
        default_value=PathJoinSubstitution([SHARE, "config", "step.yaml"]),
        description="Parameter file of /step.",
    ),
    DeclareLaunchArgument(
        "bridge_params",
        default_value=PathJoinSubstitution([SHARE, "config", "mujoco_bridge.yaml"]),
        description="Parameter file of /mujoco_bridge.",
    ),
]


def argument(name: str, value_type: type = str) -> ParameterValue:
    """A launch argument as a node parameter of a given type, so that a folder named 1 stays a string."""
    return ParameterValue(LaunchConfiguration(name), value_type=value_type)


def hardware_is(name: str) -> IfCondition:
    """True when the argument `hardware` is `name`."""
    return IfCondition(EqualsSubstitution(LaunchConfiguration("hardware"), name))


def generate_launch_description() -> LaunchDescription:
    """The arguments, then the bag, the simulated arm and the policy."""
    step = Node(
        package="step_ros",
        executable="step_node",
        name="step",
        output="screen",
        on_exit=Shutdown(reason="/step ended"),
        parameters=[
            LaunchConfiguration("step_params"),
            {
                "checkpoint": argument("checkpoint"),
                "method": argument("method"),
                "autostart": argument("autostart", bool),
                "use_sim_time": argument("use_sim_time", bool),
            },
        ],
    )
    bridge = Node(
        package="step_ros",
        executable="mujoco_bridge",
        name="mujoco_bridge",
        output="screen",
        on_exit=Shutdown(reason="/mujoco_bridge ended"),
        condition=hardware_is("mujoco"),
        additional_env={"MUJOCO_GL": EnvironmentVariable("MUJOCO_GL", default_value="egl")},
        parameters=[
            LaunchConfiguration("bridge_params"),
            {"task": argument("task"), "seed": argument("seed", int)},
        ],
    )
    bag = ExecuteProcess(
        cmd=["ros2", "bag", "record", "--all", "--output", LaunchConfiguration("record")],
        output="screen",
        condition=IfCondition(NotEqualsSubstitution(LaunchConfiguration("record"), "")),
    )
    return LaunchDescription(
        [*ARGUMENTS, LogInfo(msg=ROBOT_MUST_RUN, condition=hardware_is("robot")), bag, bridge, step]
    )
