"""The networks run eagerly by torch, for machines without OpenVINO and as the reference in tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from step_ros.policy.networks import PolicyNetworks


class TorchEngine:
    """Runs on the device the networks are on, with `threads` CPU threads (restored after each call)."""

    name = "torch"

    def __init__(self, networks: PolicyNetworks, threads: int = 1) -> None:
        self._networks = networks.eval()
        self._threads = threads
        self._device = next(networks.parameters()).device

    def encode(self, observation: Mapping[str, NDArray]) -> NDArray:
        tensors = {name: self._tensor(observation[name]) for name in self._networks.config.input_features}
        return self._run(self._networks.encode, tensors)

    def denoise(self, x: NDArray, timestep: int, features: NDArray) -> NDArray:
        level = torch.tensor([timestep], device=self._device)
        return self._run(self._networks.denoise, self._tensor(x), level, self._tensor(features))

    def predict(self, history: NDArray, history_mask: NDArray, features: NDArray) -> NDArray:
        inputs = (self._tensor(array) for array in (history, history_mask, features))
        return self._run(self._networks.predict, *inputs)

    def _tensor(self, array: NDArray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._device)

    def _run(self, function: Callable[..., Tensor], *inputs: object) -> NDArray:
        with _threads(self._threads), torch.inference_mode():
            return function(*inputs).cpu().numpy()


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    if before == count:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
