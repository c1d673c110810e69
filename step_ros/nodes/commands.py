"""From what the policy wants to what the arm is told: anchored in time, joined to the plan in force, safe.

Knows no ROS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from step_ros.control.faults import Fault
from step_ros.control.history import CommandHistory
from step_ros.control.joints import JointLimits
from step_ros.control.monitors import implausible
from step_ros.control.plan import Reference, plan_in_force
from step_ros.control.rejection import Outcome, Verdict, judge
from step_ros.control.safety import check_chunk, hold, make_safe
from step_ros.control.seams import ChunkRefusedError, SeamJump, join, seam_jump, switching_time
from step_ros.control.timing import make_trajectory
from step_ros.control.trajectory import Trajectory
from step_ros.control.workspace import WorkspaceGuard
from step_ros.policy.config import PolicyConfig
from step_ros.policy.policy import Plan

_LEAD = 0.02
"""Seconds that a message needs to the controller and there until its next period; a blend begins then."""

_KEPT_REFERENCES = 32
_OPEN = (Outcome.SILENT, Outcome.UNCLEAR)
"""Nothing can be said yet."""


@dataclass(frozen=True)
class Command:
    """What is sent for a plan.

    Attributes:
        trajectory: safe to send.
        faults: what had to be changed, and why.
        seam: the jump of the set point where this command takes over from the plan in force.
        before: the plan that it takes over from.
        switch: when it takes over [s].
    """

    trajectory: Trajectory
    faults: tuple[Fault, ...]
    seam: SeamJump
    before: Trajectory
    switch: float


class Commander:
    """Makes the trajectories that are sent, each from a plan and from those sent before.

    Args:
        config: of the policy, whose chunks are followed.
        limits: what the joints may do, in the policy's order.
        guard: the table; None for no guard.
        joint_names: in the policy's order, as the controller calls them.

    Attributes:
        blend: seconds in which a new chunk's offset to the plan in force decays; 0 sends chunks as they are.
    """

    def __init__(
        self,
        config: PolicyConfig,
        limits: JointLimits,
        joint_names: Sequence[str],
        guard: WorkspaceGuard | None = None,
        blend: float = 0.0,
    ) -> None:
        self._config, self._limits, self._guard = config, limits, guard
        self._joint_names = tuple(joint_names)
        self.blend = blend
        self._history = CommandHistory(limits.lower.size)
        self._judged: Command | None = None
        self._unrested: Trajectory | None = None
        self._references: list[Reference] = []

    def forget(self) -> None:
        """A new episode begins, or somebody else commands the arm: the past counts no more.

        What was sent last may still move the arm, so `rest` goes on to know of it.
        """
        self._history.reset()
        self._judged = None
        self._references.clear()

    def past(self, stamp: float) -> np.ndarray:
        """What was commanded until `stamp` [s] as the policy takes it: (Ta, J) [rad], NaN where unknown."""
        return self._history.sample(stamp, self._config.fps, self._config.n_action_steps)

    def told(self, stamp: float) -> np.ndarray | None:
        """The set point (J,) [rad] in force at `stamp` [s], None when nothing was commanded by then."""
        return self._history.at(stamp)

    def heard(self, reference: Reference) -> None:
        """The controller said what its set point is."""
        self._references.append(reference)
        del self._references[:-_KEPT_REFERENCES]

    def command(
        self, plan: Plan, stamp: float, now: float, measured: np.ndarray, action_steps: int
    ) -> Command:
        """The command to send at `now` [s] for a plan made from the observation at `stamp` [s].

        Args:
            measured: (J,) where the joints are [rad], which counts as long as nothing has been commanded.
            action_steps: rows of the chunk that are meant to be executed.

        Raises:
            ChunkRefusedError: the chunk must not be sent; its fault says why.
            UnsafeCommandError: the plan holds what no limit can mend.
        """
        config, joints = self._config, self._limits.lower.size
        fault = check_chunk(plan.chunk, joints, config.n_obs_steps, action_steps)
        if fault is not None:
            raise ChunkRefusedError(fault)
        anchor = self._history.latest(stamp)
        asked = make_trajectory(
            plan.chunk, stamp, config.fps, config.n_obs_steps, measured if anchor is None else anchor
        )
        newest = self._references[-1] if self._references else None
        in_force = plan_in_force(self._history, newest, measured, now).trajectory
        switch = switching_time(asked, self._history.newest, now, _LEAD if self.blend else 0.0)
        joined = join(asked, in_force, now, switch, self.blend)
        here = in_force.state(switch)
        checked = make_safe(joined, self._limits, switch, here.position, self._guard)
        sent = checked.trajectory
        seam = seam_jump(here, sent.state(switch))
        made = Command(sent, checked.faults, seam, in_force, switch)
        self._history.add(sent, max(now, stamp))
        self._judged, self._unrested = made, sent
        return made

    def verdict(self) -> Verdict | None:
        """What the controller made of the last command, once that can be told; None before, and only once."""
        command = self._judged
        if command is None:
            return None
        verdict = judge(
            command.trajectory, command.before, self._references, command.switch, self._joint_names
        )
        if verdict.outcome in _OPEN:
            return None
        self._judged = None
        return verdict

    def rest(self, now: float, measured: np.ndarray | None, always: bool) -> Trajectory | None:
        """A trajectory that stops the arm where it is.

        Args:
            measured: (J,) where the joints are [rad], None when that is not known; then the set point counts.
            always: also when nothing has been commanded that would have to be stopped.
        """
        moving, self._unrested = self._unrested, None
        if moving is None and not always:
            return None
        if measured is None and moving is not None:
            measured = moving.sample(now)[0]
        return None if measured is None else hold(measured, self._limits)

    def doubt(self, measured: np.ndarray) -> str | None:
        """Why joint positions (J,) [rad] cannot be where the arm is, None when they can."""
        return implausible(measured, self._limits)
