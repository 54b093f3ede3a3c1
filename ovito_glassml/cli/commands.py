"""What all commands are: their help begins with an example to copy, and each can be told to show no bars."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ovito_glassml.cli.common import without_bars

__all__ = ["Commands"]

#: Marks the line of a command's docstring that shows how it is used.
EXAMPLE = "Example: "


def _no_bars(context: typer.Context, quiet: bool) -> None:
    if quiet:
        context.with_resource(without_bars())


Quiet = Annotated[
    bool,
    typer.Option("--quiet", callback=_no_bars, help="Show no bars, as for a log."),
]


class Commands(typer.Typer):
    """A group whose commands are `Command`."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """As typer has it, with ``--quiet``."""
        register = super().command(name, **{"cls": Command, **options})

        def add(function: Any) -> Any:
            register(_with_quiet(function))
            return function

        return add


class Command(TyperCommand):
    """A command whose help begins with the example of its docstring."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The example goes to the top, in one line, however narrow the window."""
        text = self.help or ""
        paragraphs = text.split("\n\n")
        examples = [part for part in paragraphs if part.startswith(EXAMPLE)]
        for example in examples:
            formatter.write(" ".join(example.split()) + "\n\n")
        self.help = "\n\n".join(part for part in paragraphs if part not in examples)
        try:
            super().format_help(ctx, formatter)
        finally:
            self.help = text


def _with_quiet(function: Callable[..., None]) -> Callable[..., None]:
    """The same function for typer, which takes options from signatures."""
    signature = inspect.signature(function, eval_str=True)
    quiet = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quiet)

    @wraps(function)
    def run(quiet: bool, **values: Any) -> None:
        function(**values)

    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), quiet])  # type: ignore[attr-defined]
    run.__annotations__ = {name: one.annotation for name, one in run.__signature__.parameters.items()}  # type: ignore[attr-defined]
    return run
