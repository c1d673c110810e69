"""Plays chunks through the internal follower and measures how smooth its set points are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from step_ros.control.errors import TrajectoryRejectedError
from step_ros.control.follower import FollowerSettings, TrajectoryFollower
from step_ros.evaluation.seams.publication import Chunk, Message, Sender

_START = 100.0
"""The clock when a run begins [s]; not zero, which as a stamp means "now"."""
_AFTER_SEAM = 2
"""Controller periods after a seam that still belong to it."""


class Arm(Protocol):
    """What follows the set points."""

    positions: np.ndarray
    velocities: np.ndarray

    def advance(self, set_point: np.ndarray, seconds: float) -> None:
        """Go on for one controller period with this set point (J,) [rad]."""


class LaggingArm:
    """Each joint goes to its set point with a first-order lag.

    Args:
        positions: (J,) where it rests [rad].
        lag: time constant [s].
    """

    def __init__(self, positions: np.ndarray, lag: float = 0.06) -> None:
        self.positions, self._lag = np.array(positions, dtype=float), lag
        self.velocities = np.zeros_like(self.positions)

    def advance(self, set_point: np.ndarray, seconds: float) -> None:
        before = self.positions
        self.positions = before + (set_point - before) * (1 - np.exp(-seconds / self._lag))
        self.velocities = (self.positions - before) / seconds


@dataclass
class Trace:
    """What the controller commanded.

    Attributes:
        times: [s] of every period, from the beginning.
        set_points: (N, J) [rad].
        seams: per period, whether the set point changes by a hand-over there.
        rejected, sent: messages.
    """

    times: list[float] = field(default_factory=list)
    set_points: list[np.ndarray] = field(default_factory=list)
    seams: list[bool] = field(default_factory=list)
    rejected: int = 0
    sent: int = 0


def play(
    chunk_at: Callable[[float], np.ndarray],
    arm: Arm,
    sender: Sender,
    *,
    joint_names: tuple[str, ...],
    settings: FollowerSettings,
    cycle: float,
    latency: float,
    duration: float,
    rate: float = 100.0,
    lead: float = 0.0,
    transport: float = 0.0,
    done: Callable[[], bool] = lambda: False,
) -> Trace:
    """Run observe - infer - send - follow.

    Args:
        chunk_at: the chunk (Tp, J) for an observation so many seconds after the beginning; called then.
        arm: follows; observations of it are `chunk_at`'s business.
        sender: makes messages of chunks.
        settings: of the controller.
        cycle: seconds between two observations.
        latency: seconds from an observation until its chunk is sent.
        duration: seconds.
        rate: controller periods per second.
        lead: seconds after its arrival in which a message may still change the set point.
        transport: seconds from sending to arrival.
        done: ends the run early.
    """
    follower = TrajectoryFollower(joint_names, arm.positions, settings)
    trace, waiting, chunks = Trace(), [], []
    cycles, until = 0, -1
    for tick in range(round(duration * rate)):
        now = _START + tick / rate
        if done():
            break
        if now >= _START + cycles * cycle - 1e-9:
            t_obs = _START + cycles * cycle
            chunks.append((t_obs + latency, t_obs, chunk_at(cycles * cycle)))
            cycles += 1
        while chunks and chunks[0][0] <= now + 1e-9:
            ready, t_obs, positions = chunks.pop(0)
            made = sender.messages(Chunk(positions, t_obs, ready, arm.positions.copy()))
            # A newer chunk's messages take the place of what an older one still has to send.
            waiting = [message for message in waiting if message.time < ready] + made
            trace.sent += len(made)
        arrived = [message for message in waiting if message.time + transport <= now + 1e-9]
        waiting = waiting[len(arrived) :]
        if arrived and _accept(follower, arrived, now, arm, trace):
            until = tick + _AFTER_SEAM + int(np.ceil(lead * rate))
        set_point, _ = follower.sample(now)
        trace.times.append(now - _START)
        trace.set_points.append(set_point)
        trace.seams.append(tick <= until)
        arm.advance(set_point, 1 / rate)
    return trace


def _accept(
    follower: TrajectoryFollower, messages: list[Message], now: float, arm: Arm, trace: Trace
) -> bool:
    """Whether one of `messages` was taken; the newest of several, as a queue of one keeps it."""
    try:
        follower.accept(messages[-1].command, now, arm.positions, arm.velocities)
    except TrajectoryRejectedError:
        trace.rejected += 1
        return False
    return True


def jumps(trace: Trace) -> dict[str, float | None]:
    """Changes of the set point's velocity from one period to the next [rad/s], the worst joint of each.

    `seam_max`, `seam_p99`: where chunks hand over; `inside_max`, `inside_p99`: everywhere else; None where
    there is no such period.
    """
    if len(trace.times) < 3:
        return dict.fromkeys(("seam_max", "seam_p99", "inside_max", "inside_p99"))
    velocity = np.diff(trace.set_points, axis=0) * _rate(trace)
    change = np.abs(np.diff(velocity, axis=0)).max(axis=1)
    marked = np.array(trace.seams)
    at_seam = marked[2:] | marked[1:-1]
    result: dict[str, float | None] = {}
    for name, where in (("seam", at_seam), ("inside", ~at_seam)):
        values = change[where]
        result[f"{name}_max"] = float(values.max()) if values.size else None
        result[f"{name}_p99"] = float(np.percentile(values, 99)) if values.size else None
    return result


def tracking(trace: Trace, reference: Callable[[np.ndarray], np.ndarray], start: float) -> dict[str, float]:
    """How far the set point of the first joint is from what was meant, from `start` on.

    `velocity_p99`, `velocity_max` [rad/s]: of the velocity over one period; `lag` [s]: the delay at which the
    positions agree best.
    """
    times = np.array(trace.times)
    positions = np.array(trace.set_points)[:, 0]
    velocity = np.diff(positions) * _rate(trace)
    meant = np.diff(reference(times)) * _rate(trace)
    error = np.abs(velocity - meant)[times[:-1] >= start]
    later = times >= start
    lags = np.arange(-0.02, 0.1, 0.001)
    misses = [np.abs(positions[later] - reference(times[later] - lag)).mean() for lag in lags]
    return {
        "velocity_p99": float(np.percentile(error, 99)),
        "velocity_max": float(error.max()),
        "lag": float(lags[np.argmin(misses)]),
    }


def _rate(trace: Trace) -> float:
    return 1 / (trace.times[1] - trace.times[0])
