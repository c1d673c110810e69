"""What every method is: a function from features and carried state to a normalised chunk."""

from __future__ import annotations

import dataclasses
import time
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from step_ros.policy.config import ACTION, PolicyConfig
from step_ros.policy.cycle import CycleState
from step_ros.policy.engine import Engine
from step_ros.policy.errors import OutputError
from step_ros.policy.normalization import Normalizer
from step_ros.policy.schedule import NoiseSchedule
from step_ros.policy.settings import Settings
from step_ros.policy.solvers import SOLVERS


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What a method returns for one cycle: the normalised chunk (Tp, A) and how it came about."""

    chunk: NDArray
    nfe: int = 0
    aux_nfe: int = 0
    cold: bool = False
    stalled: bool = False
    stall_distance: float | None = None
    still_cycles: int = 0
    timesteps: tuple[int, ...] = ()
    milliseconds: dict[str, float] = dataclasses.field(default_factory=dict)


class Method(ABC):
    """Base of all methods: the engine, the tables, sampling and prediction with a check of every output.

    A method keeps nothing between cycles; what is carried lies in the `CycleState`.
    """

    needs_predictor: ClassVar[bool] = False

    def __init__(self, config: PolicyConfig, engine: Engine, normalizer: Normalizer) -> None:
        self.config = config
        self.engine = engine
        self.schedule = NoiseSchedule(config)
        self._action_range = normalizer[ACTION]

    def check(self, settings: Settings) -> None:
        """Raise ConfigError when these settings cannot be run by this method."""
        self.config.check(settings)

    @abstractmethod
    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        """Plan one chunk from features (1, To, F); `cycle` is read only.

        Raises:
            OutputError: when a network returns NaN or infinity.
        """

    def noise(self, generator: torch.Generator) -> NDArray:
        """Fresh unit noise (1, Tp, A)."""
        return torch.randn(1, self.config.horizon, self.config.action_dim, generator=generator).numpy()

    def sample(
        self,
        start: NDArray,
        timesteps: tuple[int, ...],
        features: NDArray,
        solver: str,
        generator: torch.Generator,
    ) -> tuple[NDArray, float]:
        """Run the reverse process from `start` at timesteps[0] to clean: (1, Tp, A), and the milliseconds."""
        began = time.perf_counter()
        walk = SOLVERS[solver](
            self.schedule, timesteps, self.config.prediction_type, lambda: self.noise(generator)
        )
        sample = start
        for index, level in enumerate(timesteps):
            output = _finite(self.engine.denoise(sample, level, features), f"denoiser at timestep {level}")
            sample = walk.step(sample, output, index)
        return sample, (time.perf_counter() - began) * 1e3

    def predict(self, features: NDArray, cycle: CycleState) -> tuple[NDArray, float]:
        """Predictor's chunk (1, Tp, A) for the commands in `cycle`, and the milliseconds."""
        began = time.perf_counter()
        mask = cycle.history_mask
        commanded = torch.from_numpy(np.where(mask[:, None], cycle.commanded, 0.0))
        history = self._action_range(commanded).numpy().astype(np.float32)
        chunk = self.engine.predict(history[None], mask[None], features)
        return _finite(chunk, "predictor"), (time.perf_counter() - began) * 1e3


def _finite(output: NDArray, network: str) -> NDArray:
    if not np.isfinite(output).all():
        raise OutputError(
            f"the {network} returned {np.count_nonzero(~np.isfinite(output))} values that are not finite"
        )
    return output
