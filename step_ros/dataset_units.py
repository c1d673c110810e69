"""The unit of a dataset's joints: stated by the user, checked against the arm's ranges, never guessed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from step_ros.control.errors import LimitsError
from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.control.units import MODES, Units, check_units, lerobot_units, load_calibration
from step_ros.data.array_dataset import ArrayDataset
from step_ros.data.layout import dimension_names
from step_ros.data.reader import Dataset
from step_ros.policy.config import ACTION, STATE
from step_ros.policy.errors import ConfigError

NATIVE = "native"
UNITS = (*MODES, NATIVE)
"""What states and actions may be in; native ones stay as they are and drive no arm."""
RADIAN = "rad"


def units_of(mode: str, joints: Sequence[str], calibration: Path | None) -> Units | None:
    """The units of a mode in UNITS, None for `native`.

    Raises:
        ConfigError: the mode does not exist.
        ControlError: the joints are none of the arm's, or the calibration is missing or cannot be read.
    """
    if mode not in UNITS:
        raise ConfigError("units", mode, f"one of {', '.join(UNITS)}")
    if mode == NATIVE:
        return None
    unknown = [name for name in joints if name not in JOINT_NAMES]
    if unknown:
        raise LimitsError(f"no units for {', '.join(unknown)}; the arm's joints are {', '.join(JOINT_NAMES)}")
    return lerobot_units(mode, joints, load_calibration(calibration) if calibration else None)


def dataset_units(source: Dataset | ArrayDataset, mode: str | None, calibration: Path | None) -> Units | None:
    """The units of an opened dataset's states and actions, None where they stay as they are.

    Args:
        mode: one of UNITS; by default radians if the joints are the arm's, and nothing known of others.
        calibration: LeRobot's calibration file of the arm; `range_m100_100` needs it.

    Raises:
        ConfigError: the mode does not exist, or the dataset says that it is in radians and the mode does not.
        ControlError: the values cannot be in these units; else as for `units_of`.
    """
    names = tuple(dimension_names(source.features.get(ACTION, {"shape": [0]})))
    if mode is None and not set(names) <= set(JOINT_NAMES):
        return None
    units = units_of(mode or "radians", names, calibration)
    for name in (ACTION, STATE):
        if mode not in (None, "radians") and RADIAN in declared_units(source, name):
            raise ConfigError("units", mode, f"radians, in which the dataset says that its {name} is")
        values = source.columns.get(name)
        if units is not None and values is not None and values.shape[1:] == (len(names),):
            check_units(units, values.min(axis=0), values.max(axis=0), JointLimits.so101(names))
    return units


def declared_units(source: Dataset | ArrayDataset, feature: str) -> set[str]:
    """The units that a dataset states for a feature's dimensions; LeRobot's own state none."""
    unit = (source.features.get(feature, {}).get("info") or {}).get("unit")
    return {unit} if isinstance(unit, str) else set(unit or ())
