"""Mean, standard deviation, smallest and largest value per feature dimension: of one episode, and of many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Statistics = dict[str, np.ndarray]


def array_statistics(values: np.ndarray) -> Statistics:
    """Over the frames of values (T,) or (T, D): arrays (D,), D = 1 for scalars; `count` is (1,)."""
    values = values.reshape(len(values), -1).astype(np.float64)
    return {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0),
        "std": values.std(0),
        "count": np.array([len(values)]),
    }


def image_statistics(frames: np.ndarray) -> Statistics:
    """Per colour over frames (T, H, W, 3) uint8, scaled to [0, 1]: (3, 1, 1); `count` counts frames.

    From the histogram of each colour: exact, and several times faster than sums over all pixels.
    """
    levels = np.arange(256) / 255
    colours = frames.reshape(-1, frames.shape[-1])
    weights = np.stack([np.bincount(colour, minlength=256) for colour in colours.T]) / len(colours)
    mean = weights @ levels
    values = {
        "min": np.array([levels[w > 0][0] for w in weights]),
        "max": np.array([levels[w > 0][-1] for w in weights]),
        "mean": mean,
        "std": np.sqrt((weights * (levels - mean[:, None]) ** 2).sum(1)),
    }
    return {name: value.reshape(-1, 1, 1) for name, value in values.items()} | {
        "count": np.array([len(frames)])
    }


def combine_statistics(parts: Sequence[Statistics]) -> Statistics:
    """Statistics of the union, as if all frames had been seen at once."""
    counts = np.array([part["count"][0] for part in parts], dtype=np.float64)
    weights = counts / counts.sum()
    means = np.stack([part["mean"] for part in parts])
    variances = np.stack([part["std"] ** 2 for part in parts])
    mean = np.tensordot(weights, means, 1)
    variance = np.tensordot(weights, variances + (means - mean) ** 2, 1)
    return {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": np.array([int(counts.sum())]),
    }
