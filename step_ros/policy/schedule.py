"""Noise schedule of the forward process and the lists of noise levels that solvers walk down.

Forward process: x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) e (Eq. 3). The table comes from diffusers; the
lists are made here, because solvers of this package always step to the list's own successor.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from step_ros.policy.config import PolicyConfig
from step_ros.policy.errors import ConfigError


class NoiseSchedule:
    """Tables by noise level t = 0 … T-1 (0 is almost clean).

    Attributes:
        levels: T.
        alpha_bar: (T,) float64, cumulative signal power.
        signal: (T,) float64, sqrt(abar_t).
        noise: (T,) float64, sqrt(1 - abar_t).
    """

    def __init__(self, config: PolicyConfig) -> None:
        scheduler = DDPMScheduler(
            config.num_train_timesteps, config.beta_start, config.beta_end, config.beta_schedule
        )
        self.levels = config.num_train_timesteps
        self.alpha_bar = scheduler.alphas_cumprod.double().numpy()
        self.signal = np.sqrt(self.alpha_bar)
        self.noise = np.sqrt(1.0 - self.alpha_bar)

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_t (B, …) of clean samples (B, …) for levels (B,), with the given unit noise (B, …)."""
        shape = (-1,) + (1,) * (clean.ndim - 1)
        index = timesteps.to("cpu")
        signal = torch.from_numpy(self.signal)[index].to(clean).view(shape)
        spread = torch.from_numpy(self.noise)[index].to(clean).view(shape)
        return signal * clean + spread * noise

    def timesteps(self, steps: int, spacing: str = "leading") -> tuple[int, ...]:
        """A decreasing list of `steps` levels for a start from pure noise.

        leading: multiples of T // steps from 0 up (never reaches the top); trailing: from T-1 down in equal
        parts; linspace: equal parts of 0 … T-1 without the lowest.

        Raises:
            ConfigError: when there are fewer levels than steps.
        """
        if not 1 <= steps <= self.levels:
            raise ConfigError("num_inference_steps", steps, f"1 to {self.levels}")
        if spacing == "leading":
            levels = np.arange(steps)[::-1] * (self.levels // steps)
        elif spacing == "trailing":
            levels = np.round(self.levels - np.arange(steps) * (self.levels / steps)) - 1
        elif spacing == "linspace":
            levels = np.round(np.linspace(0, self.levels - 1, steps + 1))[:0:-1]
        else:
            raise ConfigError("spacing", spacing, "leading, trailing or linspace")
        return tuple(int(level) for level in levels)

    def warm_timesteps(self, entry: int, steps: int) -> tuple[int, ...]:
        """`steps` levels in equal parts from `entry` down, such as (20, 10) for entry 20 and 2 steps.

        Raises:
            ConfigError: when the entry level is too low for that many different levels, or above the top.
        """
        if not 0 <= entry < self.levels:
            raise ConfigError("entry_timestep", entry, f"0 to {self.levels - 1}")
        if not 1 <= steps <= entry + 1:
            raise ConfigError("num_inference_steps", steps, f"1 to {entry + 1} for entry_timestep {entry}")
        return tuple(entry * (steps - index) // steps for index in range(steps))
