"""Intervals for success rates, for means, and for differences between methods on the same episodes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Z_95 = 1.959964


def wilson(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson score interval of a proportion, 95 % by default. Raises ValueError when there are no trials."""
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(
            f"found {successes} successes in {trials} trials, accepted: 0 <= successes <= trials > 0"
        )
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def tango(first_only: int, second_only: int, pairs: int, z: float = Z_95) -> tuple[float, float]:
    """Score interval of the difference p1 - p2 of two proportions on the same pairs, 95 % by default.

    All differences d that the score test does not reject: |first_only - second_only - pairs d| <= z s(d),
    where s(d) holds the most likely probability of a pair with the second only, given d (Tango, Statistics in
    Medicine 17, 1998, Eq. 3). It stays inside -1 ... 1, and does not shrink to a point where no pair differs.

    Args:
        first_only, second_only: pairs in which only the first, only the second succeeded.

    Raises:
        ValueError: counts that cannot be.
    """
    if min(first_only, second_only) < 0 or first_only + second_only > pairs or pairs == 0:
        raise ValueError(
            f"found {first_only} and {second_only} of {pairs} pairs, accepted: counts >= 0 with a sum "
            "of at most the pairs > 0"
        )

    def score(difference: float) -> float:
        linear = (2 * pairs - first_only + second_only) * difference - first_only - second_only
        constant = -second_only * difference * (1 - difference)
        root = math.sqrt(max(linear * linear - 8 * pairs * constant, 0.0))
        second = (root - linear) / (4 * pairs)
        variance = pairs * (2 * second + difference * (1 - difference))
        excess = first_only - second_only - pairs * difference
        if excess == 0:
            return 0.0
        return excess / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, excess)

    return _falling_root(score, z), _falling_root(score, -z)


def _falling_root(function: Callable[[float], float], value: float) -> float:
    """Where a falling function on -1 ... 1 takes `value`, or the end at which it comes nearest."""
    low, high = -1.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > value else (low, middle)
    return (low + high) / 2


def mean_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of a mean by the normal approximation, for many values; None for fewer than two."""
    if len(values) < 2:
        return None
    half = Z_95 * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    mean = float(np.mean(values))
    return mean - half, mean + half
