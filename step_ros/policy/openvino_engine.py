"""The networks converted to OpenVINO once and run in float32, the default on a CPU."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from step_ros.policy.networks import PolicyNetworks

try:
    import openvino
except ImportError:  # optional: `make_engine("auto", …)` then takes torch
    openvino = None

AVAILABLE = openvino is not None


class OpenVinoEngine:
    """Converts at construction (a few seconds) and then runs `threads` CPU threads per call.

    More threads seldom help at batch 1, and hurt badly when the cores are shared.
    """

    name = "openvino"

    def __init__(self, networks: PolicyNetworks, threads: int = 1) -> None:
        config = networks.config
        # Frozen weights are traced as constants, which spares the slow scripting of every module.
        networks = copy.deepcopy(networks).cpu().eval().requires_grad_(False)
        self._inputs = tuple(config.input_features)
        observation = tuple(
            torch.zeros(
                1, config.n_obs_steps, *config.input_features[name], dtype=_dtype(name, config.image_names)
            )
            for name in self._inputs
        )
        features = torch.zeros(1, config.n_obs_steps, config.feature_dim)
        chunk = torch.zeros(1, config.horizon, config.action_dim)
        level = torch.zeros(1, dtype=torch.int64)
        names = self._inputs
        core = openvino.Core()
        self._encode = _Compiled(
            core,
            lambda *inputs: networks.encode(dict(zip(names, inputs, strict=True))),
            observation,
            threads,
        )
        self._denoise = _Compiled(core, networks.denoise, (chunk, level, features), threads)
        self._predict = None
        if networks.predictor is not None:
            history = torch.zeros(1, config.n_action_steps, config.action_dim)
            mask = torch.ones(1, config.n_action_steps, dtype=torch.bool)
            self._predict = _Compiled(core, networks.predict, (history, mask, features), threads)

    def encode(self, observation: Mapping[str, NDArray]) -> NDArray:
        return self._encode(*(observation[name] for name in self._inputs))

    def denoise(self, x: NDArray, timestep: int, features: NDArray) -> NDArray:
        return self._denoise(x, timestep, features)

    def predict(self, history: NDArray, history_mask: NDArray, features: NDArray) -> NDArray:
        return self._predict(history, history_mask, features)


class _Compiled:
    """One compiled network with its own input buffers, which saves most of the call's overhead."""

    def __init__(
        self,
        core: openvino.Core,
        function: Callable[..., Tensor],
        example: tuple[Tensor, ...],
        threads: int,
    ) -> None:
        model = _convert(function, example)
        compiled = _compile(core, model, threads)
        self._request = compiled.create_infer_request()
        self._buffers = [tensor.numpy().copy() for tensor in example]
        for index, buffer in enumerate(self._buffers):
            self._request.set_input_tensor(index, openvino.Tensor(buffer, shared_memory=True))

    def __call__(self, *inputs: NDArray | int) -> NDArray:
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


def _dtype(name: str, image_names: tuple[str, ...]) -> torch.dtype:
    return torch.uint8 if name in image_names else torch.float32
