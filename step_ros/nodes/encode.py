"""Arrays to ROS messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from step_ros.control.trajectory import Trajectory


def stamp_message(seconds: float) -> Time:
    """Seconds since the epoch as a message."""
    return Time(**_parts(seconds))


def duration_message(seconds: float) -> Duration:
    """A duration [s] as a message; may be negative."""
    return Duration(**_parts(seconds))


def trajectory_message(trajectory: Trajectory, joint_names: Sequence[str]) -> JointTrajectory:
    """A trajectory as a message; a stamp of 0 tells the controller to start when it arrives."""
    message = JointTrajectory(joint_names=list(joint_names))
    message.header.stamp = stamp_message(trajectory.stamp)
    velocities = [None] * len(trajectory.times) if trajectory.velocities is None else trajectory.velocities
    for time, position, velocity in zip(trajectory.times, trajectory.positions, velocities, strict=True):
        point = JointTrajectoryPoint(positions=position.tolist(), time_from_start=duration_message(time))
        if velocity is not None:
            point.velocities = velocity.tolist()
        message.points.append(point)
    return message


def diagnostics_message(
    stamp: float, name: str, level: bytes, summary: str, values: Mapping[str, object]
) -> DiagnosticArray:
    """One status as a DiagnosticArray; values are written as text, numbers with four digits."""
    status = DiagnosticStatus(name=name, level=level, message=summary)
    status.values = [KeyValue(key=key, value=_text(value)) for key, value in values.items()]
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp_message(stamp)
    return message


def _parts(seconds: float) -> dict[str, int]:
    sec, nanosec = divmod(round(seconds * 1e9), 10**9)
    return {"sec": sec, "nanosec": nanosec}


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
