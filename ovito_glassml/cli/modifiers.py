"""Commands about modifiers."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Column, Table

from ovito_glassml.cli.commands import Commands
from ovito_glassml.cli.common import UsageError, console
from ovito_glassml.modifiers import registry

modifiers_app = Commands(help="List the modifiers and read what each of them does.", invoke_without_command=True)


@modifiers_app.callback()
def modifiers(context: typer.Context) -> None:
    """List the modifiers: short name, title in OVITO, and what it tells of a glass.

    Example: glassml modifiers
    """
    if context.invoked_subcommand is not None:
        return
    names = registry.by_name()
    table = Table(Column("name", min_width=max(map(len, names))), "title", "answers", box=None)
    for entry in names.values():
        table.add_row(entry.name, entry.title, entry.answers)
    console.print(table)
    console.print("Read the reference of one with: glassml modifiers show NAME", highlight=False)


@modifiers_app.command("show")
def show_modifier(name: Annotated[str, typer.Argument(help="Short name, as for glassml apply --modifier.")]) -> None:
    """Print the reference of a modifier: what it does, its outputs with units, and its parameters.

    Example: glassml modifiers show stiffness
    """
    from ovito_glassml.workflow.reference import printed

    registered = registry.by_name()
    if name not in registered:
        raise UsageError(f"There is no modifier {name!r}; choose from {', '.join(registered)}.")
    typer.echo(printed(registered[name]), nl=False)
