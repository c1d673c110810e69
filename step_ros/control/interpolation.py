"""The polynomials between two points of a trajectory, and how far they go.

The degree follows from what both ends carry, as in joint_trajectory_controller's `splines`: positions give a
straight line, velocities as well a cubic, accelerations as well a quintic.
"""

from __future__ import annotations

import numpy as np

_POWERS = np.arange(1.0, 6.0)


def segment(span: np.ndarray | float, p: tuple, v: tuple | None = None, a: tuple | None = None) -> np.ndarray:
    """Coefficients (degree + 1, ...) in rising powers of the time since the segment's start.

    Args:
        span: length [s], > 0; broadcasts against the values.
        p, v, a: value at the start and at the end: positions, velocities, accelerations (with `v` only).
    """
    change = p[1] - p[0]
    if v is None:
        return np.array([p[0], change / span])
    v0, v1 = span * v[0], span * v[1]
    if a is None:
        return np.array([p[0], v[0], (3 * change - 2 * v0 - v1) / span**2, (v0 + v1 - 2 * change) / span**3])
    a0, a1 = span**2 * a[0], span**2 * a[1]
    return np.array(
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
    powers = _POWERS[: len(coefficients) - 1].reshape(-1, *[1] * (coefficients.ndim - 1))
    return powers * coefficients[1:]


def value(coefficients: np.ndarray, time: np.ndarray | float) -> np.ndarray:
    """The polynomial at `time` [s] since the segment's start (Horner's scheme)."""
    result = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        result = result * time + coefficient
    return result


def motion(coefficients: np.ndarray, time: float) -> np.ndarray:
    """Value, first and second derivative (3, ...) of a polynomial up to degree 5 at `time` [s], at once."""
    u, u2, u3 = time, time**2, time**3
    powers = np.array(
        [
            [1.0, u, u2, u3, u2 * u2, u2 * u3],
            [0.0, 1.0, 2 * u, 3 * u2, 4 * u3, 5 * u2 * u2],
            [0.0, 0.0, 2.0, 6 * u, 12 * u2, 20 * u3],
        ]
    )
    return powers[:, : len(coefficients)] @ coefficients


def cubic_peaks(
    times: np.ndarray, positions: np.ndarray, velocities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Largest speed and acceleration, both (N - 1, J), of each cubic of a trajectory, exactly.

    Args:
        times: (N,) [s].
        positions, velocities: (N, J) [rad], [rad/s].
    """
    span = (times[1:] - times[:-1])[:, None]
    mean = 6 * ((positions[1:] - positions[:-1]) / span)
    v0, v1 = velocities[:-1], velocities[1:]
    begin, end = (mean - 4 * v0 - 2 * v1) / span, (2 * v0 + 4 * v1 - mean) / span
    # Where the acceleration changes its sign the velocity has its extreme.
    turn = np.zeros_like(begin)
    np.divide(span * begin**2, 2 * (begin - end), out=turn, where=begin * end < 0)
    speeds = np.abs(velocities)
    speed = np.maximum(np.maximum(speeds[:-1], speeds[1:]), np.abs(v0 + turn))
    return speed, np.maximum(np.abs(begin), np.abs(end))


def cubic_bounds(
    times: np.ndarray, positions: np.ndarray, velocities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (J,) [rad] that no cubic of a trajectory leaves: those of all their Bezier control points.

    Several times faster than `cubic_ranges`, and wider.
    """
    third = (times[1:] - times[:-1])[:, None] / 3
    reach = np.concatenate(
        [positions, positions[:-1] + third * velocities[:-1], positions[1:] - third * velocities[1:]]
    )
    return reach.min(axis=0), reach.max(axis=0)


def cubic_ranges(
    times: np.ndarray, positions: np.ndarray, velocities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest position, both (N - 1, J) [rad], of each cubic of a trajectory, exactly."""
    span = np.diff(times)[:, None]
    cubic = segment(span, (positions[:-1], positions[1:]), (velocities[:-1], velocities[1:]))
    _, c1, c2, c3 = cubic
    with np.errstate(divide="ignore", invalid="ignore"):
        # The two stable forms of the quadratic formula; each is exact where the other cancels.
        q = -(c2 + np.copysign(np.sqrt(c2**2 - 3 * c1 * c3), c2))
        turns = (q / (3 * c3), c1 / q)
    places = [np.where((t > 0) & (t < span), t, 0.0) for t in turns]
    reached = np.stack([positions[:-1], positions[1:], *(value(cubic, t) for t in places)])
    return reached.min(axis=0), reached.max(axis=0)
