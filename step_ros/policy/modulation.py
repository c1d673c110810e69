"""The denoiser with everything that does not depend on the noisy chunk taken out of the inner loop.

Each residual block modulates its channels by a linear layer of Mish([level embedding, features]), which is a
sum of two shares. The level's is a table with one row per noise level, made once from the weights; the
features', a quarter of a small network's weights, is computed once per cycle.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from step_ros.policy.unet import ConditionalUnet1d


class ModulatedDenoiser:
    """`ConditionalUnet1d` in two calls, equal to its `forward` up to rounding.

    Attributes:
        width: numbers that modulate all blocks together, S.
    """

    def __init__(self, denoiser: ConditionalUnet1d, levels: int) -> None:
        """Make the table for noise levels 0 … levels-1, where the weights lie."""
        self._denoiser = denoiser
        linear = [block.cond_encoder[1] for block in denoiser.blocks]
        self._sizes = [layer.out_features for layer in linear]
        self.width = sum(self._sizes)
        with torch.no_grad():
            timesteps = torch.arange(levels, device=linear[0].weight.device)
            embedded = functional.mish(denoiser.diffusion_step_encoder(timesteps))
            split = embedded.shape[1]
            self._levels = torch.cat(
                [functional.linear(embedded, layer.weight[:, :split], layer.bias) for layer in linear], dim=1
            )
            self._features = torch.cat([layer.weight[:, split:] for layer in linear])

    def condition(self, features: Tensor) -> Tensor:
        """Share of the features (1, To, F) in every block's modulation, (1, S)."""
        return functional.linear(functional.mish(features.flatten(1)), self._features)

    def denoise(self, x: Tensor, level: Tensor, condition: Tensor) -> Tensor:
        """Output (1, Tp, A) for a noisy chunk (1, Tp, A) at a level (1,), with what `condition` returned."""
        modulation = self._levels[level] + condition
        return self._denoiser.modulated(x, modulation.split(self._sizes, dim=1))
