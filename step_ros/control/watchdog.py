"""Says when an input is too old to act on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

AHEAD = 0.25
"""Seconds by which a stamp may lie in the future before the clocks count as different."""
SILENCE = 2.0
"""Seconds on the machine's own clock without a message that count as stale even when the node's clock stands
still (a simulation that stopped takes its clock with it)."""


@dataclass
class _Seen:
    stamp: float
    arrival: float


class Watchdog:
    """Judges the age of each input stream by the stamps of its messages.

    Args:
        max_age: for each stream the age [s] above which it is stale; may be changed while running.
    """

    def __init__(self, max_age: Mapping[str, float]) -> None:
        self.max_age = dict(max_age)
        self._seen: dict[str, _Seen] = {}
        self._refused: dict[str, str] = {}

    def saw(self, stream: str, stamp: float, arrival: float) -> None:
        """A good message came: its stamp [s, node clock] and its arrival [s, monotonic clock]."""
        self._seen[stream] = _Seen(stamp, arrival)
        self._refused.pop(stream, None)

    def refused(self, stream: str, reason: str) -> None:
        """A message came that could not be used; kept as the likely cause if the stream goes stale."""
        self._refused[stream] = reason

    def forget(self) -> None:
        """Wait for the first message of every stream again."""
        self._seen.clear()

    def stale(self, stream: str, now: float, arrival: float) -> str | None:
        """Why `stream` cannot be acted on at `now` [s, node clock] and `arrival` [s, monotonic], or None."""
        seen, limit = self._seen.get(stream), self.max_age[stream]
        if seen is None:
            reason = f"no {stream} yet"
        elif seen.stamp > now + AHEAD:
            reason = f"{stream} is stamped in the future: clocks differ"
        elif now - seen.stamp > limit:
            reason = f"{stream} is older than {limit:g} s"
        elif arrival - seen.arrival > max(limit, SILENCE):
            reason = f"{stream} has been silent for {max(limit, SILENCE):g} s"
        else:
            return None
        refused = self._refused.get(stream)
        return f"{reason}; last message refused: {refused}" if refused else reason

    def reason(self, now: float, arrival: float) -> str | None:
        """The first stream's reason not to act, or None when every stream is fresh."""
        reasons = (self.stale(stream, now, arrival) for stream in self.max_age)
        return next((reason for reason in reasons if reason), None)
