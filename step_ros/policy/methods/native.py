"""The sampler that a checkpoint was made for, from pure noise: what its authors' own code would do."""

from __future__ import annotations

import torch
from numpy.typing import NDArray

from step_ros.policy.cycle import CycleState
from step_ros.policy.methods.base import Method, Proposal
from step_ros.policy.settings import Settings


class NativeMethod(Method):
    """Solver, number of steps and spacing come from the checkpoint's `sampler`; settings do not matter."""

    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        sampler = self.config.sampler
        levels = self.schedule.timesteps(sampler.steps or self.schedule.levels, sampler.spacing)
        chunk, spent = self.sample(self.noise(generator), levels, features, sampler.solver, generator)
        return Proposal(chunk[0], nfe=len(levels), timesteps=levels, milliseconds={"denoise": spent})
