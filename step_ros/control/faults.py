"""The faults that stop, slow or change a motion: each with a name, how grave it is, and the way back.

`docs/safety.md` explains them to the user in the same names.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    """What a fault does to the motion."""

    CHANGED = "the motion goes on, changed"
    REFUSED = "the chunk is not sent; the plan in force goes on and comes to rest at its end"
    HOLD = "the arm holds still"
    LATCHED = "the arm holds still until a person releases it"


_CATALOGUE: dict[str, tuple[Severity, str]] = {
    "position limit": (Severity.CHANGED, "by itself, with a chunk inside the range"),
    "too fast": (Severity.CHANGED, "by itself, with a slower chunk"),
    "large step": (Severity.CHANGED, "by itself, when the arm has come near the chunk"),
    "workspace": (Severity.CHANGED, "by itself, with a chunk that stays above the table"),
    "not finite": (Severity.HOLD, "by itself, with the next finite chunk"),
    "wrong shape": (Severity.HOLD, "by itself, with the next chunk of the right shape"),
    "chunk too short": (Severity.HOLD, "by itself, with the next chunk that is long enough"),
    "late chunk": (Severity.REFUSED, "by itself, with a chunk that is ready before its end is due"),
    "stale chunk": (Severity.REFUSED, "by itself, with a chunk newer than the plan in force"),
    "clocks differ": (Severity.REFUSED, "by itself, when stamps and the node's clock agree again"),
    "rejected chunk": (Severity.CHANGED, "by itself, with a chunk that the controller takes"),
    "stale input": (Severity.HOLD, "by itself, when every input is fresh again"),
    "missing joints": (Severity.HOLD, "by itself, with a joint state that has every joint"),
    "clock jump": (Severity.HOLD, "by itself, with inputs of the new time"),
    "follow error": (Severity.HOLD, "by a reset"),
    "policy failed": (Severity.HOLD, "by a reset"),
    "emergency stop": (Severity.LATCHED, "by releasing the stop, then enabling"),
}
NAMES = tuple(_CATALOGUE)


@dataclass(frozen=True)
class Fault:
    """Something that was not as it should be.

    Attributes:
        name: one of NAMES.
        text: what was found, with figures.

    Raises:
        KeyError: no fault has this name.
    """

    name: str
    text: str

    def __post_init__(self) -> None:
        _CATALOGUE[self.name]

    @property
    def severity(self) -> Severity:
        return _CATALOGUE[self.name][0]

    @property
    def clears(self) -> str:
        """How the fault ends."""
        return _CATALOGUE[self.name][1]

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"
