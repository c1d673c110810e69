"""Diffusion policy's own sampler: every noise level, from pure noise, with the DDPM posterior."""

from __future__ import annotations

import torch
from numpy.typing import NDArray

from step_ros.policy.cycle import CycleState
from step_ros.policy.graphs import Program
from step_ros.policy.methods.base import Method, Proposal
from step_ros.policy.settings import Settings


class DDPMMethod(Method):
    """Ignores steps, timesteps and solver: all levels, ancestral sampling (Eqs. 4 to 6, clipped)."""

    def programs(self, settings: Settings) -> tuple[Program, ...]:
        return (Program(self.schedule.levels, warm=False),)

    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        levels = tuple(range(self.schedule.levels - 1, -1, -1))
        chunk, spent = self.sample(features, levels, "ddpm", generator)
        return Proposal(chunk[0], nfe=len(levels), timesteps=levels, milliseconds=spent)
