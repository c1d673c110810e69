"""What every method is: a function from features and carried state to a normalised chunk."""

from __future__ import annotations

import dataclasses
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from step_ros.policy.affine import AffineMap
from step_ros.policy.config import ACTION, PolicyConfig
from step_ros.policy.cycle import CycleState, Latent
from step_ros.policy.errors import OutputError
from step_ros.policy.graphs import Program
from step_ros.policy.normalization import Normalizer
from step_ros.policy.sampling import Networks, sample, warm_sample
from step_ros.policy.schedule import NoiseSchedule
from step_ros.policy.settings import Settings
from step_ros.policy.solvers import draws_noise, solver_table
from step_ros.policy.stall import StallState
from step_ros.policy.told import Told, told

TABLES_KEPT = 64
"""Solver tables that a method keeps: those of other levels are made again."""


class FusibleNetworks(Networks, Protocol):
    """The networks on arrays, and whole cycles of them as one call where that was prepared."""

    def fused(self, program: Program) -> Callable[..., NDArray] | None: ...


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What a method returns for one cycle: the normalised chunk (Tp, A) and how it came about."""

    chunk: NDArray
    nfe: int = 0
    aux_nfe: int = 0
    cold: bool = False
    stalled: bool = False
    stall_distance: float | None = None
    stall_progress: float | None = None
    stall: StallState = dataclasses.field(default_factory=StallState)
    timesteps: tuple[int, ...] = ()
    latents: tuple[Latent, ...] = ()
    milliseconds: dict[str, float] = dataclasses.field(default_factory=dict)


class Method(ABC):
    """Base of all methods: the networks, the tables, sampling and prediction with a check of every output.

    A method keeps nothing between cycles; what is carried lies in the `CycleState`.

    Attributes:
        predictors: kinds of predictor that it can use, one of which it needs; none: it needs no predictor.
        carries: what it takes from earlier cycles, in words; empty for nothing.
        clips: whether clean-sample estimates are clipped as the checkpoint asks.
    """

    predictors: ClassVar[tuple[str, ...]] = ()
    carries: ClassVar[str] = ""
    clips: ClassVar[bool] = True

    def __init__(self, config: PolicyConfig, networks: FusibleNetworks, normalizer: Normalizer) -> None:
        self.config = config
        self.networks = networks
        self.schedule = NoiseSchedule(config)
        self.normalize_action = AffineMap(normalizer[ACTION], config.action_dim)
        self.table = lru_cache(TABLES_KEPT)(self._table)

    def check(self, settings: Settings) -> None:
        """Raise ConfigError when these settings cannot be run by this method."""
        self.config.check(settings)

    @abstractmethod
    def programs(self, settings: Settings) -> tuple[Program, ...]:
        """The cycles that these settings run, for engines that compile them whole."""

    @abstractmethod
    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        """Plan one chunk from features (1, To, F); `cycle` is read only.

        Raises:
            OutputError: when a network returns NaN or infinity.
        """

    def sample(
        self, features: NDArray, levels: tuple[int, ...], solver: str, generator: torch.Generator
    ) -> tuple[NDArray, dict[str, float]]:
        """A chunk (1, Tp, A) from noise at levels[0], and milliseconds by part."""
        nothing = np.zeros((self.config.horizon, self.config.action_dim))
        return self.refine(features, levels, solver, generator, nothing, (0.0, 1.0))

    def refine(
        self,
        features: NDArray,
        levels: tuple[int, ...],
        solver: str,
        generator: torch.Generator,
        chunk: NDArray,
        factors: tuple[float, float],
    ) -> tuple[NDArray, dict[str, float]]:
        """A chunk (1, Tp, A) from a given one (Tp, A), normalised, and milliseconds by part.

        `factors` of the given chunk and of noise make the start at levels[0].
        """
        given = (chunk[None].astype(np.float32), np.array(factors, np.float32))
        return self._run(
            sample, Program(len(levels), warm=False), features, levels, solver, generator, *given
        )

    def warm_sample(
        self,
        features: NDArray,
        levels: tuple[int, ...],
        solver: str,
        generator: torch.Generator,
        cycle: CycleState,
        factors: tuple[float, float],
    ) -> tuple[NDArray, dict[str, float]]:
        """A chunk (1, Tp, A) from the prediction for what `cycle` holds, and milliseconds by part.

        `factors` of prediction and noise make the start at levels[0].
        """
        warm = (*self.told(cycle, generator), np.array(factors, np.float32))
        return self._run(
            warm_sample, Program(len(levels), warm=True), features, levels, solver, generator, *warm
        )

    def predict(
        self, features: NDArray, cycle: CycleState, generator: torch.Generator
    ) -> tuple[NDArray, dict[str, float]]:
        """The predictor's chunk (1, Tp, A) for what `cycle` holds, and milliseconds by part."""
        networks = Watched(self.networks)
        chunk = networks.predict(*self.told(cycle, generator), features)
        return chunk, {"predict": networks.predicting}

    def told(self, cycle: CycleState, generator: torch.Generator) -> Told:
        """What the checkpoint's predictor is told in this cycle."""
        return told(self.config, self.normalize_action, cycle, generator)

    def _run(
        self,
        algorithm: Callable[..., tuple],
        program: Program,
        features: NDArray,
        levels: tuple[int, ...],
        solver: str,
        generator: torch.Generator,
        *start: NDArray,
    ) -> tuple[NDArray, dict[str, float]]:
        began = time.perf_counter()
        table = self.table(levels, solver)
        noise = self.noise(table, generator)
        inputs = (features, noise, np.array(levels)[:, None], table, *start)
        fused = self.networks.fused(program)
        if fused is None:
            networks = Watched(self.networks)
            chunk, *_ = algorithm(networks, *inputs)
            predicting = networks.predicting
        else:
            chunk, *parts = fused(*inputs)[:, None]
            predicting = 0.0
            if program.warm:
                _finite(parts.pop(0), "predictor")
            for level, output in zip(levels, parts, strict=True):
                _finite(output, f"denoiser at timestep {level}")
        spent = (time.perf_counter() - began) * 1e3
        return chunk, {"predict": predicting, "denoise": spent - predicting}

    def _table(self, levels: tuple[int, ...], solver: str) -> NDArray:
        """The solver's steps (K, 8) along these levels, for this checkpoint's denoiser; not to be written to:
        `table` keeps those that were asked for last."""
        limit = self.config.clip_sample if self.clips else None
        return solver_table(solver, self.schedule, levels, self.config.prediction_type, limit)

    def noise(self, table: NDArray, generator: torch.Generator) -> NDArray:
        """Unit noise (K, 1, Tp, A): the start's, then zeros or what is added after each step but the last."""
        steps, shape = len(table), (1, self.config.horizon, self.config.action_dim)
        noise = np.zeros((steps, *shape), np.float32)
        for index in range(steps if draws_noise(table) else 1):
            noise[index] = torch.randn(shape, generator=generator).numpy()
        return noise


class Watched:
    """The networks, call by call, with a check of every output; `predicting` is the predictor's time, ms."""

    def __init__(self, networks: Networks) -> None:
        self._networks = networks
        self.condition = networks.condition
        self.predicting = 0.0

    def denoise(self, x: NDArray, level: NDArray, condition: NDArray) -> NDArray:
        return _finite(self._networks.denoise(x, level, condition), f"denoiser at timestep {level[0]}")

    def predict(self, history: NDArray, history_mask: NDArray, features: NDArray) -> NDArray:
        began = time.perf_counter()
        chunk = _finite(self._networks.predict(history, history_mask, features), "predictor")
        self.predicting += (time.perf_counter() - began) * 1e3
        return chunk


def _finite(output: NDArray, network: str) -> NDArray:
    if not np.isfinite(output).all():
        raise OutputError(
            f"the {network} returned {np.count_nonzero(~np.isfinite(output))} values that are not finite"
        )
    return output
