"""Few-step sampling from pure noise: DDIM-N, or another solver over the same list of levels."""

from __future__ import annotations

import torch
from numpy.typing import NDArray

from step_ros.policy.cycle import CycleState
from step_ros.policy.methods.base import Method, Proposal
from step_ros.policy.settings import Settings


class DDIMMethod(Method):
    """Levels are `timesteps`, or `num_inference_steps` of them by `spacing`; no state between cycles."""

    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        spread = self.schedule.timesteps(settings.num_inference_steps, settings.spacing)
        levels = settings.timesteps or spread
        chunk, spent = self.sample(self.noise(generator), levels, features, settings.solver, generator)
        return Proposal(chunk[0], nfe=len(levels), timesteps=levels, milliseconds={"denoise": spent})
