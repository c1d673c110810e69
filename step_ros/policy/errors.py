"""One exception class for each way in which a policy can fail."""

from __future__ import annotations

from pathlib import Path


class PolicyError(Exception):
    """Base of every error that this room raises."""


class ConfigError(PolicyError):
    """A setting or configuration field is unknown, of the wrong type or out of range.

    Attributes:
        field: name of the offending field.
        found: the value that was found.
        accepted: what would have been accepted, in words.
        source: file or caller the value came from; may be empty.
    """

    def __init__(self, field: str, found: object, accepted: str, source: str | Path = "") -> None:
        self.field, self.found, self.accepted, self.source = field, found, accepted, str(source)
        prefix = f"{source}: " if self.source else ""
        super().__init__(f"{prefix}{field} is {found!r}; accepted: {accepted}")

    def located(self, source: str | Path, parent: str = "") -> ConfigError:
        """The same error with the file it came from and, for a nested field, its parent's name."""
        field = f"{parent}.{self.field}" if parent else self.field
        return ConfigError(field, self.found, self.accepted, self.source or source)


class CheckpointError(PolicyError):
    """A checkpoint folder is incomplete or does not fit its own configuration."""


class ObservationError(PolicyError):
    """An observation, or the history of commands given with it, is not what the policy takes."""


class OutputError(PolicyError):
    """A network returned NaN or infinity, so there is no plan."""
