"""What one evaluation of each network costs: arithmetic and weights, counted on the networks themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from step_ros.policy.modulation import ModulatedDenoiser
from step_ros.policy.networks import PolicyNetworks


@dataclasses.dataclass(frozen=True)
class Cost:
    """One evaluation at batch 1.

    Attributes:
        flops: floating-point operations of products, convolutions and attention (a multiply-add is two);
            what a fused kernel gets for nothing, such as norms and activations, is not counted.
        parameters: weights that the evaluation has to read.
    """

    flops: int
    parameters: int

    def weight_bytes(self, bytes_per_weight: int) -> int:
        """Bytes to read at a precision of so many bytes per weight."""
        return self.parameters * bytes_per_weight


def network_costs(networks: PolicyNetworks) -> dict[str, Cost]:
    """What a cycle cannot do without, by part:

    `encode` (one frame of every encoded input), `condition` (the features' share of the denoiser's
    modulation, once a cycle), `denoise` (one step; the noise level's share is a table), `predict` where there
    is a predictor.
    """
    config = networks.config
    denoiser = ModulatedDenoiser(networks.denoiser, config.num_train_timesteps)
    features = torch.zeros(1, config.n_obs_steps, config.feature_dim)
    frames = {name: torch.zeros(1, *config.input_features[name]) for name in config.encoded_names}
    chunk, level = torch.zeros(1, config.horizon, config.action_dim), torch.zeros(1, dtype=torch.int64)
    once = [networks.denoiser.diffusion_step_encoder, *(b.cond_encoder for b in networks.denoiser.blocks)]
    costs = {
        "encode": Cost(
            sum(_flops(partial(networks.encode_frames, name), frame) for name, frame in frames.items()),
            _parameters(networks.encoders),
        ),
        "condition": Cost(_flops(denoiser.condition, features), denoiser.width * features.numel()),
        "denoise": Cost(
            _flops(denoiser.denoise, chunk, level, torch.zeros(1, denoiser.width)),
            _parameters(networks.denoiser) - sum(_parameters(part) for part in once),
        ),
    }
    if networks.predictor is not None:
        history = torch.zeros(1, *config.history_shape)
        mask = torch.ones(1, config.history_shape[0], dtype=torch.bool)
        costs["predict"] = Cost(
            _flops(networks.predict, history, mask, features), _parameters(networks.predictor)
        )
    return costs


def _flops(function: Callable[..., Tensor], *inputs: Tensor) -> int:
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the counter does not know torch's fused attention
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            function(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops()


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
