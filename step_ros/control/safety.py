"""What every trajectory passes before it is sent: nothing leaves that the arm must not or cannot do.

A motion that is too fast is slowed down along its own path; one that goes too low is followed up to its last
point above the table; positions are changed only where they are out of range themselves, or too far from
what the arm is doing now. A trajectory that is safe leaves as the very object that came in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from step_ros.control.errors import UnsafeCommandError
from step_ros.control.faults import Fault
from step_ros.control.interpolation import cubic_bounds, cubic_ranges
from step_ros.control.joints import JointLimits
from step_ros.control.ranges import within
from step_ros.control.scaling import excess, slow_down
from step_ros.control.trajectory import SAME_TIME, Trajectory, central_velocities
from step_ros.control.workspace import WorkspaceGuard

_ROUNDING = 1e-9
_STEP_ROUNDING = 1e-5
"""Radians that a joint moves at most in the time that counts as none."""
_SAME_PLACE = 1e-5
"""Share of a position within which two points are the same."""
_HOLD_TIME = 0.2
"""Seconds in which a hold brings the arm to rest."""
_SINK = 0.0005
"""Metres by which a slowed motion may pass lower than the path it was slowed on."""


@dataclass(frozen=True)
class Checked:
    """What left safety.

    Attributes:
        trajectory: safe to send.
        faults: what had to be changed, and why; empty where nothing was.
        delay: by how much later [s] than asked the motion ends.
    """

    trajectory: Trajectory
    faults: tuple[Fault, ...] = ()
    delay: float = 0.0


def check_chunk(chunk: np.ndarray, joints: int, n_obs_steps: int, actions: int) -> Fault | None:
    """What forbids to make a trajectory of `chunk`, or None.

    Args:
        joints: number of joints that every row must have.
        n_obs_steps: To; the rows up to index To - 1 are not executed.
        actions: rows that must be left to execute.
    """
    chunk = np.asarray(chunk)
    if chunk.ndim != 2 or chunk.shape[1] != joints:
        return Fault("wrong shape", f"chunk has shape {chunk.shape}, expected (rows, {joints})")
    needed = n_obs_steps - 1 + actions
    if len(chunk) < needed:
        return Fault("chunk too short", f"{len(chunk)} rows, expected at least {needed}")
    finite = np.isfinite(chunk)
    if not finite.all():
        row, joint = np.argwhere(~finite)[0]
        return Fault("not finite", f"chunk[{row}, {joint}] is {chunk[row, joint]}")
    return None


def make_safe(
    trajectory: Trajectory,
    limits: JointLimits,
    switch: float,
    in_force: np.ndarray,
    guard: WorkspaceGuard | None = None,
) -> Checked:
    """`trajectory` as far as it may be carried out from `switch` on.

    Args:
        trajectory: with velocities and at rest at its end, after `switch`.
        limits: what the joints may do.
        switch: time [s] at which the trajectory takes over; what lies before has no effect, and is left out
            where it is not safe.
        in_force: (J,) set point [rad] that would hold at `switch` without this trajectory, or the measured
            position where there is none.
        guard: the table; None for no guard.

    Returns:
        A trajectory that is finite, increasing in time, inside the position range everywhere (the cubics
        too), within speed and acceleration, and that begins at most `max_step` from `in_force`. Commands
        keep `limits.margin`, unless the arm is already nearer to the end of its range: then they do not go
        further out.

    Raises:
        UnsafeCommandError: a value is not finite, sizes differ, or nothing lies after `switch`.
    """
    _require(trajectory, limits, switch, in_force)
    here = np.clip(in_force, limits.lower, limits.upper)
    lower = np.minimum(limits.lower + limits.margin, here)
    upper = np.maximum(limits.upper - limits.margin, here)
    if _is_safe(trajectory, limits, switch, here, guard):
        return Checked(trajectory)
    past, rest = _split(trajectory, switch)
    faults: list[Fault] = []
    positions = within(rest.positions, lower, upper, here, limits, faults)
    if positions is not rest.positions:
        moved = (positions != rest.positions).any(axis=0)
        velocities = np.where(moved, central_velocities(rest.times, positions), rest.velocities)
        velocities[0] = rest.velocities[0]
        rest = Trajectory(rest.stamp, rest.times, positions, velocities)
    slowed, asked_end = _slowed(rest, limits, lower, upper), rest.times[-1]
    if guard is not None:
        violation = guard.first_violation(slowed, switch, _SINK)
        if violation is not None:
            faults.append(_workspace_fault(guard, slowed, violation))
            slowed = _above_table(guard, slowed, limits, lower, upper, switch, here)
            asked_end = min(asked_end, slowed.times[-1])
    delay = float(slowed.times[-1] - asked_end)
    if delay > _ROUNDING:
        faults.append(Fault("too fast", f"slowed down, by {delay:.3f} s in the end"))
    return Checked(_rejoin(past, slowed, limits, lower, upper), tuple(faults), delay)


def hold(position: np.ndarray, limits: JointLimits) -> Trajectory:
    """Come to rest at `position` (J,) [rad], or at the end of its range, from now on.

    Raises:
        UnsafeCommandError: a value is not finite.
    """
    if not np.isfinite(position).all():
        raise UnsafeCommandError(f"no hold at {np.asarray(position).tolist()}: not finite")
    rest = np.clip(position, limits.lower, limits.upper)[None]
    return Trajectory(0.0, np.array([_HOLD_TIME]), rest, np.zeros_like(rest))


def _require(trajectory: Trajectory, limits: JointLimits, switch: float, in_force: np.ndarray) -> None:
    joints = limits.lower.size
    if trajectory.velocities is None or trajectory.positions.shape[1] != joints:
        raise UnsafeCommandError(
            f"trajectory of {trajectory.positions.shape[1]} joints, expected {joints} with velocities"
        )
    if np.shape(in_force) != (joints,):
        raise UnsafeCommandError(f"set point in force has shape {np.shape(in_force)}, expected ({joints},)")
    arrays = (trajectory.times, trajectory.positions, trajectory.velocities, in_force, switch)
    if not all(np.isfinite(values).all() for values in arrays):
        raise UnsafeCommandError("trajectory or set point holds NaN or infinite values")
    if (trajectory.times[1:] <= trajectory.times[:-1]).any() or trajectory.end <= switch:
        raise UnsafeCommandError(f"trajectory times must increase and go on after {switch}")


def _is_safe(
    trajectory: Trajectory, limits: JointLimits, switch: float, here: np.ndarray, guard: WorkspaceGuard | None
) -> bool:
    lower = np.minimum(limits.lower + limits.margin, here) - _ROUNDING
    upper = np.maximum(limits.upper - limits.margin, here) + _ROUNDING
    step = np.abs(trajectory.sample(switch)[0] - here)
    return bool(
        np.abs(trajectory.velocities[-1]).max() == 0
        and (step <= limits.max_step + _STEP_ROUNDING).all()
        and _inside(trajectory, limits, lower, upper)
        and (guard is None or guard.first_violation(trajectory, switch, _SINK) is None)
    )


def _inside(trajectory: Trajectory, limits: JointLimits, lower: np.ndarray, upper: np.ndarray) -> bool:
    """Whether positions, speeds and accelerations of all of `trajectory` are within limits."""
    if ((trajectory.positions < lower) | (trajectory.positions > upper)).any():
        return False
    motion = (trajectory.times, trajectory.positions, trajectory.velocities)
    if not (excess(*motion, limits) <= 1.0).all():
        return False
    # The bounds nearly always suffice, and cost a fraction of the exact ranges.
    return any(
        (lowest >= lower).all() and (highest <= upper).all()
        for lowest, highest in (extent(*motion) for extent in (cubic_bounds, cubic_ranges))
    )


def _split(trajectory: Trajectory, switch: float) -> tuple[Trajectory | None, Trajectory]:
    """What lies before `switch` (or None) and what begins there."""
    if switch <= trajectory.stamp + trajectory.times[0] + SAME_TIME:
        return None, trajectory
    whole = trajectory.with_point(switch)
    first = int(np.argmin(np.abs(whole.times - (switch - whole.stamp))))
    if first == len(whole.times) - 1:
        first -= 1  # Less than SAME_TIME is left; its last span is kept whole.
    if first == 0:
        return None, whole
    before, after = slice(0, first + 1), slice(first, None)
    return (
        Trajectory(whole.stamp, whole.times[before], whole.positions[before], whole.velocities[before]),
        Trajectory(whole.stamp, whole.times[after], whole.positions[after], whole.velocities[after]),
    )


def _slowed(rest: Trajectory, limits: JointLimits, lower: np.ndarray, upper: np.ndarray) -> Trajectory:
    times, velocities = slow_down(rest.times, rest.positions, rest.velocities, limits, lower, upper)
    return Trajectory(rest.stamp, times, rest.positions, velocities)


def _workspace_fault(guard: WorkspaceGuard, trajectory: Trajectory, violation: float) -> Fault:
    height = float(guard.clearance(trajectory.sample(violation)[0]))
    return Fault(
        "workspace",
        f"the gripper would be at {1000 * height:.1f} mm above the table, accepted {1000 * guard.margin:.1f}",
    )


def _above_table(
    guard: WorkspaceGuard,
    slowed: Trajectory,
    limits: JointLimits,
    lower: np.ndarray,
    upper: np.ndarray,
    switch: float,
    here: np.ndarray,
) -> Trajectory:
    """The longest beginning of `slowed` that can end high enough; a hold at `here` if there is none."""
    shorter = guard.cut(slowed, switch)
    while len(shorter.times) > 1:
        ending = _slowed(shorter, limits, lower, upper)
        if guard.first_violation(ending, switch, _SINK) is None:
            return ending
        velocities = shorter.velocities[:-1].copy()
        velocities[-1] = 0.0
        shorter = Trajectory(shorter.stamp, shorter.times[:-1], shorter.positions[:-1], velocities)
    times = slowed.times[0] + np.array([0.0, _HOLD_TIME])
    return Trajectory(slowed.stamp, times, np.stack([here, here]), np.zeros((2, here.size)))


def _rejoin(
    past: Trajectory | None, rest: Trajectory, limits: JointLimits, lower: np.ndarray, upper: np.ndarray
) -> Trajectory:
    """`rest` with what lies before it, where that leads to it and is safe itself.

    A message that arrives before the switch then still follows the plan in force, instead of a bridge.
    """
    if past is None:
        return rest
    velocities = np.vstack([past.velocities[:-1], rest.velocities[:1]])
    past = Trajectory(past.stamp, past.times, past.positions, velocities)
    gap, start = np.abs(past.positions[-1] - rest.positions[0]), np.abs(rest.positions[0])
    leads = (gap <= _ROUNDING + _SAME_PLACE * start).all()
    if not (leads and _inside(past, limits, lower - _ROUNDING, upper + _ROUNDING)):
        return rest
    return Trajectory(
        rest.stamp,
        np.concatenate([past.times[:-1], rest.times]),
        np.vstack([past.positions[:-1], rest.positions]),
        np.vstack([past.velocities[:-1], rest.velocities]),
    )
