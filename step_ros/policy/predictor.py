"""Spatiotemporal consistency predictor: past commands and the present observation to a chunk (Eqs. 11, 12).

Two networks behind one signature: `PaperPredictor` follows Section 3.2 and Figure 2 (past actions ask,
observations answer), `OfficialPredictor` the authors' released code (learned queries; past actions and
observations encoded together). Both return the absolute normalised chunk. `prior` has a third, which is told
nothing of the past.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from step_ros.policy.config import PolicyConfig, PredictorConfig
from step_ros.policy.prior import SpatialPrior


def sinusoidal_positions(length: int, width: int) -> Tensor:
    """Fixed position codes, (length, width), sines and cosines interleaved."""
    position = torch.arange(length, device="cpu").unsqueeze(1)
    frequency = torch.exp(torch.arange(0, width, 2, device="cpu") * (-math.log(10000.0) / width))
    table = torch.zeros(length, width, device="cpu")
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency)
    return table


class PaperPredictor(nn.Module):
    """Queries are the past commands, keys and values the observation frames; pre-norm blocks.

    Past commands are placed on the chunk positions that they had one cycle ago: executed actions sit at
    To-1 … To-2+Ta of their own chunk. Positions before and after repeat the first and the last of them.
    Self-attention inside a block lets every position see the whole history.
    """

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self._size = size = config.predictor
        self.embed_action = nn.Linear(config.action_dim, size.width)
        self.embed_observation = nn.Linear(config.feature_dim, size.width)
        self.missing = nn.Parameter(torch.zeros(size.width))
        self.chunk_positions = nn.Parameter(torch.randn(config.horizon, size.width) * 0.02)
        self.frame_positions = nn.Parameter(torch.randn(config.n_obs_steps, size.width) * 0.02)
        self.blocks = nn.ModuleList(
            nn.TransformerDecoderLayer(
                size.width,
                size.heads,
                size.feedforward,
                size.dropout,
                "gelu",
                batch_first=True,
                norm_first=True,
            )
            for _ in range(size.blocks)
        )
        self.norm = nn.LayerNorm(size.width)
        self.project = nn.Linear(size.width, config.action_dim)
        source = torch.arange(config.horizon, device="cpu") - (config.n_obs_steps - 1)
        self.register_buffer("source", source.clamp(0, config.n_action_steps - 1), persistent=False)

    def forward(self, history: Tensor, history_mask: Tensor, features: Tensor) -> Tensor:
        """history (B, Ta, A) normalised, mask (B, Ta) True where valid, features (B, To, F) -> (B, Tp, A)."""
        history_mask, features = _shown(self._size, history_mask, features)
        present = history_mask.unsqueeze(-1)
        past = torch.where(present, self.embed_action(torch.where(present, history, 0.0)), self.missing)
        queries = past[:, self.source] + self.chunk_positions
        frames = self.embed_observation(features) + self.frame_positions
        for block in self.blocks:
            queries = block(queries, frames)
        return self.project(self.norm(queries))


class OfficialPredictor(nn.Module):
    """The released code's network: a two-layer encoder over [past actions; observations], learned queries,
    post-norm decoder blocks. Missing past actions are zeros, as in its first cycle."""

    ENCODER_LAYERS = 2

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self._size = size = config.predictor
        layer = {"activation": "gelu", "batch_first": True, "dropout": size.dropout}
        self.embed_action = nn.Linear(config.action_dim, size.width)
        self.embed_observation = nn.Linear(config.feature_dim, size.width)
        self.queries = nn.Parameter(torch.randn(config.horizon, size.width) * 0.02)
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(size.width, size.heads, size.feedforward, norm_first=True, **layer)
            for _ in range(self.ENCODER_LAYERS)
        )
        self.blocks = nn.ModuleList(
            nn.TransformerDecoderLayer(size.width, size.heads, size.feedforward, norm_first=False, **layer)
            for _ in range(size.blocks)
        )
        self.norm = nn.LayerNorm(size.width)
        self.project = nn.Linear(size.width, config.action_dim)
        longest = max(config.horizon, config.n_action_steps, config.n_obs_steps)
        self.register_buffer("positions", sinusoidal_positions(longest, size.width), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, history: Tensor, history_mask: Tensor, features: Tensor) -> Tensor:
        """history (B, H, A) normalised, mask (B, H) True where valid, features (B, To, F) -> (B, Tp, A)."""
        history_mask, features = _shown(self._size, history_mask, features)
        past = self.embed_action(torch.where(history_mask.unsqueeze(-1), history, 0.0))
        frames = self.embed_observation(features)
        past = past + self.positions[: past.shape[1]]
        memory = torch.cat((past, frames + self.positions[: frames.shape[1]]), dim=1)
        for layer in self.encoder:
            memory = layer(memory)
        chunk = self.queries + self.positions[: self.queries.shape[0]]
        chunk = chunk.expand(history.shape[0], -1, -1)
        for block in self.blocks:
            chunk = block(chunk, memory)
        return self.project(self.norm(chunk))


PREDICTORS: dict[str, type[nn.Module]] = {"paper": PaperPredictor, "official": OfficialPredictor}


def build_predictor(config: PolicyConfig) -> nn.Module | None:
    """The predictor of a configuration, None where it has none."""
    if config.predictor is None:
        return None
    if config.predictor.kind == "prior":
        return SpatialPrior(config)
    return PREDICTORS[config.predictor.variant](config)


def _shown(size: PredictorConfig, history_mask: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Mask and features without what the configuration leaves out, yet made from them: engines drop inputs
    that do not matter."""
    if not size.history:
        history_mask = history_mask & ~history_mask
    if not size.observation:
        features = features * 0.0
    return history_mask, features
