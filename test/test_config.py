"""The parameter files and the nodes' declarations say the same."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator

import pytest
import rclpy
import yaml
from rclpy.node import Node
from rclpy.parameter import Parameter

from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.nodes.mujoco_bridge import MujocoBridge
from step_ros.nodes.step_node import StepNode
from step_ros.paths import share_path
from step_ros.policy.settings import Settings

NODES: dict[str, type[Node]] = {"step": StepNode, "mujoco_bridge": MujocoBridge}
OF_RCLPY = {"use_sim_time", "start_type_description_service"}
"""Parameters that every node has."""


@pytest.fixture(autouse=True, scope="module")
def ros() -> Iterator[None]:
    rclpy.init()
    yield
    rclpy.shutdown()


@pytest.fixture(scope="module", params=NODES)
def node(ros: None, request: pytest.FixtureRequest) -> Iterator[Node]:
    """Each node, started without its file."""
    overrides = [Parameter("autostart", value=False)] if request.param == "step" else []
    created = NODES[request.param](parameter_overrides=overrides)
    yield created
    created.destroy_node()


def text(name: str) -> str:
    return share_path("config", f"{name}.yaml").read_text()


def parameters(name: str, commented: bool = False) -> dict[str, object]:
    """The parameters in a node's file, on request with those that are commented out (`#name: value`)."""
    content = re.sub(r"^( +)#(\w+:)", r"\1\2", text(name), flags=re.MULTILINE) if commented else text(name)
    parsed = yaml.safe_load(content)
    assert list(parsed) == [f"/**/{name}"]
    return parsed[f"/**/{name}"]["ros__parameters"]


def test_a_file_names_all_parameters_of_its_node_and_no_others(node: Node) -> None:
    declared = set(node.get_parameters_by_prefix("")) - OF_RCLPY
    assert set(parameters(node.get_name(), commented=True)) == declared


def test_a_file_holds_the_nodes_own_defaults(node: Node) -> None:
    for name, value in parameters(node.get_name()).items():
        if name != "autostart":
            found = node.get_parameter(name).value
            assert (list(found) if isinstance(value, list) else found) == value, name


def test_the_step_node_takes_its_file_with_every_comment_removed() -> None:
    values = parameters("step", commented=True) | {"autostart": False}
    node = StepNode(parameter_overrides=[Parameter(name, value=value) for name, value in values.items()])
    assert list(node.get_parameter("joint_names").value) == list(JOINT_NAMES)
    node.destroy_node()


@pytest.mark.parametrize("name", NODES)
def test_every_parameter_has_a_comment_above_it(name: str) -> None:
    lines = text(name).splitlines()
    for parameter in parameters(name, commented=True):
        above = (
            next(i for i, line in enumerate(lines) if line.strip().lstrip("#").startswith(f"{parameter}:"))
            - 1
        )
        assert re.match(r" +# \S", lines[above]), parameter


def test_commented_settings_show_the_policys_defaults() -> None:
    shown = parameters("step", commented=True)
    for field in dataclasses.fields(Settings):
        assert shown[field.name] == ([-1] if field.name == "timesteps" else field.default), field.name


def test_commented_limits_show_the_arms_own() -> None:
    shown, limits = parameters("step", commented=True), JointLimits.so101()
    assert tuple(shown["joint_names"]) == JOINT_NAMES
    assert shown["position_lower"] == limits.lower.tolist()
    assert shown["position_upper"] == limits.upper.tolist()
    assert shown["max_velocity"] == limits.max_velocity.tolist()
    assert shown["max_step"] == limits.max_step.tolist()


@pytest.mark.parametrize("name", NODES)
def test_rcl_reads_the_file_for_a_node_in_a_namespace(name: str) -> None:
    arguments = ["--ros-args", "--params-file", str(share_path("config", f"{name}.yaml"))]
    reader = Node(
        name, namespace="left", cli_args=arguments, automatically_declare_parameters_from_overrides=True
    )
    read = {key: value.value for key, value in reader.get_parameters_by_prefix("").items()}
    reader.destroy_node()
    for key, value in parameters(name).items():
        assert (list(read[key]) if isinstance(value, list) else read[key]) == value
