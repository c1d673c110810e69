"""Record every topic of the running graph, as serialized, into a bag that `rosbags` and `ros2 bag` both read.

    python -m step_ros.nodes.recorder --ros-args -p bag:=demo_out/bag

It does for machines without `ros2 bag` what `ros2 bag record --all` does elsewhere: MCAP storage in metadata
version 9 (Jazzy's), messages stamped with the time they were received, and each topic subscribed with the
quality of service that its publishers offer.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from rclpy.duration import Duration
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode
from rosbags.typesys import Stores, get_typestore

from step_ros.nodes.runtime import run

METADATA_VERSION = 9
DISCOVERY_PERIOD = 0.2
"""Seconds between two looks at which topics exist."""
DEPTH = 200
"""Messages kept per topic while the disk is busy: some seconds of images."""


class Recorder(Node):
    """Subscribes to every visible topic as it appears and writes what arrives.

    Args:
        bag: folder to create; overrides the parameter `bag`.

    Raises:
        InvalidParameterValueException: no folder given, or it exists already.

    Attributes:
        counts: messages written so far, by topic.
    """

    def __init__(self, bag: Path | None = None):
        super().__init__("recorder")
        self.declare_parameter("bag", "")
        folder = bag or Path(self.get_parameter("bag").value)
        if folder == Path():
            raise InvalidParameterValueException("bag", "", "no folder given")
        if folder.exists():
            raise InvalidParameterValueException("bag", str(folder), "exists already")
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._writer = Writer(folder, version=METADATA_VERSION, storage_plugin=StoragePlugin.MCAP)
        # Compressed chunks inside the MCAP file: every reader knows them, and rendered images shrink a lot.
        self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._writer.open()
        self._seen: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.create_timer(DISCOVERY_PERIOD, self._discover)
        self._discover()

    def destroy_node(self) -> None:
        """Finish the bag, index and metadata, with the node."""
        self._writer.close()
        super().destroy_node()

    def _discover(self) -> None:
        for topic, types in self.get_topic_names_and_types():
            if topic in self._seen or "/_" in topic:
                continue
            offers = self.get_publishers_info_by_topic(topic)
            if offers:
                self._seen.add(topic)
                self._subscribe(topic, types[0], offers)

    def _subscribe(self, topic: str, type_name: str, offers: list[TopicEndpointInfo]) -> None:
        if type_name not in self._types.fielddefs:
            self.get_logger().warning(f"not recording {topic}: {type_name} is not a type of ROS 2 Jazzy")
            return
        connection = self._writer.add_connection(
            topic,
            type_name,
            typestore=self._types,
            offered_qos_profiles=[as_bag_qos(offer.qos_profile) for offer in offers],
        )
        self.create_subscription(
            message_class(type_name), topic, self._write_to(connection), matching_qos(offers), raw=True
        )
        self.get_logger().info(f"recording {topic} [{type_name}]")

    def _write_to(self, connection: Connection) -> Callable[[bytes, dict[str, int]], None]:
        def write(serialized: bytes, info: dict[str, int]) -> None:
            self._writer.write(connection, info["received_timestamp"], serialized)
            self.counts[connection.topic] += 1

        return write


def message_class(type_name: str) -> type:
    """The Python class of a message type such as `sensor_msgs/msg/Image`."""
    package, folder, name = type_name.split("/")
    return getattr(importlib.import_module(f"{package}.{folder}"), name)


def matching_qos(offers: list[TopicEndpointInfo]) -> QoSProfile:
    """The strictest subscription that matches every publisher, as `ros2 bag record` chooses it."""
    reliable = all(offer.qos_profile.reliability == ReliabilityPolicy.RELIABLE for offer in offers)
    latched = all(offer.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers)
    return QoSProfile(
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def as_bag_qos(profile: QoSProfile) -> Qos:
    """An offered profile in the form that a bag's metadata keeps. Both sides use the middleware's numbers."""
    return Qos(
        history=QosHistory(profile.history),
        depth=profile.depth,
        reliability=QosReliability(profile.reliability),
        durability=QosDurability(profile.durability),
        deadline=_bag_time(profile.deadline),
        lifespan=_bag_time(profile.lifespan),
        liveliness=QosLiveliness(profile.liveliness),
        liveliness_lease_duration=_bag_time(profile.liveliness_lease_duration),
        avoid_ros_namespace_conventions=profile.avoid_ros_namespace_conventions,
    )


def _bag_time(duration: Duration) -> QosTime:
    return QosTime(*divmod(duration.nanoseconds, 10**9))


def main(args: list[str] | None = None) -> None:
    """Record until the process is asked to stop; the bag is finished on the way out."""
    sys.exit(run(Recorder, args))


if __name__ == "__main__":
    main()
