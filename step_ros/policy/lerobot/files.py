"""Where a LeRobot checkpoint keeps what, and how its files are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from step_ros.policy.errors import CheckpointError

CONFIG_FILE = "config.json"
MODEL_FILE = "model.safetensors"
PREPROCESSOR_FILE = "policy_preprocessor.json"
POSTPROCESSOR_FILE = "policy_postprocessor.json"


def is_lerobot(folder: Path) -> bool:
    """Whether `config.json` names a kind of policy, as LeRobot's do and this package's do not."""
    try:
        content = json.loads((folder / CONFIG_FILE).read_text())
    except (OSError, ValueError):
        return False  # whoever reads it next says what is wrong
    return isinstance(content, dict) and "type" in content and "format_version" not in content


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        CheckpointError: the file is missing, unreadable or holds something else.
    """
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{path}: file not found") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: found {type(content).__name__}; accepted: a JSON object")
    return content


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises:
        CheckpointError: the file is missing or unreadable.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: file not found")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a readable safetensors file: {error}") from error
