"""The robot description: the arm's published numbers, and what ros2_control is told about it."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import mujoco
import numpy as np
import pytest

from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.paths import share_path
from step_ros.sim.meshes import ASSETS
from step_ros.sim.task import HOME

xacro = pytest.importorskip("xacro", reason="xacro (PyPI, or a ROS 2 distribution's) expands the description")

HARDWARE = ("mock", "mujoco", "feetech", "gazebo")
PLUGINS = {
    "mock": "mock_components/GenericSystem",
    "mujoco": "joint_state_topic_hardware_interface/JointStateTopicSystem",
    "feetech": "feetech_ros2_driver/FeetechHardwareInterface",
    "gazebo": "gz_ros2_control/GazeboSimSystem",
}
QUARTER_TURN = np.pi / 2
FIXTURES = [
    ((0, 0, 0, 0, 0, 0), (0.3914, 0.0, 0.2265)),
    ((QUARTER_TURN, 0, 0, 0, 0, 0), (0.0388, -0.3525, 0.2265)),
    ((0, 0.5, 0, 0, 0, 0), (0.4046, 0.0, 0.0586)),
    ((0, -0.5, 0, 0, 0, 0), (0.2993, 0.0, 0.3675)),
    ((0, 0, 0.5, 0, 0, 0), (0.3541, 0.0, 0.0858)),
    ((0, 0, 0, 0.5, 0, 0), (0.3681, 0.0, 0.1511)),
    ((0, 0, 0, 0, 0.5, 0), (0.3914, -0.0038, 0.2274)),
    ((0, -1.745, 1.69, 1.2, 0, 0), (0.1465, 0.0, -0.0110)),
    ((0, 0, 0, 1.4, 0, 0), (0.2514, 0.0, 0.0761)),
    ((0, 1.5, -1.5, 0, 0, 0), (0.4776, 0.0, 0.0939)),
]
"""Joint positions and where the tip of the fixed finger is then; measured on the arm's official model."""


def expand(**arguments: str) -> Element:
    """The description as XML, from the arguments of its xacro file."""
    file = str(share_path("models", "so101", "so101.urdf.xacro"))
    return ElementTree.fromstring(xacro.process_file(file, mappings=arguments).toxml())


def joints(description: Element) -> dict[str, Element]:
    return {joint.get("name"): joint for joint in description.findall("joint[@type='revolute']")}


def control(description: Element) -> Element:
    (found,) = description.findall("ros2_control")
    return found


def parameters(element: Element) -> dict[str, str]:
    return {parameter.get("name"): parameter.text for parameter in element.findall("param")}


def model(file: str) -> mujoco.MjModel:
    """A URDF's links as bodies, none of them merged into its parent."""
    spec = mujoco.MjSpec.from_string(file)
    spec.compiler.fusestatic = False
    return spec.compile()


@pytest.fixture(scope="module")
def described() -> mujoco.MjModel:
    return model(ElementTree.tostring(expand(), encoding="unicode"))


@pytest.fixture(scope="module")
def official() -> mujoco.MjModel:
    root = ElementTree.parse(ASSETS / "so101_new_calib.urdf").getroot()
    for link in root.findall("link"):
        for shape in (*link.findall("visual"), *link.findall("collision")):
            link.remove(shape)
    return model(ElementTree.tostring(root, encoding="unicode"))


def place(found: mujoco.MjModel, positions: object) -> mujoco.MjData:
    data = mujoco.MjData(found)
    for name, position in zip(JOINT_NAMES, positions, strict=True):
        data.qpos[found.joint(name).qposadr[0]] = position
    mujoco.mj_kinematics(found, data)
    return data


@pytest.mark.parametrize(("positions", "tip"), FIXTURES)
def test_the_fingertip_is_where_the_official_model_has_it(described, positions, tip) -> None:
    found = place(described, positions).body("gripper_frame_link").xpos
    np.testing.assert_allclose(found, tip, atol=1e-4)


def test_every_link_lies_as_in_the_official_description_wherever_the_arm_is(described, official) -> None:
    rng, limits = np.random.default_rng(20000), JointLimits.so101()
    names = (official.body(index).name for index in range(1, official.nbody))
    links = [name for name in names if name != "base_link"]
    assert len(links) == 7
    for _ in range(50):
        positions = rng.uniform(limits.lower, limits.upper)
        ours, theirs = place(described, positions), place(official, positions)
        for name in links:
            np.testing.assert_allclose(ours.body(name).xpos, theirs.body(name).xpos, atol=2e-5)
            np.testing.assert_allclose(ours.body(name).xmat, theirs.body(name).xmat, atol=2e-5)


