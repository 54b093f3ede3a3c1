"""Options of a command from the fields of a settings class: names, types, defaults and help stand there alone."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from ovito_glassml.cli.common import number

__all__ = ["with_options_of"]

#: Fields that say how a run is cut into segments, which is nobody's wish.
_INTERNAL = {"checkpoint_atom_steps", "steps_per_checkpoint", "frame"}


def with_options_of(settings: type, only: Sequence[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator of a command whose first parameter takes settings: its options become those of the command.

    A field of many numbers is text with commas between them; one that follows from the material has no default, and
    one without a default has to be given. With `only`, the other fields keep their defaults.
    """
    chosen = [field for field in fields(settings) if (field.name in only if only else field.name not in _INTERNAL)]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = list(signature.parameters.values())[1:]
        hints, helps = get_type_hints(settings), _helps(settings)
        options = [_parameter(field, hints[field.name], helps[field.name]) for field in chosen]

        @wraps(command)
        def run(**values: Any) -> None:
            given = {field.name: values.pop(field.name) for field in chosen}
            told = {name: _read(name, value, hints[name]) for name, value in given.items() if value is not None}
            command(settings(**told), **values)

        run.__signature__ = signature.replace(parameters=[*own, *options])  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *options)}
        return run

    return decorate


def _parameter(field: Field, hint: Any, text: str) -> inspect.Parameter:
    default = None if field.default != field.default else field.default
    if default is MISSING and field.default_factory is MISSING:
        needed: Any = Annotated[hint, typer.Option(help=text)]
        return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, annotation=needed)
    if hint == tuple[float, ...]:
        hint, default = str, ",".join(f"{value:g}" for value in field.default) or None  # type: ignore[union-attr]
    plain: Any = hint if default is not None or hint not in (int, float, str) else hint | None
    annotation: Any = Annotated[plain, typer.Option(help=text, show_default=default is not None)]
    keyword = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(field.name, keyword, default=default, annotation=annotation)


def _read(name: str, value: Any, hint: Any) -> Any:
    if hint != tuple[float, ...]:
        return value
    return tuple(number(part, name.removesuffix("s").replace("_", " ")) for part in value.split(","))


def _helps(settings: type) -> dict[str, str]:
    """First sentences of the attributes' descriptions in the docstring."""
    _, _, attributes = (inspect.getdoc(settings) or "").partition("Attributes\n----------\n")
    found = re.findall(r"^(\w+) : .*\n((?:    .*\n?)+)", attributes, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}
