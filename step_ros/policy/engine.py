"""Engines by name: ways to run a graph of the networks on NumPy arrays, all behind one call.

An engine replaces the evaluation of networks and nothing else; what a cycle computes is in `sampling` and the
methods, for every engine the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from numpy.typing import NDArray

from step_ros.policy import onnx_engine, openvino_engine
from step_ros.policy.calibration import load_calibration
from step_ros.policy.compile_cache import CompileCache, fingerprint
from step_ros.policy.cuda_engine import CudaEngine
from step_ros.policy.errors import ConfigError
from step_ros.policy.graphs import Graph
from step_ros.policy.networks import PolicyNetworks
from step_ros.policy.onnx_engine import OnnxEngine
from step_ros.policy.onnx_files import OnnxFiles
from step_ros.policy.openvino_engine import OpenVinoEngine
from step_ros.policy.quantization import Quantizer
from step_ros.policy.torch_engine import TorchEngine

ENGINES = ("auto", "torch", "openvino", "onnx", "cuda")
PRECISIONS = ("fp32", "bf16", "int8")
ACCEPTED = f"one of {', '.join(ENGINES)}, or onnx:FOLDER for files of `step-ros export`"

_log = logging.getLogger(__name__)


class Engine(Protocol):
    """A way to run graphs.

    Attributes:
        name: as in `ENGINES`, never auto.
        precision: number format of the arithmetic, as in `PRECISIONS`.
        threads: CPU threads per call.
    """

    name: str
    precision: str
    threads: int

    def compile(self, graph: Graph) -> Callable[..., NDArray]:
        """A function that takes one array per input of the graph and returns a fresh array.

        Calls of one compiled graph must not overlap; those of different graphs may.
        """
        ...


def make_engine(
    name: str,
    networks: PolicyNetworks,
    *,
    threads: int = 1,
    precision: str = "fp32",
    cache: bool = True,
    folder: str | Path | None = None,
) -> Engine:
    """An engine by name, for one checkpoint's networks; cuda moves them to the GPU.

    `auto` is cuda where there is a GPU, else openvino, else torch. With `cache`, compiled graphs are kept on
    disk (`compile_cache`). int8 quantises on openvino, with the calibration in the checkpoint's `folder`.

    Raises:
        ConfigError: for an unknown name or precision, or what is not installed or not there on this machine.
    """
    if precision not in PRECISIONS:
        raise ConfigError("precision", precision, "one of " + ", ".join(PRECISIONS))
    name, _, files_folder = name.partition(":")
    if name == "auto":
        name = _fastest()
    if name not in ENGINES or (files_folder and name != "onnx"):
        raise ConfigError("engine", f"{name}:{files_folder}" if files_folder else name, ACCEPTED)
    if precision == "int8" and name != "openvino":
        raise ConfigError("precision", precision, f"fp32 on engine {name}; int8 is for openvino")
    if name == "cuda":
        return CudaEngine(networks, threads, precision)
    if name == "openvino":
        _require(openvino_engine.AVAILABLE, name, "openvino")
        kept = CompileCache(networks) if cache else None
        if precision == "int8":
            quantizer = Quantizer(networks, load_calibration(folder, networks))
            return OpenVinoEngine(threads, precision, kept, quantizer)
        return OpenVinoEngine(threads, precision, kept)
    if precision != "fp32":
        raise ConfigError("precision", precision, f"fp32 on engine {name}")
    if name == "torch":
        return TorchEngine(networks, threads)
    _require(onnx_engine.AVAILABLE, name, "onnxruntime onnx")
    files = OnnxFiles.open(Path(files_folder), fingerprint(networks)) if files_folder else None
    return OnnxEngine(threads, CompileCache(networks) if cache else None, files)


def _fastest() -> str:
    if torch.cuda.is_available():
        return "cuda"
    if openvino_engine.AVAILABLE:
        return "openvino"
    _log.warning("openvino is not installed: the networks run on torch, several times slower")
    return "torch"


def _require(available: bool, name: str, packages: str) -> None:
    if not available:
        others = ", ".join(engine for engine in ENGINES if engine != name)
        raise ConfigError("engine", name, f"{others}; {name} is not installed: pip install {packages}")
