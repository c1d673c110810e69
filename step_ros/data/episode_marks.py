"""Episode marks in a bag: where the arm was put under a policy or a teacher, where it ended, and with what.

A mark is a diagnostic_msgs/DiagnosticArray on `~/episode`: one status, whose message is one of `KINDS` and
whose values are the parameters in force as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from step_ros.data.messages import MessageError, seconds

STATUS_NAME = "episode"
BEGIN = "begin"
"""The arm moves from here on; history and sampler start anew."""
END = "end"
"""The arm holds from here on."""
RESET = "reset"
"""All that was seen before is forgotten; says nothing about whether the arm moves."""
CHANGED = "changed"
"""A parameter changed while an episode goes on."""
KINDS = (BEGIN, END, RESET, CHANGED)


@dataclass(frozen=True)
class EpisodeMark:
    """One mark: its time [s], what happened, and the parameters in force, by name, as text."""

    stamp: float
    kind: str
    values: dict[str, str]


def read_mark(message: Any) -> EpisodeMark:
    """A mark from its message; raises MessageError when it is none."""
    statuses = [status for status in message.status if status.name.endswith(STATUS_NAME)]
    if len(statuses) != 1 or statuses[0].message not in KINDS:
        found = [f"{status.name}: {status.message}" for status in message.status]
        raise MessageError(f"episode mark is {found}, accepted: {STATUS_NAME}: {' or '.join(KINDS)}")
    values = {pair.key: pair.value for pair in statuses[0].values}
    return EpisodeMark(seconds(message.header.stamp), statuses[0].message, values)
