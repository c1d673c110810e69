"""From what the policy wants to what the arm is told: anchored in time, within limits, and remembered.

Knows no ROS.
"""

from __future__ import annotations

import numpy as np

from step_ros.control.history import CommandHistory
from step_ros.control.joints import JointLimits
from step_ros.control.limits import limit, takeover_index
from step_ros.control.timing import make_trajectory
from step_ros.control.trajectory import Trajectory
from step_ros.policy.config import PolicyConfig
from step_ros.policy.policy import Plan

HOLD_TIME = 0.2
"""Seconds in which a hold brings the arm to rest."""


class LateChunkError(Exception):
    """A chunk was ready only after its last element was due."""


class Commander:
    """Makes the trajectories that are sent, each from a plan and from those sent before.

    Args:
        config: of the policy, whose chunks are followed.
        limits: what the joints may do, in the policy's order.
    """

    def __init__(self, config: PolicyConfig, limits: JointLimits) -> None:
        self._config, self._limits = config, limits
        self._history = CommandHistory(limits.lower.size)

    def forget(self) -> None:
        """A new episode begins, or somebody else commands the arm: nothing is known of the past."""
        self._history.reset()

    def past(self, stamp: float) -> np.ndarray:
        """What was commanded until `stamp` [s] as the policy takes it: (Ta, J) [rad], NaN where unknown."""
        return self._history.sample(stamp, self._config.fps, self._config.n_action_steps)

    def command(self, plan: Plan, stamp: float, now: float, measured: np.ndarray) -> tuple[Trajectory, bool]:
        """The trajectory to send at `now` [s] for a plan made from the observation at `stamp` [s].

        Args:
            measured: (J,) where the joints are [rad], which counts as long as nothing has been commanded.

        Returns:
            The trajectory, and whether limits changed the part of it that has an effect.

        Raises:
            LateChunkError: nothing of the plan is left to do at `now`.
            UnsafeCommandError: the plan holds what no limit can mend.
        """
        config = self._config
        anchor = self._history.latest(stamp)
        asked = make_trajectory(
            plan.chunk, stamp, config.fps, config.n_obs_steps, measured if anchor is None else anchor
        )
        if asked.end <= now:
            raise LateChunkError(
                f"a chunk was ready {now - stamp:.2f} s after its observation: too late to send"
            )
        start = takeover_index(asked, now)
        in_force = self._history.latest(asked.stamp + asked.times[start])
        sent = limit(asked, self._limits, start, measured if in_force is None else in_force)
        self._history.add(sent, max(now, stamp))
        return sent, not np.array_equal(sent.positions[start:], asked.positions[start:])

    def rest(self, now: float, measured: np.ndarray | None, always: bool) -> Trajectory | None:
        """A trajectory that stops the arm where it is.

        Args:
            measured: (J,) where the joints are [rad], None when that is not known; then the set point counts.
            always: also when nothing has been commanded that would have to be stopped.
        """
        position = self._history.latest(now)
        if position is None and not always:
            return None
        position = position if measured is None else measured
        if position is None:
            return None
        at = np.clip(position, self._limits.lower, self._limits.upper)[None]
        return Trajectory(0.0, np.array([HOLD_TIME]), at, np.zeros_like(at))
