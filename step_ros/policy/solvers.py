"""Reverse-process solvers: what each computes between two noise levels, and the one walk that runs them.

A solver is a table of numbers. Every step of every solver here is, with a sample x and the network's output
o,

    clean = clip(from_sample x + from_output o, -limit, limit)
    x'    = sample x + output o + clean clean + previous clean' + fresh e

where clean' is the estimate of the step before and e fresh unit noise. The list's own successor is the next
level, the clean-sample estimate is clipped to what the checkpoint asks for (the data's range), and the last
step ends on that estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from step_ros.policy.schedule import NoiseSchedule

Array = Any
"""A NumPy array or a torch tensor."""


class Step(NamedTuple):
    """Factors of one step; see the module's formula."""

    from_sample: float
    from_output: float
    sample: float = 0.0
    output: float = 0.0
    clean: float = 1.0
    previous: float = 0.0
    fresh: float = 0.0
    limit: float = math.inf


class _Levels:
    """Signal and noise amplitude along a list, with the clean end appended, and the network's meaning."""

    def __init__(self, schedule: NoiseSchedule, timesteps: Sequence[int], prediction_type: str) -> None:
        self.signal = [float(schedule.signal[level]) for level in timesteps] + [1.0]
        self.noise = [float(schedule.noise[level]) for level in timesteps] + [0.0]
        below = [level - 1 for level in timesteps]
        self.below = [
            (float(schedule.signal[level]), float(schedule.noise[level])) if level >= 0 else (1.0, 0.0)
            for level in below
        ]
        """signal and noise one level below each, whatever the list's successor is"""
        self.predicts_noise = prediction_type == "epsilon"

    def __len__(self) -> int:
        return len(self.signal) - 1

    def clean(self, index: int) -> tuple[float, float]:
        """Factors of sample and output in the clean-sample estimate."""
        signal, noise = self.signal[index], self.noise[index]
        return (1.0 / signal, -noise / signal) if self.predicts_noise else (0.0, 1.0)

    def error(self, index: int) -> tuple[float, float]:
        """Factors of sample and output in the noise estimate (of the clean sample before clipping)."""
        signal, noise = self.signal[index], self.noise[index]
        return (0.0, 1.0) if self.predicts_noise else (1.0 / noise, -signal / noise)


def _ddim(levels: _Levels) -> list[Step]:
    """Deterministic DDIM (eta 0): x_s = sqrt(abar_s) x_0 + sqrt(1 - abar_s) e."""
    steps = []
    for index in range(len(levels)):
        of_sample, of_output = levels.error(index)
        noise = levels.noise[index + 1]
        signal = levels.signal[index + 1]
        steps.append(Step(*levels.clean(index), noise * of_sample, noise * of_output, signal))
    return steps


def _ddpm(levels: _Levels) -> list[Step]:
    """Ancestral sampling with the posterior between list neighbours and the smaller fixed variance."""
    steps = [
        _posterior(levels, index, levels.signal[index + 1], levels.noise[index + 1])
        for index in range(len(levels) - 1)
    ]
    return [*steps, Step(*levels.clean(-2))]


def _ddpm_adjacent(levels: _Levels) -> list[Step]:
    """The posterior of one level down at every step, even where the list skips levels.

    So it was in diffusers up to 0.11, and RTI-DP's lists were chosen with it: after a step the sample is
    noisier than the level it is taken for. Lists without gaps give the same as `ddpm`.
    """
    steps = [_posterior(levels, index, *levels.below[index]) for index in range(len(levels) - 1)]
    return [*steps, Step(*levels.clean(-2))]


def _posterior(levels: _Levels, index: int, next_signal: float, next_noise: float) -> Step:
    """DDPM's step from a list's level to any lower one.

    Beta is what is left of 1 in single precision, 1e-3 off at the lowest levels: so it is in diffusers, whose
    samples these are to be.
    """
    signal, noise = levels.signal[index], levels.noise[index]
    alpha = np.float32(signal**2) / np.float32(next_signal**2)
    beta = np.float32(1.0) - alpha
    return Step(
        *levels.clean(index),
        sample=math.sqrt(alpha) * next_noise**2 / noise**2,
        clean=next_signal * beta / noise**2,
        fresh=math.sqrt(beta) * next_noise / noise,
    )


def _dpm_solver_plus_plus(levels: _Levels) -> list[Step]:
    """DPM-Solver++ 2M (data prediction, midpoint): second order but for first and last step."""
    log_ratio = [math.log(a / b) for a, b in zip(levels.signal[:-1], levels.noise[:-1], strict=True)]
    steps = []
    for index in range(len(levels) - 1):
        width = log_ratio[index + 1] - log_ratio[index]
        decay = levels.noise[index + 1] / levels.noise[index]
        target = -levels.signal[index + 1] * math.expm1(-width)
        lean = width / (2.0 * (log_ratio[index] - log_ratio[index - 1])) if index > 0 else 0.0
        steps.append(
            Step(
                *levels.clean(index),
                sample=decay,
                clean=target * (1.0 + lean),
                previous=-target * lean,
            )
        )
    return [*steps, Step(*levels.clean(-2))]


SOLVERS: dict[str, Callable[[_Levels], list[Step]]] = {
    "ddim": _ddim,
    "ddpm": _ddpm,
    "ddpm_adjacent": _ddpm_adjacent,
    "dpmsolver++": _dpm_solver_plus_plus,
}


def solver_table(
    solver: str,
    schedule: NoiseSchedule,
    timesteps: Sequence[int],
    prediction_type: str,
    limit: float | None = 1.0,
) -> NDArray:
    """The steps of a solver by name along decreasing levels: (K, 8) float32, columns as in `Step`.

    Clean-sample estimates are clipped to [-limit, limit]; None clips nothing.
    """
    steps = SOLVERS[solver](_Levels(schedule, timesteps, prediction_type))
    limit = math.inf if limit is None else limit
    return np.array([step._replace(limit=limit) for step in steps], np.float32)


def draws_noise(table: NDArray) -> bool:
    """Whether a solver's table adds fresh noise between the levels."""
    return bool(table[:, Step._fields.index("fresh")].any())


def walk(
    denoise: Callable[[Array, Array], Array],
    start: Array,
    timesteps: Sequence[Any] | Array,
    table: Array,
    fresh: Sequence[Array] | Array,
) -> tuple[Array, list[Array]]:
    """Run the reverse process; NumPy arrays and torch tensors alike.

    Args:
        denoise: network output for a sample and its level.
        start: sample at the first level, (1, Tp, A).
        timesteps: (K,) levels.
        table: (K, 8), from `solver_table`.
        fresh: (K-1, …) unit noise, for the steps between the levels.

    Returns:
        The clean sample, and the network's output at each level.
    """
    sample, clean, outputs = start, None, []
    for index in range(len(table)):
        factors = Step(*(table[index, column] for column in range(len(Step._fields))))
        output = denoise(sample, timesteps[index])
        estimate = factors.from_sample * sample + factors.from_output * output
        previous, clean = clean, estimate.clip(-factors.limit, factors.limit)
        sample = factors.sample * sample + factors.output * output + factors.clean * clean
        if previous is not None:
            sample = sample + factors.previous * previous
        if index < len(table) - 1:
            sample = sample + factors.fresh * fresh[index]
        outputs.append(output)
    return sample, outputs
