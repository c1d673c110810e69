"""The joints of the SO-ARM101 and what each may do: position range, speed, acceleration, largest step.

The default ranges are those of the arm's URDF (`so101_new_calib.urdf`), the speed is the 12 V servo's
without load (45 rpm), the acceleration reaches that speed in 60 ms, the lag that these servos have anyway:
what is beyond is slowed down, and a lower limit would slow down the small corrections of every chunk. On
hardware the elbow's hard stop lies at about 1.57 rad, inside the URDF range: give such limits yourself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from step_ros.control.errors import LimitsError

JOINT_NAMES = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")

_LOWER = (-1.91986, -1.74533, -1.69, -1.65806, -2.74385, -0.174533)
_UPPER = (1.91986, 1.74533, 1.69, 1.65806, 2.84121, 1.74533)
_MAX_VELOCITY = (4.71,) * 6
_MAX_STEP = (0.15,) * 6
_MAX_ACCELERATION = (80.0,) * 6
_UNLIMITED = 1e9


@dataclass(frozen=True)
class JointLimits:
    """What each joint may do; every array has shape (J,).

    Attributes:
        lower, upper: position range [rad].
        max_velocity: largest speed of a trajectory point [rad/s], > 0.
        max_step: largest change of position from one trajectory point to the next [rad], > 0.
        max_acceleration: largest acceleration of a trajectory [rad/s^2], > 0; unlimited when left out.
        margin: distance [rad] to the ends of the range that commands keep, >= 0, less than half of any range.
        names: of the joints, for messages; may be left out.

    Raises:
        LimitsError: lengths differ, a value is not finite, or a range is empty.
    """

    lower: np.ndarray
    upper: np.ndarray
    max_velocity: np.ndarray
    max_step: np.ndarray
    max_acceleration: np.ndarray | None = None
    margin: float = 0.0
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = np.size(self.lower)
        if self.max_acceleration is None:
            object.__setattr__(self, "max_acceleration", np.full(size, _UNLIMITED))
        for name in ("lower", "upper", "max_velocity", "max_step", "max_acceleration"):
            values = np.array(getattr(self, name), dtype=float)
            if values.shape != (size,):
                raise LimitsError(f"joint limit '{name}' has shape {values.shape}, expected ({size},)")
            if not np.isfinite(values).all():
                raise LimitsError(f"joint limit '{name}' is {values.tolist()}, expected finite numbers")
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if not (self.lower < self.upper).all():
            raise LimitsError(f"lower {self.lower.tolist()} must lie below upper {self.upper.tolist()}")
        if self.names and len(self.names) != size:
            raise LimitsError(f"names are {self.names}, expected {size}")
        if not 0 <= self.margin < (self.upper - self.lower).min() / 2:
            raise LimitsError(f"margin is {self.margin}, expected 0 to less than half of every joint's range")
        for name in ("max_velocity", "max_step", "max_acceleration"):
            if not (getattr(self, name) > 0).all():
                raise LimitsError(f"joint limit '{name}' is {getattr(self, name).tolist()}, expected > 0")

    @classmethod
    def so101(cls, names: Sequence[str] = JOINT_NAMES) -> JointLimits:
        """The SO-ARM101's own limits for the named joints, in their order.

        Raises:
            LimitsError: the arm has no such joint.
        """
        unknown = [name for name in names if name not in JOINT_NAMES]
        if unknown:
            raise LimitsError(f"no default limits for {', '.join(unknown)}; known: {', '.join(JOINT_NAMES)}")
        order = [JOINT_NAMES.index(name) for name in names]
        tables = (_LOWER, _UPPER, _MAX_VELOCITY, _MAX_STEP, _MAX_ACCELERATION)
        return cls(*(np.array(table)[order] for table in tables), names=tuple(names))

    def name(self, joint: int) -> str:
        """How a message calls the joint of this index."""
        return self.names[joint] if self.names else f"joint {joint}"
