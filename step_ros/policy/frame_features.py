"""Features of frames, each encoded once: windows overlap, and images arrive ahead of the cycle."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from numpy.typing import NDArray


class FrameFeatures:
    """Remembers the features of each input's last frames and finds them again by what is in them.

    Threads may ask for different inputs at once; for one input the second waits for the first, so that no
    frame is encoded twice.
    """

    def __init__(
        self, encode: Callable[[str, NDArray], NDArray], names: Iterable[str], frames_kept: int
    ) -> None:
        """`encode(name, frame (1, *shape))` returns features (1, D)."""
        self._encode = encode
        self._known: dict[str, deque[tuple[bytes, NDArray]]] = {
            name: deque(maxlen=frames_kept) for name in names
        }
        self._locks = {name: threading.Lock() for name in self._known}

    def __call__(self, name: str, frame: NDArray) -> NDArray:
        """Features (D,) of one frame of the input `name`: (H, W, 3) uint8, or (E,) float32."""
        content = frame.tobytes()
        with self._locks[name]:
            known = self._known[name]
            features = next((kept for key, kept in known if key == content), None)
            if features is None:
                features = self._encode(name, frame[None])[0]
                known.appendleft((content, features))
            return features
