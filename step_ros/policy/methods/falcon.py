"""Falcon (Chen et al., arXiv 2503.00339): go on from a partly denoised chunk of an earlier cycle.

Every latent that is kept is moved on to the present, and one evaluation with the present observation says
which clean chunk it leads to. Those that lead close to what the last chunk still says (on the ticks that both
cover) are accepted; one of them, rather a clean than a noisy one, is denoised to the end. Now and then, and
when none is accepted, sampling starts from noise.

The authors do not say which values they used: all are settings. What else they leave open and is chosen here:
distances are RMS in normalised units; ticks that a latent did not reach become the last known action at the
latent's level of noise; the preference is a softmax of minus the level's share of the top one; a latent is
kept as long as one of its own ticks lies ahead, newer before older, cleaner before noisier.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray

from step_ros.policy.cycle import CycleState, Latent
from step_ros.policy.graphs import Program
from step_ros.policy.methods.base import Method, Proposal, Watched
from step_ros.policy.settings import Settings
from step_ros.policy.solvers import Step, walk


class FalconMethod(Method):
    """The whole list is that of `ddim`: `timesteps`, or `num_inference_steps` by `spacing`; any solver.

    Candidates are evaluated one by one, and counted: a GPU could do them as one batch.
    """

    carries = "the last chunk, and partly denoised chunks with their levels"

    def programs(self, settings: Settings) -> tuple[Program, ...]:
        return ()  # where a cycle starts is known only when it runs

    def plan(
        self, features: NDArray, cycle: CycleState, settings: Settings, generator: torch.Generator
    ) -> Proposal:
        began = time.perf_counter()
        levels = settings.timesteps or self.schedule.timesteps(settings.num_inference_steps, settings.spacing)
        networks = Watched(self.networks)
        condition = networks.condition(features)
        kept = self._aligned(cycle, levels, settings, generator)
        explores = not kept or torch.rand((), generator=generator).item() < settings.falcon_exploration
        tried = () if explores else kept
        evaluated = {latent: networks.denoise(*_inputs(latent), condition) for latent in tried}
        chosen = self._chosen(evaluated, cycle, settings, generator)
        if chosen is not None:
            levels = levels[levels.index(chosen.level) :]
        table = self.table(levels, settings.solver)
        noise = self.noise(table, generator)
        visited: list[Latent] = []

        def denoise(sample: NDArray, level: NDArray) -> NDArray:
            visited.append(Latent(int(level[0]), sample[0], len(sample[0])))
            if chosen is not None and len(visited) == 1:
                return evaluated[chosen]
            return networks.denoise(sample, level, condition)

        start = noise[0] if chosen is None else chosen.chunk[None]
        chunk, _ = walk(denoise, start, np.array(levels)[:, None], table, noise[1:])
        fresh = [latent for latent in visited[:0:-1] if latent.level >= settings.falcon_min_level]
        return Proposal(
            chunk[0],
            nfe=len(tried) + len(levels) - (chosen is not None),
            cold=cycle.previous is None,
            timesteps=levels,
            latents=(*fresh, *kept)[: settings.falcon_memory],
            milliseconds={"denoise": (time.perf_counter() - began) * 1e3},
        )

    def _aligned(
        self, cycle: CycleState, levels: tuple[int, ...], settings: Settings, generator: torch.Generator
    ) -> tuple[Latent, ...]:
        """The latents that can still be used, in the present cycle's time."""
        if cycle.previous is None:
            return ()
        reference, ticks = cycle.moved_on(cycle.previous), len(cycle.executed[-1])
        aligned = []
        for latent in cycle.latents:
            own = latent.own - ticks
            if own <= 0 or latent.level not in levels or latent.level < settings.falcon_min_level:
                continue
            tail = reference[own:]
            signal, noise = self.schedule.signal[latent.level], self.schedule.noise[latent.level]
            unit = torch.randn(tail.shape, generator=generator).numpy()
            chunk = np.concatenate((cycle.moved_on(latent.chunk)[:own], signal * tail + noise * unit))
            aligned.append(Latent(latent.level, chunk.astype(np.float32), own))
        return tuple(aligned)

    def _chosen(
        self,
        evaluated: dict[Latent, NDArray],
        cycle: CycleState,
        settings: Settings,
        generator: torch.Generator,
    ) -> Latent | None:
        """One of the latents whose clean chunk is close to the last chunk's, None when there are none."""
        accepted = [
            latent
            for latent, output in evaluated.items()
            if self._distance(latent, output, cycle) < settings.falcon_threshold
        ]
        if not accepted:
            return None
        share = torch.tensor([latent.level / (self.schedule.levels - 1) for latent in accepted])
        weights = torch.softmax(-share / settings.falcon_temperature, dim=0)
        return accepted[int(torch.multinomial(weights, 1, generator=generator))]

    def _distance(self, latent: Latent, output: NDArray, cycle: CycleState) -> float:
        """RMS between the clean chunk that a latent leads to and the last one, where both reach."""
        step = Step(*self.table((latent.level,), "ddim")[0])
        clean = (step.from_sample * latent.chunk + step.from_output * output[0]).clip(-step.limit, step.limit)
        reference = cycle.moved_on(cycle.previous)
        return float(np.sqrt(np.mean(np.square((clean - reference)[: latent.own]))))


def _inputs(latent: Latent) -> tuple[NDArray, NDArray]:
    return latent.chunk[None], np.array([latent.level])
