"""Commands that train models on a user's own data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.table import Table

from ovito_glassml.cli.commands import Commands
from ovito_glassml.cli.common import UsageError, check_output, console, progress_bar
from ovito_glassml.cli.options import with_options_of
from ovito_glassml.cli.samples import (
    BarrierColumn,
    Species,
    barrier_design,
    barrier_samples,
    chosen_from,
    labelled_samples,
    ule_samples,
)
from ovito_glassml.learn.activity.settings import ActivitySettings
from ovito_glassml.learn.barcode.train import UleDesign, train_ule
from ovito_glassml.learn.propensity.settings import PropensitySettings
from ovito_glassml.learn.prototypes.settings import ScnnSettings
from ovito_glassml.learn.stiffness.settings import StiffnessSettings
from ovito_glassml.structure import combined_species

train_app = Commands()


NOT_TRAINED_ON = "Whole files that were not trained on."

Files = Annotated[list[Path], typer.Argument(help="Labelled structures in any format OVITO reads.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Model file, ends in .safetensors.")]
Test = Annotated[list[Path] | None, typer.Option(help="File kept for testing only; by default the last of FILES.")]
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
@with_options_of(StiffnessSettings)
def train_stiffness(
    settings: StiffnessSettings,
    files: Files,
    output: Output,
    test: Test = None,
    label: Annotated[str, typer.Option(help="Column with the measured stiffness.")] = "Stiffness",
    cage_label: Annotated[
        str,
        typer.Option(help="Column with the stiffness relative to the first shell, learned too if it is there."),
    ] = "Cage_Stiffness",
    species: Species = "",
    scan: Annotated[bool, typer.Option("--scan", help="Also compare activations, depths and widths.")] = False,
    length_unit: LengthUnit = "",
    energy_unit: EnergyUnit = "",
    reference: References = None,
) -> None:
    """Train a stiffness model on labelled files and judge it on whole files it has not seen.

    Example: glassml train stiffness labels-1.xyz.gz labels-2.xyz.gz labels-3.xyz.gz -o mine.safetensors
    """
    from ovito_glassml.learn.stiffness.data import BY_SPECIES, PUBLISHED
    from ovito_glassml.learn.stiffness.evaluate import judged_by_leaving_out, score_tables
    from ovito_glassml.learn.stiffness.train import scan_networks, train

    chosen = chosen_from({"species": BY_SPECIES, "rdf40": PUBLISHED}, settings.design, "design")
    job = _job(files, output, test, length_unit, energy_unit, reference)
    samples, judges = (labelled_samples(part, label, species, cage_label) for part in (job.training, job.held_out))
    design = replace(chosen, units=job.units)
    with progress_bar("Training") as update:
        model = train(samples, design=design, seed=settings.seed, progress=update)
    with progress_bar("Leaving samples out") as update:
        model, left_out = judged_by_leaving_out(model, samples, design=design, seed=settings.seed, progress=update)
    tables = [*score_tables(model, judges, NOT_TRAINED_ON, units=job.units), *left_out]
    if scan:
        with progress_bar("Comparing networks") as update:
            tables.append(scan_networks(samples, seed=settings.seed, progress=update))
    job.save(model, tables)


@train_app.command("activity")
@with_options_of(ActivitySettings)
def train_activity_model(
    settings: ActivitySettings,
    files: Annotated[list[Path], typer.Argument(help="Labelled structures; each file is one configuration.")],
    output: Output,
    test: Test = None,
    label: Annotated[str, typer.Option(help="Column with 1 active, 0 inactive, -1 neither.")] = "Activity",
    displacement: Annotated[
        str, typer.Option(help="Column with D²min; only the method ard needs it.")
    ] = "Nonaffine Squared Displacement",
    species: Species = "",
    length_unit: LengthUnit = "",
    reference: References = None,
) -> None:
    """Train a classifier of who will rearrange, and judge it on a whole configuration it has not seen.

    Labels come from a trajectory that begins with the structure to learn from:
    glassml apply run.dump -m nonaffine --set isoconfigurational=true --frames 0 -o labels.xyz

    Example: glassml train activity 1.xyz 2.xyz 3.xyz --active-species Cu --nearest 2.7 -o mine.safetensors
    """
    from ovito_glassml.descriptors.ace import ACEDescriptors
    from ovito_glassml.learn.activity.evaluate import score_samples, score_table
    from ovito_glassml.learn.activity.train import METHODS, ActivityDesign, fitting_radii, train_activity

    chosen_from(dict.fromkeys(METHODS), settings.method, "method")
    active, nearest = settings.active_species, settings.nearest
    job = _job(files, output, test, length_unit, "", reference)
    training, judges = (
        [sample for file in part for sample in _activity_samples(file, (label, displacement), active, species)]
        for part in (job.training, job.held_out)
    )
    names = combined_species(sample.structure for sample in training)
    descriptor = ACEDescriptors(names, settings.cutoff * nearest, nearest, order=settings.order)
    title = f"who rearranges among {active} atoms of {'-'.join(names)}"
    cause = settings.activation or job.activation
    radii = fitting_radii(training, nearest, settings.average_radius)
    design = ActivityDesign(title, "", descriptor, active, cause, settings.method, job.units.length, radii)
    with progress_bar("Training") as update:
        model = train_activity(training, design, progress=update)
    job.save(model, [score_table("Held-out configurations", score_samples(model, judges), NOT_TRAINED_ON)])


def _activity_samples(file: Path, names: tuple[str, str], active: str, species: str) -> list[Any]:
    """Every frame with its labels, those of the studied species only: of others the model says nothing."""
    import numpy as np

    from ovito_glassml.adapter.files import read_columns
    from ovito_glassml.learn.activity.data import labelled_sample

    label, displacement = names
    samples = []
    for structure, columns in read_columns(file, (label,), (displacement,), species=species):
        labels = np.where(structure.of_species(active), columns[label], np.nan)
        samples.append(labelled_sample(structure, labels, columns.get(displacement), file.name.split(".")[0]))
    return samples


@train_app.command("propensity")
@with_options_of(PropensitySettings)
def train_propensity_model(
    settings: PropensitySettings,
    files: Annotated[list[Path], typer.Argument(help="Inherent structures; each file is one configuration.")],
    output: Output,
    label: Annotated[
        str, typer.Option(help="Column with every atom's displacement: its mean over runs, or one component a run.")
    ] = "Propensity",
    species: Species = "",
    length_unit: LengthUnit = "",
    reference: References = None,
) -> None:
    """Train a model of how far every atom will move, judged on every configuration by the others.

    Example: glassml train propensity 1.xyz 2.xyz 3.xyz --active-species A --nearest 1 -o mine.safetensors
    """
    from ovito_glassml.adapter.files import read_columns
    from ovito_glassml.learn.propensity.data import propensity_sample
    from ovito_glassml.learn.propensity.evaluate import result_tables
    from ovito_glassml.learn.propensity.train import fitting_design, train_propensity

    # Every configuration judges in its turn, so none is kept for that alone.
    job = _job(files, output, [files[-1]], length_unit, "", reference)._replace(training=files)
    samples = [
        propensity_sample(structure, columns[label], file.name.split(".")[0])
        for file in files
        for structure, columns in read_columns(file, (label,), (), species=species)
    ]
    active, names = settings.active_species, combined_species(sample.structure for sample in samples)
    title = f"how far {active} atoms of {'-'.join(names)} will move"
    design = fitting_design(
        samples, active, settings.nearest, title, cutoff=settings.cutoff, n_max=settings.n_max,
        angle_cutoff=settings.angle_cutoff, length_unit=job.units.length,
    )  # fmt: skip
    with progress_bar("Training") as update:
        model, data, left_out = train_propensity(samples, design, progress=update)
    job.save(model, list(result_tables(model, data, left_out, design)))


@train_app.command("scnn")
@with_options_of(ScnnSettings)
def train_scnn_model(
    settings: ScnnSettings,
    files: Files,
    output: Output,
    test: Test = None,
    label: BarrierColumn = "Activation_Energy",
    species: Species = "",
    by_atom: Annotated[bool, typer.Option("--by-atom", help="Also judge as published, divided by atom.")] = False,
    length_unit: LengthUnit = "",
    energy_unit: EnergyUnit = "",
    reference: References = None,
) -> None:
    """Train a prototype network on energy barriers and judge it on whole files it has not seen.

    A fifth of the atoms of every other file, a slab of it, stops the training and calibrates the probability.

    Example: glassml train scnn barriers-1.xyz.gz barriers-2.xyz.gz -o mine.safetensors
    """
    from ovito_glassml.learn.prototypes.data import describe_samples
    from ovito_glassml.learn.prototypes.evaluate import by_atom_table, score_model, score_tables
    from ovito_glassml.learn.prototypes.train import train_scnn

    chosen = barrier_design(settings.design)
    job = _job(files, output, test, length_unit, energy_unit, reference)
    samples, judges = (barrier_samples(part, label, species) for part in (job.training, job.held_out))
    chosen = replace(chosen, units=job.units)
    with progress_bar("Describing") as update:
        data = describe_samples(samples, chosen, progress=update)
    rows = data.divided(range(len(samples)))
    with progress_bar("Training") as update:
        model = train_scnn(data, *rows, design=chosen, seed=settings.seed, progress=update)
    tables = score_tables([score_model(model, sample) for sample in judges], "Held-out samples")
    if by_atom:
        tables.append(by_atom_table(data, chosen, seed=settings.seed))
    console.print(f"{data.left_out} atoms without a label were left out.", highlight=False)
    job.save(model, tables)


@train_app.command("ule")
@with_options_of(UleDesign, only=("environments", "similarity", "share", "folds", "trials", "seed"))
def train_ule_model(
    design: UleDesign,
    files: Annotated[list[Path], typer.Argument(help="Inherent structures of one composition; each file is one run.")],
    output: Output,
    test: Test = None,
    energy: Annotated[
        str,
        typer.Option(
            help="Attribute of a frame with the energy in eV per atom or, better, column of the atoms' energies."
        ),
    ] = "energy_per_atom",
    species: Species = "",
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
    from ovito_glassml.learn.barcode.evaluate import held_out_table

    job = _job(files, output, test, length_unit, energy_unit, reference)
    samples, judges = (ule_samples(part, energy, species) for part in (job.training, job.held_out))
    design = replace(design, first_trials=max(1, design.trials // 5), units=job.units)
    with progress_bar("Training") as update:
        model = train_ule(samples, voronoi_indices, design=design, progress=update)
    job.save(model, [*model.header.results, held_out_table(model, samples, judges, job.units)])


class _Job(NamedTuple):
    """The files to learn from and to judge by, and what is known of them: units, sources, and what moved the atoms."""

    output: Path
    training: list[Path]
    held_out: list[Path]
    units: Any
    references: tuple[str, ...]
    activation: str

    def save(self, model: Any, tables: list[Any]) -> None:
        """Write a model with its held-out scores and its card, and print the scores."""
        from ovito_glassml.learn.card import save_with_card
        from ovito_glassml.learn.format import data_digest
        from ovito_glassml.learn.units import NOT_STATED

        source = "see references" if self.references else NOT_STATED
        header = replace(
            model.header,
            results=tuple(tables),
            training={**model.header.training, "source": source, "data_sha256": data_digest(self.training)},
            references=(*model.header.references, *self.references),
        )
        card = save_with_card(self.output, header, model.tensors())
        for table in tables:
            _print_table(table)
        console.print(f"Wrote {self.output} and its card {card}.", highlight=False, soft_wrap=True)


def _job(
    files: list[Path],
    output: Path,
    test: list[Path] | None,
    length_unit: str,
    energy_unit: str,
    references: list[str] | None,
) -> _Job:
    """Units and sources are what the user says, otherwise what all files say; a card must not assume anything."""
    from ovito_glassml.adapter.files import attributes_of
    from ovito_glassml.learn.units import NOT_STATED, Units
    from ovito_glassml.simulate.material_header import stated

    check_output(output, ".safetensors")
    held_out = test or files[-1:]
    training = [file for file in files if file not in held_out]
    if not training:
        raise UsageError("No file is left to train on; give at least two, or name one more with --test.")
    said = [stated(attributes_of(file)) for file in dict.fromkeys([*training, *held_out])]

    moved_by = list(dict.fromkeys(one.get("activation", NOT_STATED) for one in said))
    activation = NOT_STATED if NOT_STATED in moved_by else " and ".join(moved_by)
    sources = references or [one["reference"] for one in said if "reference" in one]
    units = Units.of_files(said, length_unit, energy_unit)
    return _Job(output, training, held_out, units, tuple(dict.fromkeys(sources)), activation)


def _print_table(result: Any) -> None:
    """Print a table of results, if need be in parts that fit the terminal, each with the names of the rows."""
    cells = [[f"{value:.3f}" if isinstance(value, float) else str(value) for value in row] for row in result.rows]
    headings = list(result.columns)
    if sum(_widths(headings, cells)) > console.width:
        headings = [heading.replace(" ", "\n") for heading in headings]
    for number, part in enumerate(_parts(_widths(headings, cells), console.width)):
        table = Table(*(headings[column] for column in part), title="" if number else result.title, box=None)
        for row in cells:
            table.add_row(*(row[column] for column in part))
        console.print(table)
    if result.note:
        console.print(f"{result.note}\n", style="italic", highlight=False, markup=False)


def _widths(headings: list[str], cells: list[list[str]]) -> list[int]:
    """Of the columns, with a blank on either side."""
    columns = zip(headings, *cells, strict=True)
    return [2 + max(len(line) for text in column for line in text.split("\n")) for column in columns]


def _parts(widths: list[int], room: int) -> list[list[int]]:
    """Numbers of columns that fit side by side; the first, which names the rows, begins each part."""
    parts: list[list[int]] = [[0]]
    for column in range(1, len(widths)):
        if len(parts[-1]) > 1 and sum(widths[k] for k in parts[-1]) + widths[column] > room:
            parts.append([0])
        parts[-1].append(column)
    return parts
