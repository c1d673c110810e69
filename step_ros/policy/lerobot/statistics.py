"""Normalisation of a LeRobot policy: from its processors (0.4 to 0.6) or its model's buffers (0.3).

Either way every feature ends as the coefficients of `Affine`. The two generations differ by where they add
1e-8: to the range (0.3), or only to a range of 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from step_ros.policy.config import ACTION
from step_ros.policy.errors import CheckpointError
from step_ros.policy.lerobot.files import (
    MODEL_FILE,
    POSTPROCESSOR_FILE,
    PREPROCESSOR_FILE,
    read_json,
    read_tensors,
)

RANGES = {"MIN_MAX": ("min", "max"), "QUANTILES": ("q01", "q99"), "QUANTILE10": ("q10", "q90")}
MODES = ("IDENTITY", "MEAN_STD", *RANGES)
EPSILON = 1e-8
HARMLESS_STEPS = ("rename_observations_processor", "to_batch_processor", "device_processor")
BUFFERS = {"normalize_inputs.": "observations", "unnormalize_outputs.": "actions"}
UNUSED_BUFFERS = "normalize_targets."


@dataclasses.dataclass(frozen=True)
class Coefficients:
    """In: (value - centre) * gain + floor; out: (value - floor) * span + centre."""

    centre: Tensor
    gain: Tensor
    span: Tensor
    floor: Tensor


class Statistics:
    """Looks up the coefficients of a feature; `old` is the arithmetic of LeRobot 0.3."""

    def __init__(
        self, source: Path, modes: Mapping[str, str], tensors: Mapping[str, Tensor], epsilon: float, old: bool
    ) -> None:
        self._source, self._modes, self._tensors = source, modes, tensors
        self._epsilon, self._old = epsilon, old

    def coefficients(self, name: str, kind: str, size: int) -> Coefficients:
        """Coefficients (size,) of feature `name`, of LeRobot's feature type `kind`.

        Raises:
            CheckpointError: for an unknown mode, or statistics that are missing, infinite or of another size.
        """
        mode = self._modes.get(kind, "IDENTITY")
        zeros, ones = torch.zeros(size), torch.ones(size)
        if mode == "IDENTITY":
            return Coefficients(zeros, ones, ones, zeros)
        if mode == "MEAN_STD":
            mean, std = self._read(name, "mean", size), self._read(name, "std", size)
            return Coefficients(mean, 1.0 / (std + self._epsilon), std, zeros)
        if mode not in RANGES:
            raise CheckpointError(
                f"{self._source}: normalisation of {kind} is {mode!r}; accepted: {', '.join(MODES)}"
            )
        low, high = (self._read(name, key, size) for key in RANGES[mode])
        width = high - low
        safe = width + self._epsilon if self._old else torch.where(width == 0, self._epsilon, width)
        return Coefficients(low, 2.0 / safe, (width if self._old else safe) / 2.0, -ones)

    def _read(self, name: str, key: str, size: int) -> Tensor:
        tensor = self._tensors.get(f"{name}.{key}")
        if tensor is None:
            raise CheckpointError(
                f"{self._source}: statistics missing: no {key} of {name}; found "
                f"{', '.join(sorted(self._tensors)) or 'none'}"
            )
        if tensor.numel() != size or not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{self._source}: {key} of {name} is {tensor.flatten().tolist()}; "
                f"accepted: {size} finite numbers"
            )
        return tensor.flatten().float()


def read_statistics(
    folder: Path, config: Mapping[str, Any], model: Mapping[str, Tensor]
) -> tuple[Statistics, Statistics]:
    """Statistics of the observations, and of the action.

    Args:
        folder: the checkpoint.
        config: its `config.json`.
        model: all tensors of `model.safetensors`.

    Raises:
        CheckpointError: the checkpoint has neither processors nor statistics in its model, or has a processor
            step that changes the data in a way that is not known here.
    """
    if (folder / PREPROCESSOR_FILE).exists():
        return (
            _from_processor(folder, PREPROCESSOR_FILE, "normalizer_processor"),
            _from_processor(folder, POSTPROCESSOR_FILE, "unnormalizer_processor"),
        )
    if not any(name.startswith(tuple(BUFFERS)) for name in model) and _normalises(config):
        raise CheckpointError(
            f"{folder}: statistics missing: neither {PREPROCESSOR_FILE} nor normalize_inputs tensors in "
            f"{MODEL_FILE}"
        )
    file, modes = folder / MODEL_FILE, config["normalization_mapping"]
    return (
        Statistics(file, modes, _from_buffers(model, "normalize_inputs.", config), EPSILON, old=True),
        Statistics(file, modes, _from_buffers(model, "unnormalize_outputs.", config), EPSILON, old=True),
    )


def is_buffer(name: str) -> bool:
    """Whether a tensor of the model is a statistic of LeRobot 0.3."""
    return name.startswith((*BUFFERS, UNUSED_BUFFERS))


def _normalises(config: Mapping[str, Any]) -> bool:
    return any(mode != "IDENTITY" for mode in config["normalization_mapping"].values())


def _from_buffers(model: Mapping[str, Tensor], prefix: str, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Buffers such as `normalize_inputs.buffer_observation_state.min`, by feature and statistic."""
    features = {**config["input_features"], ACTION: None}
    tensors = {}
    for name in features:
        buffer = f"{prefix}buffer_{name.replace('.', '_')}."
        tensors |= {
            f"{name}.{key.removeprefix(buffer)}": t for key, t in model.items() if key.startswith(buffer)
        }
    return tensors


def _from_processor(folder: Path, file: str, wanted: str) -> Statistics:
    path = folder / file
    steps = read_json(path).get("steps", [])
    for step in steps:
        if step.get("registry_name") not in (*HARMLESS_STEPS, wanted):
            raise CheckpointError(
                f"{path}: steps holds {step.get('registry_name') or step.get('class')!r}; accepted: "
                f"{', '.join((*HARMLESS_STEPS, wanted))}"
            )
    found = [step for step in steps if step["registry_name"] == wanted]
    if len(found) != 1:
        raise CheckpointError(f"{path}: found {len(found)} steps {wanted}; accepted: 1")
    settings = found[0].get("config", {})
    modes = settings.get("norm_map", {})
    chosen = settings.get("normalize_observation_keys")
    if chosen is not None:
        raise CheckpointError(f"{path}: normalize_observation_keys is {chosen!r}; accepted: none")
    state_file = found[0].get("state_file")
    tensors = read_tensors(folder / state_file) if state_file else {}
    return Statistics(folder / (state_file or file), modes, tensors, settings.get("eps", EPSILON), old=False)
