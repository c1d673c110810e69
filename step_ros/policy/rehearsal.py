"""Cycles on made-up observations before the first real one, until they take no less time than the one before.

Compiling and running each network once is not enough: memory that libraries take when it is first needed,
caches and branch predictors settle over some whole cycles.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from step_ros.policy.config import PolicyConfig
from step_ros.policy.normalization import Normalizer

MOST = 12
"""Most cycles of one rehearsal."""
LONGEST = 1.0
"""Seconds after which no further cycle begins, once the fewest are done."""
FEWEST = 4
FASTER = 0.97
"""A cycle that takes less than this share of the fastest so far says that times have not settled."""
IN_A_ROW = 3
"""Cycles in a row that must not say so."""


def observations(config: PolicyConfig, normalizer: Normalizer) -> Iterator[dict[str, NDArray]]:
    """Endless windows, each one new frame of noise further on; vectors are in the middle of their range."""
    rng = np.random.default_rng(0)
    window = {}
    for name, shape in config.input_features.items():
        window[name] = np.zeros((config.n_obs_steps, *shape), np.uint8)
        if name in config.vector_names:
            middle = normalizer[name].inverse(torch.zeros(shape, dtype=torch.float64))
            window[name] = np.tile(middle.numpy(), (config.n_obs_steps, 1))
    while True:
        for name in config.image_names:
            frame = rng.integers(0, 256, (1, *config.input_features[name]), np.uint8)
            window[name] = np.concatenate((window[name][1:], frame))
        yield dict(window)


def rehearse(cycle: Callable[[Mapping[str, NDArray]], object], windows: Iterator[dict[str, NDArray]]) -> int:
    """Run cycles until their times have settled; returns how many it took."""
    began = time.perf_counter()
    fastest, settled = float("inf"), 0
    for done in itertools.count(1):
        window = next(windows)
        before = time.perf_counter()
        cycle(window)
        spent = time.perf_counter() - before
        settled = 0 if spent < FASTER * fastest else settled + 1
        fastest = min(fastest, spent)
        late = time.perf_counter() - began > LONGEST
        if done >= MOST or (done >= FEWEST and (settled >= IN_A_ROW or late)):
            break
    return done
