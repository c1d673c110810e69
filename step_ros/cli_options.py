"""Options that several commands of `step-ros` take: methods, and the fields of a dataclass as options."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated

import typer


def _words(texts: Sequence[str] | None) -> list[str] | None:
    return texts and [word for text in texts for word in text.split()]


Methods = Annotated[
    list[str],
    typer.Option(
        "--method",
        "--methods",
        callback=_words,
        help="METHOD[@CHECKPOINT][:setting=value,...], lists as 75/25; several in one text or repeated.",
    ),
]


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose last parameter is a dataclass, as one with an option for each field, after its own."""
    signature = inspect.signature(command, eval_str=True)
    *own, shared = signature.parameters.values()
    fields = inspect.signature(shared.annotation, eval_str=True).parameters

    @functools.wraps(command)
    def with_options(**given: object) -> None:
        together = shared.annotation(**{name: given.pop(name) for name in fields})
        command(**given, **{shared.name: together})

    options = [option.replace(kind=option.KEYWORD_ONLY) for option in (*own, *fields.values())]
    with_options.__signature__ = signature.replace(parameters=options)
    with_options.__annotations__ = {option.name: option.annotation for option in options}
    return with_options
