"""Policies of LeRobot made ready for `/step`: in this package's format, in radians, with a predictor.

Here meet what a policy needs and what only the arm knows: which unit a LeRobot dataset is in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from step_ros.control.joints import JOINT_NAMES, JointLimits
from step_ros.control.units import MODES, Units, check_units
from step_ros.data.sources import open_dataset
from step_ros.dataset_units import NATIVE, UNITS, dataset_units, units_of
from step_ros.policy.checkpoint import save_checkpoint
from step_ros.policy.config import ACTION, PolicyConfig
from step_ros.policy.errors import ConfigError
from step_ros.policy.lerobot.checkpoint import load_lerobot
from step_ros.policy.lerobot.config import DEFAULT_FPS
from step_ros.policy.lerobot.files import is_lerobot
from step_ros.policy.networks import PolicyNetworks
from step_ros.training.commands import train_policy, train_predictor
from step_ros.training.loop import LoopResult
from step_ros.training.matching import convert_policy


def import_policy(
    checkpoint: Path,
    out: Path,
    units: str,
    calibration: Path | None = None,
    fps: float = DEFAULT_FPS,
    joints: Sequence[str] | None = None,
) -> PolicyConfig:
    """Write a LeRobot diffusion checkpoint in this package's format.

    Args:
        checkpoint: LeRobot's `pretrained_model` folder.
        out: the new folder.
        units: of the data that it was trained on, one of UNITS.
        calibration: LeRobot's calibration file of the arm; `range_m100_100` needs it.
        fps: rate at which that data was recorded.
        joints: names of the action's dimensions; by default the SO-ARM101's, if it has as many.

    Raises:
        CheckpointError, ConfigError, ControlError, TrainingError: what does not fit; nothing is written.
    """
    if not is_lerobot(checkpoint):
        raise ConfigError("checkpoint", str(checkpoint), "the folder of a policy that LeRobot trained")
    names = tuple(joints) if joints else None
    config, networks = load_lerobot(checkpoint, fps, names)
    if names is None and config.action_dim == len(JOINT_NAMES):
        config = config.changed(action_names=JOINT_NAMES)
    converted = units_of(units, config.action_names, calibration)
    if converted is not None:
        _check_range(networks, converted)
        config = convert_policy(config, networks, converted)
    save_checkpoint(out, config, networks, {"imported_from": _source(checkpoint, units)})
    return config


def train_lerobot_predictor(
    policy: Path,
    dataset: Path,
    units: str | None = None,
    calibration: Path | None = None,
    fps: float | None = None,
    features: Mapping[str, str] | None = None,
    **options: Any,
) -> LoopResult:
    """`training.commands.train_predictor`, with the units of policy and dataset looked after.

    Args:
        units: of the dataset, one of UNITS, and of a LeRobot policy, which then has to be said; else by
            default `radians`, in which this package's policies and datasets are.
        calibration: LeRobot's calibration file of the arm; `range_m100_100` needs it.

    Raises:
        ConfigError: `units` is missing, unknown or does not go with the policy.
        ControlError: the dataset's values cannot be in these units.
    """
    if units is None and is_lerobot(policy):
        raise ConfigError("units", None, f"the dataset's, one of {', '.join(UNITS)}: they are not guessed")
    if units == NATIVE and not is_lerobot(policy):
        raise ConfigError("units", units, f"one of {', '.join(MODES)}: this policy is in radians")
    stated = dataset_units(open_dataset(dataset, fps, features), units, calibration)
    return train_predictor(
        policy, dataset, fps=fps, features=features, units=stated if units else None, **options
    )


def train_policy_in_radians(
    dataset: Path,
    out: Path,
    units: str | None = None,
    calibration: Path | None = None,
    fps: float | None = None,
    features: Mapping[str, str] | None = None,
    **options: Any,
) -> LoopResult:
    """`training.commands.train_policy`, with the dataset's units looked after.

    Args:
        units: of the dataset, one of UNITS, by default `radians`; a policy of native ones drives no arm.
        calibration: LeRobot's calibration file of the arm; `range_m100_100` needs it.

    Raises:
        ConfigError: `units` is unknown.
        ControlError: the dataset's values cannot be in these units.
    """
    stated = dataset_units(open_dataset(dataset, fps, features), units, calibration)
    return train_policy(
        dataset,
        out,
        fps=fps,
        features=features,
        units=stated if units else None,
        native=units == NATIVE,
        **options,
    )


def _check_range(networks: PolicyNetworks, units: Units) -> None:
    """Hold what the policy normalises to -1 and 1, the range of its data or one deviation, to the arm's.

    Actions that are not normalised say nothing of their unit.
    """
    normalizer = networks.normalizer[ACTION]
    ends = normalizer.inverse(normalizer.span.new_tensor([[-1.0], [1.0]])).numpy()
    if not (np.array_equal(ends[0], -ends[1]) and (ends[1] == 1.0).all()):
        check_units(units, ends[0], ends[1], JointLimits.so101(units.joint_names))


def _source(checkpoint: Path, units: str) -> dict[str, str]:
    resolved = checkpoint.resolve()
    parts = [part for part in resolved.parts[-4:] if part not in ("checkpoints", "pretrained_model", "/")]
    return {"name": "/".join(parts[-2:]), "format": "LeRobot diffusion policy", "units": units}
