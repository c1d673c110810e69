"""Predictor: the demonstrated chunk from falsified past actions and the present observation (Eq. 12)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from step_ros.policy.networks import PolicyNetworks
from step_ros.training.augmentation import HistoryAugmentation
from step_ros.training.examples import Examples, fixed_indices
from step_ros.training.objectives.windowed import HELD_OUT_WINDOWS


class PredictorObjective:
    """Mean squared error of the whole chunk, normalised.

    The held-out loss is taken on true histories. It is no measure of quality in closed loop: a predictor that
    copies its own past has the lowest.
    """

    name = "predictor"
    averaged = False

    def __init__(
        self,
        networks: PolicyNetworks,
        train: Examples,
        held_out: Examples | None,
        augmentation: HistoryAugmentation,
        source: str,
    ) -> None:
        self.model = networks.predictor
        self.source = f"{source} {augmentation}"
        self._train, self._held_out = train, held_out
        self._augmentation = augmentation

    def loss(self, model: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor:
        indices = self._train.draw(batch_size, generator)
        told = self.told(self._train, indices, generator)
        features = self._train.observed(indices, self._train.draw_variants(batch_size, generator))
        return mse_loss(model(*told, features), self._train.chunk(indices))

    @torch.no_grad()
    def held_out_loss(self, model: nn.Module) -> float:
        if self._held_out is None:
            return float("nan")
        indices = fixed_indices(self._held_out.windows, HELD_OUT_WINDOWS)
        features = self._held_out.observed(indices, torch.zeros(len(indices), dtype=torch.int64))
        chunk = model(*self.told(self._held_out, indices), features)
        return mse_loss(chunk, self._held_out.chunk(indices)).item()

    def told(
        self, examples: Examples, indices: np.ndarray, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """History (B, H, A) and mask (B, H) as training gives them; without a generator, the true ones."""
        if generator is None:
            return examples.history(indices)
        shift = self._augmentation.time_shifts(len(indices), generator)
        return self._augmentation(*examples.history(indices, shift), generator)

    def told_at_run_time(self, examples: Examples, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """History and mask as a cycle has them that followed the demonstration."""
        return examples.history(indices)
