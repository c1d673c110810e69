"""Engines: ways to run a graph of the networks on NumPy arrays, all behind one call.

An engine replaces the evaluation of networks and nothing else; what a cycle computes is in `sampling` and the
methods, for every engine the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from numpy.typing import NDArray

from step_ros.policy import openvino_engine
from step_ros.policy.compile_cache import CompileCache
from step_ros.policy.errors import ConfigError
from step_ros.policy.graphs import Graph
from step_ros.policy.networks import PolicyNetworks
from step_ros.policy.openvino_engine import OpenVinoEngine
from step_ros.policy.torch_engine import TorchEngine

ENGINES = ("auto", "torch", "openvino")
PRECISIONS = ("fp32", "bf16")

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """A way to run graphs.

    Attributes:
        name: as in `ENGINES`.
        precision: number format of the arithmetic.
        threads: CPU threads per call.
    """

    name: str
    precision: str
    threads: int

    def compile(self, graph: Graph) -> Callable[..., NDArray]:
        """A function that takes one array per input of the graph and returns a fresh array.

        Calls of one compiled graph must not overlap; different ones may.
        """
        ...


def make_engine(
    name: str,
    networks: PolicyNetworks,
    *,
    threads: int = 1,
    precision: str = "fp32",
    cache: bool = True,
) -> Engine:
    """An engine by name; `auto` is OpenVINO where it is installed, else torch.

    Raises:
        ConfigError: for an unknown name or precision, or what is not installed or not there on this machine.
    """
    if name == "auto":
        name = "openvino" if openvino_engine.AVAILABLE else "torch"
        if name == "torch":
            _log.warning("openvino is not installed: the networks run on torch, about ten times slower")
    if name == "torch":
        return TorchEngine(networks, threads)
    if name == "openvino" and openvino_engine.AVAILABLE:
        return OpenVinoEngine(threads, precision, CompileCache(networks) if cache else None)
    accepted = "one of " + ", ".join(ENGINES)
    raise ConfigError(
        "engine", name, accepted + ("" if openvino_engine.AVAILABLE else "; openvino is not installed")
    )
