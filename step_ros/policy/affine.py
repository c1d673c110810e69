"""Normalisation on NumPy arrays: a few numbers per cycle do not pay for torch's calls."""

from __future__ import annotations

from collections.abc import Callable

import torch
from numpy.typing import NDArray
from torch import Tensor


class AffineMap:
    """A normaliser's direction, which is value * gain + offset element by element, in float64."""

    def __init__(self, function: Callable[[Tensor], Tensor], size: int) -> None:
        """Measure gain and offset of `function`, on (size,), by what it makes of zeros and ones."""
        with torch.no_grad():
            offset = function(torch.zeros(size, dtype=torch.float64))
            self._gain = (function(torch.ones(size, dtype=torch.float64)) - offset).numpy()
            self._offset = offset.numpy()

    def __call__(self, value: NDArray) -> NDArray:
        """(…, size) -> (…, size)."""
        return value * self._gain + self._offset
