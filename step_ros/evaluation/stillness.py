"""How long a robot stood still: what a deadlock is measured by."""

from __future__ import annotations

import numpy as np

TOLERANCE = 0.01
"""A robot stands while no dimension of its state is further than this from where it began to stand, in the
state's unit (radians for the arm)."""


def longest_stand(states: np.ndarray) -> int:
    """Ticks of the longest stretch during which states (T, S) stood still."""
    began, longest = 0, 0
    for tick in range(1, len(states)):
        if np.abs(states[tick] - states[began]).max() > TOLERANCE:
            began = tick
        longest = max(longest, tick - began)
    return longest


def final_stand(states: np.ndarray) -> int:
    """Ticks for which states (T, S) had not moved when they ended."""
    moved = np.flatnonzero(np.abs(states - states[-1]).max(axis=1) > TOLERANCE)
    return len(states) - 1 - (int(moved[-1]) + 1 if moved.size else 0)
