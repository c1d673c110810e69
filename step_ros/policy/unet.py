"""Conditional 1-D U-Net over a chunk of actions, the denoiser of diffusion policy.

Parameter names and shapes are those of LeRobot's `DiffusionConditionalUnet1d` (`diffusion.unet.*` in its
checkpoints), so its weights load with `load_state_dict(..., strict=True)`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from step_ros.policy.config import PolicyConfig


class StepEmbedding(nn.Module):
    """Sinusoidal embedding of the noise level, (B,) -> (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        frequencies = torch.exp(torch.arange(half, device="cpu") * -(math.log(10000.0) / (half - 1)))
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, timestep: Tensor) -> Tensor:
        phase = timestep.unsqueeze(-1) * self.frequencies
        return torch.cat((phase.sin(), phase.cos()), dim=-1)


class ConvBlock(nn.Module):
    """Convolution over time, group norm, Mish; keeps the length."""

    def __init__(
        self, channels_in: int, channels_out: int, config: PolicyConfig, groups: int | None = None
    ) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv1d(channels_in, channels_out, config.kernel_size, padding=config.kernel_size // 2),
            nn.GroupNorm(groups or config.n_groups, channels_out),
            nn.Mish(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class ResidualBlock(nn.Module):
    """Two `ConvBlock`s with FiLM modulation by the condition between them, and a residual path."""

    def __init__(self, channels_in: int, channels_out: int, condition_dim: int, config: PolicyConfig) -> None:
        super().__init__()
        self.scales = config.use_film_scale_modulation
        self.conv1 = ConvBlock(channels_in, channels_out, config)
        self.cond_encoder = nn.Sequential(
            nn.Mish(), nn.Linear(condition_dim, channels_out * (2 if self.scales else 1))
        )
        self.conv2 = ConvBlock(channels_out, channels_out, config)
        same = channels_in == channels_out
        self.residual_conv = nn.Identity() if same else nn.Conv1d(channels_in, channels_out, 1)

    def forward(self, x: Tensor, modulation: Tensor) -> Tensor:
        """x (B, C_in, T), modulation (B, C_out or, with scales, 2 C_out) -> (B, C_out, T)."""
        hidden = self.conv1(x)
        film = modulation.unsqueeze(-1)
        if self.scales:
            scale, shift = film.chunk(2, dim=1)
            hidden = scale * hidden + shift
        else:
            hidden = hidden + film
        return self.conv2(hidden) + self.residual_conv(x)


class ConditionalUnet1d(nn.Module):
    """Noise (or clean-sample) estimate for a noisy chunk, from its noise level and observation features."""

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        width = config.diffusion_step_embed_dim
        condition = width + config.n_obs_steps * config.feature_dim
        dims = config.down_dims

        def block(channels_in: int, channels_out: int) -> ResidualBlock:
            return ResidualBlock(channels_in, channels_out, condition, config)

        self.diffusion_step_encoder = nn.Sequential(
            StepEmbedding(width), nn.Linear(width, 4 * width), nn.Mish(), nn.Linear(4 * width, width)
        )
        self.down_modules = nn.ModuleList()
        for channels_in, channels_out in itertools.pairwise((config.action_dim, *dims)):
            last = len(self.down_modules) == len(dims) - 1
            halve = nn.Identity() if last else nn.Conv1d(channels_out, channels_out, 3, stride=2, padding=1)
            self.down_modules.append(
                nn.ModuleList([block(channels_in, channels_out), block(channels_out, channels_out), halve])
            )
        self.mid_modules = nn.ModuleList([block(dims[-1], dims[-1]), block(dims[-1], dims[-1])])
        self.up_modules = nn.ModuleList()
        for channels_in, channels_out in itertools.pairwise(reversed(dims)):
            double = nn.ConvTranspose1d(channels_out, channels_out, 4, stride=2, padding=1)
            self.up_modules.append(
                nn.ModuleList(
                    [block(2 * channels_in, channels_out), block(channels_out, channels_out), double]
                )
            )
        self.final_conv = nn.Sequential(
            ConvBlock(dims[0], dims[0], config, config.final_groups),
            nn.Conv1d(dims[0], config.action_dim, 1),
        )

    @property
    def blocks(self) -> list[ResidualBlock]:
        """All residual blocks, in the order in which a chunk passes them."""
        outer = [block for stage in (*self.down_modules, *self.up_modules) for block in stage[:2]]
        middle = 2 * len(self.down_modules)
        return [*outer[:middle], *self.mid_modules, *outer[middle:]]

    def forward(self, x: Tensor, timestep: Tensor, global_cond: Tensor) -> Tensor:
        """x (B, Tp, A) normalised, timestep (B,), global_cond (B, To*F) -> (B, Tp, A)."""
        condition = torch.cat((self.diffusion_step_encoder(timestep), global_cond), dim=-1)
        return self.modulated(x, [block.cond_encoder(condition) for block in self.blocks])

    def modulated(self, x: Tensor, modulations: Sequence[Tensor]) -> Tensor:
        """x (B, Tp, A) and one modulation for each of `blocks` -> (B, Tp, A)."""
        film = iter(modulations)
        x = x.transpose(1, 2)
        skips = []
        for first, second, halve in self.down_modules:
            x = second(first(x, next(film)), next(film))
            skips.append(x)
            x = halve(x)
        for middle in self.mid_modules:
            x = middle(x, next(film))
        for first, second, double in self.up_modules:
            x = torch.cat((x, skips.pop()), dim=1)
            x = double(second(first(x, next(film)), next(film)))
        return self.final_conv(x).transpose(1, 2)
