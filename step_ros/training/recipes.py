"""How a predictor of each kind is trained unless told otherwise."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from step_ros.policy.config import PredictorConfig
from step_ros.policy.networks import PolicyNetworks
from step_ros.training.augmentation import HistoryAugmentation
from step_ros.training.examples import Examples
from step_ros.training.objectives.leaked import LeakedPredictorObjective
from step_ros.training.objectives.predictor import PredictorObjective
from step_ros.training.objectives.prior import PriorObjective


class Objective(Protocol):
    """`loop.Objective` of a predictor, which also knows what it will be told when it runs."""

    name: str
    model: nn.Module
    averaged: bool
    source: str

    def loss(self, model: nn.Module, batch_size: int, generator: torch.Generator) -> Tensor: ...

    def held_out_loss(self, model: nn.Module) -> float: ...

    def told_at_run_time(self, examples: Examples, indices: np.ndarray) -> tuple[Tensor, Tensor]:
        """What the predictor gets in these windows, if the demonstration was followed until then."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Network, optimiser, and what the checkpoint's card says of the training."""

    predictor: PredictorConfig
    note: str
    lr: float = 1e-3
    weight_decay: float = 1e-6
    betas: tuple[float, float] = (0.95, 0.999)

    def optimiser(self, lr: float | None) -> dict[str, object]:
        """Settings of the loop; a learning rate that is given wins."""
        return {"lr": lr or self.lr, "weight_decay": self.weight_decay, "betas": self.betas}


RECIPES = {
    "past": Recipe(PredictorConfig(), "told the commands before the observation"),
    "leaked": Recipe(
        PredictorConfig("official", feedforward=256, dropout=0.1, kind="leaked"),
        "LEAKED: told the first actions of its own target, as the released code of STEP does; its losses "
        "say nothing, and it is for comparison only",
        lr=5e-4,
        weight_decay=1e-4,
        betas=(0.9, 0.999),
    ),
    "prior": Recipe(
        PredictorConfig(feedforward=256, dropout=0.1, kind="prior"),
        "told a latent sample and the observation, nothing of the past",
    ),
}


def predictor_config(
    kind: str = "past",
    variant: str | None = None,
    width: int | None = None,
    blocks: int | None = None,
    heads: int | None = None,
    feedforward: int | None = None,
    latent: int | None = None,
    history: bool = True,
    observation: bool = True,
) -> PredictorConfig:
    """The recipe's network of a kind with what is given in its place.

    Raises:
        ConfigError: values that are out of range or do not go together.
    """
    sizes = {
        "variant": variant,
        "width": width,
        "blocks": blocks,
        "heads": heads,
        "feedforward": feedforward,
        "latent": latent,
    }
    given = {name: value for name, value in sizes.items() if value is not None}
    return dataclasses.replace(RECIPES[kind].predictor, **given, history=history, observation=observation)


def make_objective(
    networks: PolicyNetworks,
    examples: tuple[Examples, Examples | None],
    augmentation: HistoryAugmentation,
    kl_weight: float,
    source: str,
) -> Objective:
    """What a predictor of the networks' kind is trained towards; the augmentation is for kind `past`, the
    weight for `prior`."""
    kind = networks.config.predictor.kind
    if kind == "prior":
        return PriorObjective(networks, *examples, kl_weight, source)
    if kind == "leaked":
        return LeakedPredictorObjective(networks, *examples, source)
    return PredictorObjective(networks, *examples, augmentation, source)
