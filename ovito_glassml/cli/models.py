"""Commands about models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from ovito_glassml.cli.common import console

models_app = typer.Typer(help="List the shipped models and read their cards.", invoke_without_command=True)


@models_app.callback()
def models(context: typer.Context) -> None:
    """List the shipped models.

    Example: glassml models
    """
    if context.invoked_subcommand is not None:
        return
    from ovito_glassml.learn.format import list_models, read_header

    names = list_models()
    # Names are there to be copied, however narrow the window.
    table = Table(Column("name", min_width=max(map(len, names))), "says", "species", "cutoff", box=None)
    for name in names:
        header = read_header(name)
        table.add_row(name, header.title, " ".join(header.species), header.reach)
    console.print(table)
    console.print("Read the card of one with: glassml models show NAME", highlight=False)


@models_app.command("show")
def show_model(name: Annotated[str, typer.Argument(help="Shipped model name or model file.")]) -> None:
    """Print the card of a model: data, held-out scores, limits.

    Example: glassml models show stiffness-cuzr
    """
    from ovito_glassml.learn.card import render_card
    from ovito_glassml.learn.format import read_header

    typer.echo(render_card(read_header(name), Path(name).stem))
