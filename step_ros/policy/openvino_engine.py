"""Graphs converted to OpenVINO, the default on a CPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from step_ros.policy.graphs import Graph

try:
    import openvino
except ImportError:  # optional: `make_engine("auto", …)` then takes torch
    openvino = None

AVAILABLE = openvino is not None


class OpenVinoEngine:
    """Converts a graph when it is compiled (seconds) and then runs `threads` CPU threads per call.

    More threads seldom help at batch 1, and hurt badly when the cores are shared.
    """

    name = "openvino"
    precision = "fp32"

    def __init__(self, threads: int = 1) -> None:
        self.threads = threads
        self._core = openvino.Core()

    def compile(self, graph: Graph) -> Callable[..., NDArray]:
        model = _convert(graph.function, graph.example)
        return _Request(_compile(self._core, model, self.threads), graph.example)


class _Request:
    """One compiled graph with its own input buffers, which saves most of the call's overhead."""

    def __init__(self, compiled: openvino.CompiledModel, example: tuple[Tensor, ...]) -> None:
        self._request = compiled.create_infer_request()
        self._buffers = [tensor.numpy().copy() for tensor in example]
        for index, buffer in enumerate(self._buffers):
            self._request.set_input_tensor(index, openvino.Tensor(buffer, shared_memory=True))

    def __call__(self, *inputs: NDArray) -> NDArray:
        for buffer, value in zip(self._buffers, inputs, strict=True):
            np.copyto(buffer, value)
        self._request.infer()
        return self._request.get_output_tensor(0).data.copy()


def _convert(function: Callable[..., Tensor], example: tuple[Tensor, ...]) -> openvino.Model:
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # torch's fused attention has no OpenVINO counterpart
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tracing, which OpenVINO's converter builds on
            traced = torch.jit.trace(lambda *inputs: function(*inputs), example, check_trace=False)
        model = openvino.convert_model(traced, example_input=example)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    model.reshape({index: list(tensor.shape) for index, tensor in enumerate(example)})
    return model


def _compile(core: openvino.Core, model: openvino.Model, threads: int) -> openvino.CompiledModel:
    options = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "ENABLE_CPU_PINNING": False,  # a pinned thread starves when another process holds its core
    }
    try:
        return core.compile_model(model, "CPU", options)
    except RuntimeError:
        # OpenVINO 2026.4 cannot generate code for Mish in some small networks; its ready-made kernels can run
        # them, a little slower. If the reason was another one, this fails again and says so.
        return core.compile_model(model, "CPU", {**options, "SNIPPETS_MODE": "DISABLE"})
