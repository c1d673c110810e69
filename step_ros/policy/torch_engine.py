"""Graphs run eagerly by torch, for machines without OpenVINO and as the reference in tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray

from step_ros.policy.graphs import Graph
from step_ros.policy.networks import PolicyNetworks


class TorchEngine:
    """Runs on the device the networks are on, with `threads` CPU threads (restored after each call)."""

    name = "torch"
    precision = "fp32"

    def __init__(self, networks: PolicyNetworks, threads: int = 1) -> None:
        self.threads = threads
        self._device = next(networks.parameters()).device

    def compile(self, graph: Graph) -> Callable[..., NDArray]:
        def run(*arrays: NDArray) -> NDArray:
            inputs = (torch.from_numpy(np.ascontiguousarray(array)).to(self._device) for array in arrays)
            with _threads(self.threads), torch.inference_mode():
                return graph.function(*inputs).cpu().numpy()

        return run


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
