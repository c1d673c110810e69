"""Checkpoints on disk: a folder with `config.json` and `model.safetensors`, and a `card.json` for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from step_ros.policy.config import PolicyConfig
from step_ros.policy.errors import CheckpointError, ConfigError
from step_ros.policy.lerobot.checkpoint import load_lerobot
from step_ros.policy.lerobot.files import is_lerobot
from step_ros.policy.networks import PolicyNetworks, build_networks
from step_ros.policy.tensor_check import check_tensors

CONFIG_FILE = "config.json"
MODEL_FILE = "model.safetensors"
CARD_FILE = "card.json"


def save_checkpoint(
    folder: str | Path, config: PolicyConfig, networks: PolicyNetworks, card: Mapping[str, Any] | None = None
) -> None:
    """Write a checkpoint, each file whole or not at all. An existing card stays when none is given."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in networks.state_dict().items()}
    partial = folder / (MODEL_FILE + ".partial")
    save_file(tensors, partial, metadata={"format": "pt"})
    partial.replace(folder / MODEL_FILE)
    _write(folder / CONFIG_FILE, config.to_json())
    if card is not None:
        _write(folder / CARD_FILE, json.dumps(card, indent=2) + "\n")


def load_checkpoint(folder: str | Path) -> tuple[PolicyConfig, PolicyNetworks]:
    """Read a checkpoint; the networks come back in evaluation mode, on the mapped file's own memory.

    Raises:
        CheckpointError: naming the file and what is wrong with it: missing, unreadable, an unknown version,
            an invalid field, missing or unexpected tensors, or shapes that contradict the configuration.
    """
    folder = Path(folder)
    if is_lerobot(folder):
        return load_lerobot(folder)
    for name in (CONFIG_FILE, MODEL_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{folder / name}: file not found; a checkpoint has {CONFIG_FILE} and {MODEL_FILE}"
            )
    try:
        config = PolicyConfig.from_json((folder / CONFIG_FILE).read_text(), folder / CONFIG_FILE)
    except (ConfigError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{folder / CONFIG_FILE}: cannot be used: {error}") from error
    try:
        tensors = load_file(folder / MODEL_FILE)
    except SafetensorError as error:
        raise CheckpointError(f"{folder / MODEL_FILE}: not a readable safetensors file: {error}") from error
    # Without memory of their own, so that large weights exist once. Buffers that no checkpoint holds are made
    # on the CPU by the modules that have them.
    with torch.device("meta"):
        networks = build_networks(config)
    expected = networks.state_dict()
    check_tensors(folder / MODEL_FILE, tensors, expected, CONFIG_FILE)
    tensors = {name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}
    networks.load_state_dict(tensors, assign=True)
    return config, networks.eval()


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    partial.replace(path)
