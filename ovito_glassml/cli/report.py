"""The command that writes a page about structures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ovito_glassml.cli.common import UsageError, check_output, console, matching, progress_bar
from ovito_glassml.cli.samples import Species
from ovito_glassml.modifiers import registry


def report(
    files: Annotated[list[str], typer.Argument(help="Structures or trajectories, or quoted patterns of them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page, ends in .html.")] = Path("report.html"),
    modifiers: Annotated[
        str, typer.Option(help="Which to run, such as stiffness,ule; by default all that answer a question.")
    ] = "",
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Add what the first file and each other differ in (of one: first and last frame)."
        ),
    ] = False,
    every: Annotated[
        int, typer.Option(min=0, help="Show every so many frames of a trajectory; 0: at most eight of them.")
    ] = 0,
    species: Species = "",
    material: Annotated[
        str, typer.Option(help="Material whose potential gives energy and forces, name or file; by default by species.")
    ] = "",
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Of the simulation in K, for the stiffness measured from a trajectory.")
    ] = 0.0,
    elastic: Annotated[
        bool,
        typer.Option(
            "--elastic",
            help="Add bulk modulus, shear modulus and Poisson's ratio where the potential is known: for 2 000 atoms "
            "about a minute.",
        ),
    ] = False,
    atom_style: Annotated[str, typer.Option(help="Of LAMMPS data files that do not say it.")] = "",
) -> None:
    """Write one page that says what structures are, what every modifier makes of them, and how far to trust it.

    The page holds its pictures and opens in any browser, without a network. Several files stand side by side.

    Example: glassml report slow.xyz fast.xyz --compare -o report.html
    """
    from ovito_glassml.workflow.report import Wishes, write_report

    chosen = _chosen(modifiers)
    sources = matching(files)
    check_output(output, ".html")
    if output.exists():
        raise UsageError(f"{output} exists already; give the new page another name.")
    wishes = Wishes(chosen, every, species, material, atom_style, temperature, elastic)
    with progress_bar("Reading") as update:
        found = write_report(sources, output, wishes, compare=compare, report=update)
    for one in found.unread:
        console.print(f"{one.name} is left out: {one.sentence}", highlight=False, soft_wrap=True, markup=False)
    console.print(f"Wrote {output}; open it in a browser.", highlight=False, soft_wrap=True, markup=False)


def _chosen(names: str) -> list[str]:
    """Short names of modifiers that there are."""
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    known = [name for name in registry.by_name() if name != "evaluate"]
    if unknown := [name for name in chosen if name not in known]:
        raise UsageError(f"There is no modifier {unknown[0]!r} for a page; choose from {', '.join(known)}.")
    return list(dict.fromkeys(chosen))
