"""Do images come as fast as they are used? The two stages of training that use any, taken apart and timed.

Encoders are trained on images drawn at random from a store of decoded ones; a dataset's features are made in
one pass while its videos are decoded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
from accelerate import Accelerator

from step_ros.data.errors import DatasetError
from step_ros.data.pictures import store_images
from step_ros.data.prefetch import prefetched
from step_ros.data.reader import BLOCK, Dataset, Episode
from step_ros.data.windows import Windows
from step_ros.policy.config import PolicyConfig
from step_ros.policy.networks import PolicyNetworks
from step_ros.training.augmentation import random_shifts, shift_images
from step_ros.training.errors import TrainingError
from step_ros.training.features import PIECES_AHEAD, Piece, piece_encoder, pieces
from step_ros.training.matching import match_features
from step_ros.training.objectives.encoder import EncoderObjective

BATCH_SIZE = 64
STEPS = 5
KEPT_PIECES = 4
"""In memory, when encoding is timed without decoding."""


def measure_features(
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


def measure_training(networks: PolicyNetworks, dataset: Dataset, rows: int) -> dict[str, float]:
    """What of an encoder's training step is spent on fetching its images from the store of decoded ones.

    Args:
        networks: of a policy with cameras; their encoders are changed.
        rows: at most about so many are decoded, those of the first episodes, into a temporary folder.

    Returns:
        `training`, steps/s with a batch of BATCH_SIZE, and `training_share`, the share of a step that is not
        spent on fetching and shifting images.

    Raises:
        DatasetError: no episode is that short.
    """
    config, device = networks.config, Accelerator().device
    networks.to(device).requires_grad_(True).train()
    with TemporaryDirectory() as folder:
        part = _Part.of(dataset, rows, config, Path(folder))
        windows = Windows(part, config.n_obs_steps, config.horizon, config.n_action_steps)
        shifts = dict.fromkeys(config.image_names, 2)
        objective = EncoderObjective(networks, part, windows, None, shifts, 0.5, device)
        model, generator = objective.model.to(device), torch.Generator().manual_seed(0)
        optimiser = torch.optim.AdamW(model.parameters())

        def fetch() -> None:
            frames = windows.present[torch.randint(len(windows), (BATCH_SIZE,), generator=generator).numpy()]
            for name in config.image_names:
                shift_images(part.store[name][frames], random_shifts(BATCH_SIZE, shifts[name], generator))

        def step() -> None:
            optimiser.zero_grad()
            objective.loss(model, BATCH_SIZE, generator).backward()
            optimiser.step()

        spent = {use: _seconds(use, STEPS) for use in (fetch, step)}
    return {"training": 1 / spent[step], "training_share": 1 - spent[fetch] / spent[step]}


@dataclass(frozen=True)
class _Part:
    """The first episodes of a dataset, their images decoded."""

    root: Path
    episodes: tuple[Episode, ...]
    columns: dict[str, np.ndarray]
    stats: dict[str, dict[str, list]]
    num_frames: int
    store: dict[str, np.ndarray]

    @classmethod
    def of(cls, dataset: Dataset, rows: int, config: PolicyConfig, folder: Path) -> _Part:
        episodes = tuple(episode for episode in dataset.episodes if episode.stop <= rows)
        if not episodes:
            raise DatasetError(dataset.root, "first episode", f"{dataset.episodes[0].length} rows", rows)
        stop = episodes[-1].stop
        names, store = match_features(config, dataset), {}
        for name in config.image_names:
            size = config.input_features[name]
            blocks = ((e.start, dataset.frames(names[name], e, size[:2])) for e in episodes)
            store_images(folder / f"{name}.npy", (stop, *size), blocks)
            store[name] = np.load(folder / f"{name}.npy", mmap_mode="r")
        columns = {name: values[:stop] for name, values in dataset.columns.items()}
        return cls(dataset.root, episodes, columns, dataset.stats, stop, store)

    def images(self, camera: str, size: tuple[int, int]) -> np.ndarray:
        """(N, H, W, 3) uint8 of an input of the policy."""
        return self.store[camera]


def _seconds(use: Callable[[], None], times: int) -> float:
    """Median time of a call, after one that does not count."""
    spent = []
    for _ in range(times + 1):
        began = time.perf_counter()
        use()
        spent.append(time.perf_counter() - began)
    return median(spent[1:])


def _rate(some: Iterable[Piece], use: Callable[[Piece], object]) -> float:
    """Rows per second of taking pieces and using each."""
    began, rows = time.perf_counter(), 0
    for piece in some:
        use(piece)
        rows += piece.stop - piece.start
    return rows / (time.perf_counter() - began)
