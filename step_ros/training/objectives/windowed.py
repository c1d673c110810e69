"""What objectives share: an error on windows, random ones in training and fixed ones of held-out episodes."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn

from step_ros.training.examples import Examples, fixed_indices

HELD_OUT_WINDOWS = 512


class WindowedObjective(ABC):
    """Draws windows, then noise, from one generator; every held-out loss begins from the same noise."""

    def __init__(self, train: Examples, held_out: Examples | None) -> None:
        self._train, self._held_out = train, held_out

    def loss(self, model: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
        indices = self._train.draw(batch_size, generator)
        variants = self._train.draw_variants(batch_size, generator)
        features = self._train.observed(indices, variants)
        return self._error(model, self._train.chunk(indices), features, generator)

    @torch.no_grad()
    def held_out_loss(self, model: nn.Module) -> float:
        if self._held_out is None:
            return float("nan")
        generator = torch.Generator().manual_seed(0)
        indices = fixed_indices(self._held_out.windows, HELD_OUT_WINDOWS)
        indices = self._arranged(indices, generator)
        features = self._held_out.observed(indices, torch.zeros(len(indices), dtype=torch.int64))
        return self._error(model, self._held_out.chunk(indices), features, generator).item()

    def _arranged(self, indices: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """Held-out windows in the order in which noise is drawn for them."""
        return indices

    @abstractmethod
    def _error(self, model: nn.Module, chunk: Tensor, features: Tensor, generator: torch.Generator) -> Tensor:
        """Mean error on windows: what was done, (B, Tp, A), and the features of what was seen, (B, To, F)."""
