"""The command that makes models of a user's own glass."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ovito_glassml.cli.common import UsageError, matching, two_bars
from ovito_glassml.cli.lammps import Composition, LammpsArguments, Potentials, Scheduler

__all__ = ["add_commands"]


def learn(
    context: typer.Context,
    material: Annotated[
        str | None,
        typer.Argument(help="A .toml file of a material, the name of a shipped one, or a learn.toml to repeat."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for everything.")] = Path("my-glass"),
    size: Annotated[
        str, typer.Option(help="quick (for a look), laptop (a night), paper; tiny only shows that everything works.")
    ] = "quick",
    methods: Annotated[
        str, typer.Option(help="Of stiffness, activity, propensity, prototypes, barcode.")
    ] = "stiffness",
    budget: Annotated[
        str, typer.Option(help="Such as 8h: the largest plan that this computer does in that time, in place of a size.")
    ] = "",
    composition: Composition = "",
    seed: Annotated[int, typer.Option(help="Of glasses and networks.")] = 1,
    structures: Annotated[
        list[str] | None,
        typer.Option(help="Your own glasses, a file each, in place of ours; patterns in quotes. The last is left out."),
    ] = None,
    labels: Annotated[
        str, typer.Option(help="Column of your own labels in the structures; nothing is simulated then.")
    ] = "",
    species: Annotated[str, typer.Option(help="Names for unnamed particle types of your structures.")] = "",
    cores: Annotated[int, typer.Option(help="Simulations at a time on this machine.", min=1)] = os.cpu_count() or 1,
    scheduler: Scheduler = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say jobs, cost and disk.")] = False,
    potentials: Potentials = None,
    lammps_args: LammpsArguments = None,
) -> None:
    """Make models of your own glass: check its potential, quench, label, train, judge on a glass left out, report.

    Says first what it costs. Stop it whenever you like: the same command goes on.

    Example: glassml learn my-glass.toml -o my-glass
    """
    from ovito_glassml.workflow.learn.run import Workers, learn

    asked = {"size": size, "methods": methods, "budget": budget, "seed": seed, "labels": labels, "species": species}
    with two_bars("All") as (progress, say):
        if material is not None and Path(material).name == "learn.toml":
            _refuse_choices(context)
            request, made_of, folder, before = _repeated(Path(material), output)
        else:
            request, made_of, folder, before = _asked(material, composition, output, asked, structures or [])
        try:
            learn(request, made_of, folder, Workers(cores, scheduler), say, progress, before=before, dry=dry_run)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise UsageError(
                f"The disk of {output} is full; free some and repeat the command, nothing is lost."
            ) from error


def _asked(
    name: str | None, composition: str, output: Path, asked: dict[str, Any], structures: list[str]
) -> tuple[Any, ...]:
    """Request, material and folder of what the options say."""
    from ovito_glassml.workflow.learn.folder import Folder, Request
    from ovito_glassml.workflow.learn.plan import SIZES, check_methods, check_seed, read_budget
    from ovito_glassml.workflow.learn.run import material_given

    if asked["size"] not in SIZES:
        raise UsageError(f"There is no size {asked['size']!r}; choose from {', '.join(SIZES)}.")
    if asked["labels"] and not structures:
        raise UsageError("Labels are columns of your own files; name those with --structures.")
    if asked["budget"]:
        read_budget(asked["budget"])
    check_seed(asked["seed"])
    files = tuple(str(file.resolve()) for file in matching(structures))
    made_of, fingerprint = (None, "") if name is None else material_given(name, composition)
    chosen = check_methods([method.strip() for method in asked["methods"].split(",")])
    request = Request(fingerprint, **{**asked, "methods": chosen, "structures": files})
    return request, made_of, Folder(output), None


def _repeated(record: Path, output: Path) -> tuple[Any, ...]:
    """The same for a task whose record is given, and its folder."""
    from ovito_glassml.simulate.material import read_material
    from ovito_glassml.workflow.learn.folder import Folder, read_learn_file

    request, sizes = read_learn_file(record)
    before = Folder(record.parent)
    if sizes is None and not request.labels:
        raise UsageError(f"{record} was written before its plan was made; repeat the command that began it.")
    made_of = read_material(before.material) if before.material.exists() else None
    return request, made_of, Folder(output), before


def _refuse_choices(context: typer.Context) -> None:
    """A record says everything but who works and where the result goes."""
    free = {"material", "output", "cores", "scheduler", "dry_run", "potentials", "lammps_args"}
    given = [
        f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in free and str(context.get_parameter_source(name)).endswith("COMMANDLINE")
    ]
    if given:
        raise UsageError(f"A learn.toml repeats what it says; leave out {', '.join(given)}, or give the material.")


def add_commands(app: typer.Typer) -> None:
    """Put this command at the top level."""
    app.command()(learn)
