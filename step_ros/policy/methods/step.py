"""STEP (Algorithm 1): predict a chunk from past commands, perturb it to a middle noise level, refine it."""

from __future__ import annotations

import torch
from numpy.typing import NDArray

from step_ros.policy.cycle import CycleState
from step_ros.policy.graphs import Program
from step_ros.policy.methods.base import Proposal
from step_ros.policy.methods.warm import WarmStart
from step_ros.policy.settings import Settings
from step_ros.policy.stall import StallRule, stall_distance


class StepMethod(WarmStart):
    """Warm-started sampling; a cycle without any past command starts cold, from noise (lines 5, 6)."""

    predictors = ("past",)
    carries = "the last commands, and the last two executed chunks for the stall rule"

    def programs(self, settings: Settings) -> tuple[Program, ...]:
        return (Program(len(self.levels(settings)), warm=True), self.cold_program(settings))

    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        if not cycle.history_mask.any():
            return self.cold(features, settings, generator)

        rule = StallRule.from_settings(settings)
        distance = stall_distance(cycle.executed)
        still_cycles = rule.still_cycles(distance, cycle.still_cycles)
        stalled = rule.stalled(still_cycles)
        levels = self.levels(settings)
        factors = self._warm_factors(levels[0], settings, stalled)
        chunk, spent = self.warm_sample(features, levels, settings.solver, generator, cycle, factors)
        return Proposal(
            chunk[0],
            nfe=len(levels),
            aux_nfe=1,
            stalled=stalled,
            stall_distance=distance,
            still_cycles=still_cycles,
            timesteps=levels,
            milliseconds=spent,
        )

    def _warm_factors(self, level: int, settings: Settings, stalled: bool) -> tuple[float, float]:
        """Factors of prediction and noise in line 9: Eq. 14 while stalled, else Eq. 13 or matched noise."""
        if stalled:
            return settings.sigma_scale, settings.sigma_stall
        return self.factors(level, settings)
