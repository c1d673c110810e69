"""A method with its settings as one word of the command line: `step`, `ddim:timesteps=75/25`.

Where methods differ in their checkpoints the word names one: `step@runs/official:entry_timestep=50`.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from step_ros.policy.errors import ConfigError
from step_ros.policy.methods import METHODS
from step_ros.policy.settings import Settings


@dataclass(frozen=True)
class Variant:
    """A method and the settings that differ from the checkpoint's own.

    label: the word with the checkpoint's name in place of its path, as results are published: paths belong
    to one machine. checkpoint: folder, None for the run's own.
    """

    label: str
    method: str
    settings: dict[str, object]
    checkpoint: Path | None = None


def parse_variant(text: str) -> Variant:
    """Read `METHOD[@CHECKPOINT][:name=value,...]`; lists are written with slashes.

    Raises:
        ConfigError: unknown method or setting, or a value of the wrong kind.
    """
    head, _, options = text.partition(":")
    method, at, folder = head.partition("@")
    if method not in METHODS:
        raise ConfigError("method", method, "one of " + ", ".join(METHODS))
    if at and not folder:
        raise ConfigError("method", text, f"{method}@FOLDER, a checkpoint's")
    settings: dict[str, object] = {}
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        settings[name] = _value(name, value)
    if not at:
        return Variant(text, method, settings)
    checkpoint = Path(folder)
    label = f"{method}@{checkpoint.resolve().name}" + (f":{options}" if options else "")
    return Variant(label, method, settings, checkpoint)


def checkpoint_folders(variants: Iterable[Variant], own: Path) -> dict[str, Path]:
    """Every checkpoint folder that a run needs, by the name that results call it; the run's own first.

    Raises:
        ConfigError: two folders of one name, which a published result could not tell apart.
    """
    folders = {own.resolve().name: own}
    for variant in variants:
        folder = variant.checkpoint
        if folder is None:
            continue
        known = folders.setdefault(folder.resolve().name, folder)
        if known.resolve() != folder.resolve():
            raise ConfigError("checkpoint", f"{known} and {folder}", "folders of different names")
    return folders


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
