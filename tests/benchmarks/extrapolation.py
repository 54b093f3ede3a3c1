"""Are predictions worse where the extrapolation score says so?

Run ``python tests/benchmarks/extrapolation.py [FOLDER]``; FOLDER holds the Kob-Andersen ensembles that
``python -m ovito_glassml.reproduce.activity archives`` makes, without it their model is judged under shear alone.
Every shipped model sees what it was not trained on: the samples kept aside, at rest and vibrating (for models of shear
at the temperature of the supercooled liquid), for stiffness and barcodes also other compositions, for barcodes also
sheared glasses. The mean |error| (of stiffness, of the energy of an atom, or of probability against outcome, both
outcomes counting alike) of atoms with a score above 1 is divided by that of the others; for probabilities the last
columns do the same with the share of atoms on the wrong side of one half, since |probability − outcome| cannot tell
much: it is 0.3 to 0.4 for a model that ranks well, and 0.5 for a coin.
Models of one mixture of A and B are shown the other mixture as well, which somebody may take for it. Activity models
are shown the rearrangements of the other kind, too. Whether heat and shear move the same atoms is no question of where
the training data lie, so these lines do not count in the sum.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.learn.activity.data import ActivitySample
from ovito_glassml.learn.activity.model import ActivityModel
from ovito_glassml.learn.barcode.energy import SimilarityEnergy
from ovito_glassml.learn.barcode.model import UleModel
from ovito_glassml.learn.format import list_models, read_header
from ovito_glassml.learn.prototypes.evaluate import highest
from ovito_glassml.learn.prototypes.model import ScnnModel
from ovito_glassml.learn.stiffness.model import StiffnessModel
from ovito_glassml.reproduce.activity import GLASSES, Glass, read_configurations
from ovito_glassml.reproduce.activity_data import thermal_snapshot_of
from ovito_glassml.reproduce.foreign_structures import thermal_snapshot
from ovito_glassml.reproduce.prototypes import read_samples
from ovito_glassml.simulate.atoms import fill
from ovito_glassml.simulate.engine import gather, open_lammps
from ovito_glassml.simulate.material import Material, load_material
from ovito_glassml.simulate.snapshots import read_frames, read_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.sample_data import stiffness_samples

SAMPLES = Path(__file__).parents[2] / "sample_data"
#: What is shown, |error|, score and weight of the atoms.
Judged = Iterator[tuple[str, NDArray, NDArray, NDArray]]
OTHER_KIND = "not counted: "
#: 2 τ of a Lennard-Jones system, 1.2 ps of copper and zirconium.
VIBRATING_STEPS = 400


def stiffness_errors(name: str) -> Judged:
    """|error| (eV/Å²) of every atom."""
    model, folder = StiffnessModel.load(name), SAMPLES / "stiffness"
    for path in [*stiffness_samples()[1], *sorted((folder / "foreign").glob("vibrations-*.xyz.gz"))]:
        snapshot = read_snapshot(path)
        hot = read_snapshot(folder / "snapshots" / f"300K-{path.name}").structure
        prefix = f"{path.name.split('-')[1]} " if path.parent.name == "foreign" else ""
        for state, structure in (("at rest", snapshot.structure), ("at 300 K", hot)):
            prediction = model.predict(structure)
            errors = np.abs(prediction.stiffness - snapshot.columns["Stiffness"])
            yield prefix + state, *_alike(errors, prediction.extrapolation)


def activity_errors(name: str, folders: list[Path]) -> Judged:
    """|probability − outcome| of every labelled atom of configurations kept aside."""
    model, training = ActivityModel.load(name), read_header(name).training
    _, abbreviation, own = name.split("-")
    glass = next(glass for glass in GLASSES if glass.name == abbreviation)
    for activation in glass.activations:
        if activation == "thermal" and not _thermal_files(glass, folders):
            continue
        samples, prefix = read_configurations(glass, activation, folders), "" if activation == own else OTHER_KIND
        judged = [one for one in samples if activation != own or one.configuration in training["kept_aside"]]
        for number, sample in enumerate(judged):
            yield f"{prefix}{activation}, at rest", *_compared(model, sample, sample.structure)
            if activation == own == "shear":
                hot = _vibrating(sample.structure, load_material(glass.system), seed=number + 1)
                yield "shear, at temperature", *_compared(model, sample, hot)
        if activation == "thermal":
            files = {path.name.removesuffix(".xyz.gz"): path for path in _thermal_files(glass, folders)}
            for sample in judged:
                snapshot = thermal_snapshot_of(files[sample.configuration])
                yield f"{prefix}thermal, at temperature", *_compared(model, sample, snapshot)
    for other in GLASSES:
        known = own == "shear" or _thermal_files(other, folders)
        if known and other is not glass and other.descriptor.species == glass.descriptor.species:
            for sample in read_configurations(other, own, folders):
                yield f"{other.title}, {own}, at rest", *_compared(model, sample, sample.structure)


def _vibrating(structure: Structure, matter: Material, seed: int) -> Structure:
    """A sheared glass after a short while at the temperature that the system is studied at as a liquid."""
    lammps = open_lammps()
    fill(lammps, matter, len(structure), seed)
    (lx, _, _), (xy, ly, _), (xz, yz, lz) = structure.cell
    lengths = " ".join(f"{axis} final 0 {edge}" for axis, edge in zip("xyz", (lx, ly, lz), strict=True))
    lammps.command("change_box all triclinic")
    lammps.command(f"change_box all {lengths} xy final {xy} xz final {xz} yz final {yz} remap units box")
    order = np.argsort(structure.ids)
    assert np.array_equal(gather(lammps, "type") - 1, structure.species[order])
    places = (structure.positions - structure.origin)[order]
    own = lammps.numpy.extract_atom("id")[: len(structure)] - 1
    lammps.numpy.extract_atom("x")[: len(structure)] = places[own]
    # Equipartition takes half of the kinetic energy that a minimum starts with.
    lammps.command(f"velocity all create {2 * matter.temperature} {seed} mom yes rot no dist gaussian")
    lammps.command("fix integrate all nve")
    lammps.command(f"timestep {matter.time_step}")
    lammps.command(f"run {VIBRATING_STEPS} post no")
    positions = np.empty_like(places)
    positions[order] = gather(lammps, "x") + structure.origin
    lammps.close()
    return replace(structure, positions=positions)


def _thermal_files(glass: Glass, folders: list[Path]) -> list[Path]:
    return [path for folder in folders for path in folder.glob(f"thermal-{glass.system}-*.xyz.gz")]


def _compared(model: ActivityModel, sample: ActivitySample, structure: Structure) -> tuple[NDArray, ...]:
    prediction = model.predict(structure)
    chosen = sample.scored
    return _alike(np.abs(prediction.probability - sample.activity)[chosen], prediction.extrapolation[chosen])


def _alike(errors: NDArray, scores: NDArray) -> tuple[NDArray, ...]:
    return errors, scores, np.ones(len(errors))


def barrier_errors(name: str) -> Judged:
    """|probability − outcome| of every labelled atom of the samples kept aside, both outcomes weighing alike."""
    model, aside = ScnnModel.load(name), read_header(name).training["kept_aside"]
    for sample in read_samples(SAMPLES / "barriers"):
        if sample.name in aside:
            known = np.isfinite(sample.barrier)
            for state, structure in _at_rest_and_hot(sample.structure):
                prediction = model.predict(structure)
                high = highest(sample.barrier[known])
                errors = np.abs(prediction.probability[known] - high)
                weights = 0.5 / np.where(high, high.mean(), 1 - high.mean())
                yield state, errors, prediction.extrapolation[known], weights


def energy_errors(name: str) -> Judged:
    """|error| (eV) of every atom of a glass kept aside, of sheared ones and of other compositions."""
    model = UleModel.load(name)
    assert isinstance(model.energy, SimilarityEnergy)
    typical = model.energy.typical

    def compared(structure: Structure, energies: NDArray) -> tuple[NDArray, ...]:
        prediction = model.predict(structure)
        columns = np.array([model.header.species.index(one) for one in structure.species_names])
        predicted = typical[columns[structure.species]] + prediction.contribution
        return _alike(np.abs(predicted - energies), prediction.extrapolation)

    for path in sorted((SAMPLES / "barcode").glob("*-zr44cu56*.xyz.gz")):
        for frame in read_frames(path)[::3]:
            states = (
                _at_rest_and_hot(frame.structure) if path.name.startswith("glass") else [("sheared", frame.structure)]
            )
            for state, structure in states:
                yield state, *compared(structure, frame.columns["Potential_Energy"])
    for path in sorted((SAMPLES / "barriers").glob("quench-barriers-*.xyz.gz")):
        snapshot = read_snapshot(path)
        yield path.name.split("-")[2], *compared(snapshot.structure, snapshot.columns["Potential_Energy"])


def _at_rest_and_hot(structure: Structure) -> Iterator[tuple[str, Structure]]:
    yield "at rest", structure
    with tempfile.TemporaryDirectory() as folder:
        yield "at 300 K", thermal_snapshot(structure, Path(folder))


def report(name: str, judged: Judged) -> None:
    """Print one line for every kind of data and one for all."""
    parts: dict[str, list] = {}
    for state, *columns in judged:
        parts.setdefault(state, []).append(columns)
        if not state.startswith(OTHER_KIND):
            parts.setdefault("all", []).append(columns)
    for state in sorted(parts, key="all".__eq__):
        errors, scores, weights = (np.concatenate(column) for column in zip(*parts[state], strict=True))
        beyond = scores > 1
        text = f"{name:27} {state:38} {len(errors):6} {beyond.mean():6.1%} {_ratio(errors, beyond, weights)}"
        if not name.startswith(("stiffness", "ule")):
            text += _ratio(errors > 0.5, beyond, weights)
        print(text)


def _ratio(errors: NDArray, beyond: NDArray, weights: NDArray) -> str:
    means = [np.average(errors[of], weights=weights[of]) if of.any() else np.nan for of in (~beyond, beyond)]
    return f"{means[0]:8.3f} {means[1]:6.3f} {means[1] / means[0]:6.2f}"


if __name__ == "__main__":
    print(f"{'':67}{'atoms':>6} {'beyond':>6} {'|error|, beyond, ratio':>22} {'wrong, beyond, ratio':>22}")
    for model_name in list_models():
        if model_name.startswith("stiffness"):
            report(model_name, stiffness_errors(model_name))
        elif model_name.startswith("activity"):
            report(model_name, activity_errors(model_name, [SAMPLES / "activity", *map(Path, sys.argv[1:])]))
        elif model_name.startswith("scnn"):
            report(model_name, barrier_errors(model_name))
        elif model_name.startswith("ule"):
            report(model_name, energy_errors(model_name))
