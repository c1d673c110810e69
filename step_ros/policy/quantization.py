"""The denoiser in 8-bit integers: quantised by NNCF on what the policy's sampling asks of it.

Only the denoiser is quantised, where large networks spend their time. In the predictor the same costs up to a
quarter of the action range and saves next to nothing, and so would the convolutions from and to the action's
few channels; they stay fp32.
"""

from __future__ import annotations

import contextlib
import sys
import weakref
from importlib import metadata
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from step_ros.policy.calibration import Calibration
from step_ros.policy.cycle import CycleState
from step_ros.policy.errors import ConfigError
from step_ros.policy.methods import METHODS, usual_method
from step_ros.policy.methods.step import StepMethod
from step_ros.policy.modulation import ModulatedDenoiser
from step_ros.policy.networks import PolicyNetworks

if TYPE_CHECKING:
    import openvino

QUANTISED = "denoise"
"""Name of the graph that is quantised."""
COLD_EVERY = 16
"""Every so many of the calibration's situations are also sampled from noise, which takes many more steps."""


class Quantizer:
    """Quantises one checkpoint's denoiser; imports NNCF only for that, so not for what the cache has."""

    def __init__(self, networks: PolicyNetworks, calibration: Calibration) -> None:
        """Raises ConfigError when NNCF is not installed."""
        try:
            version = metadata.version("nncf")
        except metadata.PackageNotFoundError:
            raise ConfigError("precision", "int8", "fp32, or an installed NNCF: pip install nncf") from None
        # Whoever compiles lets the networks go when everything is compiled.
        self._networks = weakref.ref(networks)
        self._action_dim = networks.config.action_dim
        self._calibration = calibration
        self.key = {"nncf": version, "calibration": calibration.digest}

    def __call__(self, model: openvino.Model) -> openvino.Model:
        """The denoiser's graph with 8-bit convolutions."""
        # It reports on standard output, which belongs to the command that runs.
        with contextlib.redirect_stdout(sys.stderr):
            import nncf  # takes seconds

            inputs = self._inputs()
            return nncf.quantize(
                model,
                nncf.Dataset(inputs),
                subset_size=len(inputs),
                preset=nncf.QuantizationPreset.PERFORMANCE,
                ignored_scope=nncf.IgnoredScope(names=self._outermost(model)),
            )

    def _inputs(self) -> list[tuple[NDArray, ...]]:
        """What the denoiser is asked in warm and cold cycles with the checkpoint's own settings: STEP's, or
        those of the method that its predictor is for."""
        networks = self._networks()
        recorder = _Recorder(networks)
        config = networks.config
        build = METHODS[usual_method(config)] if config.predictor else StepMethod
        method = build(config, recorder, networks.normalizer)
        settings, generator = config.settings(), torch.Generator().manual_seed(0)
        situations = zip(self._calibration.features, self._calibration.commanded, strict=True)
        for index, (features, commanded) in enumerate(situations):
            cold = CycleState(config.n_action_steps, config.action_dim)
            warm = CycleState(config.n_action_steps, config.action_dim)
            warm.commanded = np.float64(commanded)
            if config.predictor is not None and warm.history_mask.any():
                method.plan(features[None], warm, settings, generator)
            if index % COLD_EVERY == 0 or config.predictor is None:
                method.plan(features[None], cold, settings, generator)
        return recorder.asked

    def _outermost(self, model: openvino.Model) -> list[str]:
        """Convolutions with the action's dimensions among their weights' outer two."""
        return [
            node.get_friendly_name()
            for node in model.get_ops()
            if node.get_type_name() == "Convolution"
            and self._action_dim in list(node.input(1).get_shape())[:2]
        ]


class _Recorder:
    """The networks on arrays, run eagerly, and everything that the denoiser was asked."""

    def __init__(self, networks: PolicyNetworks) -> None:
        self._networks = networks
        self._denoiser = ModulatedDenoiser(networks.denoiser, networks.config.num_train_timesteps)
        self.asked: list[tuple[NDArray, ...]] = []

    def fused(self, program: object) -> None:
        """No cycle is one call: every evaluation is to be seen."""

    def condition(self, features: NDArray) -> NDArray:
        return _eager(self._denoiser.condition, features)

    def denoise(self, x: NDArray, level: NDArray, condition: NDArray) -> NDArray:
        self.asked.append((x, level, condition))
        return _eager(self._denoiser.denoise, x, level, condition)

    def predict(self, history: NDArray, history_mask: NDArray, features: NDArray) -> NDArray:
        return _eager(self._networks.predict, history, history_mask, features)


def _eager(function: object, *arrays: NDArray) -> NDArray:
    with torch.inference_mode():
        return function(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)).numpy()
