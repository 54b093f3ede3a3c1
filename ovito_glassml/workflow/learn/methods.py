"""Learning and judging of each method, from the snapshots of a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ovito_glassml.adapter.files import read_columns
from ovito_glassml.adapter.input import plain_name
from ovito_glassml.adapter.voronoi import voronoi_indices
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.format import ResultTable
from ovito_glassml.learn.model import LearnedModel
from ovito_glassml.learn.units import Units
from ovito_glassml.progress import Report, span_of
from ovito_glassml.simulate.material import Material
from ovito_glassml.simulate.snapshots import made_with, read_frames, read_header, read_snapshot
from ovito_glassml.workflow.learn.plan import LearnError

__all__ = ["LEARNERS", "Learned", "Learner", "Task", "name_of", "own_labels"]

NOT_SEEN = "A whole glass, of another seed and another cooling rate, that took no part in the training."
#: Fewest glasses to learn from.
LEAST = {"stiffness": 1, "activity": 2, "propensity": 3, "prototypes": 1, "barcode": 2}


@dataclass(frozen=True)
class Task:
    """What a method learns from.

    Attributes
    ----------
    material : Material or None
        None where users bring labels of an unknown one.
    learned, aside : tuple of Path
        Snapshots to learn from, and to judge by.
    units : Units
    seed : int
    labels : str
        Column of the user's own labels; "": those of our protocols.
    species : str
        Names of unnamed types in the user's files.
    note : str
        What the glasses left out are.
    """

    material: Material | None
    learned: tuple[Path, ...]
    aside: tuple[Path, ...]
    units: Units
    seed: int
    labels: str = ""
    species: str = ""
    note: str = NOT_SEEN


@dataclass(frozen=True)
class Learned:
    """A model, its scores on the glasses left out, and how they grow.

    Attributes
    ----------
    model : LearnedModel
    tables : tuple of ResultTable
    curve : dict
        What is plotted over the number of glasses learned from: ``glasses``, and one list for each score.
    """

    model: LearnedModel
    tables: tuple[ResultTable, ...]
    curve: dict[str, list[float]]


@dataclass(frozen=True)
class Learner:
    """How a method is learned, and how its result is shown.

    Attributes
    ----------
    learn : callable
        ``learn(task, report)``.
    kind : str
        How names of models begin.
    label : str
        What is measured by simulations, for the card.
    modifier : str
        Short name of the modifier that uses the model.
    panels : tuple of (measured or None, predicted, quantity)
        Columns that are compared and drawn.
    draws : callable, optional
        ``draws(task, file)`` writes what is drawn, where that is not the last frame of the file left out.
    knows : str
        What kind of structures the model has seen.
    """

    learn: Callable[[Task, Report], Learned]
    kind: str
    label: str
    modifier: str
    panels: tuple[tuple[str | None, str, str], ...]
    draws: Callable[[Task, Path], None] | None = None
    knows: str = "glasses quenched in the computer"


def name_of(file: Path) -> str:
    return file.name.removesuffix(".xyz.gz") if file.name.endswith(".xyz.gz") else file.name.split(".")[0]


def growing(count: int) -> list[int]:
    """Numbers of glasses at which a learning curve has points, the last one left out: 1, 2, 4 …"""
    return [2**power for power in range(count.bit_length()) if 2**power < count]


# ---------------------------------------------------------------------- stiffness


def _stiffness_samples(files: Sequence[Path], task: Task) -> list[Any]:
    from ovito_glassml.learn.stiffness.data import LabelledSample

    if task.labels:
        return own_labels(files, task.labels, task.species)
    samples = []
    for file in files:
        snapshot = read_snapshot(file)
        first, cage = (snapshot.columns[name] for name in ("Harmonic_Stiffness", "Cage_Stiffness"))
        samples.append(LabelledSample(snapshot.structure, first, name_of(file), cage))
    return samples


def own_labels(files: Sequence[Path], label: str, species: str) -> list[Any]:
    """Samples of the user's files, one for each; a cage stiffness is never taken for another one.

    Raises
    ------
    LearnError
        If the column is one.
    """
    from ovito_glassml.learn.stiffness.data import LabelledSample

    cage = "Cage_Stiffness"
    if plain_name(label) == plain_name(cage):
        raise LearnError(
            f"The column {label} is a cage stiffness, which is learned beside another stiffness and not in its place; "
            "name the column of that with --labels."
        )
    samples = []
    for file in files:
        *_, (structure, columns) = read_columns(file, (label,), (cage,), species=species)
        samples.append(LabelledSample(structure, columns[label], name_of(file), columns.get(cage)))
    return samples


def _learn_stiffness(task: Task, report: Report) -> Learned:
    from ovito_glassml.learn.stiffness.data import BY_SPECIES
    from ovito_glassml.learn.stiffness.evaluate import judged_by_leaving_out, score_sample, score_tables
    from ovito_glassml.learn.stiffness.train import train

    samples, judges = (_stiffness_samples(files, task) for files in (task.learned, task.aside))
    what = f"stiffness {task.labels}" if task.labels else "harmonic stiffness"
    design = replace(BY_SPECIES, title=f"{what} from structure and species", units=task.units)
    points = [*growing(len(samples)), len(samples)]
    curve: dict[str, list[float]] = {"glasses": [], "atoms": []}
    begun = 0
    for count in points:
        part = span_of(report, begun / sum(points), (begun + count) / sum(points), f"{count} of {len(samples)}: ")
        begun += count
        try:
            model = train(samples[:count], design=design, seed=task.seed, progress=part)
        except TrainingError:  # too few atoms of a rare species
            if count == len(samples):
                raise
            continue
        curve["glasses"].append(count)
        curve["atoms"].append(sum(len(sample.structure) for sample in samples[:count]))
        for label, name in (("stiffness", "stiffness"), ("cage", "cage stiffness")):
            if all(getattr(one, label) is not None for one in (*judges, *samples)):
                score = float(np.mean([score_sample(model, one, label=label).correlation for one in judges]))
                curve.setdefault(f"R of {name}, by atom", []).append(score)
    tables = score_tables(model, judges, task.note, units=task.units)
    model, left_out = judged_by_leaving_out(model, samples, design=design, seed=task.seed)
    return Learned(model, (*tables, *left_out), curve)


# ---------------------------------------------------------------------- activity


def _learn_activity(task: Task, report: Report) -> Learned:
    from ovito_glassml.descriptors.ace import ACEDescriptors
    from ovito_glassml.learn.activity.evaluate import score_samples, score_table
    from ovito_glassml.learn.activity.settings import ActivitySettings
    from ovito_glassml.learn.activity.train import ActivityDesign, fitting_radii, train_activity

    material = task.material
    assert material is not None  # events are of simulations only
    samples = {file: _events(file) for file in (*task.learned, *task.aside)}
    learned = [one for file in task.learned for one in samples[file]]
    judges = [one for file in task.aside for one in samples[file]]
    if not judges:
        raise TrainingError("the glass left out had no plastic event that could be labelled; choose a larger size")
    if not any(sample.scored.any() for sample in judges):  # only larger events
        judges = [sample._replace(judged=None) for sample in judges]
    nearest, active = material.nearest_neighbour_distance, material.active_species
    names, radii = judges[0].structure.species_names, fitting_radii(learned, nearest)
    descriptor = ACEDescriptors(names, ActivitySettings.cutoff * nearest, nearest, order=ActivitySettings.order)
    title = f"who rearranges among {active} atoms of {material.name}"
    design = ActivityDesign(title, "", descriptor, active, "shear", length_unit=task.units.length, radii=radii)
    model = train_activity(learned, design, progress=report)
    scores = score_samples(model, judges)
    return Learned(model, (score_table("Held-out glass", scores, task.note),), {})


def _events(file: Path) -> list[Any]:
    """Structures before the plastic events of a glass; larger ones are only learned from."""
    from ovito_glassml.labels.activity import NEITHER
    from ovito_glassml.learn.activity.data import ActivitySample
    from ovito_glassml.workflow.learn.events import labels_of_larger_events

    frames, samples = read_frames(file), []
    for frame, larger in zip(frames, labels_of_larger_events(frames), strict=True):
        judged = frame.columns["Activity"] != NEITHER
        labels = (frame.columns["Activity"] if judged.any() else larger).astype(np.int8)
        if (labels != NEITHER).any():
            moved = frame.columns["Nonaffine_Squared_Displacement"]
            samples.append(ActivitySample(frame.structure, labels, moved, name_of(file), judged))
    return samples


# ---------------------------------------------------------------------- propensity


def _propensity_samples(files: Sequence[Path], task: Task) -> list[list[Any]]:
    """Samples of each file, the one to judge by first."""
    from ovito_glassml.workflow.learn.liquids import own_propensities, samples_of_runs

    if task.labels:
        return [[sample] for sample in own_propensities(files, task.labels, task.species)]
    return [samples_of_runs(file, name_of(file)) for file in files]


def _learn_propensity(task: Task, report: Report) -> Learned:
    from ovito_glassml.learn.lengths import nearest_neighbours
    from ovito_glassml.learn.propensity.evaluate import held_out_table, result_tables
    from ovito_glassml.learn.propensity.train import FEWEST, fitting_design, train_propensity
    from ovito_glassml.workflow.learn.liquids import how_far, how_settled, most_frequent

    learned = _propensity_samples(task.learned, task)
    begun = [samples[0] for samples in learned]
    judges = [samples[0] for samples in _propensity_samples(task.aside, task)]
    nearest = nearest_neighbours([sample.structure for sample in begun])
    material, active = task.material, task.material.active_species if task.material else most_frequent(begun)
    title = f"how far {active} atoms {f'of {material.name} ' if material else ''}will move"
    design = fitting_design(begun, active, nearest, title, length_unit=task.units.length)
    conditions = _conditions(task)
    told = " within {time} at {temperature}".format(**conditions) if conditions else ""
    points = [count for count in growing(len(learned)) if count >= FEWEST] + [len(learned)]
    curve: dict[str, list[float]] = {"glasses": [], "atoms": [], "R of propensity, by atom": []}
    for number, count in enumerate(points):
        done = sum(points[:number]) / sum(points)
        part = span_of(report, done, done + count / sum(points), f"{count} of {len(learned)}: ")
        chosen = [sample for samples in learned[:count] for sample in samples]
        model, data, left_out = train_propensity(chosen, design, training=conditions, progress=part)
        table = held_out_table(model, judges, task.note)
        reached = (count, sum(len(samples[0].structure) for samples in learned[:count]), table.rows[0][2])
        for name, value in zip(curve, reached, strict=True):
            curve[name].append(float(value))
    settled = how_settled(begun, judges, active) if conditions else ""
    table = replace(table, note=f"{task.note} {how_far(begun, active, nearest, told)}{settled}")
    header = replace(model.header, limits=_limits(active, told))
    tables = (table, *result_tables(model, data, left_out, design))
    return Learned(replace(model, header=header), tables, curve)


def _conditions(task: Task) -> dict[str, str]:
    """Temperature and time of our runs, for the card."""
    if task.labels or task.material is None:
        return {}
    units, header = task.material.unit_system, read_header(task.learned[0])
    time = f"{made_with(header)['duration']:g} {units.time}"
    return {"temperature": f"{header['temperature']} {units.temperature}", "time": time}


def _limits(active: str, told: str) -> tuple[str, ...]:
    return (
        "Knows structures like its training samples and no others; the extrapolation score marks what is unlike.",
        f"Atoms of {active} alone, the species that was chosen; displacements{told or ' of one temperature and time'}.",
        "Trained on structures at rest; minimise thermal snapshots first.",
    )


def _draw_propensity(task: Task, file: Path) -> None:
    from ovito_glassml.workflow.learn.liquids import write_propensity

    write_propensity(file, _propensity_samples(task.aside[-1:], task)[0][0])


# ---------------------------------------------------------------------- prototypes


def _learn_prototypes(task: Task, report: Report) -> Learned:
    from ovito_glassml.learn.prototypes.data import ENVIRONMENT, BarrierSample, describe_samples
    from ovito_glassml.learn.prototypes.evaluate import score_model, score_tables
    from ovito_glassml.learn.prototypes.train import train_scnn

    def samples(files: Sequence[Path]) -> list[Any]:
        read = [(name_of(file), read_snapshot(file)) for file in files]
        return [BarrierSample(one.structure, one.columns["Activation_Energy"], name) for name, one in read]

    design = replace(ENVIRONMENT, units=task.units)
    learned = samples(task.learned)
    data = describe_samples(learned, design, progress=span_of(report, 0.0, 0.2))
    rows = data.divided(range(len(learned)))
    model = train_scnn(data, *rows, design=design, seed=task.seed, progress=span_of(report, 0.2, 1.0))
    tables = score_tables([score_model(model, sample) for sample in samples(task.aside)], "Held-out glass")
    return Learned(model, tuple(tables), {})


# ---------------------------------------------------------------------- barcode


def _learn_barcode(task: Task, report: Report) -> Learned:
    from ovito_glassml.learn.barcode.data import UleSample
    from ovito_glassml.learn.barcode.evaluate import held_out_table
    from ovito_glassml.learn.barcode.train import UleDesign, train_ule

    def samples(files: Sequence[Path]) -> list[Any]:
        return [
            UleSample(
                frame.structure,
                float(str(frame.header["energy_per_atom"])),
                name_of(file),
                f"{frame.header['anneal_temperature']}",
                frame.columns["Potential_Energy"],
            )
            for file in files
            for frame in read_frames(file)
        ]

    learned = samples(task.learned)
    design = UleDesign(folds=min(5, len(task.learned)), seed=task.seed, units=task.units)
    model = train_ule(learned, voronoi_indices, design=design, progress=report)
    table = held_out_table(model, learned, samples(task.aside), task.units)
    return Learned(model, (*model.header.results, table), {})


LEARNERS: Mapping[str, Learner] = {
    "stiffness": Learner(
        _learn_stiffness,
        "stiffness",
        "k_B T / u² in the harmonic limit, from the Hessian: of the atom, and relative to its first shell",
        "stiffness",
        (
            ("Harmonic_Stiffness", "Predicted Stiffness", "stiffness"),
            ("Cage_Stiffness", "Predicted Cage Stiffness", "cage stiffness"),
        ),
    ),
    "activity": Learner(
        _learn_activity,
        "activity",
        "who moves in plastic events of a glass sheared by steps at T = 0",
        "activity",
        ((None, "Activity Probability", "probability"),),
    ),
    "propensity": Learner(
        _learn_propensity,
        "propensity",
        "how far every atom moves, on average over runs from one supercooled liquid with new velocities",
        "activity",
        (("Propensity", "Predicted Propensity", "displacement"),),
        _draw_propensity,
        "liquids at one temperature",
    ),
    "prototypes": Learner(
        _learn_prototypes,
        "scnn",
        "mean energy barrier of the events around an atom",
        "scnn",
        ((None, "High Activation Probability", "probability of a high barrier"),),
    ),
    "barcode": Learner(
        _learn_barcode,
        "ule",
        "energies of the atoms of inherent structures, annealed glasses",
        "ule",
        ((None, "ULE Energy Contribution", "energy contribution"),),
    ),
}
