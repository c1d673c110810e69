"""Features of camera frames, each encoded once: windows overlap, and frames arrive ahead of the cycle."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from numpy.typing import NDArray


class FrameFeatures:
    """Remembers the features of each camera's last frames and finds them again by the frame's pixels.

    Threads may ask for different cameras at once; for one camera the second waits for the first, so that no
    frame is encoded twice.
    """

    def __init__(
        self, encode: Callable[[str, NDArray], NDArray], names: Iterable[str], frames_kept: int
    ) -> None:
        """`encode(name, frame (1, H, W, 3))` returns features (1, feature_dim)."""
        self._encode = encode
        self._known: dict[str, deque[tuple[bytes, NDArray]]] = {
            name: deque(maxlen=frames_kept) for name in names
        }
        self._locks = {name: threading.Lock() for name in self._known}

    def __call__(self, name: str, frame: NDArray) -> NDArray:
        """Features (feature_dim,) of one frame (H, W, 3) uint8 of the image input `name`."""
        pixels = frame.tobytes()
        with self._locks[name]:
            known = self._known[name]
            features = next((kept for key, kept in known if key == pixels), None)
            if features is None:
                features = self._encode(name, frame[None])[0]
                known.appendleft((pixels, features))
            return features