def test_masses_and_inertias_are_the_official_ones() -> None:
    official = ElementTree.parse(ASSETS / "so101_new_calib.urdf").getroot()
    ours = {link.get("name"): link.find("inertial") for link in expand().findall("link")}
    for link in official.findall("link"):
        if link.get("name") == "gripper_frame_link":
            continue  # A frame without mass; theirs weighs a microgram.
        theirs, found = link.find("inertial"), ours[link.get("name")]
        assert float(found.find("mass").get("value")) == float(theirs.find("mass").get("value"))
        assert found.find("origin").get("xyz").split() == theirs.find("origin").get("xyz").split()
        for axes in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz"):
            assert float(found.find("inertia").get(axes)) == float(theirs.find("inertia").get(axes)), axes


def test_joint_limits_are_those_that_step_keeps() -> None:
    found, limits = joints(expand()), JointLimits.so101()
    assert tuple(found) == JOINT_NAMES
    for index, joint in enumerate(found.values()):
        limit = joint.find("limit")
        assert float(limit.get("lower")) == limits.lower[index]
        assert float(limit.get("upper")) == limits.upper[index]
        assert float(limit.get("velocity")) == limits.max_velocity[index]


@pytest.mark.parametrize("hardware", HARDWARE)
def test_hardware_selects_the_plugin_behind_the_same_six_joints(hardware: str) -> None:
    found = control(expand(hardware=hardware))
    assert found.find("hardware/plugin").text == PLUGINS[hardware]
    assert tuple(joint.get("name") for joint in found.findall("joint")) == JOINT_NAMES
    for joint in found.findall("joint"):
        assert [each.get("name") for each in joint.findall("command_interface")] == ["position"]
        assert [each.get("name") for each in joint.findall("state_interface")] == ["position", "velocity"]


@pytest.mark.parametrize("hardware", ["mock", "gazebo"])
def test_hardware_without_an_arm_starts_where_episodes_do(hardware: str) -> None:
    starts = [
        float(parameters(joint.find("state_interface[@name='position']"))["initial_value"])
        for joint in control(expand(hardware=hardware)).findall("joint")
    ]
    np.testing.assert_array_equal(starts, HOME)


def test_servos_get_their_ids_and_offsets_in_joint_order() -> None:
    found = control(
        expand(hardware="feetech", port="/dev/arm", ids="11 12 13 14 15 16", offsets="1 2 3 4 5 6")
    )
    assert parameters(found.find("hardware")) == {"usb_port": "/dev/arm"}
    servos = [parameters(joint) for joint in found.findall("joint")]
    assert [servo["id"] for servo in servos] == ["11", "12", "13", "14", "15", "16"]
    assert [servo["offset"] for servo in servos] == ["1", "2", "3", "4", "5", "6"]


def test_gazebo_starts_the_controllers_from_the_file_it_is_given() -> None:
    plugin = expand(hardware="gazebo", controllers="/some/controllers.yaml").find("gazebo/plugin")
    assert plugin.get("name") == "gz_ros2_control::GazeboSimROS2ControlPlugin"
    assert plugin.find("parameters").text == "/some/controllers.yaml"


def test_every_mesh_is_in_the_model_package() -> None:
    folder = (ASSETS / "assets").as_uri()
    files = [mesh.get("filename") for mesh in expand(meshes=folder).iter("mesh")]
    assert len(files) == 2 * 17
    for file in files:
        assert Path(file.removeprefix("file://")).is_file(), file


def test_without_meshes_there_are_no_shapes() -> None:
    assert not list(expand().iter("mesh"))


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"hardware": "robot"}, "hardware: found robot, accepted: mock, mujoco, feetech, gazebo"),
        ({"hardware": "feetech", "ids": "1 2 3"}, "ids and offsets: found 3 and 6 numbers, accepted: 6 each"),
    ],
)
def test_an_argument_that_makes_no_sense_is_named(arguments: dict[str, str], complaint: str) -> None:
    with pytest.raises(xacro.XacroException, match=complaint):
        expand(**arguments)
