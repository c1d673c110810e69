"""Training windows as tensors in memory, normalised, so that a training step waits for nothing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from step_ros.data.windows import Windows


class Examples:
    """Windows over tensors of all frames: normalised actions (N, A), features (S, N, F) of S image shifts."""

    def __init__(self, windows: Windows, actions: Tensor, features: Tensor) -> None:
        self.windows = windows
        self.actions = actions
        self.features = features

    def draw(self, count: int, generator: torch.Generator) -> np.ndarray:
        """Window indices (count,), uniform with replacement."""
        return torch.randint(len(self.windows), (count,), generator=generator).numpy()

    def draw_variants(self, count: int, generator: torch.Generator) -> Tensor:
        """Numbers (count,) of image shifts: all frames of one window are seen under the same shift."""
        return torch.randint(len(self.features), (count,), generator=generator)

    def observed(self, indices: np.ndarray, variants: Tensor) -> Tensor:
        """Features (B, To, F)."""
        frames = self._index(self.windows.observation_frames(indices))
        return self.features[variants.to(self.features.device)[:, None], frames]

    def chunk(self, indices: np.ndarray) -> Tensor:
        """Actions (B, Tp, A) that the demonstration took."""
        return self.actions[self._index(self.windows.chunk_frames(indices)[0])]

    def history(self, indices: np.ndarray, shift: np.ndarray | int = 0) -> tuple[Tensor, Tensor]:
        """Past actions (B, Ta, A), moved by `shift` ticks, and the mask (B, Ta) of those that exist."""
        frames, mask = self.windows.history_frames(indices, shift)
        mask &= self.windows.history_frames(indices)[1]
        return self.actions[self._index(frames)], torch.from_numpy(mask).to(self.actions.device)

    def _index(self, frames: np.ndarray) -> Tensor:
        return torch.from_numpy(frames).to(self.actions.device)


def fixed_indices(windows: Windows, count: int) -> np.ndarray:
    """At most `count` window indices, evenly spread: what held-out losses are measured on."""
    return np.unique(np.linspace(0, len(windows) - 1, min(count, len(windows))).astype(np.int64))
