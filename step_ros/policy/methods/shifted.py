"""The last chunk, moved on and noised again, as the start: a warm start that needs no predictor.

What STEP's predictor is worth is its lead over this. The tail that the last chunk did not reach repeats its
last action.
"""

from __future__ import annotations

import torch
from numpy.typing import NDArray

from step_ros.policy.cycle import CycleState
from step_ros.policy.graphs import Program
from step_ros.policy.methods.base import Proposal
from step_ros.policy.methods.warm import WarmStart
from step_ros.policy.settings import Settings


class ShiftedMethod(WarmStart):
    """Entry level, steps and amplitudes as for STEP; without a last chunk a cycle starts cold."""

    carries = "the last chunk, and how much of it was executed"

    def programs(self, settings: Settings) -> tuple[Program, ...]:
        return (Program(len(self.levels(settings)), warm=False), self.cold_program(settings))

    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        if cycle.previous is None:
            return self.cold(features, settings, generator)
        levels = self.levels(settings)
        chunk, spent = self.refine(
            features,
            levels,
            settings.solver,
            generator,
            cycle.moved_on(cycle.previous),
            self.factors(levels[0], settings),
        )
        return Proposal(chunk[0], nfe=len(levels), timesteps=levels, milliseconds=spent)
