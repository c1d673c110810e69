"""Which features of a dataset are which inputs of a policy, and in which units both are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from step_ros.data import layout
from step_ros.data.array_dataset import ArrayDataset
from step_ros.data.reader import Dataset
from step_ros.policy.config import ACTION, IMAGES, STATE, PolicyConfig
from step_ros.policy.networks import PolicyNetworks
from step_ros.training.errors import TrainingError


class Units(Protocol):
    """A unit per dimension of state and action: radians = scale * value + offset, both (A,); its name."""

    mode: str
    scale: NDArray
    offset: NDArray


def match_features(
    config: PolicyConfig, dataset: Dataset | ArrayDataset, renamed: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The dataset's name of every input of the policy.

    An image input is found under its own name, or as `observation.<camera>`; `renamed` (policy's name ->
    dataset's) goes before both.

    Raises:
        TrainingError: with both lists, when an input is not there or has another shape, or when the actions
            have other names or another number.
    """
    unknown = set(renamed or ()) - set(config.input_features)
    if unknown:
        raise TrainingError("rename", sorted(unknown), f"inputs of the policy: {_listed(config)}")
    names = {name: (renamed or {}).get(name) or _usual(name, dataset) for name in config.input_features}
    for name, source in names.items():
        feature = dataset.features.get(source)
        camera = name in config.image_names
        fits = feature is not None and layout.is_camera(feature) == camera
        if not fits or (not camera and tuple(feature["shape"]) != config.input_features[name]):
            raise TrainingError(
                f"{dataset.root}: features for the policy's inputs ({_listed(config)})",
                ", ".join(f"{key} {tuple(value['shape'])}" for key, value in dataset.features.items()),
                f"all of these names and shapes; {name} does not fit (if it has another name: --rename)",
            )
    _check_actions(config, dataset)
    return names


def convert_policy(config: PolicyConfig, networks: PolicyNetworks, units: Units) -> PolicyConfig:
    """Make a policy of native units take and give radians; changes `networks`, returns their configuration.

    Raises:
        TrainingError: the state has other dimensions than the action, so no unit is known for it.
    """
    size = config.action_dim
    if config.input_features.get(STATE, (size,)) != (size,):
        raise TrainingError(
            f"units of {STATE}", config.input_features[STATE], f"the action's shape ({size},)"
        )
    scale, offset = (
        torch.as_tensor(np.asarray(values), dtype=torch.float64) for values in (units.scale, units.offset)
    )
    for name in (ACTION, *(name for name in config.vector_names if name == STATE)):
        networks.normalizer[name].convert(scale, offset)
    return config.changed(units="rad")


def convert_dataset(dataset: Dataset | ArrayDataset, units: Units) -> None:
    """Turn state and action of an opened dataset into radians; nothing on disk changes."""
    for name in (ACTION, STATE):
        if name in dataset.columns:
            values = dataset.columns[name] * units.scale + units.offset
            dataset.columns[name] = values.astype(np.float32)


def _usual(name: str, dataset: Dataset | ArrayDataset) -> str:
    short = "observation." + name.removeprefix(IMAGES)
    return short if name not in dataset.features and short in dataset.features else name


def _listed(config: PolicyConfig) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in config.input_features.items())


def _check_actions(config: PolicyConfig, dataset: Dataset | ArrayDataset) -> None:
    feature: dict[str, Any] = dataset.features.get(ACTION, {"shape": (0,)})
    found = layout.dimension_names(feature)
    named = bool(feature.get("names"))
    if len(found) != config.action_dim or (named and tuple(found) != config.action_names):
        raise TrainingError(
            f"{dataset.root}: {ACTION} for the policy's actions ({', '.join(config.action_names)})",
            ", ".join(found) if named else f"{len(found)} dimensions",
            "the same names in the same order",
        )
