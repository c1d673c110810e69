"""STEP as its released code runs it, with a predictor that was trained on its own targets.

Not a method to use but one to measure: the released training shows the predictor the first actions of the
chunk that it is to predict, and its inference then gives it the last whole chunk, unshifted. Everything else
is the released code's too: no cold start (the first prediction is made from zeros), no stall rule, noise
matched to the first level of a leading list, so that more steps mean a noisier start.
"""

from __future__ import annotations

import torch
from numpy.typing import NDArray

from step_ros.policy.cycle import CycleState
from step_ros.policy.graphs import Program
from step_ros.policy.methods.base import Proposal
from step_ros.policy.methods.warm import WarmStart
from step_ros.policy.settings import Settings


class StepOfficialMethod(WarmStart):
    """`timesteps` takes entry level and steps apart; `entry_timestep` and `warm_start` do not matter."""

    predictors = ("leaked",)
    carries = "the last chunk, unshifted"

    def levels(self, settings: Settings) -> tuple[int, ...]:
        return settings.timesteps or self.schedule.timesteps(settings.num_inference_steps, "leading")

    def programs(self, settings: Settings) -> tuple[Program, ...]:
        return (Program(len(self.levels(settings)), warm=True),)

    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        levels = self.levels(settings)
        factors = self.matched(levels[0])
        chunk, spent = self.warm_sample(features, levels, settings.solver, generator, cycle, factors)
        cold = cycle.previous is None
        return Proposal(chunk[0], nfe=len(levels), aux_nfe=1, cold=cold, timesteps=levels, milliseconds=spent)
