"""Reverse-process solvers: one step from a noise level to the list's own successor.

All work with NumPy arrays and torch tensors alike, take the clean-sample estimate clipped to [-1, 1] (the
data's range), and end on that estimate.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from step_ros.policy.schedule import NoiseSchedule

Array = Any
"""A NumPy array or a torch tensor."""


class Solver(ABC):
    """Walks a decreasing list of noise levels; the last step goes to clean.

    Args:
        schedule: noise tables.
        timesteps: strictly decreasing levels.
        prediction_type: what the network returns, "epsilon" or "sample".
        draw: returns fresh unit noise of the sample's shape; only stochastic solvers call it.
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        timesteps: Sequence[int],
        prediction_type: str,
        draw: Callable[[], Array],
    ) -> None:
        self.timesteps = tuple(timesteps)
        self.predicts_noise = prediction_type == "epsilon"
        self.draw = draw
        # One more entry than levels: the clean end of the list, where all is signal.
        self.signal = [float(schedule.signal[t]) for t in self.timesteps] + [1.0]
        self.noise = [float(schedule.noise[t]) for t in self.timesteps] + [0.0]

    @abstractmethod
    def step(self, sample: Array, output: Array, index: int) -> Array:
        """The sample at level index+1 from the sample and the network's output at level index."""

    def estimates(self, sample: Array, output: Array, index: int) -> tuple[Array, Array]:
        """Clean-sample estimate clipped to [-1, 1], and the noise estimate (of the unclipped one)."""
        signal, noise = self.signal[index], self.noise[index]
        if self.predicts_noise:
            return ((sample - noise * output) / signal).clip(-1.0, 1.0), output
        return output.clip(-1.0, 1.0), (sample - signal * output) / noise


class DDIM(Solver):
    """Deterministic DDIM (eta 0): x_s = sqrt(abar_s) x_0 + sqrt(1 - abar_s) e."""

    def step(self, sample: Array, output: Array, index: int) -> Array:
        clean, noise = self.estimates(sample, output, index)
        return self.signal[index + 1] * clean + self.noise[index + 1] * noise


class DDPM(Solver):
    """Ancestral sampling with the posterior between list neighbours and the smaller fixed variance."""

    def step(self, sample: Array, output: Array, index: int) -> Array:
        clean, _ = self.estimates(sample, output, index)
        if index == len(self.timesteps) - 1:
            return clean
        signal, noise = self.signal[index], self.noise[index]
        next_signal, next_noise = self.signal[index + 1], self.noise[index + 1]
        alpha = (signal / next_signal) ** 2
        beta = 1.0 - alpha
        mean = (next_signal * beta * clean + math.sqrt(alpha) * next_noise**2 * sample) / noise**2
        return mean + math.sqrt(beta) * next_noise / noise * self.draw()


class DPMSolverPlusPlus(Solver):
    """DPM-Solver++ 2M (data prediction, midpoint): second order but for first and last step."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.log_ratio = [math.log(a / b) for a, b in zip(self.signal, self.noise, strict=True) if b > 0.0]
        self.previous_clean: Array = None

    def step(self, sample: Array, output: Array, index: int) -> Array:
        clean, _ = self.estimates(sample, output, index)
        if index == len(self.timesteps) - 1:
            return clean
        width = self.log_ratio[index + 1] - self.log_ratio[index]
        target = clean
        if index > 0:
            ratio = (self.log_ratio[index] - self.log_ratio[index - 1]) / width
            target = clean + (clean - self.previous_clean) / (2.0 * ratio)
        self.previous_clean = clean
        decay = self.noise[index + 1] / self.noise[index]
        return decay * sample - self.signal[index + 1] * math.expm1(-width) * target


SOLVERS: dict[str, type[Solver]] = {"ddim": DDIM, "ddpm": DDPM, "dpmsolver++": DPMSolverPlusPlus}
