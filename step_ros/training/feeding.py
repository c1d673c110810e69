"""Does decoding keep up with the encoder? The pass that makes a dataset's features, taken apart and timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import cycle, islice
from statistics import median

from accelerate import Accelerator

from step_ros.data.prefetch import prefetched
from step_ros.data.reader import BLOCK, Dataset
from step_ros.policy.networks import PolicyNetworks
from step_ros.training.errors import TrainingError
from step_ros.training.features import PIECES_AHEAD, Piece, piece_encoder, pieces
from step_ros.training.matching import match_features

KEPT_PIECES = 4
"""In memory, when encoding is timed without decoding."""


def measure_feeding(
    networks: PolicyNetworks, dataset: Dataset, rows: int, rounds: int
) -> dict[str, float | int | str]:
    """Rows per second (a row: one frame of every camera) of decoding, of encoding, and of both at once as
    training does it; medians over rounds in which the three take turns.

    Args:
        networks: moved to where training would run.
        rows: at most about so many, from the first episodes.

    Returns:
        `device`, `rounds`, `decoding`, `encoding` and `feeding` in rows/s, and `share`, feeding / encoding.

    Raises:
        TrainingError: the dataset does not fit, or the policy has no cameras.
    """
    config = networks.config
    if not config.image_names:
        raise TrainingError("policy", ", ".join(config.input_features), "a policy with cameras")
    device = Accelerator().device
    networks.eval().requires_grad_(False).to(device)
    names = match_features(config, dataset)
    encode = piece_encoder(networks, dataset, names, device)

    def stream() -> Iterable[Piece]:
        unmoved = dict.fromkeys(config.image_names, 0)
        return islice(pieces(config, dataset, names, unmoved, seed=0, variants=1), max(1, rows // BLOCK))

    kept = list(islice(stream(), KEPT_PIECES))
    encode(kept[0])  # what is compiled or allocated once
    timed = {"decoding": [], "encoding": [], "feeding": []}
    for _ in range(rounds):
        timed["decoding"].append(_rate(stream(), lambda piece: None))
        timed["encoding"].append(_rate(islice(cycle(kept), max(1, rows // BLOCK)), encode))
        timed["feeding"].append(_rate(prefetched(stream(), PIECES_AHEAD), encode))
    rates = {name: median(values) for name, values in timed.items()}
    return {"device": str(device), "rounds": rounds, **rates, "share": rates["feeding"] / rates["encoding"]}


def _rate(some: Iterable[Piece], use: Callable[[Piece], object]) -> float:
    """Rows per second of taking pieces and using each."""
    began, rows = time.perf_counter(), 0
    for piece in some:
        use(piece)
        rows += piece.stop - piece.start
    return rows / (time.perf_counter() - began)
