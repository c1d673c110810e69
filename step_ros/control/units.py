"""LeRobot's units and calibration to radians of the arm's model, and back; per joint, from a stated mode.

Nothing in a dataset says which unit it is in, so the mode is never guessed, only checked.

| mode | arm joints | gripper |
|---|---|---|
| `radians` | radians of the model | radians of the model |
| `degrees` | degrees from the middle of the calibrated range (LeRobot's default) | 0 closed .. 100 open |
| `range_m100_100` | -100 .. 100 over the calibrated range | 0 closed .. 100 open |

A motor's angle becomes the model's by `sign * angle + offset`, for an arm that is mounted otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from step_ros.control.errors import ControlError
from step_ros.control.joints import JointLimits

MODES = ("radians", "degrees", "range_m100_100")
GRIPPER = "gripper"
_LAST_TICK = 4095
_RAD_PER_TICK = 2 * np.pi / _LAST_TICK
"""LeRobot divides a turn by the last tick, not by their number."""
_DRIVER_TICKS_PER_RAD = (_LAST_TICK + 1) / (2 * np.pi)
_SLACK = 0.15
"""Share of a joint's range by which values may lie outside of it and still be plausible."""
_STILL = 0.02
"""Share of a joint's range below which a joint counts as hardly moving."""


class UnitsError(ControlError):
    """A calibration that cannot be read, a mode that does not exist, or values in another unit."""


@dataclass(frozen=True)
class MotorCalibration:
    """One motor of a LeRobot calibration file; positions are in ticks, 4096 a turn.

    `homing_offset` is stored in the servo, which subtracts it from every position it reports; `range_min` and
    `range_max` are such reported positions, so it does not enter any conversion.
    """

    id: int
    drive_mode: int
    homing_offset: int
    range_min: int
    range_max: int

    @property
    def middle(self) -> float:
        return (self.range_min + self.range_max) / 2

    @property
    def span(self) -> float:
        """Calibrated range [rad]."""
        return (self.range_max - self.range_min) * _RAD_PER_TICK


