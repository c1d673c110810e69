"""From a chunk of actions to a trajectory that says when each position is due.

An action at chunk index i is the position to be reached (i - (To - 2)) / f after the newest observation:
index To-1 is due one tick after it, and index To-2 at that very moment. What is sent starts with the
latter (the anchor), so that a controller which receives it a little later is already inside the
trajectory and never bridges, and goes on to the end of the horizon, at rest there.
"""

from __future__ import annotations

import numpy as np

from step_ros.control.errors import UnsafeCommandError
from step_ros.control.trajectory import Trajectory, central_velocities


def due_times(horizon: int, fps: float, n_obs_steps: int) -> np.ndarray:
    """Times (horizon,) [s] after the newest observation at which the elements of a chunk are due."""
    return (np.arange(horizon) - (n_obs_steps - 2)) / fps


def make_trajectory(
    chunk: np.ndarray, t_obs: float, fps: float, n_obs_steps: int, anchor: np.ndarray | None = None
) -> Trajectory:
    """The part of a chunk from the observation on, anchored, with velocities.

    Args:
        chunk: (Tp, J) positions [rad].
        t_obs: stamp of the newest observation frame [s].
        fps: rate of the chunk's elements [1/s].
        n_obs_steps: To, frames in the observation window.
        anchor: (J,) position due at `t_obs` [rad]; needed when To = 1, whose chunk has no such element.

    Raises:
        UnsafeCommandError: a value is not finite, or the shapes do not fit.
    """
    chunk = np.asarray(chunk, dtype=float)
    if chunk.ndim != 2 or len(chunk) < n_obs_steps:
        raise UnsafeCommandError(f"chunk has shape {chunk.shape}, expected (at least {n_obs_steps}, joints)")
    if n_obs_steps == 1:
        if anchor is None or np.shape(anchor) != chunk.shape[1:]:
            raise UnsafeCommandError(
                "one observation step needs an anchor: the position due at the observation"
            )
        positions = np.vstack([anchor, chunk])
    else:
        positions = chunk[n_obs_steps - 2 :]
    if not np.isfinite(positions).all():
        raise UnsafeCommandError("chunk holds NaN or infinite positions")
    times = np.arange(len(positions)) / fps
    return Trajectory(t_obs, times, positions, central_velocities(times, positions))
