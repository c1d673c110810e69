"""Engines run a checkpoint's three networks, one observation at a time, on NumPy arrays.

`TorchEngine` runs them as they are; `OpenVinoEngine` is about ten times faster on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from numpy.typing import NDArray

from step_ros.policy import openvino_engine
from step_ros.policy.errors import ConfigError
from step_ros.policy.networks import PolicyNetworks
from step_ros.policy.openvino_engine import OpenVinoEngine
from step_ros.policy.torch_engine import TorchEngine

ENGINES = ("auto", "torch", "openvino")


class Engine(Protocol):
    """What a method needs from an engine. Arrays have a leading batch dimension of 1 and are float32."""

    name: str

    def encode(self, observation: Mapping[str, NDArray]) -> NDArray:
        """Vectors (1, To, D) in data units and images (1, To, H, W, 3) uint8 -> features (1, To, F)."""
        ...

    def denoise(self, x: NDArray, timestep: int, features: NDArray) -> NDArray:
        """Noisy chunk (1, Tp, A) at one level -> network output (1, Tp, A)."""
        ...

    def predict(self, history: NDArray, history_mask: NDArray, features: NDArray) -> NDArray:
        """History (1, Ta, A) normalised and mask (1, Ta) bool -> predicted chunk (1, Tp, A) normalised."""
        ...


def make_engine(name: str, networks: PolicyNetworks, threads: int = 1) -> Engine:
    """An engine by name; `auto` is OpenVINO where it is installed, else torch.

    Raises:
        ConfigError: for an unknown name, or openvino where it is not installed.
    """
    if name == "auto":
        name = "openvino" if openvino_engine.AVAILABLE else "torch"
    if name == "torch":
        return TorchEngine(networks, threads)
    if name == "openvino" and openvino_engine.AVAILABLE:
        return OpenVinoEngine(networks, threads)
    accepted = "one of " + ", ".join(ENGINES)
    raise ConfigError(
        "engine", name, accepted + ("" if openvino_engine.AVAILABLE else "; openvino is not installed")
    )
