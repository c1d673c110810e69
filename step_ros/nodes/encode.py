"""Arrays to ROS messages."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

import numpy as np
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from step_ros.control.trajectory import Trajectory


def stamp_message(seconds: float) -> Time:
    """Seconds since the epoch as a message."""
    return _timed(Time(), seconds)


def duration_message(seconds: float) -> Duration:
    """A duration [s] as a message; may be negative."""
    return _timed(Duration(), seconds)


def trajectory_message(
    trajectory: Trajectory, joint_names: Sequence[str], reused: JointTrajectory | None = None
) -> JointTrajectory:
    """A trajectory as a message; a stamp of 0 tells the controller to start when it arrives.

    Args:
        trajectory: without accelerations.
        joint_names: of its columns.
        reused: a message that this function made before and nobody needs any more; it is filled anew and
            returned, since making its points takes longer than filling them.
    """
    message = JointTrajectory() if reused is None else reused
    message.joint_names = list(joint_names)
    message.header.stamp = stamp_message(trajectory.stamp)
    points, count = message.points, len(trajectory.times)
    del points[count:]
    points.extend(JointTrajectoryPoint() for _ in range(count - len(points)))
    positions = _arrays(trajectory.positions)
    moving = trajectory.velocities is not None
    velocities = _arrays(trajectory.velocities) if moving else [array("d")] * count
    times = trajectory.times.tolist()
    for point, time, position, velocity in zip(points, times, positions, velocities, strict=True):
        point.positions, point.velocities = position, velocity
        _timed(point.time_from_start, time)
    return message


def _arrays(rows: np.ndarray) -> list[array]:
    """Rows as messages keep them: what they need not look at number by number."""
    return [array("d", row.tobytes()) for row in np.asarray(rows, dtype=float)]


def diagnostics_message(
    stamp: float, name: str, level: bytes, summary: str, values: Mapping[str, object]
) -> DiagnosticArray:
    """One status as a DiagnosticArray; values are written as text, numbers with four digits."""
    status = DiagnosticStatus(name=name, level=level, message=summary)
    status.values = [KeyValue(key=key, value=_text(value)) for key, value in values.items()]
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp_message(stamp)
    return message


def _timed(message: Time | Duration, seconds: float) -> Time | Duration:
    message.sec, message.nanosec = divmod(round(seconds * 1e9), 10**9)
    return message


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
