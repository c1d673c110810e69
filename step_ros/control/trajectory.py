"""A timed joint trajectory and its value at any moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Trajectory:
    """Positions to be reached at given times.

    Attributes:
        stamp: time that `times` count from [s].
        times: (N,) strictly increasing [s], N >= 1.
        positions: (N, J) [rad].
        velocities: (N, J) [rad/s], or None for straight lines between the points.
    """

    stamp: float
    times: np.ndarray
    positions: np.ndarray
    velocities: np.ndarray | None = None

    @property
    def end(self) -> float:
        """The time of the last point [s]."""
        return self.stamp + float(self.times[-1])

    def sample(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Position (J,) [rad] and velocity (J,) [rad/s] at `time` [s].

        Cubic Hermite between points that carry velocities, linear otherwise (joint_trajectory_controller's
        `splines`); the first point before the first, the last after the last, both at rest.
        """
        elapsed = time - self.stamp
        if elapsed >= self.times[-1] or elapsed < self.times[0]:
            position = self.positions[-1 if elapsed >= self.times[-1] else 0]
            return position.copy(), np.zeros_like(position)
        k = int(np.searchsorted(self.times, elapsed, side="right")) - 1
        span = self.times[k + 1] - self.times[k]
        u = (elapsed - self.times[k]) / span
        start, change = self.positions[k], self.positions[k + 1] - self.positions[k]
        if self.velocities is None:
            return start + u * change, change / span
        v0, v1 = span * self.velocities[k], span * self.velocities[k + 1]
        square, cube = 3 * change - 2 * v0 - v1, v0 + v1 - 2 * change
        position = start + u * (v0 + u * (square + u * cube))
        return position, (v0 + u * (2 * square + 3 * u * cube)) / span


def central_velocities(times: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Velocities (N, J) by central differences, one-sided at the first point and zero at the last."""
    velocities = np.zeros_like(positions)
    if len(times) > 1:
        velocities[0] = (positions[1] - positions[0]) / (times[1] - times[0])
        velocities[1:-1] = (positions[2:] - positions[:-2]) / (times[2:] - times[:-2])[:, None]
    return velocities
