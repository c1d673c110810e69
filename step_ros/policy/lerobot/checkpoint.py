"""A LeRobot diffusion checkpoint as this package's configuration and networks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from step_ros.policy.config import ACTION, ENVIRONMENT_STATE, IMAGES, STATE, PolicyConfig
from step_ros.policy.errors import CheckpointError
from step_ros.policy.lerobot.config import DEFAULT_FPS, camera_feature, policy_config
from step_ros.policy.lerobot.files import CONFIG_FILE, MODEL_FILE, read_json, read_tensors
from step_ros.policy.lerobot.statistics import is_buffer, read_statistics
from step_ros.policy.networks import PolicyNetworks, build_networks
from step_ros.policy.normalization import range_key
from step_ros.policy.tensor_check import check_tensors

UNET = "diffusion.unet."
ENCODER = "diffusion.rgb_encoder."
GRID = "pool.pos_grid"
PIXELS = "pixel_"
"""our encoders' own coefficients, which LeRobot keeps outside of the network"""
COMPILED = "_orig_mod."
"""what `torch.compile` puts into the names of a model's tensors"""


def load_lerobot(
    folder: str | Path, fps: float = DEFAULT_FPS, action_names: tuple[str, ...] | None = None
) -> tuple[PolicyConfig, PolicyNetworks]:
    """Read a checkpoint of LeRobot 0.3 to 0.6; the networks come back in evaluation mode, without predictor.

    States and actions stay in the units of the training data (`config.units` is "native"). An encoder that
    LeRobot shares between cameras becomes one copy for each camera, with the same features.

    Args:
        folder: LeRobot's `pretrained_model` folder.
        fps: control rate of the training data, Hz, which LeRobot does not store.
        action_names: names of the action's dimensions, which LeRobot does not store either.

    Raises:
        CheckpointError: naming the file and field, what was found and what is accepted.
    """
    folder = Path(folder)
    data, file = read_json(folder / CONFIG_FILE), folder / MODEL_FILE
    config = policy_config(data, folder / CONFIG_FILE, fps, action_names)
    model = {name.replace(COMPILED, ""): tensor for name, tensor in read_tensors(file).items()}
    with torch.device("meta"):  # without memory of their own, so that large weights exist once
        networks = build_networks(config)
    parts = _parts(networks, data)
    unexpected = sorted(set(model) - {name for part in parts for name in part.names(model)})
    unexpected = [name for name in unexpected if not is_buffer(name)]
    if unexpected:
        raise CheckpointError(f"{file}: unexpected tensors {unexpected}")
    tensors = {name: t for part in parts for name, t in part.renamed(model, file).items()}
    networks.load_state_dict(tensors | _normalisation(config, data, folder, model), assign=True)
    return config, networks.eval()


@dataclasses.dataclass(frozen=True)
class _Part:
    """A module of ours, its name in our networks, and the name that LeRobot's model has for it."""

    module: nn.Module
    name: str
    prefix: str

    def names(self, model: Mapping[str, Tensor]) -> list[str]:
        return [name for name in model if name.startswith(self.prefix)]

    def renamed(self, model: Mapping[str, Tensor], file: Path) -> dict[str, Tensor]:
        """LeRobot's tensors under our names, each with memory of its own when cameras share an encoder."""
        found = {name.removeprefix(self.prefix): model[name] for name in self.names(model)}
        found.pop(GRID, None)
        expected = {k: t for k, t in self.module.state_dict().items() if not k.startswith(PIXELS)}
        check_tensors(file, found, expected, CONFIG_FILE, self.prefix)
        return {f"{self.name}.{name}": found[name].to(tensor.dtype) for name, tensor in expected.items()}


def _parts(networks: PolicyNetworks, data: Mapping[str, Any]) -> list[_Part]:
    """The denoiser, and an encoder per camera in LeRobot's order."""
    parts = [_Part(networks.denoiser, "denoiser", UNET)]
    for index, name in enumerate(_cameras(data)):
        prefix = f"{ENCODER}{index}." if data["use_separate_rgb_encoder_per_camera"] else ENCODER
        camera = camera_feature(name).removeprefix(IMAGES)
        parts.append(_Part(networks.encoders[camera], f"encoders.{camera}", prefix))
    return parts


def _cameras(data: Mapping[str, Any]) -> list[str]:
    return [name for name, feature in data["input_features"].items() if feature["type"] == "VISUAL"]


def _normalisation(
    config: PolicyConfig, data: Mapping[str, Any], folder: Path, model: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Coefficients of vectors, action and colours under our names."""
    observations, action = read_statistics(folder, data, model)
    found: dict[str, Tensor] = {}
    kinds = {STATE: "STATE", ENVIRONMENT_STATE: "ENV", ACTION: "ACTION"}
    for name in (*config.vector_names, ACTION):
        size = config.action_dim if name == ACTION else config.input_features[name][0]
        statistics = action if name == ACTION else observations
        coefficients = dataclasses.asdict(statistics.coefficients(name, kinds[name], size))
        found |= {f"normalizer.{range_key(name)}.{key}": tensor for key, tensor in coefficients.items()}
    for name in _cameras(data):
        colours = observations.coefficients(name, "VISUAL", 3)
        encoder = f"encoders.{camera_feature(name).removeprefix(IMAGES)}."
        # (v - c) g + f is (v - (c - f / g)) g: two coefficients are enough on the way in
        found[encoder + PIXELS + "mean"] = (colours.centre - colours.floor / colours.gain).view(3, 1, 1)
        found[encoder + PIXELS + "gain"] = colours.gain.view(3, 1, 1).clone()
    return found
