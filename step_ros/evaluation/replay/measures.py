"""What is measured of one method while it plans over a recording: sums that grow, never a list of chunks.

Only one number per cycle is kept (latency, stall distance), and what the report draws, up to a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from step_ros.control.joints import JointLimits
from step_ros.control.timing import due_times, make_trajectory
from step_ros.evaluation.replay.cycles import Cycle
from step_ros.policy.config import PolicyConfig
from step_ros.policy.policy import Plan

PERCENTILES = (50, 95, 99)


class ErrorSums:
    """Differences of chunks by row and joint, (rows, J) [rad]; rows with NaN are left out."""

    def __init__(self, rows: int, joints: int) -> None:
        self._count = np.zeros((rows, joints))
        self._absolute, self._square, self._largest = (np.zeros((rows, joints)) for _ in range(3))

    def add(self, difference: np.ndarray) -> None:
        """Take one chunk's differences (rows, J)."""
        known = np.isfinite(difference)
        values = np.where(known, np.abs(difference), 0.0)
        self._count += known
        self._absolute += values
        self._square += values**2
        self._largest = np.maximum(self._largest, values)

    def values(self, joint_names: Sequence[str]) -> dict[str, object]:
        """Means over everything, per joint and per row; None where nothing was compared."""
        return {
            "mean_abs": _ratio(self._absolute.sum(), self._count.sum()),
            "rms": _root(_ratio(self._square.sum(), self._count.sum())),
            "max": float(self._largest.max()) if self._count.any() else None,
            "mean_abs_per_joint": {
                name: _ratio(self._absolute[:, j].sum(), self._count[:, j].sum())
                for j, name in enumerate(joint_names)
            },
            "mean_abs_per_row": [
                _ratio(absolute.sum(), count.sum())
                for absolute, count in zip(self._absolute, self._count, strict=True)
            ],
        }


