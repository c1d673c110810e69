"""Brings positions that are out of range, or too far away, as near as may be: the only place that clips."""

from __future__ import annotations

import numpy as np

from step_ros.control.faults import Fault
from step_ros.control.joints import JointLimits


def within(
    positions: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    here: np.ndarray,
    limits: JointLimits,
    faults: list[Fault],
) -> np.ndarray:
    """Positions (N, J) inside the range, the first one at most `max_step` from `here`.

    Args:
        positions: (N, J) asked for [rad].
        lower, upper: (J,) accepted range [rad].
        here: (J,) where the joints are told to be now [rad], inside the range.
        limits: for `max_step` and the joints' names.
        faults: what had to be changed is added.

    Returns:
        The same array where nothing had to change.
    """
    beyond = np.maximum(lower - positions, positions - upper)
    if (beyond > 0).any():
        row, joint = np.unravel_index(np.argmax(beyond), beyond.shape)
        asked, accepted = positions[row, joint], (lower[joint], upper[joint])
        faults.append(
            Fault(
                "position limit",
                f"{limits.name(joint)} asked to {asked:.3f} rad, "
                f"accepted {accepted[0]:.3f} to {accepted[1]:.3f}",
            )
        )
        positions = np.clip(positions, lower, upper)
    step = positions[0] - here
    if (np.abs(step) > limits.max_step).any():
        joint = int(np.argmax(np.abs(step) / limits.max_step))
        faults.append(
            Fault(
                "large step",
                f"{limits.name(joint)} asked to step by {step[joint]:.3f} rad at once, "
                f"accepted {limits.max_step[joint]:.3f}",
            )
        )
        positions = np.vstack([here + np.clip(step, -limits.max_step, limits.max_step), positions[1:]])
    return positions
