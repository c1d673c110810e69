"""Predictor: the demonstrated chunk from falsified past actions and the present observation (Eq. 12)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from step_ros.policy.networks import PolicyNetworks
from step_ros.training.augmentation import HistoryAugmentation
from step_ros.training.examples import Examples, fixed_indices

HELD_OUT_WINDOWS = 512


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
        shift = self._augmentation.time_shifts(batch_size, generator)
        history, mask = self._augmentation(*self._train.history(indices, shift), generator)
        features = self._train.observed(indices, self._train.draw_variants(batch_size, generator))
        return mse_loss(model(history, mask, features), self._train.chunk(indices))

    @torch.no_grad()
    def held_out_loss(self, model: nn.Module) -> float:
        if self._held_out is None:
            return float("nan")
        indices = fixed_indices(self._held_out.windows, HELD_OUT_WINDOWS)
        features = self._held_out.observed(indices, torch.zeros(len(indices), dtype=torch.int64))
        chunk = model(*self._held_out.history(indices), features)
        return mse_loss(chunk, self._held_out.chunk(indices)).item()
