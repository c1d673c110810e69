"""Camera frames that are decoded when somebody first needs them: most images of a fast camera no cycle uses.

Knows no ROS.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np


class Frame:
    """One image as it came.

    Args:
        decode: makes the pixels (H, W, 3) uint8 of the policy's size, or raises. Called once at most, by
            whichever thread asks first; what it holds on to is freed then.

    Attributes:
        milliseconds: what decoding took, 0 before.
    """

    def __init__(self, decode: Callable[[], np.ndarray]) -> None:
        self._decode: Callable[[], np.ndarray] | None = decode
        self._pixels: np.ndarray | None = None
        self._error: Exception | None = None
        self._lock = threading.Lock()
        self.milliseconds = 0.0

    def pixels(self) -> np.ndarray:
        """RGB (H, W, 3) uint8; raises what decoding raised, the same at every call."""
        with self._lock:
            if self._decode is not None:
                decode, self._decode = self._decode, None
                began = time.perf_counter()
                try:
                    self._pixels = decode()
                except Exception as error:
                    self._error = error
                self.milliseconds = 1e3 * (time.perf_counter() - began)
            if self._error is not None:
                raise self._error
            return self._pixels
