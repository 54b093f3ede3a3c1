"""Commands that train models on a user's own data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.table import Table

from ovito_glassml.cli.common import UsageError, check_output, console, progress_bar

train_app = typer.Typer(help="Train a model on your own labelled structures.", no_args_is_help=True)


LengthUnit = Annotated[
    str, typer.Option(help="Of the files, for the card, such as angstrom or sigma; by default what the files say.")
]


EnergyUnit = Annotated[
    str, typer.Option(help="Of the labels, for the card, such as eV or epsilon; by default what the files say.")
]


References = Annotated[
    list[str] | None,
    typer.Option("--reference", help="Where the data or their potential come from, for the card; may be repeated."),
]


@train_app.command("stiffness")
def train_stiffness(
    files: Annotated[list[Path], typer.Argument(help="Labelled structures in any format OVITO reads.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Model file, ends in .safetensors.")],
    test: Annotated[
        list[Path] | None, typer.Option(help="File kept for testing only; by default the last of FILES.")
    ] = None,
    label: Annotated[str, typer.Option(help="Column with the measured stiffness.")] = "Stiffness",
    design: Annotated[str, typer.Option(help="species (the default model) or rdf40 (the published one).")] = "species",
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
    seed: Annotated[int, typer.Option(help="Of the networks' first weights.")] = 1,
    scan: Annotated[bool, typer.Option("--scan", help="Also compare activations, depths and widths.")] = False,
    length_unit: LengthUnit = "",
    energy_unit: EnergyUnit = "",
    reference: References = None,
) -> None:
    """Train a stiffness model on labelled files and judge it on whole files it has not seen.

    Example: glassml train stiffness labels-1.xyz.gz labels-2.xyz.gz labels-3.xyz.gz -o mine.safetensors
    """
    from ovito_glassml.learn.stiffness import evaluate as stiffness_evaluation
    from ovito_glassml.learn.stiffness import train as stiffness_training

    designs = {"species": stiffness_training.BY_SPECIES, "rdf40": stiffness_training.PUBLISHED}
    if design not in designs:
        raise UsageError(f"There is no design {design!r}; choose from {', '.join(designs)}.")
    check_output(output, ".safetensors")
    held_out = test or files[-1:]
    training = [file for file in files if file not in held_out]
    if not training:
        raise UsageError("No file is left to train on; give at least two, or name one more with --test.")
    origin = _origin([*training, *held_out], length_unit, energy_unit, reference)
    samples = labelled_samples(training, label, species)
    judges = labelled_samples(held_out, label, species)
    chosen = replace(designs[design], units=origin.units)
    with progress_bar("Training") as update:
        model = stiffness_training.train(samples, design=chosen, seed=seed, progress=update)
    scores = [stiffness_evaluation.score_sample(model, sample) for sample in judges]
    note = "Whole files that were not trained on."
    tables = [stiffness_evaluation.score_table("Held-out samples", scores, note, units=origin.units)]
    if scan:
        with progress_bar("Comparing networks") as update:
            tables.append(stiffness_training.scan_networks(samples, seed=seed, progress=update))
    card = _save_trained(output, model, tables, origin)
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
    activation: Annotated[
        str, typer.Option(help="What moved the atoms, for the card: thermal or shear; by default what the files say.")
    ] = "",
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
    length_unit: LengthUnit = "",
    reference: References = None,
) -> None:
    """Train a classifier of who will rearrange, and judge it on a whole configuration it has not seen.

    Labels come from a trajectory that begins with the structure to learn from:
    glassml apply run.dump -m nonaffine --set isoconfigurational=true --frames 0 -o labels.xyz

    Example: glassml train activity 1.xyz 2.xyz 3.xyz --active-species Cu --nearest 2.7 -o mine.safetensors
    """
    from ovito_glassml.descriptors.ace import ACEDescriptors
    from ovito_glassml.learn.activity import evaluate as activity_evaluation
    from ovito_glassml.learn.activity import train as activity_training

    if method not in activity_training.METHODS:
        raise UsageError(f"There is no method {method!r}; choose from {', '.join(activity_training.METHODS)}.")
    check_output(output, ".safetensors")
    held_out = test or files[-1:]
    origin = _origin([*files, *held_out], length_unit, "", reference)
    columns = label, displacement
    samples = {file: _activity_samples(file, columns, active_species, species) for file in {*files, *held_out}}
    training = [sample for file in files if file not in held_out for sample in samples[file]]
    judges = [sample for file in held_out for sample in samples[file]]
    names = judges[0].structure.species_names
    descriptor = ACEDescriptors(names, cutoff * nearest, nearest, order=order)
    title = f"who rearranges among {active_species} atoms of {'-'.join(names)}"
    cause, unit = activation or origin.activation, origin.units.length
    design = activity_training.ActivityDesign(title, "", descriptor, active_species, cause, method, unit)
    with progress_bar("Training") as update:
        model = activity_training.train_activity(training, design, progress=update)
    scores = activity_evaluation.score_samples(model, judges)
    table = activity_evaluation.score_table("Held-out configurations", scores, "Whole files that were not trained on.")
    card = _save_trained(output, model, [table], origin)
    console.print(f"Wrote {output} and its card {card}.", highlight=False, soft_wrap=True)


def _activity_samples(file: Path, names: tuple[str, str], active: str, species: str) -> list[Any]:
    """Every frame with its labels, those of the studied species only: of others the model says nothing."""
    import numpy as np

    from ovito_glassml.adapter.files import read_columns
    from ovito_glassml.learn.activity.data import labelled_sample
    from ovito_glassml.learn.activity.model import active_atoms

    label, displacement = names
    samples = []
    for structure, columns in read_columns(file, (label,), (displacement,), species=species):
        labels = np.where(active_atoms(structure, active), columns[label], np.nan)
        samples.append(labelled_sample(structure, labels, columns.get(displacement), file.name.split(".")[0]))
    return samples


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
    length_unit: LengthUnit = "",
    energy_unit: EnergyUnit = "",
    reference: References = None,
) -> None:
    """Train a prototype network on energy barriers and judge it on whole files it has not seen.

    A fifth of the atoms of every other file, a slab of it, stops the training and calibrates the probability.

    Example: glassml train scnn barriers-1.xyz.gz barriers-2.xyz.gz -o mine.safetensors
    """
    from ovito_glassml.learn.prototypes import data as scnn_data
    from ovito_glassml.learn.prototypes import evaluate as scnn_evaluation
    from ovito_glassml.learn.prototypes import train as scnn_training

    designs = {"environment": scnn_data.ENVIRONMENT, "bessel": scnn_data.PUBLISHED}
    if design not in designs:
        raise UsageError(f"There is no design {design!r}; choose from {', '.join(designs)}.")
    check_output(output, ".safetensors")
    held_out = test or files[-1:]
    training = [file for file in files if file not in held_out]
    if not training:
        raise UsageError("No file is left to train on; give at least two, or name one more with --test.")
    origin = _origin([*training, *held_out], length_unit, energy_unit, reference)
    samples, judges = (barrier_samples(part, label, species) for part in (training, held_out))
    chosen = replace(designs[design], units=origin.units)
    with progress_bar("Describing") as update:
        data = scnn_data.describe_samples(samples, chosen, progress=update)
    rows = data.divided(range(len(samples)))
    with progress_bar("Training") as update:
        model = scnn_training.train_scnn(data, *rows, design=chosen, seed=seed, progress=update)
    scores = [scnn_evaluation.score_model(model, sample) for sample in judges]
    tables = scnn_evaluation.score_tables(scores, "Held-out samples")
    if by_atom:
        tables.append(scnn_evaluation.by_atom_table(data, chosen, seed=seed))
    card = _save_trained(output, model, tables, origin)
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
    length_unit: LengthUnit = "",
    energy_unit: EnergyUnit = "",
    reference: References = None,
) -> None:
    """Learn the energy of a glass from its unique local environments.

    Energies of atoms are learned from their similarities with the environments, and energies known for whole
    structures only from the frequencies of the environments, which is far less precise. Structures along one
    simulation belong into one file, since runs are what is left out to judge by.

    Example: glassml train ule run-*.xyz.gz --energy energy_per_atom -o mine.safetensors
    """
    from ovito_glassml.adapter.voronoi import voronoi_indices
    from ovito_glassml.learn.barcode import evaluate as ule_evaluation
    from ovito_glassml.learn.barcode import train as ule_training

    check_output(output, ".safetensors")
    held_out = test or files[-1:]
    origin = _origin([*files, *held_out], length_unit, energy_unit, reference)
    samples = ule_samples([file for file in files if file not in held_out], energy, species)
    judges = ule_samples(held_out, energy, species)
    design = ule_training.UleDesign(
        similarity=similarity,
        share=share,
        environments=environments,
        folds=folds,
        first_trials=max(1, trials // 5),
        trials=trials,
        seed=seed,
        units=origin.units,
    )
    with progress_bar("Training") as update:
        model = ule_training.train_ule(samples, voronoi_indices, design=design, progress=update)
    table = ule_evaluation.held_out_table(model, samples, judges, origin.units)
    card = _save_trained(output, model, [*model.header.results, table], origin)
    console.print(f"Wrote {output} and its card {card}.", highlight=False, soft_wrap=True)


def ule_samples(files: list[Path], energy: str, species: str, kind: str = "") -> list[Any]:
    """Every frame of every file with its energy; a file is a run."""
    from ovito_glassml.adapter.energies import read_energies
    from ovito_glassml.learn.barcode.data import UleSample

    return [
        UleSample(structure, value, file.name.split(".")[0], text or file.name.split(".")[0], energies)
        for file in files
        for structure, value, text, energies in read_energies(file, energy, kind=kind, species=species)
    ]


def barrier_samples(files: list[Path], label: str, species: str) -> list[Any]:
    from ovito_glassml.learn.prototypes.data import BarrierSample

    return [BarrierSample(*sample) for sample in labelled_samples(files, label, species)]


def labelled_samples(files: list[Path], label: str, species: str) -> list[Any]:
    from ovito_glassml.adapter.files import read_labelled
    from ovito_glassml.learn.stiffness.train import LabelledSample

    samples = []
    for file in files:
        frames = list(read_labelled(file, label, species=species))
        stem = file.name.split(".")[0]
        for number, (structure, stiffness) in enumerate(frames):
            name = stem if len(frames) == 1 else f"{stem} frame {number}"
            samples.append(LabelledSample(structure, stiffness, name))
    return samples


class _Origin(NamedTuple):
    """What is known of training data: units (`learn.units.Units`), sources, and what moved the atoms."""

    units: Any
    references: tuple[str, ...]
    activation: str


def _origin(files: list[Path], length_unit: str, energy_unit: str, references: list[str] | None) -> _Origin:
    """What the user says about the data, otherwise what all files say; a card must not assume anything."""
    from ovito_glassml.adapter.files import attributes_of
    from ovito_glassml.learn.units import NOT_STATED, Units
    from ovito_glassml.simulate.material_header import stated

    said = [stated(attributes_of(file)) for file in dict.fromkeys(files)]

    def known(name: str) -> str:
        values = [one.get(name, NOT_STATED) for one in said]
        return NOT_STATED if NOT_STATED in values else " and ".join(dict.fromkeys(values))

    sources = references or [one["reference"] for one in said if "reference" in one]
    units = Units(length_unit or known("length_unit"), energy_unit or known("energy_unit"))
    return _Origin(units, tuple(dict.fromkeys(sources)), known("activation"))


def _save_trained(output: Path, model: Any, tables: list[Any], origin: _Origin) -> Path:
    """Write a model with its held-out scores and its card, print the scores, and return the path of the card."""
    from ovito_glassml.learn.card import write_card
    from ovito_glassml.learn.format import save_model
    from ovito_glassml.learn.units import NOT_STATED

    source = "see references" if origin.references else NOT_STATED
    header = replace(
        model.header,
        results=tuple(tables),
        training={**model.header.training, "source": source},
        references=(*model.header.references, *origin.references),
    )
    save_model(output, header, model.tensors())
    card = write_card(output)
    for table in tables:
        _print_table(table)
    return card


def _print_table(result: Any) -> None:
    table = Table(*result.columns, title=result.title, caption=result.note or None, box=None)
    for row in result.rows:
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row))
    console.print(table)
