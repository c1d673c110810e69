"""Graphs captured as CUDA graphs: one launch per call instead of one per operation. NVIDIA GPUs only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from step_ros.policy.errors import ConfigError
from step_ros.policy.graphs import Graph
from step_ros.policy.networks import PolicyNetworks

WARM_UPS = 3
"""Runs before capture, in which libraries choose their kernels and take their memory."""


class CudaEngine:
    """Captures each graph once, with its inputs and output at fixed addresses on the GPU."""

    name = "cuda"

    def __init__(self, networks: PolicyNetworks, threads: int = 1, precision: str = "fp32") -> None:
        """Move the networks to the GPU.

        Raises:
            ConfigError: there is no GPU that torch can use, or it cannot compute in this precision.
        """
        if not torch.cuda.is_available():
            raise ConfigError(
                "engine", "cuda", f"other engines: torch {torch.__version__} finds no GPU on this machine"
            )
        if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise ConfigError("precision", precision, f"fp32 on {torch.cuda.get_device_name()}")
        self.threads, self.precision = threads, precision
        networks.to("cuda")

    def compile(self, graph: Graph) -> Callable[..., NDArray]:
        return _Captured(graph, self.precision == "bf16")


class _Captured:
    def __init__(self, graph: Graph, half: bool) -> None:
        self._inputs = [tensor.cuda() for tensor in graph.example]
        self._graph = torch.cuda.CUDAGraph()

        def run() -> Tensor:
            # Casts of weights are not remembered: a captured graph must not depend on memory of another.
            with torch.autocast("cuda", torch.bfloat16, enabled=half, cache_enabled=False):
                return graph.function(*self._inputs).float()

        with torch.inference_mode():
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(WARM_UPS):
                    run()
            torch.cuda.current_stream().wait_stream(side)
            # Other threads may run other graphs meanwhile: `Policy.update` compiles in the background.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._output = run()

    def __call__(self, *arrays: NDArray) -> NDArray:
        with torch.inference_mode():
            for tensor, array in zip(self._inputs, arrays, strict=True):
                tensor.copy_(torch.from_numpy(np.ascontiguousarray(array)))
            self._graph.replay()
            return self._output.cpu().numpy()
