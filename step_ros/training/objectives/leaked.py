"""The released code's training of STEP's predictor, its leak included: kept to measure what it does.

The predictor is told the first Ta actions of the very chunk that it has to predict. At run time there is no
such thing; it then gets the last whole chunk, unshifted (`policy/methods/step_official.py`). Its losses, in
training and on held-out windows, therefore say nothing.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from step_ros.policy.networks import PolicyNetworks
from step_ros.training.augmentation import HistoryAugmentation
from step_ros.training.examples import Examples
from step_ros.training.objectives.predictor import PredictorObjective

UNCHANGED = HistoryAugmentation(time_shift=0, noise=0.0, offset=0.0, dropout=0.0)


class LeakedPredictorObjective(PredictorObjective):
    """Mean squared error of the whole chunk, of which the first part was told."""

    def __init__(
        self, networks: PolicyNetworks, train: Examples, held_out: Examples | None, source: str
    ) -> None:
        super().__init__(networks, train, held_out, UNCHANGED, f"leaked {source}")
        self._told = networks.config.n_action_steps

    def told(
        self, examples: Examples, indices: np.ndarray, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        history = examples.chunk(indices)[:, : self._told]
        return history, torch.ones(history.shape[:2], dtype=torch.bool, device=history.device)

    def told_at_run_time(self, examples: Examples, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        history = examples.chunk(indices - self._told)
        return history, torch.ones(history.shape[:2], dtype=torch.bool, device=history.device)
