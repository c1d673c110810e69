"""The one exception of this room: a dataset, or what is to be written to one, is not as it should be."""

from __future__ import annotations

from pathlib import Path


class DatasetError(Exception):
    """Names the file, the field in it, what was found and what is accepted."""

    def __init__(self, file: Path | str, field: str, found: object, accepted: object) -> None:
        super().__init__(f"{file}: {field}: found {found}, accepted: {accepted}")
        self.file = str(file)
        self.field = field
        self.found = found
        self.accepted = accepted
