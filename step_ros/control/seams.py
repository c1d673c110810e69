"""Joins a new chunk to the plan in force, so that the arm does not feel where one ends and the other begins.

Two chunks of one policy disagree a little. At the switching time the new one starts with an offset to the
plan in force, in position and in velocity; the offset decays to nothing along a cubic within the blend
time, and from there on the chunk is followed exactly. Chunks are piecewise cubic and so is the sum, so what
is sent is exactly this motion, with a point where the blend begins and one where it ends. Up to the
switching time the message repeats the plan in force: a controller that receives it earlier notices nothing.

A blend time of 0 sends chunks as they are, as the paper does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from step_ros.control.errors import ControlError
from step_ros.control.faults import Fault
from step_ros.control.interpolation import derivative, segment, value
from step_ros.control.trajectory import SAME_TIME, Motion, Trajectory
from step_ros.control.watchdog import AHEAD

_EARLY = 0.1
"""Seconds by which a controller's clock may be behind: so much of the past is repeated."""
_APART = 1e-4
"""Seconds between two points at least."""
_SAME = 1e-9
"""Offset [rad and rad/s] below which a chunk agrees with the plan in force."""


class ChunkRefusedError(ControlError):
    """A chunk that must not replace the plan in force; the plan goes on.

    Attributes:
        fault: the named reason.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(str(fault))
        self.fault = fault


@dataclass(frozen=True)
class SeamJump:
    """By how much the set point changes at once where one plan takes over from another; largest joint.

    Attributes:
        position: [rad].
        velocity: [rad/s].
        acceleration: [rad/s^2].
    """

    position: float
    velocity: float
    acceleration: float


def seam_jump(before: Motion, after: Motion) -> SeamJump:
    """The jump from one plan to the other at one moment."""
    return SeamJump(*(float(np.abs(new - old).max()) for old, new in zip(before, after, strict=True)))


def switching_time(chunk: Trajectory, plan: Trajectory | None, now: float, lead: float = 0.0) -> float:
    """When `chunk` takes over [s]: `lead` after `now`, but not before its own beginning.

    Args:
        chunk: stamped with the time of its observation.
        plan: the last chunk that was sent, None when there is none.
        now: the present on the clock of the stamps [s].
        lead: seconds that a message needs to the controller and there until the next period.

    Raises:
        ChunkRefusedError: "clocks differ": observed more than 0.25 s in the future; "stale chunk": observed
            before the plan in force was (the same observation again is fine); "late chunk": its end is due
            before it can take over.
    """
    if chunk.stamp > now + AHEAD:
        raise ChunkRefusedError(
            Fault("clocks differ", f"a chunk is stamped {chunk.stamp - now:.2f} s in the future")
        )
    if plan is not None and chunk.stamp < plan.stamp - SAME_TIME:
        raise ChunkRefusedError(
            Fault("stale chunk", f"observed {plan.stamp - chunk.stamp:.2f} s before the plan in force")
        )
    switch = max(now + lead, chunk.stamp + float(chunk.times[0]))
    if switch >= chunk.end - SAME_TIME:
        raise ChunkRefusedError(
            Fault("late chunk", f"ready {now - chunk.stamp:.2f} s after its observation, its end is past")
        )
    return switch


def join(chunk: Trajectory, plan: Trajectory, now: float, switch: float, blend: float) -> Trajectory:
    """`chunk`, entered from `plan` at `switch` without a jump in position or velocity.

    The offset at `switch` decays within `blend` seconds, or by the end of the chunk where that comes first;
    from then on the result equals `chunk`. Before `switch` it equals `plan`. A chunk that agrees with the
    plan is returned as it is, and so is any with a blend of 0.

    Args:
        chunk: with velocities, at rest at its end.
        plan: in force at `switch`.
        now: the present [s]; the result begins then or earlier, so that a controller never bridges.
        switch: time [s] when the chunk takes over, before its end.
        blend: seconds, >= 0.

    Raises:
        ValueError: blend is negative or not finite.
    """
    if not (np.isfinite(blend) and blend >= 0):
        raise ValueError(f"blend: found {blend}, accepted: seconds >= 0")
    old, new = plan.state(switch), chunk.state(switch)
    offset, drift = old.position - new.position, old.velocity - new.velocity
    begins_late = chunk.stamp + chunk.times[0] > now
    before = _until_switch(chunk, plan, now, switch)
    meets = max(np.abs(offset).max(), np.abs(drift).max()) < _SAME
    if blend == 0 or (meets and not begins_late and _agree(chunk, plan, before[0], switch)):
        return chunk
    end = min(switch + blend, chunk.end)
    whole = chunk.with_point(switch).with_point(end)
    elapsed = whole.times - (switch - whole.stamp)
    decay = segment(end - switch, (offset, np.zeros_like(offset)), (drift, np.zeros_like(drift)))
    after = elapsed > -SAME_TIME
    blending = after & (elapsed < end - switch - SAME_TIME)
    u = np.maximum(elapsed, 0.0)[blending, None]
    positions, velocities = whole.positions.copy(), whole.velocities.copy()
    positions[blending] += value(decay, u)
    velocities[blending] += value(derivative(decay), u)
    past, past_velocities = plan.samples(before)
    stamp = min(chunk.stamp, float(before[0]))
    return Trajectory(
        stamp,
        np.concatenate([before - stamp, whole.times[after] + (whole.stamp - stamp)]),
        np.vstack([past, positions[after]]),
        np.vstack([past_velocities, velocities[after]]),
    )


def _until_switch(chunk: Trajectory, plan: Trajectory, now: float, switch: float) -> np.ndarray:
    """Times [s] of points that repeat `plan` up to `switch`: one a little before `now`, and its own."""
    begin = max(chunk.stamp + chunk.times[0], now - _EARLY, min(plan.stamp + plan.times[0], now))
    begin = min(begin, now, switch - 2 * _APART)
    own = plan.stamp + plan.times
    times = np.concatenate([[begin], own[own > begin + _APART]])
    return times[times < switch - _APART]


def _agree(chunk: Trajectory, plan: Trajectory, begin: float, switch: float) -> bool:
    """Whether both are the same motion from `begin` to `switch` [s]: the same at every point of either."""
    points = np.concatenate([chunk.stamp + chunk.times, plan.stamp + plan.times])
    times = np.array([begin, *points[(points > begin) & (points < switch)], switch])
    pairs = zip(plan.samples(times), chunk.samples(times), strict=True)
    return all(np.abs(new - old).max() < _SAME for old, new in pairs)
