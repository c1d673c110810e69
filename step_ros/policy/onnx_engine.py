"""Graphs run by ONNX Runtime, converted here or read from a folder of exported files."""

from __future__ import annotations

import io
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from numpy.typing import NDArray

from step_ros.policy.compile_cache import CompileCache
from step_ros.policy.errors import ConfigError
from step_ros.policy.graphs import Graph
from step_ros.policy.onnx_files import OPSET, OnnxFiles, to_onnx

try:
    import onnxruntime
except ImportError:  # optional
    onnxruntime = None

AVAILABLE = onnxruntime is not None and find_spec("onnx") is not None


class OnnxEngine:
    """Runs `threads` CPU threads per call."""

    name = "onnx"
    precision = "fp32"

    def __init__(
        self, threads: int = 1, cache: CompileCache | None = None, files: OnnxFiles | None = None
    ) -> None:
        """`cache` keeps converted graphs; those that `files` holds are taken from there."""
        self.threads = threads
        self._cache, self._files = cache, files
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.inter_op_num_threads = 1
        # A thread that spins while it waits takes the core from whoever shares it.
        self._options.add_session_config_entry("session.intra_op.allow_spinning", "0")

    def compile(self, graph: Graph) -> Callable[..., NDArray]:
        """Raises ConfigError for a file of another version, other weights or another graph."""
        path = self._files.path(graph.name) if self._files else None
        session = self._from_file(path, graph.name) if path else self._converted(graph)
        names = [item.name for item in session.get_inputs()]

        def run(*arrays: NDArray) -> NDArray:
            return session.run(None, dict(zip(names, arrays, strict=True)))[0]

        return run

    def _from_file(self, path: Path, graph: str) -> onnxruntime.InferenceSession:
        try:
            session = self._session(str(path))
        except Exception as error:  # ONNX Runtime's own exceptions share no base class
            raise ConfigError("engine", f"onnx:{path.parent}", f"readable files ({error})", path) from error
        self._files.check(path, session.get_modelmeta().custom_metadata_map, graph)
        return session

    def _converted(self, graph: Graph) -> onnxruntime.InferenceSession:
        if self._cache is None:
            return self._session(to_onnx(graph, {}))
        key = self._cache.key(graph.name, engine=self.name, opset=OPSET, torch=torch.__version__)
        blob = self._cache.load(key)
        if blob is not None:
            return self._session(blob.content.tobytes())
        model = to_onnx(graph, {})

        def write(stream: io.BytesIO) -> None:
            stream.write(model)

        self._cache.store(key, write)
        return self._session(model)

    def _session(self, model: str | bytes) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(model, self._options, providers=["CPUExecutionProvider"])
