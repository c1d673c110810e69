"""The predictor's chunk as it is, without refinement: shows what the denoiser adds."""

from __future__ import annotations

import torch
from numpy.typing import NDArray

from step_ros.policy.cycle import CycleState
from step_ros.policy.graphs import Program
from step_ros.policy.methods.base import Method, Proposal
from step_ros.policy.settings import Settings


class PredictorOnly(Method):
    """One predictor evaluation per cycle, of any kind; without a past it has the observation alone."""

    predictors = ("past", "leaked", "prior")
    carries = "what its predictor is told: the last commands, the last chunk, or nothing"

    def programs(self, settings: Settings) -> tuple[Program, ...]:
        return ()

    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        chunk, spent = self.predict(features, cycle, generator)
        cold = not cycle.history_mask.any()
        limit = self.config.clip_sample
        chunk = chunk if limit is None else chunk.clip(-limit, limit)
        return Proposal(chunk[0], aux_nfe=1, cold=cold, milliseconds=spent)
