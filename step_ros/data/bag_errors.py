"""One exception class for each way in which a bag cannot be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path


class BagError(Exception):
    """Base of every error about a bag; the message names the bag, what was found and what is accepted."""


class BagUnreadableError(BagError):
    """The bag is missing, truncated or damaged."""

    def __init__(self, bag: Path, reason: object) -> None:
        super().__init__(
            f"{bag}: found {reason}; accepted: a finished bag (MCAP or SQLite). "
            "`ros2 bag reindex` or `mcap recover` may save one whose recording was cut off"
        )


class MissingTopicError(BagError):
    """No topic in the bag can be what is needed."""

    def __init__(self, bag: Path, needed: str, topics: Mapping[str, Iterable[str]]) -> None:
        listed = ", ".join(f"{topic} [{'/'.join(types)}]" for topic, types in sorted(topics.items()))
        super().__init__(f"{bag}: needed: {needed}; the bag holds: {listed or 'no topics'}")


class AmbiguousTopicError(BagError):
    """Several topics, or several publishers on one, could be what is needed: somebody must choose."""

    def __init__(self, bag: Path, needed: str, found: Iterable[str], option: str) -> None:
        super().__init__(f"{bag}: {needed}: found {', '.join(found)}; choose with {option}")


class TopicTypeError(BagError):
    """A topic carries another message type than it should, or changes its type within the bag."""

    def __init__(self, bag: Path, topic: str, found: Iterable[str], accepted: Iterable[str]) -> None:
        super().__init__(f"{bag}: {topic}: found {', '.join(found)}; accepted: {' or '.join(accepted)}")
