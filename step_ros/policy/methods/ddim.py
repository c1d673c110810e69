"""Few-step sampling from pure noise: DDIM-N, or another solver over the same list of levels."""

from __future__ import annotations

import torch
from numpy.typing import NDArray

from step_ros.policy.cycle import CycleState
from step_ros.policy.graphs import Program
from step_ros.policy.methods.base import Method, Proposal
from step_ros.policy.settings import Settings


class DDIMMethod(Method):
    """Levels are `timesteps`, or `num_inference_steps` of them by `spacing`; no state between cycles."""

    def programs(self, settings: Settings) -> tuple[Program, ...]:
        return (Program(len(self._levels(settings)), warm=False),)

    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        levels = self._levels(settings)
        chunk, spent = self.sample(features, levels, settings.solver, generator)
        return Proposal(chunk[0], nfe=len(levels), timesteps=levels, milliseconds=spent)

    def _levels(self, settings: Settings) -> tuple[int, ...]:
        return settings.timesteps or self.schedule.timesteps(settings.num_inference_steps, settings.spacing)
