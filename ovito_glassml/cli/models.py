"""Commands about models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from ovito_glassml.cli.commands import Commands
from ovito_glassml.cli.common import console

models_app = Commands(
    help="List the shipped and installed models, read their cards, install your own.", invoke_without_command=True
)


@models_app.callback()
def models(context: typer.Context) -> None:
    """List the models that come with the package and those that you have installed.

    Example: glassml models
    """
    if context.invoked_subcommand is None:
        list_all()


@models_app.command("list")
def list_all() -> None:
    """List the models that come with the package and those that you have installed.

    Example: glassml models list
    """
    from ovito_glassml.workflow.installed_models import listed_models

    listed = listed_models()
    # Names are there to be copied, however narrow the window.
    width = max(len(model.name) for model in listed)
    table = Table(Column("name", min_width=width), "from", "says", "species", "cutoff", box=None)
    for model in listed:
        if model.header is not None:
            header = model.header
            table.add_row(model.name, model.origin, header.title, " ".join(header.species), header.reach)
    console.print(table)
    for model in listed:
        if model.problem:
            console.print(f"{model.name} ({model.origin}): {model.problem}", highlight=False, markup=False)
    console.print("Read the card of one with: glassml models show NAME", highlight=False)


@models_app.command("show")
def show_model(
    name: Annotated[str, typer.Argument(help="Name of a shipped or installed model, or model file.")],
) -> None:
    """Print the card of a model: data, held-out scores, limits.

    Example: glassml models show stiffness-cuzr
    """
    from ovito_glassml.learn.card import render_card
    from ovito_glassml.learn.format import read_header

    typer.echo(render_card(read_header(name), Path(name).name.removesuffix(".safetensors")))


@models_app.command("add")
def add_model(
    path: Annotated[Path, typer.Argument(help="Model file, or folder of model files.")],
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of an installed model.")] = False,
) -> None:
    """Install models of your own, so that modifiers find them by name and choose among them.

    They are checked and copied with their cards into a folder of yours: GLASSML_MODELS, if that is set.

    Example: glassml models add mine.safetensors
    """
    from ovito_glassml.workflow.installed_models import add_models

    for name in add_models(path, replace=replace):
        console.print(f"Installed {name}; read its card with: glassml models show {name}", highlight=False)


@models_app.command("remove")
def remove_installed(name: Annotated[str, typer.Argument(help="Name of an installed model.")]) -> None:
    """Remove a model that you have installed, with its card.

    Example: glassml models remove mine
    """
    from ovito_glassml.workflow.installed_models import remove_model

    remove_model(name)
    console.print(f"Removed {name}.", highlight=False)
