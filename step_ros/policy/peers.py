"""A diffusion policy as one writes it by hand: eager networks in a plain loop over a diffusers scheduler.

Engines are compared with it. The networks are the checkpoint's own; nothing is cached between cycles.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from numpy.typing import NDArray

from step_ros.policy.config import ACTION, PolicyConfig
from step_ros.policy.networks import PolicyNetworks
from step_ros.policy.observation import checked_observation

SCHEDULERS = {"ddim": DDIMScheduler, "ddpm": DDPMScheduler}


class DiffusersLoop:
    """DDIM or DDPM sampling of a chunk with diffusers' own scheduler classes; DDIM in 10 steps at first."""

    def __init__(self, config: PolicyConfig, networks: PolicyNetworks) -> None:
        self.config, self.networks = config, networks.eval()
        self.generator = torch.Generator().manual_seed(0)
        self.update("ddim", 10)

    def update(self, method: str, steps: int) -> None:
        """Sample with "ddim" or "ddpm" over `steps` levels from the next cycle on."""
        self.steps = steps
        self.scheduler = SCHEDULERS[method](
            self.config.num_train_timesteps,
            beta_schedule=self.config.beta_schedule,
            prediction_type=self.config.prediction_type,
        )

    @torch.inference_mode()
    def act(self, observation: Mapping[str, object]) -> tuple[NDArray, dict[str, float]]:
        """A chunk (Tp, A) in data units for a window as `Policy.act` takes it, and the milliseconds of
        `encode`, `predict` (0), `denoise`, `post` and `total`."""
        began = time.perf_counter()
        inputs = checked_observation(observation, self.config)
        features = self.networks.encode({name: torch.from_numpy(array) for name, array in inputs.items()})
        encoded = time.perf_counter()
        sample = torch.randn(1, self.config.horizon, self.config.action_dim, generator=self.generator)
        self.scheduler.set_timesteps(self.steps)
        for level in self.scheduler.timesteps:
            output = self.networks.denoise(sample, level.expand(1), features)
            sample = self.scheduler.step(output, level, sample, generator=self.generator).prev_sample
        denoised = time.perf_counter()
        chunk = self.networks.normalizer[ACTION].inverse(sample[0].double()).numpy()
        ended = time.perf_counter()
        return chunk, {
            "encode": (encoded - began) * 1e3,
            "predict": 0.0,
            "denoise": (denoised - encoded) * 1e3,
            "post": (ended - denoised) * 1e3,
            "total": (ended - began) * 1e3,
        }
