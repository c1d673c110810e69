"""The polynomials between two points of a trajectory, and how far they go.

The degree follows from what both ends carry, as in joint_trajectory_controller's `splines`: positions give a
straight line, velocities as well a cubic, accelerations as well a quintic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def segment(span: np.ndarray | float, p: tuple, v: tuple | None = None, a: tuple | None = None) -> np.ndarray:
    """Coefficients (degree + 1, ...) in rising powers of the time since the segment's start.

    Args:
        span: length [s], > 0; broadcasts against the values.
        p, v, a: value at the start and at the end: positions, velocities, accelerations (with `v` only).
    """
    change = p[1] - p[0]
    if v is None:
        return np.stack([p[0], change / span])
    v0, v1 = span * v[0], span * v[1]
    if a is None:
        return np.stack([p[0], v[0], (3 * change - 2 * v0 - v1) / span**2, (v0 + v1 - 2 * change) / span**3])
    a0, a1 = span**2 * a[0], span**2 * a[1]
    return np.stack(
        [
            p[0],
            v[0],
            a[0] / 2,
            (20 * change - 12 * v0 - 8 * v1 - 3 * a0 + a1) / (2 * span**3),
            (-30 * change + 16 * v0 + 14 * v1 + 3 * a0 - 2 * a1) / (2 * span**4),
            (12 * change - 6 * v0 - 6 * v1 - a0 + a1) / (2 * span**5),
        ]
    )


def derivative(coefficients: np.ndarray) -> np.ndarray:
    """Coefficients of the time derivative, one row fewer."""
    powers = np.arange(1, len(coefficients)).reshape(-1, *[1] * (coefficients.ndim - 1))
    return powers * coefficients[1:]


def value(coefficients: np.ndarray, time: np.ndarray | float) -> np.ndarray:
    """The polynomial at `time` [s] since the segment's start (Horner's scheme)."""
    result = np.zeros_like(coefficients[0])
    for coefficient in coefficients[::-1]:
        result = result * time + coefficient
    return result


@dataclass(frozen=True)
class Extremes:
    """How far each segment of a cubic trajectory goes; every array has shape (N - 1, J).

    Attributes:
        lowest, highest: position [rad].
        speed: largest absolute velocity [rad/s].
        acceleration: largest absolute acceleration [rad/s^2].
    """

    lowest: np.ndarray
    highest: np.ndarray
    speed: np.ndarray
    acceleration: np.ndarray


def cubic_extremes(times: np.ndarray, positions: np.ndarray, velocities: np.ndarray) -> Extremes:
    """Extremes of the cubics through positions (N, J) with velocities (N, J) at `times` (N,), exactly."""
    span = np.diff(times)[:, None]
    cubic = segment(span, (positions[:-1], positions[1:]), (velocities[:-1], velocities[1:]))
    slope = derivative(cubic)
    bend = derivative(slope)
    _, _, c2, c3 = cubic
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = -c2 / (3 * c3)
        root = np.sqrt(c2**2 - 3 * cubic[1] * c3)
        # The two stable forms of the quadratic formula; each is exact where the other cancels.
        q = -(c2 + np.copysign(root, c2))
        turns = (q / (3 * c3), cubic[1] / q)
    places = [np.where((t > 0) & (t < span), t, 0.0) for t in turns]
    reached = np.stack([positions[:-1], positions[1:], *(value(cubic, t) for t in places)])
    inner = np.where((vertex > 0) & (vertex < span), vertex, 0.0)
    speeds = np.stack([velocities[:-1], velocities[1:], value(slope, inner)])
    bends = np.stack([value(bend, 0.0), value(bend, span)])
    return Extremes(
        reached.min(axis=0), reached.max(axis=0), np.abs(speeds).max(axis=0), np.abs(bends).max(axis=0)
    )
