"""`step-ros bench decode`: whether images come as fast as training uses them."""

from __future__ import annotations

import json
import os
from pathlib import Path

from rich.console import Console

from step_ros.data.sources import open_dataset
from step_ros.evaluation.provenance import provenance
from step_ros.policy.checkpoint import load_checkpoint
from step_ros.training.feeding import measure_features, measure_training


def bench_decode(
    dataset: Path, out: Path, *, checkpoint: Path, rows: int = 2000, rounds: int = 5
) -> dict[str, object]:
    """Time decoding, encoding and both at once, and an encoder's training, on a dataset; write JSON.

    Raises:
        CheckpointError, DatasetError, TrainingError: what cannot be used or does not fit.
    """
    config, networks = load_checkpoint(checkpoint)
    source = open_dataset(dataset)
    measured = measure_features(networks, source, rows, rounds)
    if config.resnet is None:  # other encoders are not trained here
        measured |= measure_training(networks, source, rows)
    results = {
        "dataset": dataset.resolve().name,
        "checkpoint": checkpoint.resolve().name,
        "images": {name: config.input_features[name] for name in config.image_names},
        "cpus": len(os.sched_getaffinity(0)),
        **measured,
        **provenance(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")
    rates = ", ".join(f"{name} {measured[name]:.0f}" for name in ("decoding", "encoding", "feeding"))
    lines = [f"features: {rates} rows/s, {100 * measured['share']:.0f} % of the encoder's own speed"]
    if "training_share" in measured:
        lines.append(
            f"training: {100 * measured['training_share']:.1f} % of a step is not waiting for images"
        )
    Console().print(*lines, f"See {out}", sep="\n", soft_wrap=True)
    return results