@dataclass
class Measures:
    """Everything about one method, cycle by cycle.

    Args:
        config: the policy's.
        limits: what the joints may do, or None where nobody knows.
        action_steps: actions executed of each chunk.
    """

    config: PolicyConfig
    limits: JointLimits | None
    action_steps: int
    cycles: int = 0
    nfe: int = 0
    cold: int = 0
    stalls: int = 0
    stalls_in_pauses: int = 0
    limited: int = 0
    milliseconds: list[float] = field(default_factory=list)
    seam_jumps: list[float] = field(default_factory=list)
    recorded_differences: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        config = self.config
        rows = config.horizon - config.n_obs_steps + 1
        self._due = due_times(config.horizon, config.fps, config.n_obs_steps)
        self._future = slice(config.n_obs_steps - 1, None)
        self.error = ErrorSums(rows, config.action_dim)
        self.agreement = ErrorSums(rows, config.action_dim)
        self._limited_joints = np.zeros(config.action_dim, int)
        self._before: tuple[float, np.ndarray] | None = None
        self._tail = np.empty((0, config.action_dim))
        self._jerk_sum, self._jerk_count = 0.0, 0

    def add(self, cycle: Cycle, plan: Plan, reference: np.ndarray | None, encoding: float = 0.0) -> None:
        """Take what a method planned in a cycle, the reference's chunk (Tp, J) if it was asked, and what
        encoding images took besides [ms]."""
        if cycle.first:
            self._before, self._tail = None, self._tail[:0]
        self.cycles += 1
        self.nfe += plan.nfe
        self.cold += plan.cold
        self.stalls += plan.stalled
        self.stalls_in_pauses += plan.stalled and cycle.pause
        self.milliseconds.append(plan.milliseconds["total"] + encoding)
        self.error.add((plan.chunk - cycle.recorded)[self._future])
        if reference is not None:
            self.agreement.add((plan.chunk - reference)[self._future])
        if cycle.chunk is not None:
            self.recorded_differences.append(float(np.abs(plan.chunk - cycle.chunk).max()))
        self._seam(cycle, plan)
        self._jerk(plan.executed)
        self._limits(cycle, plan)

    def _seam(self, cycle: Cycle, plan: Plan) -> None:
        """How far the first executed action lies from what the chunk before had for the same moment."""
        due = cycle.stamp + self._due
        if self._before is not None:
            stamp, chunk = self._before
            moment = due[self._future][0]
            times = stamp + self._due
            if moment <= times[-1]:
                before = np.array([np.interp(moment, times, column) for column in chunk.T])
                self.seam_jumps.append(float(np.abs(plan.executed[0] - before).max()))
            else:
                self._tail = self._tail[:0]
        self._before = (cycle.stamp, plan.chunk)

    def _jerk(self, executed: np.ndarray) -> None:
        """Third difference of the executed prefixes, joined as they would be executed."""
        joined = np.concatenate((self._tail, executed))
        differences = np.abs(np.diff(joined, n=3, axis=0))
        self._jerk_sum += float(differences.sum())
        self._jerk_count += differences.size
        self._tail = joined[-3:]

    def _limits(self, cycle: Cycle, plan: Plan) -> None:
        """Joints that the chunk takes out of their range, beyond their speed, or too far at its beginning."""
        if self.limits is None:
            return
        config = self.config
        known = np.isfinite(cycle.commanded[-1]).all()
        in_force = cycle.commanded[-1] if known else plan.executed[0]
        asked = make_trajectory(plan.chunk, cycle.stamp, config.fps, config.n_obs_steps, in_force)
        limits = self.limits
        outside = (asked.positions < limits.lower) | (asked.positions > limits.upper)
        fast = np.abs(asked.velocities) > limits.max_velocity
        far = np.abs(asked.sample(asked.stamp)[0] - in_force) > limits.max_step
        hit = (outside | fast).any(axis=0) | far
        self.limited += bool(hit.any())
        self._limited_joints += hit

    def values(self) -> dict[str, object]:
        """The method's results as written to JSON; angles in rad, times in ms."""
        config, names = self.config, self.config.action_names
        cycles = self.cycles
        return {
            "cycles": cycles,
            "nfe_per_cycle": _ratio(self.nfe, cycles),
            "cold_cycles": self.cold,
            "error": self.error.values(names),
            "agreement": self.agreement.values(names),
            "seam_jump": _spread(self.seam_jumps),
            "jerk": _ratio(self._jerk_sum, self._jerk_count),
            "stalls": self.stalls,
            "stalls_in_pauses": self.stalls_in_pauses,
            "latency_ms": _spread(self.milliseconds),
            "limited_chunks": self.limited if self.limits is not None else None,
            "limited_per_joint": dict(zip(names, self._limited_joints.tolist(), strict=True)),
            "recorded_chunk_difference": _spread(self.recorded_differences),
            **self._timing(config.fps),
        }

    def _timing(self, fps: float) -> dict[str, object]:
        """What the latencies measured here would do to a running arm."""
        spent = np.array(self.milliseconds) / 1e3
        if not len(spent):
            return {"late_share": None, "useless_share": None, "lost_actions_per_cycle": None}
        return {
            "late_share": float((spent > self.action_steps / fps).mean()),
            "useless_share": float((spent >= self._due[-1]).mean()),
            "lost_actions_per_cycle": float(np.floor(spent * fps).mean()),
        }


def _ratio(total: float, count: float) -> float | None:
    return float(total / count) if count else None


def _root(value: float | None) -> float | None:
    return None if value is None else float(np.sqrt(value))


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return {**{f"p{p}": None for p in PERCENTILES}, "mean": None, "max": None}
    found = dict(
        zip((f"p{p}" for p in PERCENTILES), np.percentile(values, PERCENTILES).tolist(), strict=True)
    )
    return {**found, "mean": float(np.mean(values)), "max": float(np.max(values))}
