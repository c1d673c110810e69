"""A method with its settings as one word of the command line: `step`, `ddim:timesteps=75/25`."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass

from step_ros.policy.errors import ConfigError
from step_ros.policy.methods import METHODS
from step_ros.policy.settings import Settings


@dataclass(frozen=True)
class Variant:
    """A method and the settings that differ from the checkpoint's own."""

    label: str
    method: str
    settings: dict[str, object]


def parse_variant(text: str) -> Variant:
    """Read `METHOD[:name=value,...]`; lists are written with slashes.

    Raises:
        ConfigError: unknown method or setting, or a value of the wrong kind.
    """
    method, _, options = text.partition(":")
    if method not in METHODS:
        raise ConfigError("method", method, "one of " + ", ".join(METHODS))
    settings: dict[str, object] = {}
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        settings[name] = _value(name, value)
    return Variant(text, method, settings)


def _value(name: str, text: str) -> object:
    kinds = typing.get_type_hints(Settings)
    names = [field.name for field in dataclasses.fields(Settings)]
    if name not in names:
        raise ConfigError(name, text, f"only the settings {', '.join(names)}")
    try:
        if kinds[name] in (int, float, str):
            return kinds[name](text)
        return tuple(int(level) for level in text.split("/"))
    except ValueError:
        raise ConfigError(
            name, text, f"a value such as {getattr(Settings, name)!r}, lists as 75/25"
        ) from None
