"""Plays a bag into /step, to see what the policy would have done. Nothing that moves is commanded.

    ros2 launch step_ros replay.launch.py bag:=run1_bag
    ros2 launch step_ros replay.launch.py bag:=run1_bag topics:="/joint_states /front/image_raw" rate:=0.5

/step takes its time from the bag's clock, starts before the bag does, and sends to /replay/joint_trajectory.
Its chunks are on /step/chunk, its figures on /diagnostics. `step-ros replay` does the same without ROS 2 and
faster, and reports errors.
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from step_ros import bringup
from step_ros.launching import activate, after, configure, end_launch, step_node

SHARE = Path(get_package_share_directory("step_ros"))
CLOCK_RATE = "120"
"""Messages per second on /clock: as many as the simulation sends."""
PLOTTED = [f"/joint_states/position[{joint}]" for joint in range(6)]

ARGUMENTS = [
    DeclareLaunchArgument("bag", description="Folder of the bag."),
    DeclareLaunchArgument(
        "topics",
        default_value="/joint_states /top/image_raw /wrist/image_raw",
        description="What /step hears of the bag: joint states and the cameras' images.",
    ),
    DeclareLaunchArgument(
        "rate", default_value="1.0", description="Speed of the bag; 1 is that of the recording."
    ),
    DeclareLaunchArgument(
        "checkpoint",
        default_value=str(SHARE / "models" / "policies" / "pick_place"),
        description="Folder of the policy.",
    ),
    DeclareLaunchArgument("method", default_value="step", description="How chunks are sampled."),
    DeclareLaunchArgument(
        "plot",
        default_value="none",
        choices=["none", "rqt_plot"],
        description="Plot the joints while it runs.",
    ),
    DeclareLaunchArgument(
        "step_params",
        default_value=str(SHARE / "config" / "step.yaml"),
        description="Parameter file of /step.",
    ),
]


def generate_launch_description() -> LaunchDescription:
    """The arguments, then /step and the bag."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=replay)])


def replay(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """/step, and once it is active the bag; the end of the bag ends the launch.

    Raises:
        BringupError: the bag is not there, or a package is not installed.
    """
    chosen = {each.name: LaunchConfiguration(each.name).perform(context) for each in ARGUMENTS}
    if not Path(chosen["bag"]).exists():
        raise bringup.BringupError(f"bag: found no file or folder '{chosen['bag']}'")
    bringup.require("replay", "ros2bag", "rosbag2_storage_mcap")
    play = ["ros2", "bag", "play", chosen["bag"], "--rate", chosen["rate"], "--clock", CLOCK_RATE]
    bag = ExecuteProcess(
        cmd=[*play, "--topics", *chosen["topics"].split()],
        output="screen",
        on_exit=end_launch("the bag has been played"),
    )
    # The recorded joints do not follow what is sent here: nobody watches whether they do.
    unwatched = {"follow_error": [0.0] * len(PLOTTED)}
    step = step_node(use_sim_time=True, trajectory_topic="/replay/joint_trajectory", **unwatched)
    return [
        *plots(chosen["plot"]),
        after(step, "activating", "active", bag),
        *configure(step, then=[activate(step)]),
    ]


def plots(program: str) -> list[LaunchDescriptionEntity]:
    """The plotting program with the measured joints."""
    if program == "none":
        return []
    bringup.require("plot", program)
    return [Node(package=program, executable=program, arguments=PLOTTED, parameters=[{"use_sim_time": True}])]
