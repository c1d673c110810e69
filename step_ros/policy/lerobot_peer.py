"""LeRobot's own `DiffusionPolicy` with the architecture of a checkpoint, to compare engines with.

Runs in LeRobot's interpreter, so nothing here may need more than LeRobot brings along.
"""

from __future__ import annotations

import time

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from lerobot.configs.types import FeatureType, NormalizationMode, PolicyFeature
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy

from step_ros.policy.config import ACTION, ENVIRONMENT_STATE, STATE, PolicyConfig

SCHEDULERS = {"ddim": DDIMScheduler, "ddpm": DDPMScheduler}


class LeRobotLoop:
    """`select_action` at the tick that makes a new chunk.

    The image encoders differ between the packages, so what ours would have given comes in as
    `observation.environment_state`: the U-Net and its condition are then of the same size, and the cycle has
    no encoding in it. `config` needs `observation.state` among its inputs, as LeRobot does.
    """

    def __init__(self, config: PolicyConfig) -> None:
        state = config.input_features[STATE][0]
        inputs = {
            STATE: PolicyFeature(FeatureType.STATE, (state,)),
            ENVIRONMENT_STATE: PolicyFeature(FeatureType.ENV, (config.feature_dim - state,)),
        }
        self.policy = DiffusionPolicy(
            DiffusionConfig(
                device="cpu",
                n_obs_steps=config.n_obs_steps,
                horizon=config.horizon,
                n_action_steps=config.n_action_steps,
                input_features=inputs,
                output_features={ACTION: PolicyFeature(FeatureType.ACTION, (config.action_dim,))},
                normalization_mapping=dict.fromkeys(("STATE", "ENV", "ACTION"), NormalizationMode.IDENTITY),
                down_dims=config.down_dims,
                kernel_size=config.kernel_size,
                n_groups=config.n_groups,
                diffusion_step_embed_dim=config.diffusion_step_embed_dim,
                use_film_scale_modulation=config.use_film_scale_modulation,
                noise_scheduler_type="DDIM",
                num_train_timesteps=config.num_train_timesteps,
                beta_schedule=config.beta_schedule,
                prediction_type=config.prediction_type,
            )
        ).eval()
        self.observation = {name: torch.zeros(1, *feature.shape) for name, feature in inputs.items()}

    def update(self, method: str, steps: int) -> None:
        """Sample with "ddim" or "ddpm" over `steps` levels from the next cycle on, on the same weights."""
        model = self.policy.diffusion
        model.noise_scheduler = SCHEDULERS[method].from_config(model.noise_scheduler.config)
        model.num_inference_steps = steps

    @property
    def parameters(self) -> int:
        """Weights of the U-Net."""
        return sum(parameter.numel() for parameter in self.policy.diffusion.unet.parameters())

    def select_action(self) -> float:
        """Make a chunk and take its first action; the milliseconds that it took."""
        self.policy.reset()
        began = time.perf_counter()
        with torch.inference_mode():
            self.policy.select_action(dict(self.observation))
        return (time.perf_counter() - began) * 1e3
