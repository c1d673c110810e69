"""Image encoders: regression of the demonstrated chunk, so that frozen features say where things are.

The newest frame of each camera is encoded (neighbouring frames are nearly the same image: encoding both
would double the cost and teach little); a throw-away network maps its features and the joint positions of all
frames to the chunk. Where the dataset knows the objects' poses (`observation.environment_state`), a linear
layer also has to read them off the image features.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from step_ros.data.reader import Dataset
from step_ros.data.windows import Windows
from step_ros.policy.config import ENVIRONMENT_STATE, IMAGES
from step_ros.policy.networks import PolicyNetworks
from step_ros.policy.normalization import MinMax
from step_ros.training.augmentation import random_shifts, shift_images
from step_ros.training.examples import fixed_indices

HIDDEN = 256
HELD_OUT_WINDOWS = 256


class ChunkRegression(nn.Module):
    """The encoders with the heads that are thrown away after training."""

    def __init__(self, networks: PolicyNetworks, state_dim: int, pose_dim: int) -> None:
        super().__init__()
        config = networks.config
        image_dim = config.encoder.feature_dim * len(config.image_names)
        self.shape = (config.horizon, config.action_dim)
        self.encoders = networks.encoders
        self.chunk = nn.Sequential(
            nn.Linear(image_dim + state_dim, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, config.horizon * config.action_dim),
        )
        self.pose = nn.Linear(image_dim, pose_dim) if pose_dim else None

    def forward(self, images: Mapping[str, Tensor], state: Tensor) -> tuple[Tensor, Tensor]:
        """Images per camera (B, H, W, 3), state (B, D) normalised -> chunk (B, Tp, A), poses (B, P)."""
        features = torch.cat([self.encoders[camera](frames) for camera, frames in images.items()], dim=1)
        chunk = self.chunk(torch.cat((features, state), dim=1))
        poses = self.pose(features) if self.pose else features.new_zeros(len(features), 0)
        return chunk.unflatten(1, self.shape), poses


class EncoderObjective:
    """Mean squared error of the chunk, plus `pose_weight` times that of the object poses, all normalised.

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
        state_dim = config.n_obs_steps * self._state.shape[1]
        self.model = ChunkRegression(networks, state_dim, self._poses.shape[1])
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
        cameras = {k.removeprefix(IMAGES): torch.from_numpy(v).to(self._device) for k, v in images.items()}
        state = self._state[torch.from_numpy(frames)].flatten(1)
        chunk, poses = model(cameras, state)
        target = self._actions[torch.from_numpy(windows.chunk_frames(indices)[0])]
        if not self._pose_weight:
            return mse_loss(chunk, target), torch.zeros((), device=self._device)
        return mse_loss(chunk, target), mse_loss(poses, self._poses[torch.from_numpy(now)])


def normalized(networks: PolicyNetworks, dataset: Dataset, name: str, device: torch.device) -> Tensor:
    """All frames of a vector feature in normalised units, (N, D)."""
    with torch.no_grad():
        return networks.normalizer[name](torch.from_numpy(dataset.columns[name]).to(device))
