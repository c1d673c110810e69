"""A timed joint trajectory and its value at any moment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from step_ros.control.interpolation import derivative, motion, segment, value

SAME_TIME = 1e-6
"""Seconds below which two points count as one."""


class Motion(NamedTuple):
    """Where a plan is at one moment: position [rad], velocity [rad/s], acceleration [rad/s^2], each (J,)."""

    position: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray


@dataclass(frozen=True)
class Trajectory:
    """Positions to be reached at given times.

    Attributes:
        stamp: time that `times` count from [s].
        times: (N,) strictly increasing [s], N >= 1.
        positions: (N, J) [rad].
        velocities: (N, J) [rad/s], or None for straight lines; a row of NaN is a point that carries none.
        accelerations: (N, J) [rad/s^2], or None; a row of NaN is a point that carries none.
    """

    stamp: float
    times: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray | None = None
    accelerations: np.ndarray | None = None

    @property
    def end(self) -> float:
        """The time of the last point [s]."""
        return self.stamp + float(self.times[-1])

    def sample(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Position (J,) [rad] and velocity (J,) [rad/s] at `time` [s]; see `state`."""
        return self.state(time)[:2]

    def state(self, time: float) -> Motion:
        """The plan at `time` [s].

        Between two points: cubic where both carry velocities, quintic where both carry accelerations as
        well, else linear (joint_trajectory_controller's `splines`). Before the first point and from the last
        one on it rests there.
        """
        elapsed = time - self.stamp
        if elapsed >= self.times[-1] or elapsed < self.times[0]:
            position = self.positions[-1 if elapsed >= self.times[-1] else 0]
            return Motion(position.copy(), np.zeros_like(position), np.zeros_like(position))
        k = int(self.times.searchsorted(elapsed, side="right")) - 1
        coefficients = self._between(k) if self._cubics is None else self._cubics[:, k]
        return Motion(*motion(coefficients, float(elapsed - self.times[k])))

    def positions_at(self, times: np.ndarray) -> np.ndarray:
        """Positions (M, J) [rad] at many `times` (M,) [s] at once; where every point carries velocities."""
        cubics, u, _ = self._places(times)
        return value(cubics, u)

    def samples(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions and velocities, both (M, J), at many `times` (M,) [s]: `sample` of each, at once.

        Only where every point carries velocities.
        """
        cubics, u, moving = self._places(times)
        return value(cubics, u), np.where(moving, value(derivative(cubics), u), 0.0)

    @cached_property
    def _cubics(self) -> np.ndarray | None:
        """The cubics between the points (4, N - 1, J), None unless every point carries velocities only."""
        if self.velocities is None or self.accelerations is not None or np.isnan(self.velocities).any():
            return None
        positions, velocities = self.positions, self.velocities
        spans = (self.times[1:] - self.times[:-1])[:, None]
        return segment(spans, (positions[:-1], positions[1:]), (velocities[:-1], velocities[1:]))

    def _between(self, k: int) -> np.ndarray:
        """What points k and k + 1 have between them: a line, cubic or quintic by what both carry."""
        velocities = _both(self.velocities, k)
        accelerations = None if velocities is None else _both(self.accelerations, k)
        ends = tuple(self.positions[k : k + 2])
        return segment(self.times[k + 1] - self.times[k], ends, velocities, accelerations)

    def _places(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For each of `times` (M,): the cubic (4, M, J), the time in it (M, 1), and whether it lies between
        the first and the last point (M, 1)."""
        elapsed = times - self.stamp
        moving = ((elapsed >= self.times[0]) & (elapsed < self.times[-1]))[:, None]
        if len(self.times) == 1:
            rest = np.broadcast_to(self.positions, (len(times), self.positions.shape[1]))
            return np.stack([rest, *[np.zeros_like(rest)] * 3]), np.zeros((len(times), 1)), moving
        elapsed = elapsed.clip(self.times[0], self.times[-1])
        k = (self.times.searchsorted(elapsed, side="right") - 1).clip(0, len(self.times) - 2)
        return self._cubics[:, k], (elapsed - self.times[k])[:, None], moving

    def with_point(self, time: float) -> Trajectory:
        """The same motion with a point at `time` [s] as well, strictly inside; of lines and cubics only."""
        elapsed = time - self.stamp
        k = int(np.searchsorted(self.times, elapsed))
        outside = elapsed <= self.times[0] or elapsed >= self.times[-1]
        if outside or np.abs(self.times - elapsed).min() < SAME_TIME:
            return self
        position, velocity = self.sample(time)
        velocities = self.velocities
        if velocities is not None:
            row = velocity if _both(velocities, k - 1) else np.full_like(velocity, np.nan)
            velocities = _with_row(velocities, k, row)
        return Trajectory(
            self.stamp, _with_row(self.times, k, elapsed), _with_row(self.positions, k, position), velocities
        )


def _with_row(rows: np.ndarray, k: int, row: np.ndarray | float) -> np.ndarray:
    """`rows` with one more before row k; several times faster than `np.insert`."""
    return np.concatenate([rows[:k], np.asarray(row)[None], rows[k:]])


def _both(rows: np.ndarray | None, k: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows k and k + 1, or None where one of them is missing."""
    if rows is None or np.isnan(rows[k : k + 2]).any():
        return None
    return rows[k], rows[k + 1]


def central_velocities(times: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Velocities (N, J) by central differences, one-sided at the first point and zero at the last."""
    velocities = np.zeros_like(positions)
    if len(times) > 1:
        velocities[0] = (positions[1] - positions[0]) / (times[1] - times[0])
        velocities[1:-1] = (positions[2:] - positions[:-2]) / (times[2:] - times[:-2])[:, None]
    return velocities
