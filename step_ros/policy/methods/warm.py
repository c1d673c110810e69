"""What warm starts have in common: where they enter the reverse process, how noisy, and how they begin."""

from __future__ import annotations

import torch
from numpy.typing import NDArray

from step_ros.policy.graphs import Program
from step_ros.policy.methods.base import Method, Proposal
from step_ros.policy.settings import Settings


class WarmStart(Method):
    """Enters at `entry_timestep` and goes down in `num_inference_steps` equal parts, or along `timesteps`."""

    def check(self, settings: Settings) -> None:
        super().check(settings)
        self.levels(settings)

    def levels(self, settings: Settings) -> tuple[int, ...]:
        """Noise levels of a warm cycle."""
        if settings.timesteps:
            return settings.timesteps
        return self.schedule.warm_timesteps(settings.entry_timestep, settings.num_inference_steps)

    def factors(self, level: int, settings: Settings) -> tuple[float, float]:
        """Factors of the chunk to start from and of noise, at the level that is entered."""
        if settings.warm_start == "paper":
            return settings.sigma, settings.sigma_t
        return self.matched(level)

    def matched(self, level: int) -> tuple[float, float]:
        """The forward process's own factors of signal and noise at a level."""
        return float(self.schedule.signal[level]), float(self.schedule.noise[level])

    def cold(self, features: NDArray, settings: Settings, generator: torch.Generator) -> Proposal:
        """A cycle without anything to start from: from noise, in `cold_start_steps`."""
        levels = self.schedule.timesteps(settings.cold_start_steps, settings.spacing)
        chunk, spent = self.sample(features, levels, settings.solver, generator)
        return Proposal(chunk[0], nfe=len(levels), cold=True, timesteps=levels, milliseconds=spent)

    def cold_program(self, settings: Settings) -> Program:
        """What `cold` runs."""
        return Program(settings.cold_start_steps, warm=False)
