"""`step-ros calibrate`: situations from a dataset, encoded by a policy, as a file beside its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from step_ros.data.sources import open_dataset
from step_ros.data.windows import Windows
from step_ros.policy.calibration import Calibration
from step_ros.policy.checkpoint import load_checkpoint
from step_ros.policy.config import ACTION
from step_ros.training.matching import match_features

EPISODES = 16
"""How many episodes the situations are taken from; only their images are decoded."""


def calibrate(
    checkpoint: Path,
    dataset: Path,
    *,
    samples: int = 128,
    seed: int = 0,
    fps: float | None = None,
    features: Mapping[str, str] | None = None,
) -> Path:
    """Write `calibration.safetensors` into the checkpoint's folder; the same seed draws the same windows.

    fps, features: see `open_dataset`. Returns the file.

    Raises:
        CheckpointError, DatasetError, TrainingError: what cannot be read, or does not fit the policy.
    """
    config, networks = load_checkpoint(checkpoint)
    source = open_dataset(dataset, fps, features)
    names = match_features(config, source)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(source.episodes))[:EPISODES])
    windows = Windows(source, config.n_obs_steps, config.horizon, config.n_action_steps, chosen)
    drawn = np.sort(rng.permutation(len(windows))[:samples])
    encoded = []
    for episode in (source.episodes[index] for index in chosen):
        frames = windows.observation_frames(drawn[windows.episode[drawn] == episode.index])
        if not len(frames):
            continue
        observation = {name: source.columns[names[name]][frames] for name in config.vector_names}
        for name in config.image_names:
            size = config.input_features[name][:2]
            images = np.concatenate(list(source.frames(names[name], episode, size)))
            observation[name] = images[frames - episode.start]
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(value) for name, value in observation.items()}
            encoded.append(networks.encode(tensors).numpy())
    history, known = windows.history_frames(drawn)
    commanded = np.where(known[..., None], source.columns[ACTION][history], np.nan)
    situations = Calibration(np.concatenate(encoded), commanded.astype(np.float32))
    return situations.save(checkpoint, networks)
