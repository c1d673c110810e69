"""Starts what is below the controllers: the arm's description and the controller manager with its hardware.

The controllers themselves are activated by whoever includes this file, when the time has come:

    ros2 launch step_ros control.launch.py hardware:=mock
    ros2 run controller_manager spawner joint_state_broadcaster joint_trajectory_controller --param-file ...
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, LogInfo, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from step_ros import bringup
from step_ros.launching import required

SHARE = Path(get_package_share_directory("step_ros"))
ARGUMENTS = [
    DeclareLaunchArgument(
        "hardware",
        default_value="mock",
        choices=["mujoco", "mock", "feetech", "gazebo"],
        description="What moves.",
    ),
    DeclareLaunchArgument("port", default_value="/dev/ttyACM0", description="Serial port of the servos."),
    DeclareLaunchArgument(
        "ids", default_value="1 2 3 4 5 6", description="Ids of the servos in joint order."
    ),
    DeclareLaunchArgument(
        "offsets",
        default_value="2048 2048 2048 2048 2048 2048",
        description="Tick of each servo at which its joint is at 0 rad.",
    ),
    DeclareLaunchArgument(
        "controller_params",
        default_value=str(SHARE / "config" / "controllers.yaml"),
        description="Parameter file of controller manager and controllers.",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="false",
        choices=["true", "false"],
        description="Whether time is /clock's.",
    ),
]


def generate_launch_description() -> LaunchDescription:
    """The arguments, then what they ask for."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=bring_up)])


def bring_up(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """The publisher of the description, and the controller manager.

    Raises:
        BringupError: xacro refuses an argument.
    """
    chosen = {each.name: LaunchConfiguration(each.name).perform(context) for each in ARGUMENTS}
    clock = {"use_sim_time": chosen["use_sim_time"] == "true"}
    meshes = bringup.meshes_uri()
    urdf = bringup.robot_description(
        SHARE / "models" / "so101" / "so101.urdf.xacro",
        {
            **{name: chosen[name] for name in ("hardware", "port", "ids", "offsets")},
            "meshes": meshes,
            "controllers": chosen["controller_params"],
        },
    )
    description = {"robot_description": ParameterValue(urdf, value_type=str)}
    entities = [required("robot_state_publisher", "robot_state_publisher", parameters=[description | clock])]
    if not meshes:
        missing = f"no meshes: the Python package {bringup.MODEL_PACKAGE} is not installed"
        entities.append(LogInfo(msg=missing))
    if chosen["hardware"] == "gazebo":
        return entities + gazebo()
    files = [chosen["controller_params"]]
    return [*entities, required("controller_manager", "ros2_control_node", parameters=[*files, clock])]


def gazebo() -> list[LaunchDescriptionEntity]:
    """An empty world with the arm in it and its clock; the controller manager comes with the arm."""
    world = PathJoinSubstitution([FindPackageShare("ros_gz_sim"), "launch", "gz_sim.launch.py"])
    return [
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(world), launch_arguments={"gz_args": "-r -v 3 empty.sdf"}.items()
        ),
        Node(
            package="ros_gz_sim",
            executable="create",
            output="screen",
            arguments=["-topic", "robot_description", "-name", "so101"],
        ),
        required(
            "ros_gz_bridge", "parameter_bridge", arguments=["/clock@rosgraph_msgs/msg/Clock[gz.msgs.Clock"]
        ),
    ]
