"""`step-ros bench decode`: whether decoding videos keeps up with the encoder that they are decoded for."""

from __future__ import annotations

import json
import os
from pathlib import Path

from rich.console import Console

from step_ros.data.sources import open_dataset
from step_ros.evaluation.provenance import provenance
from step_ros.policy.checkpoint import load_checkpoint
from step_ros.training.feeding import measure_feeding


def bench_decode(
    dataset: Path, out: Path, *, checkpoint: Path, rows: int = 2000, rounds: int = 5
) -> dict[str, object]:
    """Time decoding, encoding, and both at once on a dataset; write JSON and print it.

    Raises:
        CheckpointError, DatasetError, TrainingError: what cannot be used or does not fit.
    """
    config, networks = load_checkpoint(checkpoint)
    source = open_dataset(dataset)
    measured = measure_feeding(networks, source, rows, rounds)
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
    Console().print(
        f"{rates} rows/s: images come at {100 * measured['share']:.0f} % of the encoder's speed. See {out}",
        soft_wrap=True,
    )
    return results
