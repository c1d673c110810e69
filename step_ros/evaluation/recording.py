"""Read what a run left in its bag: measured joints, trajectories with their arrival, object poses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.highlevel.anyreader import AnyReaderError
from rosbags.typesys import Stores, get_typestore

from step_ros.control.errors import TrajectoryRejectedError
from step_ros.control.follower import TrajectoryCommand, TrajectoryFollower, TrajectoryPoint
from step_ros.control.joints import JOINT_NAMES

JOINT_STATES = "/joint_states"
TRAJECTORIES = "/joint_trajectory_controller/joint_trajectory"
OBJECTS = "/mujoco_bridge/objects"


class RecordingError(Exception):
    """The bag is missing, unreadable or lacks a topic that is needed."""


@dataclass(frozen=True)
class SentTrajectory:
    """A trajectory and when it arrived, in seconds of the recorder's clock."""

    received: float
    command: TrajectoryCommand


@dataclass(frozen=True)
class Recording:
    """What a bag holds. Times are header stamps in seconds."""

    state_times: np.ndarray
    """(N,) seconds."""
    positions: np.ndarray
    """(N, J) measured, rad, in the order of JOINT_NAMES."""
    object_times: np.ndarray
    """(M,) seconds."""
    object_poses: np.ndarray
    """(M, n, 7): x, y, z (m), quaternion w, x, y, z."""
    trajectories: tuple[SentTrajectory, ...]

    def between(self, start: float, end: float) -> Recording:
        """The part with start <= time < end; trajectories go by their arrival."""
        states = (self.state_times >= start) & (self.state_times < end)
        objects = (self.object_times >= start) & (self.object_times < end)
        return Recording(
            self.state_times[states],
            self.positions[states],
            self.object_times[objects],
            self.object_poses[objects],
            tuple(sent for sent in self.trajectories if start <= sent.received < end),
        )

    def commanded(self) -> tuple[np.ndarray, list[float]]:
        """What the controller was told to do.

        Returns:
            The set points (N, J) in rad at `state_times`, found by following the trajectories as the bridge
            did, and the seams: the times in seconds at which one trajectory took over from another.
        """
        follower = TrajectoryFollower(JOINT_NAMES, self.positions[0])
        waiting = list(self.trajectories)
        set_points, seams = [], []
        for now, measured in zip(self.state_times, self.positions, strict=True):
            while waiting and waiting[0].received <= now:
                sent = waiting.pop(0)
                try:
                    follower.accept(sent.command, now, measured)
                except TrajectoryRejectedError:
                    # The bridge refused it too and went on, as the follower does here.
                    continue
                seams.append(sent.received)
            set_points.append(follower.sample(now)[0])
        return np.array(set_points), seams


def read_recording(bag: Path) -> Recording:
    """Read a bag folder.

    Raises:
        RecordingError: naming the bag and what it lacks.
    """
    messages: dict[str, list[tuple[int, object]]] = {JOINT_STATES: [], TRAJECTORIES: [], OBJECTS: []}
    try:
        with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
            connections = [c for c in reader.connections if c.topic in messages]
            for connection, received, raw in reader.messages(connections=connections):
                messages[connection.topic].append((received, reader.deserialize(raw, connection.msgtype)))
    except (AnyReaderError, FileNotFoundError) as error:
        raise RecordingError(f"{bag}: {error}") from error
    for topic in (JOINT_STATES, OBJECTS):
        if not messages[topic]:
            raise RecordingError(f"{bag}: no message on {topic}")

    states = [message for _, message in messages[JOINT_STATES]]
    objects = [message for _, message in messages[OBJECTS]]
    return Recording(
        state_times=np.array([_seconds(state.header.stamp) for state in states]),
        positions=np.array([_by_name(state.name, state.position) for state in states]),
        object_times=np.array([_seconds(poses.header.stamp) for poses in objects]),
        object_poses=np.array([[_pose(pose) for pose in poses.poses] for poses in objects]),
        trajectories=tuple(
            SentTrajectory(received / 1e9, _command(message)) for received, message in messages[TRAJECTORIES]
        ),
    )


def _command(message: object) -> TrajectoryCommand:
    points = [
        TrajectoryPoint(_seconds(point.time_from_start), point.positions, point.velocities)
        for point in message.points
    ]
    return TrajectoryCommand(message.joint_names, _seconds(message.header.stamp), points)


def _by_name(names: list[str], values: np.ndarray) -> list[float]:
    table = dict(zip(names, values, strict=True))
    return [table[name] for name in JOINT_NAMES]


def _pose(pose: object) -> tuple[float, ...]:
    position, rotation = pose.position, pose.orientation
    return position.x, position.y, position.z, rotation.w, rotation.x, rotation.y, rotation.z


def _seconds(stamp: object) -> float:
    return stamp.sec + stamp.nanosec * 1e-9
