"""What engines compile: pure torch functions of a checkpoint's networks, with fixed shapes at batch 1."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from step_ros.policy.modulation import ModulatedDenoiser
from step_ros.policy.networks import PolicyNetworks, encoder_key
from step_ros.policy.sampling import sample, warm_sample
from step_ros.policy.solvers import Step


@dataclasses.dataclass(frozen=True)
class Graph:
    """A function to be compiled.

    Attributes:
        name: unique among the graphs of a checkpoint.
        function: takes tensors of the example's shapes and types, returns one tensor.
        example: one tensor per input, on the CPU.
        inputs: names of the inputs, for exported files.
    """

    name: str
    function: Callable[..., Tensor]
    example: tuple[Tensor, ...]
    inputs: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Program:
    """A whole cycle as one graph: so many denoiser evaluations, from a chunk that the predictor makes (warm)
    or from one that is given; sampling from noise is to give any chunk with a factor of 0.

    Levels, solver, factors of chunk and noise, and noise are inputs, so one graph serves all of them.
    """

    steps: int
    warm: bool

    @property
    def name(self) -> str:
        return f"{'warm' if self.warm else 'given'}_{self.steps}"


class Graphs:
    """All graphs of one checkpoint; the tables they share are made once, where the networks' weights lie."""

    def __init__(self, networks: PolicyNetworks) -> None:
        config = networks.config
        self._networks = networks
        self._denoiser = ModulatedDenoiser(networks.denoiser, config.num_train_timesteps)
        self._features = torch.zeros(1, config.n_obs_steps, config.feature_dim)
        self._condition = torch.zeros(1, self._denoiser.width)
        self._chunk = torch.zeros(1, config.horizon, config.action_dim)

    @property
    def _history(self) -> tuple[Tensor, Tensor]:
        shape = self._networks.config.history_shape
        return torch.zeros(1, *shape), torch.ones(1, shape[0], dtype=torch.bool)

    def encode(self, name: str) -> Graph:
        """One frame of an input that is encoded, (1, H, W, 3) uint8 or (1, E) in data units -> (1, D)."""
        config = self._networks.config
        kind = torch.uint8 if name in config.image_names else torch.float32
        frame = torch.zeros(1, *config.input_features[name], dtype=kind)
        function = partial(self._networks.encode_frames, name)
        return Graph(f"encode_{encoder_key(name)}", function, (frame,), ("frame",))

    def condition(self) -> Graph:
        """Features (1, To, F) -> what the denoiser takes from them, (1, S)."""
        return Graph("condition", self._denoiser.condition, (self._features,), ("features",))

    def denoise(self) -> Graph:
        """Noisy chunk (1, Tp, A), level (1,) int64 and condition (1, S) -> network output (1, Tp, A)."""
        example = (self._chunk, torch.zeros(1, dtype=torch.int64), self._condition)
        return Graph("denoise", self._denoiser.denoise, example, ("sample", "level", "condition"))

    def predict(self) -> Graph:
        """History (1, H, W) of the predictor's kind, its mask (1, H) bool, features -> chunk (1, Tp, A)."""
        example = (*self._history, self._features)
        return Graph("predict", self._networks.predict, example, ("history", "history_mask", "features"))

    def cycle(self, program: Program) -> Graph:
        """A whole cycle, (1 + warm + K, Tp, A): chunk, prediction if there is one, each step's output.

        Inputs are those of `sampling.warm_sample` or `sampling.sample`.
        """
        steps = program.steps
        inputs = {
            "features": self._features,
            "noise": self._chunk.repeat(steps, 1, 1, 1),
            "levels": torch.zeros(steps, 1, dtype=torch.int64),
            "table": torch.zeros(steps, len(Step._fields)),
        }
        if program.warm:
            inputs |= dict(zip(("history", "history_mask"), self._history, strict=True))
        else:
            inputs["given"] = self._chunk
        inputs["factors"] = torch.zeros(2)
        function = partial(_cycle, _Networks(self._denoiser, self._networks.predict), program.warm)
        return Graph(program.name, function, tuple(inputs.values()), tuple(inputs))


class _Networks:
    """The networks on tensors, as `sampling` calls them."""

    def __init__(self, denoiser: ModulatedDenoiser, predict: Callable[..., Tensor]) -> None:
        self.condition, self.denoise, self.predict = denoiser.condition, denoiser.denoise, predict


def _cycle(networks: _Networks, warm: bool, *inputs: Tensor) -> Tensor:
    if warm:
        chunk, predicted, outputs = warm_sample(networks, *inputs)
        return torch.cat((chunk, predicted, *outputs))
    chunk, outputs = sample(networks, *inputs)
    return torch.cat((chunk, *outputs))
