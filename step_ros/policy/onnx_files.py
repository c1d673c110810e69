"""Graphs as ONNX files: made from torch, written for other runtimes, and trusted only if they fit.

Every file carries, as ONNX metadata, the version of this layout, the fingerprint of the checkpoint it was
made from and the name of its graph; `manifest.json` says the same of the folder and which file holds which
graph.
"""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from step_ros.policy.errors import ConfigError
from step_ros.policy.graphs import Graph

FORMAT_VERSION = 1
OPSET = 17
MANIFEST = "manifest.json"
VERSION_KEY, CHECKPOINT_KEY, GRAPH_KEY = "step_ros_format", "step_ros_checkpoint", "step_ros_graph"


class _Module(torch.nn.Module):
    """A function as the module that the exporter asks for."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self._function(*inputs)


def to_onnx(graph: Graph, metadata: Mapping[str, str]) -> bytes:
    """The graph as an ONNX model with fixed shapes, one output `output`, and this metadata."""
    import onnx  # optional, and slow to import

    stream = io.BytesIO()
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # torch's fused attention has no ONNX counterpart
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # The tracing exporter is the old one, and says so; the new one needs two more packages.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Module(graph.function),
                tuple(tensor.clone() for tensor in graph.example),
                stream,
                input_names=list(graph.inputs),
                output_names=["output"],
                opset_version=OPSET,
                dynamo=False,
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    model = onnx.load_from_string(stream.getvalue())
    onnx.helper.set_model_props(model, dict(metadata))
    return model.SerializeToString()


def metadata(graph: str, checkpoint: str) -> dict[str, str]:
    """What a file of the graph `graph`, of the checkpoint with this fingerprint, carries."""
    return {VERSION_KEY: str(FORMAT_VERSION), CHECKPOINT_KEY: checkpoint, GRAPH_KEY: graph}


def write_files(
    folder: Path, graphs: Iterable[tuple[str, Graph]], checkpoint: str, description: Mapping[str, object]
) -> list[Path]:
    """Write each (file name, graph) and the manifest, which is written last; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written, entries = [], {}
    for name, graph in graphs:
        path = folder / name
        _write(path, to_onnx(graph, metadata(graph.name, checkpoint)))
        inputs = zip(graph.inputs, graph.example, strict=True)
        shapes = {key: [*tensor.shape, str(tensor.dtype).removeprefix("torch.")] for key, tensor in inputs}
        entries[graph.name] = {"file": name, "inputs": shapes}
        written.append(path)
    manifest = {
        VERSION_KEY: FORMAT_VERSION,
        CHECKPOINT_KEY: checkpoint,
        "opset": OPSET,
        **description,
        "graphs": entries,
    }
    _write(folder / MANIFEST, (json.dumps(manifest, indent=2) + "\n").encode())
    return [*written, folder / MANIFEST]


class OnnxFiles:
    """A folder that `write_files` wrote, for one checkpoint."""

    def __init__(self, folder: Path, files: Mapping[str, str], checkpoint: str) -> None:
        self.folder, self._files, self._checkpoint = folder, files, checkpoint

    @classmethod
    def open(cls, folder: Path, checkpoint: str) -> OnnxFiles:
        """Read the manifest.

        Raises:
            ConfigError: no readable manifest, or one of another version or other weights.
        """
        path = folder / MANIFEST
        try:
            manifest = json.loads(path.read_text())
            found = {VERSION_KEY: str(manifest[VERSION_KEY]), CHECKPOINT_KEY: manifest[CHECKPOINT_KEY]}
            files = {name: entry["file"] for name, entry in manifest["graphs"].items()}
        except (
            OSError,
            UnicodeDecodeError,
            json.JSONDecodeError,
            KeyError,
            TypeError,
            AttributeError,
        ) as error:
            raise ConfigError(
                "engine", f"onnx:{folder}", f"a folder that `step-ros export` wrote ({MANIFEST}: {error})"
            ) from error
        _check(found, metadata("", checkpoint), path)
        return cls(folder, files, checkpoint)

    def path(self, graph: str) -> Path | None:
        """The file of a graph; None where the folder does not hold it."""
        return self.folder / self._files[graph] if graph in self._files else None

    def check(self, path: Path, found: Mapping[str, str], graph: str) -> None:
        """Raise ConfigError when a file's own metadata is not that of this graph and checkpoint."""
        _check(found, metadata(graph, self._checkpoint), path)


def _check(found: Mapping[str, str], expected: Mapping[str, str], path: Path) -> None:
    for key, value in expected.items():
        if value and found.get(key) != value:
            raise ConfigError(key, found.get(key), f"{value}; export the checkpoint again", path)


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)
