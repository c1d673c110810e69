"""Starts a driver for each USB camera; its images come on <camera>/image_raw, as /step expects them.

ros2 launch step_ros cameras.launch.py cameras:="top=/dev/video0 wrist=/dev/video2"
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from step_ros import bringup
from step_ros.launching import required

EXECUTABLES = {"usb_cam": "usb_cam_node_exe", "v4l2_camera": "v4l2_camera_node"}
ARGUMENTS = [
    DeclareLaunchArgument("cameras", description='Names and devices: "top=/dev/video0 wrist=/dev/video2".'),
    DeclareLaunchArgument(
        "camera_driver",
        default_value="usb_cam",
        choices=list(bringup.CAMERA_DRIVERS),
        description="Package of the driver.",
    ),
    DeclareLaunchArgument(
        "camera_size", default_value="640x480", description="Width and height of the images in pixels."
    ),
]


def generate_launch_description() -> LaunchDescription:
    """The arguments, then the drivers."""
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=drivers)])


def drivers(context: LaunchContext) -> list[Node]:
    """One node `camera` per camera, in the camera's namespace.

    Raises:
        BringupError: an argument makes no sense, or the driver is not installed.
    """
    chosen = {each.name: LaunchConfiguration(each.name).perform(context) for each in ARGUMENTS}
    devices, size = bringup.parse_cameras(chosen["cameras"]), bringup.parse_size(chosen["camera_size"])
    driver = chosen["camera_driver"]
    bringup.require("cameras", driver)
    return [
        required(
            driver,
            EXECUTABLES[driver],
            name="camera",
            namespace=name,
            parameters=[bringup.camera_parameters(driver, name, device, size)],
        )
        for name, device in devices.items()
    ]
