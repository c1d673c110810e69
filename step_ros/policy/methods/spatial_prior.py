"""A sample of a conditional VAE, noised and refined: a start from the observation alone, without the past.

This is what the rows called BRIDGER in STEP's tables are, by the released code. There the entry level is the
first of a leading list and so follows from the number of steps (`timesteps=50/0` for two); here it is free.
"""

from __future__ import annotations

import torch
from numpy.typing import NDArray

from step_ros.policy.cycle import CycleState
from step_ros.policy.graphs import Program
from step_ros.policy.methods.base import Proposal
from step_ros.policy.methods.warm import WarmStart
from step_ros.policy.settings import Settings


class SpatialPriorMethod(WarmStart):
    """A fresh latent sample each cycle; every cycle is like the first."""

    predictors = ("prior",)

    def programs(self, settings: Settings) -> tuple[Program, ...]:
        return (Program(len(self.levels(settings)), warm=True),)

    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        levels = self.levels(settings)
        factors = self.factors(levels[0], settings)
        chunk, spent = self.warm_sample(features, levels, settings.solver, generator, cycle, factors)
        return Proposal(chunk[0], nfe=len(levels), aux_nfe=1, timesteps=levels, milliseconds=spent)
