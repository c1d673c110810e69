"""The recorder: what is published is in the bag, and the bag is laid out as ROS 2 Jazzy lays it out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import rclpy
import yaml
from rclpy.exceptions import InvalidParameterValueException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool

from step_ros.nodes.recorder import Recorder

LATCHED = QoSProfile(
    depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL, reliability=ReliabilityPolicy.RELIABLE
)


@pytest.fixture
def graph():
    """A private graph: (node, executor)."""
    rclpy.init()
    node = Node("talker")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    yield node, executor
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown()


def spin_until(executor, condition, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened within the time allowed"
        executor.spin_once(timeout_sec=0.05)


def record(graph, bag: Path, publishers_and_messages) -> Path:
    """Publish each message once the recorder listens, and finish the bag."""
    _, executor = graph
    recorder = Recorder(bag)
    executor.add_node(recorder)
    for publisher, _ in publishers_and_messages:
        spin_until(executor, lambda publisher=publisher: publisher.get_subscription_count() > 0)
    for publisher, message in publishers_and_messages:
        publisher.publish(message)

    spin_until(executor, lambda: all(recorder.counts[sent.topic_name] for sent, _ in publishers_and_messages))
    executor.remove_node(recorder)
    recorder.destroy_node()
    return bag


def test_messages_of_every_quality_of_service_are_in_the_bag(graph, tmp_path):
    node, _ = graph
    best_effort = node.create_publisher(JointState, "/joint_states", qos_profile_sensor_data)
    reliable = node.create_publisher(Bool, "/success", 10)
    latched = node.create_publisher(Bool, "/latched", LATCHED)
    state = JointState(name=["gripper"], position=[0.25])
    state.header.stamp.sec = 7
    bag = record(
        graph, tmp_path / "bag", [(best_effort, state), (reliable, Bool(data=True)), (latched, Bool())]
    )

    with AnyReader([bag]) as reader:
        received = {
            connection.topic: reader.deserialize(raw, connection.msgtype)
            for connection, _, raw in reader.messages()
            if connection.topic != "/rosout"
        }
    assert received["/joint_states"].header.stamp.sec == 7
    assert list(received["/joint_states"].position) == [0.25]
    assert received["/success"].data is True
    assert received["/latched"].data is False


def test_bag_has_the_layout_of_jazzy(graph, tmp_path):
    node, _ = graph
    latched = node.create_publisher(Bool, "/latched", LATCHED)
    bag = record(graph, tmp_path / "bag", [(latched, Bool())])

    info = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert info["version"] == 9
    assert info["storage_identifier"] == "mcap"
    topic = next(
        entry["topic_metadata"]
        for entry in info["topics_with_message_count"]
        if entry["topic_metadata"]["name"] == "/latched"
    )
    assert topic["offered_qos_profiles"][0]["durability"] == "transient_local"
    assert topic["type_description_hash"].startswith("RIHS01_")


def test_receive_times_are_wall_times(graph, tmp_path):
    node, _ = graph
    before = time.time_ns()
    publisher = node.create_publisher(Bool, "/success", 10)
    bag = record(graph, tmp_path / "bag", [(publisher, Bool())])
    with AnyReader([bag]) as reader:
        assert before <= reader.start_time <= reader.end_time <= time.time_ns() + 1


def test_existing_folder_is_refused(graph, tmp_path):
    with pytest.raises(InvalidParameterValueException, match="exists already"):
        Recorder(tmp_path)


def test_missing_folder_name_is_refused(graph):
    with pytest.raises(InvalidParameterValueException, match="no folder given"):
        Recorder()
