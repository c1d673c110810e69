"""Reads rosbag2 recordings (MCAP or SQLite) as a stream of stamped messages, in the order of their stamps.

A bag of any length is read in bounded memory: messages wait until none with an earlier stamp can come, at
most `REORDER_SECONDS` of the recording, and are decoded only when somebody looks at their content.

What counts is the header stamp, never the time at which the recorder received a message. The one exception
are commands: a trajectory acts from the moment it arrives, so its place is its arrival, moved onto the
clock of the stamps by the newest joint state before it.
"""

from __future__ import annotations

import heapq
import struct
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType

from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_typestore

from step_ros.data.bag_errors import BagUnreadableError, MissingTopicError, TopicTypeError

REORDER_SECONDS = 1.0
"""How much later than a message with a later stamp a message may have been recorded; also the step back in
a stream's stamps above which time itself is taken to have gone back."""
_NANO = 10**9
_HEADER = "std_msgs/msg/Header"


@dataclass(frozen=True)
class BagMessage:
    """One recorded message.

    Attributes:
        topic: where it was published.
        kind: its type, such as `sensor_msgs/msg/Image`.
        stamp_ns: header stamp [ns]; 0 where the sender gave none.
        time_ns: its place in time [ns]: the stamp, or for a command its arrival on the clock of the stamps.
        serialized: as it was published.
    """

    topic: str
    kind: str
    stamp_ns: int
    time_ns: int
    serialized: bytes = field(repr=False)
    _reader: AnyReader = field(repr=False)

    @property
    def stamp(self) -> float:
        """Header stamp [s]."""
        return as_seconds(self.stamp_ns)

    @property
    def time(self) -> float:
        """Place in time [s]."""
        return as_seconds(self.time_ns)

    @cached_property
    def content(self) -> object:
        """The message, decoded when first asked for; its fields are those of the ROS type."""
        with _reading(self._reader.paths[0]):
            return self._reader.deserialize(self.serialized, self.kind)


def as_seconds(nanoseconds: int) -> float:
    """Seconds, rounded just as by who reads `sec` and `nanosec` of a message."""
    sec, nanosec = divmod(nanoseconds, _NANO)
    return sec + 1e-9 * nanosec


class Bag:
    """A bag opened for reading, as a context manager.

    Args:
        path: folder with `metadata.yaml`, or one `.mcap` or `.db3` file.

    Attributes:
        types: topic -> message types that it carries in this bag (more than one if it changed).
        counts: topic -> number of messages.
        publishers: topic -> number of publishers that the recorder saw.

    Raises:
        BagUnreadableError: missing, truncated or damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.types: dict[str, tuple[str, ...]] = {}
        self.counts: dict[str, int] = defaultdict(int)
        self.publishers: dict[str, int] = defaultdict(int)
        with _reading(self.path):
            self._reader = AnyReader([self.path], default_typestore=get_typestore(Stores.ROS2_JAZZY))
            self._reader.open()
        for connection in self._reader.connections:
            known = self.types.get(connection.topic, ())
            self.types[connection.topic] = tuple(dict.fromkeys((*known, connection.msgtype)))
            self.counts[connection.topic] += connection.msgcount
            self.publishers[connection.topic] += max(1, len(connection.ext.offered_qos_profiles))

    def __enter__(self) -> Bag:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._reader.close()

    @property
    def seconds(self) -> float:
        """From the first message to the last, by the recorder's clock."""
        return self._reader.duration / _NANO if self._reader.message_count else 0.0

    def messages(
        self, topics: Collection[str], commands: Collection[str] = (), clock: str = ""
    ) -> Iterator[BagMessage]:
        """The messages of some topics in the order of `BagMessage.time_ns`.

        Args:
            topics: what to read; every type must begin with a header.
            commands: those of `topics` whose messages act when they arrive.
            clock: the topic among `topics` whose stamps and arrivals tie the two clocks together.

        Raises:
            MissingTopicError: a topic is not in the bag.
            TopicTypeError: a topic changes its type, or its type has no header.
            BagUnreadableError: the file ends or breaks while it is read.
        """
        connections = self._connections(topics)
        waiting: list[tuple[int, int, int, BagMessage]] = []
        newest: dict[str, int] = {}
        ahead: int | None = None  # of the recorder's clock against the stamps
        hold = int(REORDER_SECONDS * _NANO)
        for number, (connection, received, raw, stamp) in enumerate(self._recorded(connections)):
            topic = connection.topic
            if topic == clock and stamp:
                ahead = received - stamp
            acts = topic in commands and ahead is not None
            place = received - ahead if acts else stamp or received
            if place < newest.get(topic, place) - hold:
                yield from _drained(waiting)
            newest[topic] = place
            message = BagMessage(topic, connection.msgtype, stamp, place, raw, self._reader)
            heapq.heappush(waiting, (place, number, received, message))
            while received - waiting[0][2] > hold:
                yield heapq.heappop(waiting)[3]
        yield from _drained(waiting)

    def _recorded(self, connections: list[Connection]) -> Iterator[tuple[Connection, int, bytes, int]]:
        """Connection, arrival [ns], serialized message and stamp [ns], in the order of the file."""
        with _reading(self.path):
            for connection, received, raw in self._reader.messages(connections):
                yield connection, received, raw, _header_stamp(raw)

    def _connections(self, topics: Collection[str]) -> list[Connection]:
        for topic in topics:
            found = self.types.get(topic)
            if found is None:
                raise MissingTopicError(self.path, topic, self.types)
            if len(found) > 1:
                raise TopicTypeError(self.path, topic, found, ("one type throughout the bag",))
            fields = self._reader.typestore.fielddefs[found[0]][1]
            if not fields or fields[0][1][1] != _HEADER:
                raise TopicTypeError(self.path, topic, found, ("a type that begins with std_msgs/Header",))
        return [c for c in self._reader.connections if c.topic in topics]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Damaged files make the readers raise almost anything: from here on it is one error."""
    try:
        yield
    except Exception as error:
        raise BagUnreadableError(path, f"{type(error).__name__}: {error}") from error


def _header_stamp(raw: bytes) -> int:
    """The stamp [ns] at the front of a serialized message (CDR: four bytes of encapsulation, then sec)."""
    seconds, nanoseconds = struct.unpack_from("<iI" if raw[1] & 1 else ">iI", raw, 4)
    return seconds * _NANO + nanoseconds


def _drained(waiting: list[tuple[int, int, int, BagMessage]]) -> Iterator[BagMessage]:
    while waiting:
        yield heapq.heappop(waiting)[3]
