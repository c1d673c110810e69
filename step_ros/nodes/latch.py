"""The newest position command of each joint, as a servo keeps it: until another comes. Knows no ROS."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

JOINED = 0.05
"""Largest distance [rad] from the arm at which a controller's commands are first taken."""


class CommandRefusedError(Exception):
    """A command that cannot be used; says what was found and what is accepted."""


class CommandLatch:
    """Set points from a controller that may send nothing, NaN, or what was meant for another moment.

    A controller that was told nothing of a reset goes on commanding the pose before it. So after a reset, and
    at the start, its commands count only once they have come to the arm.

    Args:
        joint_names: the joints, in the order of all arrays here.
        positions: (J,) where the arm is [rad].

    Attributes:
        joined: whether commands count.
        dropped: NaN and infinite positions so far.
    """

    def __init__(self, joint_names: Sequence[str], positions: NDArray) -> None:
        self._joint_names = tuple(joint_names)
        self.dropped = 0
        self.reset(positions)

    def reset(self, positions: NDArray) -> None:
        """Stay at `positions` (J,) [rad] until the controller's commands have come there."""
        self.set_point = np.array(positions, dtype=float)
        self.joined = False

    def accept(self, names: Sequence[str], positions: Sequence[float]) -> None:
        """Take a command [rad] by joint name; joints that are left out or not finite keep their set points.

        Raises:
            CommandRefusedError: sizes differ, or a joint is named twice or unknown; nothing has changed.
        """
        if len(names) != len(positions):
            raise CommandRefusedError(f"{len(positions)} positions for {len(names)} joint names")
        if len(set(names)) != len(names) or not set(names) <= set(self._joint_names):
            raise CommandRefusedError(
                f"joints {', '.join(names)}, accepted: each of {', '.join(self._joint_names)} at most once"
            )
        asked = self.set_point.copy()
        asked[[self._joint_names.index(name) for name in names]] = positions
        finite = np.isfinite(asked)
        self.dropped += int((~finite).sum())
        if not self.joined:
            self.joined = bool(
                len(names) == len(asked) and finite.all() and (np.abs(asked - self.set_point) <= JOINED).all()
            )
        if self.joined:
            self.set_point = np.where(finite, asked, self.set_point)
