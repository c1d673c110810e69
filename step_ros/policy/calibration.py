"""Recorded situations that come with a checkpoint, for engines that must know the ranges of activations.

One small file in the checkpoint's folder: what the encoders made of some windows, and the commands sent
before them. Noise levels and noisy chunks are not in it; the policy's own sampling makes them.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from step_ros.policy.compile_cache import fingerprint
from step_ros.policy.config import PolicyConfig
from step_ros.policy.errors import ConfigError
from step_ros.policy.networks import PolicyNetworks

CALIBRATION_FILE = "calibration.safetensors"
_MADE_FOR = "checkpoint"


@dataclasses.dataclass(frozen=True)
class Calibration:
    """N situations.

    Attributes:
        features: (N, To, F) float32, encoded observations.
        commanded: (N, Ta, A) float32, the commands before, in data units, NaN before the episode's start.
    """

    features: NDArray
    commanded: NDArray

    @property
    def digest(self) -> str:
        """Identifies the content."""
        content = self.features.tobytes() + self.commanded.tobytes()
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    def save(self, folder: str | Path, networks: PolicyNetworks) -> Path:
        """Write the file beside the checkpoint of `networks`, which encoded it; whole or not at all."""
        path = Path(folder) / CALIBRATION_FILE
        partial = path.with_suffix(".partial")
        save_file(dataclasses.asdict(self), partial, metadata={_MADE_FOR: fingerprint(networks)})
        partial.replace(path)
        return path


def made_up(config: PolicyConfig, count: int) -> Calibration:
    """Random situations, for what int8 costs in time; says nothing of its answers."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((count, config.n_obs_steps, config.feature_dim))
    commanded = rng.uniform(-1.0, 1.0, (count, config.n_action_steps, config.action_dim))
    return Calibration(np.float32(features), np.float32(commanded))


def load_calibration(folder: str | Path | None, networks: PolicyNetworks) -> Calibration:
    """The situations of the checkpoint in `folder`.

    Raises:
        ConfigError: there is no such file, it cannot be read, or it was made for other weights.
    """
    path = Path(folder or "") / CALIBRATION_FILE
    remedy = f"a checkpoint with {CALIBRATION_FILE}: step-ros calibrate CHECKPOINT DATASET"
    if folder is None or not path.is_file():
        raise ConfigError("precision", "int8", f"{remedy}; there is none", folder or "")
    try:
        with safe_open(path, "numpy") as file:
            made_for = (file.metadata() or {}).get(_MADE_FOR)
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except SafetensorError as error:
        raise ConfigError("precision", "int8", f"{remedy}; the file cannot be read: {error}", path) from error
    if made_for != fingerprint(networks):
        raise ConfigError("precision", "int8", f"{remedy}; the file was made for other weights", path)
    config = networks.config
    shapes = {
        "features": (config.n_obs_steps, config.feature_dim),
        "commanded": (config.n_action_steps, config.action_dim),
    }
    if {name: value.shape[1:] for name, value in found.items()} != shapes or not len(found["features"]):
        raise ConfigError("precision", "int8", f"{remedy}; the file does not hold {shapes}", path)
    return Calibration(np.float32(found["features"]), np.float32(found["commanded"]))
