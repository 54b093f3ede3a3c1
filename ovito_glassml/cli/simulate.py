"""Commands that make training data with LAMMPS."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ovito_glassml.cli.commands import Commands
from ovito_glassml.cli.common import UsageError, check_output, console, progress_bar
from ovito_glassml.cli.lammps import Composition, LammpsArguments, Potentials, Scheduler
from ovito_glassml.cli.options import with_options_of
from ovito_glassml.simulate.campaign import PROTOCOLS
from ovito_glassml.simulate.material import Material, load_material
from ovito_glassml.simulate.material_header import FORMERLY, material_for

simulate_app = Commands()

#: Protocols without checkpoints.
IN_ONE_GO = ("harmonic",)


_MATERIAL = typer.Option("--material", "--system", help="A shipped material (glassml material list) or a .toml file.")
CopperZirconium = Annotated[str, _MATERIAL]
OfTheStructure = Annotated[
    str | None,
    typer.Option(help="A shipped material or a .toml file; by default what the structure's file or species say."),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Result, ends in .xyz.gz.")]
Glass = Annotated[Path, typer.Argument(help="Structure at rest in a periodic cell; of several frames, the last.")]
Species = Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")]


def _options(protocol: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return with_options_of(PROTOCOLS[protocol].settings)


def _make(protocol: str, settings: Any, material: str, composition: str, output: Path) -> Material:
    """Run a protocol that makes its own atoms."""
    check_output(output, ".xyz.gz")
    made_of = load_material(FORMERLY.get(material, material), composition)
    with progress_bar("Starting LAMMPS", goes_on=True) as update:
        PROTOCOLS[protocol].simulate(made_of, settings, output, update)
    return made_of


def _measure(
    protocol: str, settings: Any, material: str | None, file: Path, species: str, output: Path, **options: Any
) -> Material:
    """Run a protocol that starts from a structure."""
    from ovito_glassml.adapter.files import open_trajectory
    from ovito_glassml.adapter.input import structure_from_data

    check_output(output, ".xyz.gz")
    trajectory = open_trajectory(file)
    data = trajectory.compute(trajectory.num_frames - 1)
    structure = structure_from_data(data, species=species)
    header = dict(data.attributes)
    made_of = load_material(material) if material else material_for(structure, header, file.resolve().parent)
    with progress_bar("Starting LAMMPS", goes_on=protocol not in IN_ONE_GO) as update:
        PROTOCOLS[protocol].simulate(made_of, structure, settings, output, update, **options)
    return made_of


@simulate_app.command("quench")
@_options("quench")
def simulate_quench(
    settings: Any,
    output: Output,
    material: CopperZirconium = PROTOCOLS["quench"].material,
    composition: Composition = "",
    preset: Annotated[str | None, typer.Option(help="paper: 19652 atoms at 1e10 K/s, weeks on a laptop.")] = None,
    potentials: Potentials = None,
    lammps_args: LammpsArguments = None,
) -> None:
    """Melt and cool a glass; the result is its inherent structure at the pressure or density of the material.

    A table beside it, NAME.curve.csv, holds temperature, density and energy on the way down.

    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate quench --composition Cu50Zr50 --atoms 4000 --cooling-rate 1e12 -o glass.xyz.gz
    """
    from dataclasses import replace

    if preset not in (None, "paper"):
        raise UsageError(f"There is no preset {preset!r}; use paper, or none.")
    if preset == "paper":
        settings = replace(settings, atoms=19652, cooling_rate=1e10)
    _make("quench", settings, material, composition, output)
    console.print(
        f"Wrote {output}; open it in OVITO or go on with: glassml simulate vibrations {output} -o labels.xyz.gz"
    )


@simulate_app.command("vibrations")
@_options("vibrations")
def simulate_vibrations(
    settings: Any,
    file: Glass,
    output: Output,
    material: OfTheStructure = None,
    species: Species = "",
    potentials: Potentials = None,
    lammps_args: LammpsArguments = None,
) -> None:
    """Measure the stiffness of every atom from its vibrations: the labels of the stiffness models.

    Example: glassml simulate vibrations glass.xyz.gz -o labels.xyz.gz
    """
    _measure("vibrations", settings, material, file, species, output)
    console.print(f"Wrote {output}; train on such files with: glassml train stiffness {output} ...", highlight=False)


@simulate_app.command("harmonic")
@_options("harmonic")
def simulate_harmonic(
    settings: Any,
    file: Glass,
    output: Output,
    material: OfTheStructure = None,
    species: Species = "",
    potentials: Potentials = None,
    lammps_args: LammpsArguments = None,
) -> None:
    """Compute how stiffly every atom is held, from the second derivatives of the energy: a minute for 4000 atoms.

    Example: glassml simulate harmonic glass.xyz.gz -o labels.xyz.gz
    """
    _measure("harmonic", settings, material, file, species, output)
    console.print(f"Wrote {output}; its column Cage_Stiffness is what models learn best.", highlight=False)


@simulate_app.command("barriers")
@_options("barriers")
def simulate_barriers(
    settings: Any,
    file: Glass,
    output: Output,
    material: OfTheStructure = None,
    processes: Annotated[int, typer.Option(help="Processes that share the atoms.", min=1)] = os.cpu_count() or 1,
    scheduler: Scheduler = None,
    species: Species = "",
    potentials: Potentials = None,
    lammps_args: LammpsArguments = None,
) -> None:
    """Search the saddles around every atom and average their barriers: the activation energy of each atom.

    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate barriers glass.xyz.gz --events 10 -o barriers.xyz.gz
    """
    shared = {"processes": processes, "scheduler": scheduler}
    made_of = _measure("barriers", settings, material, file, species, output, **shared)
    unit = made_of.unit_system.energy
    console.print(f"Wrote {output}; its column Activation_Energy holds the mean barriers in {unit}.", highlight=False)


@simulate_app.command("anneal")
@_options("anneal")
def simulate_anneal(
    settings: Any,
    output: Output,
    material: CopperZirconium = PROTOCOLS["anneal"].material,
    composition: Composition = "",
    potentials: Potentials = None,
    lammps_args: LammpsArguments = None,
) -> None:
    """Quench a glass at fixed density, anneal it, and collect inherent structures with their energies.

    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate anneal --composition Zr44Cu56 --number-density 0.0576 --seed 1 -o annealed.xyz.gz
    """
    from ovito_glassml.simulate.protocols.anneal import TEMPERATURES

    _make("anneal", settings, material, composition, output)
    count = settings.structures * (len(settings.temperatures) or len(TEMPERATURES))
    console.print(f"Wrote {count} inherent structures to {output}; open it in OVITO as a trajectory.", highlight=False)


@simulate_app.command("shear-aqs")
@_options("shear-aqs")
def simulate_shear_aqs(
    settings: Any,
    output: Output,
    material: CopperZirconium = PROTOCOLS["shear-aqs"].material,
    composition: Composition = "",
    potentials: Potentials = None,
    lammps_args: LammpsArguments = None,
) -> None:
    """Shear a glass at zero temperature, step by step, and label the atoms of its plastic events.

    The result has one frame for each event. Stop it whenever you like: the same command continues from the last half
    minute.

    Example: glassml simulate shear-aqs --material kob-andersen --atoms 1000 --seed 1 -o events.xyz.gz
    """
    _make("shear-aqs", settings, material, composition, output)
    console.print(f"Wrote {output}; its column Activity is 1 for active and 0 for inactive atoms.", highlight=False)


@simulate_app.command("shear-md")
@_options("shear-md")
def simulate_shear_md(
    settings: Any,
    file: Glass,
    output: Output,
    material: OfTheStructure = None,
    species: Species = "",
    potentials: Potentials = None,
    lammps_args: LammpsArguments = None,
) -> None:
    """Shear a glass by molecular dynamics and collect inherent structures on the way.

    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate shear-md annealed.xyz.gz --temperature 300 -o sheared.xyz.gz
    """
    _measure("shear-md", settings, material, file, species, output)
    console.print(f"Wrote {settings.structures + 1} inherent structures to {output}.", highlight=False)


@simulate_app.command("isoconfigurational")
@_options("isoconfigurational")
def simulate_isoconfigurational(
    settings: Any,
    output: Output,
    material: CopperZirconium = PROTOCOLS["isoconfigurational"].material,
    composition: Composition = "",
    potentials: Potentials = None,
    lammps_args: LammpsArguments = None,
) -> None:
    """Run one supercooled liquid many times with new velocities, to see which atoms tend to move.

    Frame 0 of the result is the start, every further frame the end of one run.
    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate isoconfigurational --material wahnstrom --seed 1 -o replicas.xyz.gz
    """
    _make("isoconfigurational", settings, material, composition, output)
    console.print(f"Wrote the start and {settings.replicas} ends to {output}.", highlight=False)


@simulate_app.command("campaign")
def simulate_campaign(
    file: Annotated[Path, typer.Argument(help="TOML file: a [[job]] table a simulation, a [[set]] for many.")],
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("campaign"),
    cores: Annotated[int, typer.Option(help="Simulations at a time on this machine.", min=1)] = os.cpu_count() or 1,
    scheduler: Scheduler = None,
    size: Annotated[str, typer.Option(help="Column of sizes in the file, such as laptop or paper.")] = "laptop",
    status: Annotated[bool, typer.Option("--status", help="Only say what is done, running and left.")] = False,
    device: Annotated[
        bool,
        typer.Option("--device", help="Only run anneals and barriers, on a CUDA device. Quenches come first."),
    ] = False,
    potentials: Potentials = None,
    lammps_args: LammpsArguments = None,
) -> None:
    """Run a queue of simulations that can be stopped at any moment and resumed by the same command.

    Example: glassml simulate campaign sample_data/campaign.toml --output campaign --cores 2
    """
    from ovito_glassml.simulate import campaign

    jobs = campaign.load_campaign(file, size)

    def left(records: list[dict]) -> list[float]:
        return campaign.seconds_left(jobs, records)

    records = campaign.status(jobs, folder)
    if status:
        _print_status(jobs, records, left(records))
        return
    if device:
        with progress_bar("Starting the device", goes_on=True) as update:
            campaign.run_on_device(jobs, folder, update)
        _print_status(jobs, records := campaign.status(jobs, folder), left(records))
        return
    with progress_bar("Starting", goes_on=True) as update:
        failed = campaign.run_campaign(
            jobs, folder, cores, lambda now: update(*campaign.summary(now, left(now))), scheduler=scheduler
        )
    records = campaign.status(jobs, folder)
    _print_status(jobs, records, left(records))
    if failed:
        raise UsageError(f"These jobs failed: {', '.join(failed)}; read their messages above and start again.")


def _print_status(jobs: list[Any], records: list[dict], left: list[float]) -> None:
    """Jobs under way one by one, all others summed up by protocol and material."""
    groups: dict[str, list[float]] = {}
    for job, record, seconds in zip(jobs, records, left, strict=True):
        name = " ".join(filter(None, [job.protocol, Path(job.material).stem]))
        group = groups.setdefault(name, [0, 0, 0, 0.0, 0.0])
        group[["done", "started", "waiting"].index(record["state"])] += 1
        group[3] += record["seconds"] / 3600
        group[4] += seconds / 3600
        if record["state"] == "started":
            minutes = f"{record['seconds'] / 60:.0f} core minutes, {seconds / 60:.0f} left"
            text = f"{job.name}: {record['fraction']:.0%} in {minutes}, {record['text']}"
            console.print(text, highlight=False, soft_wrap=True)
    table = Table("jobs", "done", "started", "waiting", "core hours", "left", box=None)
    for name, (done, started, waiting, hours, hours_left) in groups.items():
        table.add_row(name, f"{done:g}", f"{started:g}", f"{waiting:g}", f"{hours:.1f}", f"{hours_left:.1f}")
    console.print(table)
    finished = sum(record["state"] == "done" for record in records)
    hours, hours_left = sum(record["seconds"] for record in records) / 3600, sum(left) / 3600
    console.print(
        f"{finished} of {len(records)} jobs done in {hours:.1f} core hours; about {hours_left:.1f} core hours left.",
        highlight=False,
    )
