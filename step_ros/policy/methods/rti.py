"""RTI-DP (Duan et al., arXiv 2508.05396): the last chunk, moved on, taken for an almost clean sample.

No noise is added and nothing scaled: what was denoised last time goes in at the first level of a short list
of low levels and the stochastic DDPM update does the rest. The first cycle is DDPM over all levels. The
authors execute one action per cycle (`action_steps=1`) and choose the list by hand, task by task, such as
`timesteps=3/1/0`.

Their code keeps its guess from one episode to the next; here a reset forgets it. Their treatment of
two-valued grippers only concerns actions of more than nine dimensions and is left out.
"""

from __future__ import annotations

import torch
from numpy.typing import NDArray

from step_ros.policy.cycle import CycleState
from step_ros.policy.graphs import Program
from step_ros.policy.methods.base import Proposal
from step_ros.policy.methods.warm import WarmStart
from step_ros.policy.settings import Settings

SOLVERS = {"adjacent": "ddpm_adjacent", "list": "ddpm"}
"""By `rti_posterior`."""


class RTIMethod(WarmStart):
    """Levels as for STEP; `solver` and `warm_start` do not matter."""

    carries = "the last chunk, and how much of it was executed"

    def programs(self, settings: Settings) -> tuple[Program, ...]:
        return (Program(len(self.levels(settings)), warm=False),)

    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        if cycle.previous is None:
            levels = tuple(range(self.schedule.levels - 1, -1, -1))
            chunk, spent = self.sample(features, levels, "ddpm", generator)
            return Proposal(chunk[0], nfe=len(levels), cold=True, timesteps=levels, milliseconds=spent)
        levels, solver = self.levels(settings), SOLVERS[settings.rti_posterior]
        guess = cycle.moved_on(cycle.previous)
        chunk, spent = self.refine(features, levels, solver, generator, guess, (1.0, 0.0))
        return Proposal(chunk[0], nfe=len(levels), timesteps=levels, milliseconds=spent)
