"""Judges over time: clocks that jump, an arm that does not follow.

Stale inputs by the age of their stamps are the watchdog's (`watchdog.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from step_ros.control.errors import LimitsError
from step_ros.control.faults import Fault
from step_ros.control.joints import JointLimits

_FASTEST_CLOCK = 25.0
"""Seconds of the node's clock in one of the machine's: a simulation may run faster than real time."""


_OUTSIDE = 0.5
"""Radians outside its range at which a joint may be measured: stops and calibrations are not exact."""


def implausible(positions: np.ndarray, limits: JointLimits) -> str | None:
    """Why `positions` (J,) [rad] cannot be an arm's, None when they can: no joint gets far out of range."""
    beyond = np.maximum(limits.lower - positions, positions - limits.upper)
    joint = int(np.argmax(beyond))
    if beyond[joint] <= _OUTSIDE:
        return None
    return (
        f"position of {limits.name(joint)} is {positions[joint]:.4g} rad, accepted: at most {_OUTSIDE:g} "
        f"outside {limits.lower[joint]:.4g} to {limits.upper[joint]:.4g}"
    )


class ClockMonitor:
    """Notices when the node's clock goes back or leaps.

    Args:
        tolerance: seconds that the clock may go back, or be ahead of what can have passed.
    """

    def __init__(self, tolerance: float = 0.5) -> None:
        self._tolerance = tolerance
        self._last: tuple[float, float] | None = None

    def update(self, now: float, monotonic: float) -> Fault | None:
        """Call it regularly with the node's time and the machine's monotonic time [s]."""
        last, self._last = self._last, (now, monotonic)
        if last is None or last[0] == 0.0:  # zero: no simulated time yet
            return None
        passed, real = now - last[0], monotonic - last[1]
        if passed < 0:
            return Fault("clock jump", f"time went back by {-passed:.3f} s")
        if passed > self._tolerance + _FASTEST_CLOCK * real:
            return Fault("clock jump", f"time jumped ahead by {passed:.3f} s within {real:.3f} s")
        return None


class FollowMonitor:
    """Notices when joints stay away from where they were told to be: blocked, unpowered, too weak.

    Args:
        joint_names: for the text.
        largest: (J,) distance [rad] that counts as following; `inf` for a joint that may be blocked on
            purpose, as a gripper is by what it holds.
        patience: seconds for which a distance may be larger.

    Raises:
        LimitsError: sizes differ, or a value is not > 0.
    """

    def __init__(self, joint_names: Sequence[str], largest: np.ndarray, patience: float = 0.5) -> None:
        self._names, self._patience = tuple(joint_names), patience
        self._largest = np.array(largest, dtype=float)
        if self._largest.shape != (len(self._names),) or not (self._largest > 0).all() or patience <= 0:
            raise LimitsError(
                f"follow error {self._largest.tolist()}, patience {patience} for joints {self._names}: "
                "expected one value > 0 per joint and a patience > 0"
            )
        self._since = np.full(len(self._names), np.inf)

    def reset(self) -> None:
        """Forget what was seen: the arm is told something new."""
        self._since[:] = np.inf

    def update(self, time: float, told: np.ndarray, measured: np.ndarray) -> Fault | None:
        """Compare the set point with the measured position, both (J,) [rad] at `time` [s]."""
        distance = np.abs(np.asarray(told) - np.asarray(measured))
        away = ~(distance <= self._largest)  # NaN is away.
        self._since = np.where(away, np.minimum(self._since, time), np.inf)
        waited = time - self._since
        joint = int(np.argmax(waited))
        if waited[joint] <= self._patience:
            return None
        return Fault(
            "follow error",
            f"{self._names[joint]} is {distance[joint]:.3f} rad from its set point "
            f"for {waited[joint]:.2f} s, accepted {self._largest[joint]:g} rad for {self._patience:g} s",
        )
