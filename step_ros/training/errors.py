"""The exception of this room: a run that cannot be started or continued as asked."""

from __future__ import annotations

from pathlib import Path


class TrainingError(Exception):
    """Names the file or option, what was found and what is accepted."""

    def __init__(self, where: Path | str, found: object, accepted: object) -> None:
        super().__init__(f"{where}: found {found}, accepted: {accepted}")
