"""Encoders: regression of the demonstrated chunk, so that frozen features say where things are.

The newest frame of each input is encoded (neighbouring frames are nearly the same: encoding both would double
the cost and teach little); a throw-away network maps its features and the vectors of all frames to the chunk.
Where a task can be done in several ways, the mean of all ways is none of them: the network may then make
several guesses, of which the best one counts. Where the dataset knows the objects' poses
(`observation.environment_state`) and the policy does not, a linear layer has to read them off the features.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from step_ros.data.reader import Dataset
from step_ros.data.windows import Windows
from step_ros.policy.config import ENVIRONMENT_STATE
from step_ros.policy.networks import PolicyNetworks, encoder_key
from step_ros.policy.normalization import MinMax
from step_ros.training.augmentation import random_shifts, shift_images
from step_ros.training.examples import fixed_indices

HIDDEN = 256
HELD_OUT_WINDOWS = 256
GUESSES = 4
"""Chunks among which the best counts, for encoders of environment state. Image encoders make one: that is how
the shipped policy came about."""
REST = 0.05
"""Share of the mean over all guesses in the error: a guess that is never the best would else never move."""


class ChunkRegression(nn.Module):
    """The encoders with the heads that are thrown away after training."""

    def __init__(self, networks: PolicyNetworks, state_dim: int, pose_dim: int, guesses: int) -> None:
        super().__init__()
        config = networks.config
        encoded_dim = config.feature_dim - sum(config.input_features[name][0] for name in config.vector_names)
        self.shape = (guesses, config.horizon, config.action_dim)
        self.encoders = networks.encoders
        self.chunk = nn.Sequential(
            nn.Linear(encoded_dim + state_dim, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, guesses * config.horizon * config.action_dim),
        )
        self.pose = nn.Linear(encoded_dim, pose_dim) if pose_dim else None

    def forward(self, frames: Mapping[str, Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (B, *shape) by encoder, state (B, D), vectors normalised -> chunks (B, guesses, Tp, A),
        poses (B, P)."""
        features = torch.cat([self.encoders[key](seen) for key, seen in frames.items()], dim=1)
        chunks = self.chunk(torch.cat((features, state), dim=1))
        poses = self.pose(features) if self.pose else features.new_zeros(len(features), 0)
        return chunks.unflatten(1, self.shape), poses


class EncoderObjective:
    """Mean squared error of the best guess of the chunk, plus `pose_weight` times that of the object poses,
    all normalised.

    shifts: image feature -> largest random shift in pixels (small where absolute position matters).
    """

    name = "encoder"
    averaged = False

    def __init__(
        self,
        networks: PolicyNetworks,
        dataset: Dataset,
        train: Windows,
        held_out: Windows | None,
        shifts: Mapping[str, int],
        pose_weight: float,
        device: torch.device,
    ) -> None:
        config, columns = networks.config, dataset.columns
        self._train, self._held_out = train, held_out
        self._images = {
            name: dataset.images(name, config.input_features[name][:2]) for name in config.image_names
        }
        self._shifts = shifts
        self._device = device
        self._actions = normalized(networks, dataset, "action", device)
        self._state = torch.zeros(dataset.num_frames, 0, device=device)
        for name in config.vector_names:
            self._state = torch.cat((self._state, normalized(networks, dataset, name, device)), 1)
        if pose_weight and ENVIRONMENT_STATE in columns and ENVIRONMENT_STATE not in config.input_features:
            limits = dataset.stats[ENVIRONMENT_STATE]
            to_unit = MinMax(limits["min"], limits["max"])
            self._poses = to_unit(torch.from_numpy(columns[ENVIRONMENT_STATE])).to(device)
            self._pose_weight = pose_weight
        else:
            self._poses, self._pose_weight = torch.zeros(dataset.num_frames, 0, device=device), 0.0
        self._environment = None
        if config.environment_encoder:
            self._environment = normalized(networks, dataset, ENVIRONMENT_STATE, device)
        state_dim = config.n_obs_steps * self._state.shape[1]
        guesses = 1 if config.image_names else GUESSES
        self.model = ChunkRegression(networks, state_dim, self._poses.shape[1], guesses)
        self.source = f"{dataset.num_frames} frames, {sorted(shifts.items())}, {self._pose_weight}"

    def loss(self, model: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
        indices = torch.randint(len(self._train), (batch_size,), generator=generator).numpy()
        moves = {name: random_shifts(batch_size, self._shifts[name], generator) for name in self._images}
        chunk_error, pose_error = self._errors(model, self._train, indices, moves)
        return chunk_error + self._pose_weight * pose_error

    @torch.no_grad()
    def held_out_loss(self, model: nn.Module) -> float:
        if self._held_out is None:
            return float("nan")
        indices = fixed_indices(self._held_out, HELD_OUT_WINDOWS)
        chunk_error, pose_error = self._errors(model, self._held_out, indices, None)
        return (chunk_error + self._pose_weight * pose_error).item()

    def _errors(
        self, model: nn.Module, windows: Windows, indices: np.ndarray, moves: Mapping[str, np.ndarray] | None
    ) -> tuple[Tensor, Tensor]:
        frames = windows.observation_frames(indices)
        now = frames[:, -1]
        images = {name: all_images[now] for name, all_images in self._images.items()}
        if moves:
            images = {name: shift_images(seen, moves[name]) for name, seen in images.items()}
        seen = {encoder_key(k): torch.from_numpy(v).to(self._device) for k, v in images.items()}
        if self._environment is not None:
            seen[encoder_key(ENVIRONMENT_STATE)] = self._environment[torch.from_numpy(now)]
        state = self._state[torch.from_numpy(frames)].flatten(1)
        chunks, poses = model(seen, state)
        target = self._actions[torch.from_numpy(windows.chunk_frames(indices)[0])]
        errors = (chunks - target.unsqueeze(1)).square().mean((2, 3))
        error = ((1 - REST) * errors.min(1).values + REST * errors.mean(1)).mean()
        if not self._pose_weight:
            return error, torch.zeros((), device=self._device)
        return error, mse_loss(poses, self._poses[torch.from_numpy(now)])


def normalized(networks: PolicyNetworks, dataset: Dataset, name: str, device: torch.device) -> Tensor:
    """All frames of a vector feature in normalised units, (N, D)."""
    with torch.no_grad():
        return networks.normalizer[name](torch.from_numpy(dataset.columns[name]).to(device))
