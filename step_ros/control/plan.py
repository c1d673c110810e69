"""What the controller is following now: our own model of it, corrected by what it says itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from step_ros.control.history import CommandHistory
from step_ros.control.trajectory import Trajectory
from step_ros.control.watchdog import AHEAD

_OLD = 0.2
"""Age [s] above which a controller's reference says nothing about now."""
_BRAKING = 0.2
"""Seconds in which a motion of which only one moment is known is taken to come to rest."""


@dataclass(frozen=True)
class Reference:
    """What a controller said of its set point (`controller_state.reference`).

    Attributes:
        stamp: when it held [s].
        position, velocity: (J,) [rad], [rad/s].
    """

    stamp: float
    position: np.ndarray
    velocity: np.ndarray


@dataclass(frozen=True)
class PlanInForce:
    """The motion that goes on if nothing new is sent.

    Attributes:
        trajectory: its future.
        source: `model` (what we sent last), `reference` (the controller is elsewhere: another sender, a
            rejected chunk, a hold of its own) or `measured` (nothing was sent and nothing is known).
    """

    trajectory: Trajectory
    source: str


def plan_in_force(
    history: CommandHistory,
    reference: Reference | None,
    measured: np.ndarray,
    now: float,
    tolerance: float = 0.02,
) -> PlanInForce:
    """The plan that a new chunk has to be joined to.

    What we sent last is trusted while the controller's reference, where there is one and it is fresh, is
    within `tolerance` [rad] of it. Else the reference is: braking to rest from there. A reference from the
    future, or older than 0.2 s, is ignored: its clock is another one, or the controller is gone.

    Args:
        history: what was sent.
        measured: (J,) measured positions [rad], used where nothing else is known.
        now: the present [s].
    """
    sent = history.newest
    if reference is not None and -AHEAD <= now - reference.stamp <= _OLD:
        expected = history.at(reference.stamp)
        if expected is None or (np.abs(expected - reference.position) > tolerance).any():
            return PlanInForce(_braking(reference), "reference")
    if sent is not None:
        return PlanInForce(sent, "model")
    return PlanInForce(_resting(measured, now), "measured")


def _braking(reference: Reference) -> Trajectory:
    """To rest at constant deceleration from the one moment that is known."""
    end = reference.position + reference.velocity * _BRAKING / 2
    return Trajectory(
        reference.stamp,
        np.array([0.0, _BRAKING]),
        np.stack([reference.position, end]),
        np.stack([reference.velocity, np.zeros_like(reference.velocity)]),
    )


def _resting(position: np.ndarray, since: float) -> Trajectory:
    rest = np.asarray(position, dtype=float)[None]
    return Trajectory(since, np.zeros(1), rest, np.zeros_like(rest))
