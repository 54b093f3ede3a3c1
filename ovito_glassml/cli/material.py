"""Commands about materials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ovito_glassml.cli.commands import Commands
from ovito_glassml.cli.common import UsageError, console, progress_bar
from ovito_glassml.cli.lammps import Composition, LammpsArguments, Potentials
from ovito_glassml.files import write_atomically

material_app = Commands()


@material_app.command("list")
def list_materials() -> None:
    """List the shipped materials.

    Example: glassml material list
    """
    from ovito_glassml.simulate.material import load_material, shipped_materials

    table = Table("name", "composition", "units", "melt", "glass", "interactions by", box=None)
    for name in shipped_materials():
        one = load_material(name)
        unit = one.unit_system.temperature
        hot, cold = f"{one.melt_temperature:g} {unit}", f"{one.glass_temperature:g} {unit}"
        table.add_row(name, one.composition, one.units, hot, cold, one.reference)
    console.print(table)
    console.print("Read the file of one, to write your own like it, with: glassml material show NAME", highlight=False)


@material_app.command("show")
def show_material(name: Annotated[str, typer.Argument(help="A shipped material.")]) -> None:
    """Print the file of a shipped material.

    Example: glassml material show cu-zr
    """
    from ovito_glassml.simulate.material import shipped_materials

    if name not in (shipped := shipped_materials()):
        raise UsageError(f"There is no material {name!r}; choose from {', '.join(shipped)}.")
    typer.echo(shipped[name].read_text(encoding="utf-8"), nl=False)


@material_app.command("check")
def check_material_file(
    file: Annotated[str, typer.Argument(help="A .toml file, or the name of a shipped material.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the file with all that it left out, under a new name.")
    ] = None,
    composition: Composition = "",
    atoms: Annotated[int, typer.Option(help="Number of atoms of the sample.", min=100)] = 500,
    seed: Annotated[int, typer.Option(help="Starts positions and velocities.")] = 1,
    potentials: Potentials = None,
    lammps_args: LammpsArguments = None,
) -> None:
    """Melt, cool and measure a small sample of a material: is it what its file says, and what did the file leave out?

    Example: glassml material check cu30ta70.toml -o cu30ta70-complete.toml
    """
    from ovito_glassml.simulate.material import load_material
    from ovito_glassml.simulate.material_check import check_material
    from ovito_glassml.simulate.material_report import costs, described, written

    if output is not None and output.exists():
        raise UsageError(f"{output} exists already; give the new file another name.")
    if output is not None and output.suffix != ".toml":
        raise UsageError(f"The output {output.name} must end in .toml; rename it.")
    material = load_material(file, composition)
    with progress_bar("Starting LAMMPS") as update:
        report = check_material(material, update, atoms, seed)
    for what, found in described(report):
        console.print(f"{what}: {found}", highlight=False, soft_wrap=True)
    table = Table("protocol, as it is by default", "1 000 atoms", "4 000 atoms", box=None)
    for protocol, hours in costs(report).items():
        table.add_row(protocol, *(f"{one:.2g} core hours" for one in hours))
    console.print(table)
    if output is not None:
        write_atomically(output, written(report, output).encode())
        console.print(f"Wrote {output}; go on with: glassml simulate quench --material {output} -o glass.xyz.gz")
    elif report.filled:
        console.print(f"The file leaves out {', '.join(report.filled)}; have them filled in with -o NEW.toml.")
