"""Graphs converted to OpenVINO, the default on a CPU."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from step_ros.policy.compile_cache import CompileCache, MappedBlob
from step_ros.policy.errors import ConfigError
from step_ros.policy.graphs import Graph
from step_ros.policy.quantization import QUANTISED, Quantizer

try:
    import openvino

    from step_ros.policy.openvino_products import short_convolutions_as_products
except ImportError:  # optional: `make_engine("auto", …)` then takes torch
    openvino = None

AVAILABLE = openvino is not None

_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "int8": "INT8"}
_HINTS = {"fp32": "f32", "bf16": "bf16", "int8": "f32"}  # int8: of all that is not quantised


class OpenVinoEngine:
    """Converts a graph when it is compiled (seconds), or takes it from the cache, and then runs `threads` CPU
    threads per call.

    More threads seldom help at batch 1, and hurt badly when the cores are shared.
    """

    name = "openvino"

    def __init__(
        self,
        threads: int = 1,
        precision: str = "fp32",
        cache: CompileCache | None = None,
        quantizer: Quantizer | None = None,
    ) -> None:
        """Without a cache every graph is converted anew; int8 needs a quantizer.

        Raises:
            ConfigError: a precision that this processor cannot compute in.
        """
        self.threads, self.precision = threads, precision
        self._core = _core()
        self._cache = cache
        self._quantizer = quantizer
        capabilities = self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if _CAPABILITIES[precision] not in capabilities:
            available = [name for name, needed in _CAPABILITIES.items() if needed in capabilities]
            processor = self._core.get_property("CPU", "FULL_DEVICE_NAME")
            raise ConfigError(
                "precision", precision, f"{', '.join(available)} on this processor ({processor})"
            )
        self._options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "ENABLE_CPU_PINNING": False,  # a pinned thread starves when another process holds its core
        }

    def compile(self, graph: Graph) -> Callable[..., NDArray]:
        if self._cache is None:
            return _Request(self._converted(graph), graph.example)
        quantised = self._quantizer.key if self._quantises(graph) else {}
        key = self._cache.key(
            graph.name,
            engine=self.name,
            openvino=openvino.get_version(),
            torch=torch.__version__,
            **self._options,
            **quantised,
        )
        request = self._cached(graph, key)
        if request is not None:
            return request
        compiled = self._converted(graph)
        if not self._cache.store(key, compiled.export_model):
            return _Request(compiled, graph.example)
        # Taken back from the file at once: a graph fresh from conversion holds on to torch's weights.
        del compiled
        return self._cached(graph, key) or _Request(self._converted(graph), graph.example)

    def _cached(self, graph: Graph, key: str) -> _Request | None:
        blob = self._cache.load(key)
        if blob is None:
            return None
        weights = openvino.Tensor(blob.content, shared_memory=True)
        try:
            compiled = self._with_options(lambda options: self._core.import_model(weights, "CPU", options))
            request = _Request(compiled, graph.example, blob)
        except RuntimeError as error:
            self._cache.discard(key, error)
            return None
        blob.release_pages()  # the weights have been packed; the originals are not read again
        return request

    def _converted(self, graph: Graph) -> openvino.CompiledModel:
        model = _convert(graph.function, graph.example)
        if self._quantises(graph):
            model = self._quantizer(model)
        elif self.precision == "fp32":
            short_convolutions_as_products(model)
        return self._with_options(lambda options: self._core.compile_model(model, "CPU", options))

    def _quantises(self, graph: Graph) -> bool:
        return self._quantizer is not None and graph.name == QUANTISED

    def _with_options(
        self, build: Callable[[dict[str, object]], openvino.CompiledModel]
    ) -> openvino.CompiledModel:
        try:
            return build(self._options)
        except RuntimeError:
            # OpenVINO 2026.4 cannot generate code for Mish in some small networks; its ready-made kernels can
            # run them, a little slower. If the reason was another one, this fails again and says so.
            return build({**self._options, "SNIPPETS_MODE": "DISABLE"})


class _Request:
    """One compiled graph with buffers of its own for inputs and output, which saves most of a call's
    overhead."""

    def __init__(
        self, compiled: openvino.CompiledModel, example: tuple[Tensor, ...], blob: MappedBlob | None = None
    ) -> None:
        self._blob = blob  # what the compiled graph may read must stay mapped
        self._request = compiled.create_infer_request()
        self._buffers = [tensor.numpy().copy() for tensor in example]
        for index, buffer in enumerate(self._buffers):
            self._request.set_input_tensor(index, openvino.Tensor(buffer, shared_memory=True))
        result = compiled.output(0)
        self._output = np.empty(list(result.shape), result.element_type.to_dtype())
        self._request.set_output_tensor(0, openvino.Tensor(self._output, shared_memory=True))

    def __call__(self, *inputs: NDArray) -> NDArray:
        for buffer, value in zip(self._buffers, inputs, strict=True):
            np.copyto(buffer, value)
        self._request.infer(share_outputs=True)
        return self._output.copy()


@functools.cache
def _core() -> openvino.Core:
    """OpenVINO, kept until the process ends.

    Its CPU plugin gives the thread that loads it an alternate signal stack. When the plugin goes with its
    last user in another thread, that memory goes too, and the next signal, a Ctrl-C say, crashes the process.
    """
    return openvino.Core()


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
    for node in traced.graph.findAllNodes("prim::Constant", recurse=True):
        # torch keeps every trace until the process ends; the weights must not stay with it.
        if node.hasAttribute("value") and node.kindOf("value") == "t":
            node.t_("value", torch.empty(0))
    model.reshape({index: list(tensor.shape) for index, tensor in enumerate(example)})
    return model
