"""STEP (Algorithm 1): predict a chunk from past commands, perturb it to a middle noise level, refine it."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray

from step_ros.policy.cycle import CycleState
from step_ros.policy.errors import ConfigError
from step_ros.policy.graphs import Program
from step_ros.policy.methods.base import Proposal
from step_ros.policy.methods.warm import WarmStart
from step_ros.policy.settings import Settings
from step_ros.policy.stall import StallRule, Verdict, pushed


class StepMethod(WarmStart):
    """Warm-started sampling; a cycle without any past command starts cold, from noise (lines 5, 6)."""

    predictors = ("past",)
    carries = "the last commands; for the stall rule the last two executed chunks, joint positions and push"

    def programs(self, settings: Settings) -> tuple[Program, ...]:
        return (Program(len(self.levels(settings)), warm=True), self.cold_program(settings))

    def check(self, settings: Settings) -> None:
        super().check(settings)
        for name in ("stall_source", "stall_response"):
            asked, usual = getattr(settings, name), getattr(Settings, name)
            if asked != usual and not self.config.observes_joints:
                raise ConfigError(name, asked, f"{usual}: this checkpoint does not observe every joint")

    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        verdict = self._judge(cycle, settings)
        if not cycle.history_mask.any():
            return dataclasses.replace(self.cold(features, settings, generator), stall=verdict.state)
        levels = self.levels(settings)
        factors = self.factors(levels[0], settings)
        if verdict.stalled and settings.stall_response == "noise":
            factors = (settings.sigma_scale, settings.sigma_stall)
        chunk, spent = self.warm_sample(features, levels, settings.solver, generator, cycle, factors)
        return Proposal(
            pushed(
                chunk[0],
                cycle.stall.push,
                verdict.state.push,
                first=self.config.n_obs_steps - 1,
                steps=settings.action_steps,
            ),
            nfe=len(levels),
            aux_nfe=1,
            stalled=verdict.stalled,
            stall_distance=verdict.distance,
            stall_progress=verdict.progress,
            stall=verdict.state,
            timesteps=levels,
            milliseconds=spent,
        )

    def _judge(self, cycle: CycleState, settings: Settings) -> Verdict:
        """What the stall rule says of the last cycle."""
        exempt = settings.stall_exempt.split()
        return StallRule.from_settings(settings).judge(
            cycle.stall,
            cycle.executed,
            commanded=self.normalize_action(cycle.commanded[-1]),
            measured=None if cycle.measured is None else self.normalize_action(cycle.measured),
            watched=np.array([name not in exempt for name in self.config.action_names]),
        )
