"""The command that says why one glass is more stable than another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ovito_glassml.cli.common import UsageError, console, frame_range, matching, progress_bar
from ovito_glassml.cli.samples import Species


def compare(
    glass: Annotated[str, typer.Argument(help="File of the first glass, or a quoted pattern of glasses made alike.")],
    other: Annotated[str, typer.Argument(help="The same of the second.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for a picture and a table of all environments.")
    ] = None,
    model: Annotated[str, typer.Option(help="Barcode model, name or file; by default chosen by the structure.")] = "",
    frames: Annotated[
        str, typer.Option(metavar="START:STOP:STEP", help="Frames of each file, as a Python slice.")
    ] = "-1",
    species: Species = "",
) -> None:
    """Say why one glass has less energy than another, environment by environment.

    Both must be inherent structures of a glass that a barcode model knows. The energy of a glass is the sum over
    environments of their share times the mean energy of their atoms, so the difference is a sum of parts from other
    shares and from other energies. Errors come from the scatter between files where there are three or more of each
    glass, otherwise between boxes of the structures.

    Example: glassml compare annealed.xyz quenched.xyz --output why
    """
    from ovito_glassml.learn.barcode.budget import difference
    from ovito_glassml.workflow.stability import budget_of_files, draw_difference, told

    if output is not None and output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file; name a folder.")
    groups, chosen = (matching([glass]), matching([other])), frame_range(frames)
    names = (_name(glass), _name(other))
    if names[0] == names[1]:
        names = (f"{names[0]} (first)", f"{names[1]} (second)")
    with progress_bar("Comparing") as update:
        first, used, doubts = budget_of_files(groups[0], model, species, chosen, lambda x, t: update(x / 2, t))
        second, _, more = budget_of_files(groups[1], used, species, chosen, lambda x, t: update((1 + x) / 2, t))
    found = difference(first, second)
    lines = [told(names, (first, second), found), *(f"Do not trust {doubt}." for doubt in doubts + more)]
    written = [] if output is None else draw_difference(names, (first, second), found, output)
    for line in [f"By {used}.", *lines, *written]:
        console.print(str(line), highlight=False, soft_wrap=True, markup=False)


def _name(pattern: str) -> str:
    """What to call the structures of a file or pattern."""
    return Path(pattern).name.split(".")[0].replace("*", "").strip("-_") or "glass"
