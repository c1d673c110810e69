"""Threads for what takes long, so that the executor goes on taking messages meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class LatestWorker(Generic[T]):
    """Runs one request at a time; of those that come meanwhile only the newest is kept.

    Args:
        run: does the work for one request; must not raise.
        name: of the thread, for who looks at the process.
    """

    def __init__(self, run: Callable[[T], None], name: str) -> None:
        self._run = run
        self._slot: T | None = None
        self._running = self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def submit(self, request: T) -> None:
        """Ask for `request`, in place of one that has not been started; returns at once."""
        with self._changed:
            self._slot = request
            self._changed.notify()
        # Yields the interpreter: else the worker begins only when the caller waits for something, which in a
        # node is half a millisecond later.
        time.sleep(0)

    @property
    def busy(self) -> bool:
        """Whether a request is in work or waits."""
        with self._changed:
            return self._running or self._slot is not None

    def stop(self) -> None:
        """Let the request in work finish, drop the one that waits, and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._slot is not None)
                if self._stopping:
                    return
                request, self._slot, self._running = self._slot, None, True
            self._run(request)
            with self._changed:
                self._running = False