def load_calibration(path: Path) -> dict[str, MotorCalibration]:
    """Read a calibration file of LeRobot: a JSON object of motors by name.

    Raises:
        UnitsError: naming the file, the motor and the field; what was found and what is accepted.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UnitsError(f"{path}: {error}") from error
    if not isinstance(content, dict) or not content:
        raise UnitsError(f"{path}: found {type(content).__name__}, accepted: an object of motors by name")
    return {motor: _motor(f"{path}: {motor}", entry) for motor, entry in content.items()}


def _motor(where: str, entry: object) -> MotorCalibration:
    wanted = {field.name for field in fields(MotorCalibration)}
    if not isinstance(entry, dict) or set(entry) != wanted:
        found = sorted(entry) if isinstance(entry, dict) else type(entry).__name__
        raise UnitsError(f"{where}: found {found}, accepted: {sorted(wanted)}")
    for field, value in entry.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise UnitsError(f"{where}.{field}: found {value!r}, accepted: an integer")
    motor = MotorCalibration(**entry)
    if motor.drive_mode not in (0, 1):
        raise UnitsError(f"{where}.drive_mode: found {motor.drive_mode}, accepted: 0 or 1")
    if not 0 <= motor.range_min < motor.range_max <= _LAST_TICK:
        raise UnitsError(
            f"{where}: range_min {motor.range_min}, range_max {motor.range_max}, "
            f"accepted: 0 <= range_min < range_max <= {_LAST_TICK}"
        )
    return motor


@dataclass(frozen=True)
class Units:
    """A unit per joint: radians = scale * value + offset, both (J,); `mode` is one of MODES."""

    mode: str
    joint_names: tuple[str, ...]
    scale: np.ndarray
    offset: np.ndarray

    def to_radians(self, values: np.ndarray) -> np.ndarray:
        """Values (..., J) in these units as radians of the model."""
        return np.asarray(values) * self.scale + self.offset

    def from_radians(self, radians: np.ndarray) -> np.ndarray:
        """Radians (..., J) of the model in these units."""
        return (np.asarray(radians) - self.offset) / self.scale


def lerobot_units(
    mode: str,
    joint_names: Sequence[str],
    calibration: Mapping[str, MotorCalibration] | None = None,
    signs: Sequence[float] | None = None,
    offsets: Sequence[float] | None = None,
    gripper_range: tuple[float, float] | None = None,
) -> Units:
    """The units of a dataset or a policy.

    Args:
        mode: one of MODES.
        joint_names: order of the values.
        calibration: needed by `range_m100_100`.
        signs, offsets: from the motor's angle to the model's, per joint: 1 or -1, and radians.
        gripper_range: the model's angles [rad] of 0 and of 100; where left out it begins at the model's
            lower limit, and its width is the calibration's, or without one the model's.

    Raises:
        UnitsError: naming the argument or the joint; what was found and what is accepted.
    """
    names = tuple(joint_names)
    if mode not in MODES:
        raise UnitsError(f"mode: found {mode!r}, accepted: {', '.join(MODES)}")
    pairs = [_motor_units(mode, name, calibration, gripper_range) for name in names]
    scale, offset = np.array(pairs, dtype=float).T
    sign = _per_joint("signs", signs, 1.0, names)
    if not np.isin(sign, (-1.0, 1.0)).all():
        raise UnitsError(f"signs: found {sign.tolist()}, accepted: 1 or -1 per joint")
    return Units(mode, names, sign * scale, sign * offset + _per_joint("offsets", offsets, 0.0, names))


def driver_offsets(calibration: Mapping[str, MotorCalibration], joint_names: Sequence[str]) -> list[int]:
    """The tick at which each joint is at 0 rad of the model, which a servo driver in ROS has to be told.

    Arm joints are at 0 in the middle of their range; the gripper's range begins at the model's lower limit.

    Raises:
        UnitsError: a joint is not calibrated, turned round (the driver knows no sign), or has its 0 outside
            of a turn.
    """
    closed = float(JointLimits.so101((GRIPPER,)).lower[0])
    offsets = []
    for name in joint_names:
        motor = _calibrated(calibration, name)
        if motor.drive_mode:
            raise UnitsError(f"{name}.drive_mode: found 1, accepted: 0, since the driver has no signs")
        zero = motor.range_min - closed * _DRIVER_TICKS_PER_RAD if name == GRIPPER else motor.middle
        if not 0 <= round(zero) <= _LAST_TICK:
            raise UnitsError(f"{name}: found 0 rad at tick {zero:.0f}, accepted: 0 to {_LAST_TICK}")
        offsets.append(round(zero))
    return offsets


def _per_joint(
    argument: str, values: Sequence[float] | None, default: float, names: tuple[str, ...]
) -> np.ndarray:
    found = np.full(len(names), default) if values is None else np.array(values, dtype=float)
    if found.shape != (len(names),) or not np.isfinite(found).all():
        raise UnitsError(f"{argument}: found {found.tolist()}, accepted: one number for each of {names}")
    return found


def _calibrated(calibration: Mapping[str, MotorCalibration] | None, joint: str) -> MotorCalibration:
    if calibration is None or joint not in calibration:
        known = ", ".join(calibration) if calibration else "none"
        raise UnitsError(f"{joint} has no calibration; calibrated: {known}")
    return calibration[joint]


def _motor_units(
    mode: str,
    joint: str,
    calibration: Mapping[str, MotorCalibration] | None,
    gripper_range: tuple[float, float] | None,
) -> tuple[float, float]:
    """Scale and offset from a value to the motor's angle [rad].

    As LeRobot's bus does, a drive mode of 1 turns both ranges round and leaves degrees alone.
    """
    if mode == "radians":
        return 1.0, 0.0
    if joint == GRIPPER:
        closed, opened = gripper_range or _gripper_range(calibration)
        if not (np.isfinite([closed, opened]).all() and closed != opened):
            raise UnitsError(f"gripper_range: found {(closed, opened)}, accepted: two different angles")
        if calibration and GRIPPER in calibration and calibration[GRIPPER].drive_mode:
            closed, opened = opened, closed
        return (opened - closed) / 100, closed
    if mode == "degrees":
        return np.pi / 180, 0.0
    motor = _calibrated(calibration, joint)
    return (-1.0 if motor.drive_mode else 1.0) * motor.span / 200, 0.0


def _gripper_range(calibration: Mapping[str, MotorCalibration] | None) -> tuple[float, float]:
    limits = JointLimits.so101((GRIPPER,))
    closed, opened = float(limits.lower[0]), float(limits.upper[0])
    if calibration and GRIPPER in calibration:
        opened = closed + calibration[GRIPPER].span
    return closed, opened


def check_units(units: Units, lowest: np.ndarray, highest: np.ndarray, limits: JointLimits) -> None:
    """Refuse values that cannot be in `units`, judging by the range of what a policy was trained on.

    Args:
        units: what the values are said to be in.
        lowest, highest: (J,) smallest and largest values of each joint (a policy's statistics).
        limits: what the joints can do, in radians of the model.

    Raises:
        UnitsError: a joint goes further outside its range than can be, or none uses more than a fiftieth of
            it; names the joints, the ranges found and the ranges expected.
    """
    ends = np.stack([units.from_radians(limits.lower), units.from_radians(limits.upper)])
    low, high = ends.min(axis=0), ends.max(axis=0)
    span = high - low
    beyond = ~((lowest >= low - _SLACK * span) & (highest <= high + _SLACK * span))
    still = ((np.asarray(highest) - lowest) < _STILL * span).all()
    if not (beyond.any() or still):
        return
    found = [
        f"{name} {lowest[j]:.3g} to {highest[j]:.3g} (expected within {low[j]:.3g} to {high[j]:.3g})"
        for j, name in enumerate(units.joint_names)
        if beyond[j] or still
    ]
    problem = "hardly move" if still else "lie outside their range"
    raise UnitsError(f"values {problem}, so they are probably in another unit: {'; '.join(found)}")
