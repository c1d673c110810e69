"""Plays a bag into a running graph, stamps and all: for machines without `ros2 bag`.

    python -m step_ros.nodes.player --ros-args -p bag:=demo_out/bag -p rate:=1.0

Joint states and camera images go out in the order of their stamps, and `/clock` runs with them, a little
ahead, as it does where a message has to travel. What listens needs `use_sim_time:=true`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock

from step_ros.data.bag_topics import COMPRESSED, JOINT_STATE, RAW
from step_ros.data.bags import Bag, BagMessage
from step_ros.nodes.encode import stamp_message
from step_ros.nodes.recorder import message_class
from step_ros.nodes.runtime import run

PLAYED = (JOINT_STATE, RAW, COMPRESSED)
"""Types of messages that are played: what a robot senses, nothing that commands one."""
AHEAD_NS = 5_000_000
"""About what a message needs to travel."""
_LOOK = 0.002
"""Seconds between two looks at whether a message is due."""


class Player(Node):
    """Publishes the messages of a bag.

    Args:
        bag: what to play; overrides the parameter `bag`.
        paced: play by the wall clock at the parameter `rate`; otherwise only when `step` is called.
        ahead_ns: how far `/clock` is ahead of the stamp that is played.

    Raises:
        InvalidParameterValueException: no bag given, or a rate that is not above 0.
        BagError: the bag cannot be read.
    """

    def __init__(self, bag: Path | None = None, paced: bool = True, ahead_ns: int = AHEAD_NS) -> None:
        super().__init__("player")
        self.declare_parameter("bag", "")
        self.declare_parameter("rate", 1.0)
        self._ahead_ns = ahead_ns
        path = bag or Path(self.get_parameter("bag").value)
        self._rate = self.get_parameter("rate").value
        if path == Path():
            raise InvalidParameterValueException("bag", "", "no bag given")
        if self._rate <= 0:
            raise InvalidParameterValueException("rate", str(self._rate), "not above 0")
        self._bag = Bag(path)
        topics = [topic for topic, kinds in self._bag.types.items() if set(kinds) & set(PLAYED)]
        self._outputs: dict[str, Publisher] = {
            topic: self.create_publisher(
                message_class(self._bag.types[topic][0]), topic, qos_profile_sensor_data
            )
            for topic in topics
        }
        self._clock_output = self.create_publisher(Clock, "/clock", 10)
        self._messages = self._bag.messages(topics)
        self._next = next(self._messages, None)
        self._start: tuple[float, int] | None = None
        if paced:
            self.create_timer(_LOOK, self._play)

    @property
    def upcoming(self) -> BagMessage | None:
        """The message that is played next, None after the last."""
        return self._next

    def tick(self) -> int:
        """Publish the time at which the next message arrives, and return it [ns]."""
        now = self._next.time_ns + self._ahead_ns
        self._clock_output.publish(Clock(clock=stamp_message(now * 1e-9)))
        return now

    def step(self) -> BagMessage:
        """Publish the next message as it was recorded, and return it."""
        message = self._next
        self._outputs[message.topic].publish(message.serialized)
        self._next = next(self._messages, None)
        return message

    def _play(self) -> None:
        """Publish what is due by now."""
        if self._next is None:
            return
        if self._start is None:
            self._start = time.monotonic(), self._next.time_ns
        wall, first = self._start
        due = first + int((time.monotonic() - wall) * self._rate * 1e9)
        while self._next is not None and self._next.time_ns <= due:
            self.tick()
            self.step()
        if self._next is None:
            self.get_logger().info("the bag has been played")

    def destroy_node(self) -> None:
        """Close the bag with the node."""
        self._bag.close()
        super().destroy_node()


def main(args: list[str] | None = None) -> None:
    """Play until the process is asked to stop."""
    sys.exit(run(Player, args))


if __name__ == "__main__":
    main()
