"""DPM-Solver++ as diffusers constructs it by default, to show what that does on this noise schedule.

Levels from the very top in equal parts and no clipping of the clean sample: at the top 1 / sqrt(abar) is
about 2000, so that the smallest error of a denoiser that predicts noise leaves the data's range. For use,
`ddim` with `solver=dpmsolver++` clips, and starts where `spacing` or `timesteps` say.
"""

from __future__ import annotations

import torch
from numpy.typing import NDArray

from step_ros.policy.cycle import CycleState
from step_ros.policy.graphs import Program
from step_ros.policy.methods.base import Method, Proposal
from step_ros.policy.settings import Settings


class DPMSolverDefaults(Method):
    """Only `num_inference_steps` matters."""

    clips = False

    def programs(self, settings: Settings) -> tuple[Program, ...]:
        return (Program(settings.num_inference_steps, warm=False),)

    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        levels = self.schedule.timesteps(settings.num_inference_steps, "linspace")
        chunk, spent = self.sample(features, levels, "dpmsolver++", generator)
        return Proposal(chunk[0], nfe=len(levels), timesteps=levels, milliseconds=spent)
