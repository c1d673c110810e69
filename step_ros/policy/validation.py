"""Strict, self-describing dataclass fields: the one place where configuration values are checked.

A field is declared with `setting(default, description, low=…, high=…, choices=…)`. `check_fields` is called
from `__post_init__`, so no instance with a bad value can exist; `from_dict` adds the checks that only plain
data needs.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from step_ros.policy.errors import ConfigError

T = TypeVar("T")


def rule(
    description: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    """Field metadata: a description and what is accepted; a range holds for each element of a tuple."""
    return {"description": description, "low": low, "high": high, "choices": choices}


def setting(default: Any, description: str, **limits: Any) -> Any:
    """A dataclass field with an immutable default and the metadata of `rule`."""
    return dataclasses.field(default=default, metadata=rule(description, **limits))


def check_fields(instance: Any) -> None:
    """Check and normalise every field of a frozen dataclass in place (lists become tuples, 1 becomes 1.0).

    Raises:
        ConfigError: naming the first field whose value is of the wrong type or out of range.
    """
    hints = typing.get_type_hints(type(instance))
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        try:
            checked = _checked(value, hints[field.name], field.metadata)
        except _Refused as error:
            raise ConfigError(field.name, value, str(error)) from None
        object.__setattr__(instance, field.name, checked)


def from_dict(cls: type[T], data: object, source: str | Path = "") -> T:
    """Build dataclass `cls` from plain data, refusing unknown and missing keys.

    Raises:
        ConfigError: with `source` (a file name, usually) in front.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(cls.__name__, data, "an object with named fields", source)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in data:
        if key not in fields:
            raise ConfigError(str(key), data[key], f"only the fields {', '.join(fields)}", source)
    for name, field in fields.items():
        optional = (
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        )
        if name not in data and not optional:
            raise ConfigError(name, None, "a value (the field is required)", source)
    hints = typing.get_type_hints(cls)
    values = {}
    for key, value in data.items():
        nested = _dataclass_in(hints[key])
        try:
            values[key] = from_dict(nested, value) if nested and isinstance(value, Mapping) else value
        except ConfigError as error:
            raise error.located(source, key) from None
    try:
        return cls(**values)
    except ConfigError as error:
        raise error.located(source) from None


class _Refused(Exception):
    """A value was not accepted; the message says in words what is."""


def _dataclass_in(hint: Any) -> type | None:
    candidates = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return next((item for item in candidates if dataclasses.is_dataclass(item)), None)


def _checked(value: Any, hint: Any, limits: Mapping[str, Any]) -> Any:
    """`value` as type `hint`; _Refused says in words what is accepted."""
    if isinstance(hint, types.UnionType):
        if value is None and type(None) in typing.get_args(hint):
            return None
        hint = next(item for item in typing.get_args(hint) if item is not type(None))
    origin = typing.get_origin(hint)
    if origin is tuple:
        element = typing.get_args(hint)[0]
        if not isinstance(value, (list, tuple)):
            raise _Refused(f"a list; each element {_words(element, limits)}")
        return tuple(_checked(item, element, limits) for item in value)
    if origin is dict:
        key_hint, value_hint = typing.get_args(hint)
        if not isinstance(value, Mapping):
            raise _Refused("an object with named fields")
        return {_checked(k, key_hint, {}): _checked(v, value_hint, limits) for k, v in value.items()}
    return _checked_scalar(value, hint, limits)


def _checked_scalar(value: Any, hint: Any, limits: Mapping[str, Any]) -> Any:
    accepted = _words(hint, limits)
    if hint is Any:
        return value
    if hint is float and isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value):
        value = float(value)
    elif hint is int and isinstance(value, Integral) and not isinstance(value, bool):
        value = int(value)
    elif hint in (int, float) or not isinstance(value, hint):
        raise _Refused(accepted)
    if limits.get("choices") and value not in limits["choices"]:
        raise _Refused(accepted)
    low, high = limits.get("low"), limits.get("high")
    if (low is not None and value < low) or (high is not None and value > high):
        raise _Refused(accepted)
    return value


def _words(hint: Any, limits: Mapping[str, Any]) -> str:
    if limits.get("choices"):
        return "one of " + ", ".join(limits["choices"])
    kinds = {int: "a whole number", float: "a finite number", str: "text", bool: "true or false"}
    text = kinds.get(hint, f"a {getattr(hint, '__name__', hint)}")
    if limits.get("low") is not None:
        text += f" from {limits['low']}"
    if limits.get("high") is not None:
        text += f" to {limits['high']}"
    return text
