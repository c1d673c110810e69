"""The launch files with real `launch` and stand-ins for executables: what starts, when, and what fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from step_ros.bringup import HARDWARE
from step_ros.paths import share_path

# Not `launch`: this repository has a folder of that name.
pytest.importorskip("launch_ros", reason="launch_ros comes with a ROS 2 distribution, not from PyPI")
pytest.importorskip("xacro", reason="xacro (PyPI, or a ROS 2 distribution's) expands the description")

PATIENCE = 60.0
RUNNER = """
import sys
from launch import LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

service = LaunchService()
arguments = [argument.split(":=", 1) for argument in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
service.include_launch_description(IncludeLaunchDescription(source, launch_arguments=arguments))
sys.exit(service.run())
"""
PROCESS = """#!{python}
import os, signal, sys, time
from pathlib import Path

def note(text):
    with open(os.environ["STAND_IN_LOG"], "a") as log:
        log.write(text + "\\n")

note("{name} starts " + " ".join(sys.argv[1:]))
if "{name}" == "spawner" or "play" in sys.argv:
    time.sleep(0.2)
    note("{name} ends")
    sys.exit(int(os.environ.get("SPAWNER_STATUS", "0")))
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
try:
    time.sleep(120)
finally:
    note("{name} stops")
"""
STEP = """#!{python}
import os, sys
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

def note(text):
    with open(os.environ["STAND_IN_LOG"], "a") as log:
        log.write(text + "\\n")

class Step(LifecycleNode):
    def on_configure(self, state):
        note("step configures")
        fails = os.environ.get("STEP_FAILS")
        return TransitionCallbackReturn.FAILURE if fails else TransitionCallbackReturn.SUCCESS

    def on_activate(self, state):
        note("step activates")
        return super().on_activate(state)

note("step_node starts " + " ".join(sys.argv[1:]))
rclpy.init()
try:
    rclpy.spin(Step("step"))
except (KeyboardInterrupt, ExternalShutdownException):
    pass
note("step_node stops")
"""
ROS2_CONTROL = {
    "xacro": [],
    "robot_state_publisher": ["robot_state_publisher"],
    "controller_manager": ["ros2_control_node", "spawner"],
    "joint_state_broadcaster": [],
    "joint_trajectory_controller": [],
    "joint_state_topic_hardware_interface": [],
    "hardware_interface": [],
    "feetech_ros2_driver": [],
    "usb_cam": ["usb_cam_node_exe"],
    "v4l2_camera": ["v4l2_camera_node"],
    "ros2bag": ["ros2"],
    "rosbag2_storage_mcap": [],
}


class Installation:
    """A prefix in which only the named packages are installed, their executables being stand-ins."""

    def __init__(self, folder: Path, packages: dict[str, list[str]]) -> None:
        self.prefix, self.log_file = folder / "prefix", folder / "log.txt"
        self.log_file.touch()
        self.environment = {
            **os.environ,
            "AMENT_PREFIX_PATH": str(self.prefix),
            "PATH": f"{self.prefix / 'lib' / 'ros2bag'}:{os.environ['PATH']}",
            "STAND_IN_LOG": str(self.log_file),
            "ROS_DISTRO": "jazzy",
            "ROS_HOME": str(folder),
            "PYTHONUNBUFFERED": "1",
        }
        for package, executables in {**packages, "step_ros": ["step_node", "mujoco_bridge"]}.items():
            self._install(package, executables)
        (self.prefix / "share" / "step_ros").rmdir()
        (self.prefix / "share" / "step_ros").symlink_to(share_path())

    def _install(self, package: str, executables: list[str]) -> None:
        index = self.prefix / "share" / "ament_index" / "resource_index" / "packages"
        index.mkdir(parents=True, exist_ok=True)
        (index / package).touch()
        (self.prefix / "share" / package).mkdir(parents=True)
        (self.prefix / "lib" / package).mkdir(parents=True)
        for name in executables:
            file = self.prefix / "lib" / package / name
            template = STEP if name == "step_node" else PROCESS
            file.write_text(template.replace("{python}", sys.executable).replace("{name}", name))
            file.chmod(0o755)

    def start(self, *arguments: str, file: str = "so101", **environment: str) -> subprocess.Popen:
        command = [sys.executable, "-c", RUNNER, str(share_path("launch", f"{file}.launch.py")), *arguments]
        return subprocess.Popen(
            command,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def fail(self, *arguments: str, file: str = "so101", **environment: str) -> str:
        """What is printed by a launch that ends by itself."""
        process = self.start(*arguments, file=file, **environment)
        return process.communicate(timeout=PATIENCE)[0]

    @property
    def log(self) -> list[str]:
        return self.log_file.read_text().splitlines()

    def position(self, beginning: str) -> int:
        """Index of the first line that begins so."""
        found = [index for index, line in enumerate(self.log) if line.startswith(beginning)]
        assert found, f"'{beginning}' is not among {self.log}"
        return found[0]

    def run_until(self, line: str, *arguments: str, file: str = "so101", **environment: str) -> str:
        """Launch, wait for a line that begins so, interrupt as Ctrl-C does; returns what was printed."""
        process = self.start(*arguments, file=file, **environment)
        deadline = time.monotonic() + PATIENCE
        while not any(each.startswith(line) for each in self.log):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise AssertionError(f"no '{line}' in {self.log}; {process.communicate()[0]}")
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        printed = process.communicate(timeout=PATIENCE)[0]
        assert process.returncode == 0, printed
        return printed


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Installation]:
    """Nothing but this package."""
    return Installation(tmp_path, {})


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Installation]:
    """With ros2_control."""
    return Installation(tmp_path, ROS2_CONTROL)


def test_without_ros2_control_the_bridge_follows_trajectories_itself_and_it_is_said(bare) -> None:
    printed = bare.run_until("step activates")
    assert (
        "controller: internal, because not installed: xacro, robot_state_publisher, controller_manager"
        in printed
    )
    assert "sudo apt install ros-jazzy-xacro ros-jazzy-robot-state-publisher" in printed
    assert bare.position("mujoco_bridge starts") >= 0
    assert bare.position("step configures") < bare.position("step activates")


@pytest.mark.parametrize("hardware", ["mujoco", "mock", "feetech"])
def test_controllers_are_active_before_step_is(full, hardware: str) -> None:
    printed = full.run_until("step activates", f"hardware:={hardware}")
    assert "controller: ros2_control, because its packages are installed" in printed
    order = ["ros2_control_node starts", "spawner starts", "spawner ends", "step activates"]
    positions = [full.position(line) for line in order]
    assert positions == sorted(positions)
    assert full.position("step configures") < full.position("spawner starts")
    assert any(line.startswith("mujoco_bridge starts") for line in full.log) == (hardware == "mujoco")


def test_the_broadcaster_is_spawned_before_the_trajectory_controller(full) -> None:
    full.run_until("step activates")
    line = full.log[full.position("spawner starts")]
    assert line.split()[2:4] == ["joint_state_broadcaster", "joint_trajectory_controller"]


def test_servos_speeds_are_kept_from_the_controllers(full) -> None:
    full.run_until("step activates", "hardware:=feetech")
    files = [part for part in full.log[full.position("spawner starts")].split() if part.endswith(".yaml")]
    assert [Path(file).name for file in files] == ["controllers.yaml", "controllers_feetech.yaml"]


def test_interrupting_ends_every_process_in_good_order(full) -> None:
    printed = full.run_until("step activates")
    for name in ("mujoco_bridge", "ros2_control_node", "robot_state_publisher", "step_node"):
        assert full.position(f"{name} stops") > full.position(f"{name} starts")
    assert "process has died" not in printed


def test_each_camera_gets_a_driver_in_its_namespace(full) -> None:
    full.run_until("step activates", "hardware:=feetech", "cameras:=top=/dev/video0 wrist=/dev/video2")
    starts = [line for line in full.log if line.startswith("usb_cam_node_exe starts")]
    assert [any(f"__ns:=/{name}" in line for line in starts) for name in ("top", "wrist")] == [True, True]


@pytest.mark.parametrize("hardware", [name for name in HARDWARE if name not in ("mujoco", "robot")])
def test_hardware_without_its_packages_is_refused_with_their_names(bare, hardware: str) -> None:
    printed = bare.fail(f"hardware:={hardware}")
    assert f"hardware:={hardware} with ros2_control needs what is not installed: xacro" in printed
    assert "sudo apt install ros-jazzy-xacro" in printed
    assert not bare.log


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["hardware:=arduino"], "hardware"),
        (["hardware:=mock", "controller:=internal"], "accepted with hardware:=mock: ros2_control"),
        (["hardware:=feetech", "ids:=1 2"], "ids and offsets: found 2 and 6 numbers, accepted: 6 each"),
        (["cameras:=top"], "cameras: found 'top', accepted: name=device"),
        (
            ["cameras:=top=/dev/video0", "camera_size:=big"],
            "camera_size: found 'big', accepted: WIDTHxHEIGHT",
        ),
        (["rviz:=true"], "rviz needs what is not installed: rviz2"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named(full, arguments: list[str], complaint: str) -> None:
    assert complaint in full.fail(*arguments)


def test_controllers_that_cannot_be_activated_end_the_launch_with_the_reason(full) -> None:
    printed = full.fail(SPAWNER_STATUS="1")
    assert "joint_state_broadcaster and joint_trajectory_controller could not be activated" in printed
    assert "step activates" not in full.log


def test_a_policy_that_cannot_be_loaded_ends_the_launch_before_the_controllers_start(full) -> None:
    printed = full.fail(STEP_FAILS="1")
    assert "/step cannot be configured" in printed
    assert not any(line.startswith("spawner") for line in full.log)


def test_without_autostart_step_is_left_alone_and_the_controllers_are_not(full) -> None:
    full.run_until("spawner ends", "autostart:=false")
    assert not any(line.startswith("step configures") for line in full.log)


def test_an_arm_that_runs_already_gets_only_step(full) -> None:
    printed = full.run_until("step activates", "hardware:=robot")
    assert "Already running must be" in printed
    assert {line.split()[0] for line in full.log} == {"step_node", "step"}


def test_recording_starts_when_asked_for(full, tmp_path: Path) -> None:
    full.run_until("step activates", f"record:={tmp_path / 'bag'}")
    assert f"bag record --all --output {tmp_path / 'bag'}" in full.log[full.position("ros2 starts")]


def test_a_bag_is_played_once_step_is_active_and_its_end_is_the_launchs(full, tmp_path: Path) -> None:
    printed = full.fail(f"bag:={tmp_path}", "topics:=/joint_states /top/image_raw", file="replay")
    assert full.position("step activates") < full.position("ros2 starts")
    assert f"bag play {tmp_path}" in full.log[full.position("ros2 starts")]
    assert full.log[full.position("ros2 starts")].endswith("--topics /joint_states /top/image_raw")
    assert "process has died" not in printed


def test_a_replayed_policy_commands_nothing_that_moves(full, tmp_path: Path) -> None:
    full.fail(f"bag:={tmp_path}", file="replay")
    line = full.log[full.position("step_node starts")]
    files = [Path(part) for part in line.split() if part.startswith("/tmp/launch_params_")]
    assert any("trajectory_topic: /replay/joint_trajectory" in file.read_text() for file in files)


def test_a_bag_that_is_not_there_is_named(full) -> None:
    assert "bag: found no file or folder '/nowhere'" in full.fail("bag:=/nowhere", file="replay")


def test_replaying_names_the_packages_that_it_lacks(bare, tmp_path: Path) -> None:
    printed = bare.fail(f"bag:={tmp_path}", file="replay")
    assert "replay needs what is not installed: ros2bag, rosbag2_storage_mcap" in printed
