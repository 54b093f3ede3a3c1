"""Are predictions worse where the extrapolation score says so?

Run ``python tests/benchmarks/extrapolation.py [FOLDER]``; FOLDER holds the Kob-Andersen ensembles that
``python -m ovito_glassml.learn.activity_shipping archives`` makes, without it their model is judged under shear alone.
Every shipped model sees what it was not trained on: the samples kept aside, at rest and vibrating, for activity also
the rearrangements of the other kind, for barcodes also sheared glasses. The mean |error| (of stiffness, of the energy
of an atom, or of probability against outcome, both outcomes counting alike) of atoms with a score above 1 is divided by
that of the others.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.learn.activity import ActivityModel
from ovito_glassml.learn.activity_data import ActivitySample, thermal_snapshot_of
from ovito_glassml.learn.activity_shipping import GLASSES, Glass, read_configurations
from ovito_glassml.learn.model_file import list_models, read_header
from ovito_glassml.learn.scnn import ScnnModel
from ovito_glassml.learn.scnn_evaluation import highest
from ovito_glassml.learn.scnn_shipping import read_samples
from ovito_glassml.learn.stiffness import StiffnessModel
from ovito_glassml.learn.stiffness_data import thermal_snapshot
from ovito_glassml.learn.ule import UleModel
from ovito_glassml.learn.ule_similarity import SimilarityEnergy
from ovito_glassml.shipped import stiffness_samples
from ovito_glassml.simulate.shards import read_frames, read_shard
from ovito_glassml.structure import Structure

SAMPLES = Path(__file__).parents[2] / "sample_data"
Judged = Iterator[tuple[str, NDArray, NDArray]]


def stiffness_errors(name: str) -> Judged:
    """What is shown, |error| (eV/Å²) and score of every atom."""
    model = StiffnessModel.load(name)
    for path in stiffness_samples()[1]:
        shard = read_shard(path)
        snapshot = read_shard(path.parent / "snapshots" / f"300K-{path.name}").structure
        for state, structure in (("at rest", shard.structure), ("at 300 K", snapshot)):
            prediction = model.predict(structure)
            yield state, np.abs(prediction.stiffness - shard.columns["Stiffness"]), prediction.extrapolation


def activity_errors(name: str, folders: list[Path]) -> Judged:
    """What is shown, |probability − outcome| and score of every labelled atom of configurations kept aside."""
    model, training = ActivityModel.load(name), read_header(name).training
    _, abbreviation, own = name.split("-")
    glass = next(glass for glass in GLASSES if glass.name == abbreviation)
    for activation in glass.activations:
        if activation == "thermal" and not _thermal_files(glass, folders):
            continue
        samples = read_configurations(glass, activation, folders)
        judged = [one for one in samples if activation != own or one.configuration in training["kept_aside"]]
        for sample in judged:
            yield f"{activation}, at rest", *_compared(model, sample, sample.structure)
        if activation == "thermal":
            files = {path.name.removesuffix(".xyz.gz"): path for path in _thermal_files(glass, folders)}
            for sample in judged:
                snapshot = thermal_snapshot_of(files[sample.configuration])
                yield "thermal, at temperature", *_compared(model, sample, snapshot)


def _thermal_files(glass: Glass, folders: list[Path]) -> list[Path]:
    return [path for folder in folders for path in folder.glob(f"thermal-{glass.system}-*.xyz.gz")]


def _compared(model: ActivityModel, sample: ActivitySample, structure: Structure) -> tuple[NDArray, NDArray]:
    prediction = model.predict(structure)
    chosen = sample.scored
    return np.abs(prediction.probability - sample.activity)[chosen], prediction.extrapolation[chosen]


def barrier_errors(name: str) -> Judged:
    """What is shown, |probability − outcome| and score of every labelled atom of the samples kept aside."""
    model, aside = ScnnModel.load(name), read_header(name).training["kept_aside"]
    for sample in read_samples(SAMPLES / "barriers"):
        if sample.name in aside:
            known = np.isfinite(sample.barrier)
            for state, structure in _at_rest_and_hot(sample.structure):
                prediction = model.predict(structure)
                high = highest(sample.barrier[known])
                errors = np.abs(prediction.probability[known] - high)
                errors *= 0.5 / np.where(high, high.mean(), 1 - high.mean())
                yield state, errors, prediction.extrapolation[known]


def energy_errors(name: str) -> Judged:
    """What is shown, |error| (eV) and score of every atom of a glass kept aside and of sheared ones."""
    model = UleModel.load(name)
    assert isinstance(model.energy, SimilarityEnergy)
    typical = model.energy.typical
    for path in sorted((SAMPLES / "barcode").glob("*-zr44cu56*.xyz.gz")):
        for frame in read_frames(path)[::3]:
            states = (
                _at_rest_and_hot(frame.structure) if path.name.startswith("glass") else [("sheared", frame.structure)]
            )
            for state, structure in states:
                prediction = model.predict(structure)
                columns = np.array([model.header.species.index(one) for one in structure.species_names])
                predicted = typical[columns[structure.species]] + prediction.contribution
                yield state, np.abs(predicted - frame.columns["Potential_Energy"]), prediction.extrapolation


def _at_rest_and_hot(structure: Structure) -> Iterator[tuple[str, Structure]]:
    yield "at rest", structure
    with tempfile.TemporaryDirectory() as folder:
        yield "at 300 K", thermal_snapshot(structure, Path(folder))


def report(name: str, judged: Judged) -> None:
    """Print one line for every kind of data and one for all."""
    parts: dict[str, list] = {}
    for state, errors, scores in judged:
        parts.setdefault(state, []).append((errors, scores))
        parts.setdefault("all", []).append((errors, scores))
    for state in sorted(parts, key="all".__eq__):
        errors, scores = (np.concatenate(column) for column in zip(*parts[state], strict=True))
        beyond = scores > 1
        inside, outside = (part.mean() if len(part) else np.nan for part in (errors[~beyond], errors[beyond]))
        numbers = f"{len(errors):6} {beyond.mean():6.1%} {inside:8.3f} {outside:8.3f} {outside / inside:6.2f}"
        print(f"{name:28} {state:24} {numbers}")


if __name__ == "__main__":
    print(f"{'model':28} {'shown':24} {'atoms':>6} {'beyond':>6} {'|error|':>8} {'beyond':>8} {'ratio':>6}")
    for model_name in list_models():
        if model_name.startswith("stiffness"):
            report(model_name, stiffness_errors(model_name))
        elif model_name.startswith("activity"):
            report(model_name, activity_errors(model_name, [SAMPLES / "activity", *map(Path, sys.argv[1:])]))
        elif model_name.startswith("scnn"):
            report(model_name, barrier_errors(model_name))
        elif model_name.startswith("ule"):
            report(model_name, energy_errors(model_name))
