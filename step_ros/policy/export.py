"""`step-ros export`: a checkpoint's graphs as ONNX files, for ONNX Runtime, TensorRT and the like."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from step_ros.policy import onnx_engine
from step_ros.policy.checkpoint import load_checkpoint
from step_ros.policy.compile_cache import fingerprint
from step_ros.policy.errors import ConfigError
from step_ros.policy.graphs import Graphs, Program
from step_ros.policy.onnx_files import write_files

STEP_FILE = "step.onnx"


def export_checkpoint(checkpoint: str | Path, out: str | Path, steps: int | None = None) -> list[Path]:
    """Write encode_<input>.onnx, condition.onnx, denoise.onnx and, where there is a predictor, predict.onnx
    and step.onnx (a whole warm cycle of STEP in `steps` steps, by default the checkpoint's), with a manifest.

    Returns the files.

    Raises:
        CheckpointError, ConfigError: a checkpoint or setting that cannot be used, or ONNX is not installed.
    """
    if not onnx_engine.AVAILABLE:
        raise ConfigError("export", "onnx", "an installed ONNX: pip install onnxruntime onnx")
    config, networks = load_checkpoint(checkpoint)
    networks.requires_grad_(False)
    settings = config.settings(**({"num_inference_steps": steps, "timesteps": None} if steps else {}))
    config.check(settings)
    graphs = Graphs(networks)
    single = [*(graphs.encode(name) for name in config.encoded_names), graphs.condition(), graphs.denoise()]
    if config.predictor is not None:
        single.append(graphs.predict())
    named = [(f"{graph.name}.onnx", graph) for graph in single]
    if config.predictor is not None:
        program = Program(len(settings.timesteps or ()) or settings.num_inference_steps, warm=True)
        named.append((STEP_FILE, graphs.cycle(program)))
    description = {"config": dataclasses.asdict(config), "settings": dataclasses.asdict(settings)}
    return write_files(Path(out), named, fingerprint(networks), description)
