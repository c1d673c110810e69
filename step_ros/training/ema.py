"""Exponential moving average of weights: diffusion policies are sampled with it, not with the last step's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

LARGEST_DECAY = 0.9999


class Ema:
    """Averages parameters with decay 1 - (1 + step)^-power, at most 0.9999 (diffusion policy's form)."""

    def __init__(self, parameters: Iterable[nn.Parameter], power: float) -> None:
        self.parameters = list(parameters)
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        self.power = power
        self.step = 0

    @torch.no_grad()
    def update(self) -> None:
        """Takes one optimiser step into the average."""
        self.step += 1
        weight = max((1 + self.step) ** -self.power, 1 - LARGEST_DECAY)
        torch._foreach_lerp_(self.average, self.parameters, weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the parameters hold the average; afterwards what they held before."""
        before = [parameter.detach().clone() for parameter in self.parameters]
        self.copy_to_parameters()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, before)

    @torch.no_grad()
    def copy_to_parameters(self) -> None:
        torch._foreach_copy_(self.parameters, self.average)

    def state_dict(self) -> dict[str, int | list[Tensor]]:
        return {"step": self.step, "average": self.average}

    def load_state_dict(self, state: dict[str, int | list[Tensor]]) -> None:
        self.step = state["step"]
        torch._foreach_copy_(self.average, state["average"])
