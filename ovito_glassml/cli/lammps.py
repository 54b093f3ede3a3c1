"""Options of all commands that run LAMMPS."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ovito_glassml.cli.common import UsageError

__all__ = ["Composition", "LammpsArguments", "Potentials", "Scheduler"]


def _use(context: typer.Context, text: str | None) -> str | None:
    """Start LAMMPS with a user's own switches as long as the command runs."""
    if text is not None:
        from ovito_glassml.simulate.lammps_module import with_lammps_arguments

        context.with_resource(with_lammps_arguments(text))
    return text


def _look_in(context: typer.Context, folder: Path | None) -> Path | None:
    """Look for potential files there, too, as long as the command runs."""
    if folder is not None:
        from ovito_glassml.simulate.potential_files import with_potentials

        if not folder.is_dir():
            raise UsageError(f"The folder of potentials {folder} does not exist; check the path.")
        context.with_resource(with_potentials(folder))
    return folder


LammpsArguments = Annotated[
    str | None,
    typer.Option(
        "--lammps-args",
        metavar="SWITCHES",
        envvar="GLASSML_LAMMPS_ARGS",
        callback=_use,
        help="Switches for your own accelerated LAMMPS, such as '-k on g 1 -sf kk', instead of ours. A stopped run "
        "still goes on, but only without them are its numbers the same to the last bit.",
    ),
]

Potentials = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        callback=_look_in,
        is_eager=True,
        help="Folder of potential files, searched after that of the material's own file; also GLASSML_POTENTIALS.",
    ),
]

Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Let the workers of this Dask scheduler do it, such as tcp://host:8786. They must share the folder of "
        "the output. Needs the extra: pip install 'ovito-glassml[cluster]'.",
    ),
]

Composition = Annotated[str, typer.Option(help="Such as Cu64Zr36, in percent; by default that of the material.")]
