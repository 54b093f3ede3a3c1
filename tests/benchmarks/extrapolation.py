"""Are predictions worse where the extrapolation score says so?

Run ``python tests/benchmarks/extrapolation.py [FOLDER]``; FOLDER holds the Kob-Andersen ensembles that
``python -m ovito_glassml.learn.activity_shipping archives`` makes, without it their model is judged under shear alone.
Every shipped model sees what it was not trained on: the samples kept aside, at rest and (where there are positions at
temperature) vibrating, and for activity also the rearrangements of the other kind. The mean |error| (of stiffness, or
of probability against outcome) of atoms with a score above 1 is divided by that of the others.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.learn.activity import ActivityModel
from ovito_glassml.learn.activity_data import ActivitySample, thermal_snapshot_of
from ovito_glassml.learn.activity_shipping import GLASSES, Glass, read_configurations
from ovito_glassml.learn.model_file import list_models, read_header
from ovito_glassml.learn.stiffness import StiffnessModel
from ovito_glassml.shipped import stiffness_samples
from ovito_glassml.simulate.shards import read_shard
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
