"""Ways to send a chunk to a joint_trajectory_controller: ours, and those found in other packages."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from step_ros.control.follower import FollowerSettings, TrajectoryCommand, TrajectoryPoint
from step_ros.control.history import CommandHistory
from step_ros.control.joints import JointLimits
from step_ros.control.plan import plan_in_force
from step_ros.control.safety import make_safe
from step_ros.control.seams import ChunkRefusedError, join, switching_time
from step_ros.control.timing import make_trajectory
from step_ros.control.trajectory import Trajectory, central_velocities

_DEFAULTS = FollowerSettings(period=0.01)


@dataclass(frozen=True)
class Chunk:
    """A chunk and what surrounds it.

    Attributes:
        positions: (Tp, J) [rad].
        t_obs: time of its observation [s].
        ready: time when it can be sent [s].
        measured: (J,) [rad], newest when it is ready.
    """

    positions: np.ndarray
    t_obs: float
    ready: float
    measured: np.ndarray


@dataclass(frozen=True)
class Message:
    """A command and when it is sent [s]."""

    time: float
    command: TrajectoryCommand


@dataclass(frozen=True)
class Publication:
    """One way to send chunks.

    Attributes:
        name: for tables.
        kind: `single` (an element per tick, to be reached at once), `points` (a trajectory of the executed
            part, of all that is ahead, or of all from the observation on) or `step_ros` (anchored, joined to
            the plan in force over `blend` seconds, and through safety).
        elements: first and last element, counted from the one due at the observation.
        velocities: points carry them.
        at_rest: the last velocity is zero.
        stamped: with the observation's time; else zero, and the first element is due a tick after arrival.
        trimmed: elements due before the chunk was ready are left out.
        settings: of the controller.
    """

    name: str
    kind: str = "points"
    elements: tuple[int, int] = (0, 16)
    velocities: bool = True
    at_rest: bool = True
    stamped: bool = True
    trimmed: bool = False
    settings: FollowerSettings = _DEFAULTS
    blend: float = 0.0
    lead: float = 0.02


class Sender:
    """Makes the messages of one run.

    Args:
        fps: rate of a chunk's elements [1/s].
        n_obs_steps: To.
        action_steps: elements per cycle.
        limits: what the joints may do (`step_ros` only).
    """

    def __init__(
        self,
        publication: Publication,
        joint_names: tuple[str, ...],
        fps: float,
        n_obs_steps: int,
        action_steps: int,
        limits: JointLimits | None = None,
    ) -> None:
        self._publication, self._names, self._fps = publication, joint_names, fps
        self._first, self._action_steps = n_obs_steps - 2, action_steps
        self._n_obs_steps, self._limits = n_obs_steps, limits
        self._history = CommandHistory(len(joint_names))
        self.refused = 0
        """Chunks that were not sent."""

    def messages(self, chunk: Chunk) -> list[Message]:
        """What is sent for `chunk`, in the order of time."""
        kind = self._publication.kind
        if kind == "single":
            return self._single(chunk)
        return self._points(chunk) if kind == "points" else self._joined(chunk)

    def _single(self, chunk: Chunk) -> list[Message]:
        executed = chunk.positions[self._first + 1 :][: self._action_steps]
        return [
            Message(chunk.ready + k / self._fps, TrajectoryCommand(self._names, 0.0, [_point(0.0, action)]))
            for k, action in enumerate(executed)
        ]

    def _points(self, chunk: Chunk) -> list[Message]:
        publication = self._publication
        ahead = np.arange(*publication.elements)
        positions = chunk.positions[self._first + ahead]
        times = ahead / self._fps
        velocities = central_velocities(times, positions)
        if not publication.at_rest:
            velocities[-1] = (positions[-1] - positions[-2]) * self._fps
        if publication.trimmed:
            coming = times > chunk.ready - chunk.t_obs
            times, positions, velocities = times[coming], positions[coming], velocities[coming]
        points = [
            _point(time, position, velocity if publication.velocities else ())
            for time, position, velocity in zip(times, positions, velocities, strict=True)
        ]
        stamp = chunk.t_obs if publication.stamped else 0.0
        return [Message(chunk.ready, TrajectoryCommand(self._names, stamp, points))]

    def _joined(self, chunk: Chunk) -> list[Message]:
        publication, now = self._publication, chunk.ready
        asked = make_trajectory(chunk.positions, chunk.t_obs, self._fps, self._n_obs_steps)
        plan = plan_in_force(self._history, None, chunk.measured, now).trajectory
        lead = publication.lead if publication.blend else 0.0
        try:
            switch = switching_time(asked, self._history.newest, now, lead)
        except ChunkRefusedError:
            self.refused += 1
            return []
        joined = join(asked, plan, now, switch, publication.blend)
        limits = self._limits or JointLimits.so101(self._names)
        sent = make_safe(joined, limits, switch, plan.sample(switch)[0]).trajectory
        self._history.add(sent, switch)
        return [Message(now, _command(sent, self._names))]


def _command(trajectory: Trajectory, names: tuple[str, ...]) -> TrajectoryCommand:
    rows = zip(trajectory.times, trajectory.positions, trajectory.velocities, strict=True)
    return TrajectoryCommand(names, trajectory.stamp, [_point(*row) for row in rows])


def _point(time: float, position: np.ndarray, velocity: np.ndarray | tuple = ()) -> TrajectoryPoint:
    return TrajectoryPoint(float(time), position, velocity)
