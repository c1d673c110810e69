"""The sampler that a checkpoint was made for, from pure noise: what its authors' own code would do."""

from __future__ import annotations

import torch
from numpy.typing import NDArray

from step_ros.policy.cycle import CycleState
from step_ros.policy.graphs import Program
from step_ros.policy.methods.base import Method, Proposal
from step_ros.policy.settings import Settings


class NativeMethod(Method):
    """Solver, number of steps and spacing come from the checkpoint's `sampler`; settings do not matter."""

    def programs(self, settings: Settings) -> tuple[Program, ...]:
        return (Program(len(self._levels), warm=False),)

    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        chunk, spent = self.sample(features, self._levels, self.config.sampler.solver, generator)
        return Proposal(chunk[0], nfe=len(self._levels), timesteps=self._levels, milliseconds=spent)

    @property
    def _levels(self) -> tuple[int, ...]:
        sampler = self.config.sampler
        return self.schedule.timesteps(sampler.steps or self.schedule.levels, sampler.spacing)
