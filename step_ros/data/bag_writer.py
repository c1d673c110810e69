"""Writes bags as ROS 2 Jazzy lays them out, and the few messages that datasets are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer, WriterError
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode
from rosbags.typesys import Stores, get_typestore

from step_ros.data.bag_errors import BagError
from step_ros.data.bag_topics import JOINT_STATE, MARKS, RAW
from step_ros.data.episode_marks import STATUS_NAME

METADATA_VERSION = 9
"""Of Jazzy."""
STORAGES = {"mcap": StoragePlugin.MCAP, "sqlite3": StoragePlugin.SQLITE3}
_NANO = 10**9
_TYPES = get_typestore(Stores.ROS2_JAZZY)


def open_writer(folder: Path, storage: str = "mcap") -> Writer:
    """A new bag. MCAP is compressed in chunks, which every reader knows and which shrinks plain images a lot.

    Raises:
        BagError: the folder exists already.
    """
    try:
        writer = Writer(folder, version=METADATA_VERSION, storage_plugin=STORAGES[storage])
    except WriterError as error:
        raise BagError(f"{folder}: found {error}; accepted: a folder that does not exist yet") from error
    if storage == "mcap":
        writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
    writer.open()
    return writer


class BagWriter:
    """Writes messages with the stamp as the time of their arrival, as a context manager.

    Args:
        folder: to be created.
        storage: one of STORAGES.

    Raises:
        BagError: the folder exists already.
    """

    def __init__(self, folder: Path, storage: str = "mcap") -> None:
        self._writer = open_writer(folder, storage)
        self._connections: dict[tuple[str, str], Connection] = {}

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def write(self, topic: str, message: Any, arrival_ns: int | None = None) -> None:
        """Add a message; it arrived at `arrival_ns`, by default at its stamp."""
        kind = message.__msgtype__
        if (topic, kind) not in self._connections:
            self._connections[topic, kind] = self._writer.add_connection(topic, kind, typestore=_TYPES)
        if arrival_ns is None:
            arrival_ns = message.header.stamp.sec * _NANO + message.header.stamp.nanosec
        serialized = _TYPES.serialize_cdr(message, kind)
        self._writer.write(self._connections[topic, kind], arrival_ns, serialized)


def build(kind: str, **fields: Any) -> Any:
    """A message of a type such as `sensor_msgs/msg/Image`."""
    return _TYPES.types[kind](**fields)


def header(stamp_ns: int) -> Any:
    """A header with a stamp [ns]."""
    sec, nanosec = divmod(stamp_ns, _NANO)
    stamp = build("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
    return build("std_msgs/msg/Header", stamp=stamp, frame_id="")


def joint_state(stamp_ns: int, names: Sequence[str], positions: np.ndarray) -> Any:
    """Joint positions (J,) [rad]."""
    none = np.empty(0)
    return build(
        JOINT_STATE,
        header=header(stamp_ns),
        name=list(names),
        position=np.asarray(positions, dtype=np.float64),
        velocity=none,
        effort=none,
    )


def picture(stamp_ns: int, pixels: np.ndarray) -> Any:
    """An RGB image (H, W, 3) uint8, uncompressed."""
    height, width, _ = pixels.shape
    return build(
        RAW,
        header=header(stamp_ns),
        height=height,
        width=width,
        encoding="rgb8",
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(pixels).reshape(-1),
    )


def mark(stamp_ns: int, kind: str, values: Mapping[str, object]) -> Any:
    """An episode mark (`data.episode_marks`)."""
    pairs = [
        build("diagnostic_msgs/msg/KeyValue", key=key, value=str(value)) for key, value in values.items()
    ]
    status = build(
        "diagnostic_msgs/msg/DiagnosticStatus",
        level=0,
        name=STATUS_NAME,
        message=kind,
        hardware_id="",
        values=pairs,
    )
    return build(MARKS, header=header(stamp_ns), status=[status])
