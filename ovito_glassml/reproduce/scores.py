"""One table of every shipped model on everything in the sample data that it has not learned from.

Run again whenever models or samples change. The first writes ``scores.csv`` beside this file and prints the tables as
Markdown; from the file the second makes the page ``scores.md`` of the reference and the table of the README::

    python -m ovito_glassml.reproduce.scores sample_data
    python -m ovito_glassml.reproduce.docs
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.learn.activity.data import ActivitySample
from ovito_glassml.learn.activity.evaluate import score_samples
from ovito_glassml.learn.activity.train import balanced_accuracy, log_displacement
from ovito_glassml.learn.evaluation import (
    area_under_roc,
    average_precision,
    matthews_at_true_rate,
    pearson,
    precision_at_true_rate,
)
from ovito_glassml.learn.format import list_models, read_header
from ovito_glassml.learn.model import LearnedModel, load_model
from ovito_glassml.learn.prototypes.evaluate import highest
from ovito_glassml.learn.stiffness.data import LabelledSample
from ovito_glassml.learn.stiffness.evaluate import COARSE_RADIUS, COPPER_ZIRCONIUM
from ovito_glassml.learn.stiffness.model import CAGE_STIFFNESS, STIFFNESS
from ovito_glassml.neighbours import average_within
from ovito_glassml.reproduce.activity_data import read_shear, read_thermal
from ovito_glassml.reproduce.choice_of_models import AT_300_K, ENDING, SYSTEMS, stem
from ovito_glassml.reproduce.scored import Scored, scores_page, write_scores
from ovito_glassml.reproduce.stiffness import PLACES, read_samples
from ovito_glassml.simulate.material_header import material_of_header
from ovito_glassml.simulate.snapshots import Snapshot, made_with, read_frames
from ovito_glassml.structure import Structure

__all__ = ["Shown", "agreement", "scores"]

#: Glasses of other materials, whose labels are harmonic.
HARMONIC_PLACES = ("second/harmonic-*",)
#: Structures with the energy of every atom. What the barcode learned from is not among them.
ENERGY_PLACES = ("barcode/glass-*", "barcode/shear-*", "second/quench-[cz]*")


class Shown(NamedTuple):
    """A structure with predicted and true numbers of its atoms, NaN where there are none."""

    structure: Structure
    predicted: NDArray[np.float64]
    true: NDArray[np.float64]
    extrapolation: NDArray[np.float64]
    error: NDArray[np.float64] | None = None


def scores(samples: Path, names: Sequence[str] | None = None) -> Iterator[Scored]:
    """Every model on every sample that it knows the species of, has labels and has not learned from.

    Parameters
    ----------
    samples : Path
        The folder `sample_data`, or one like it.
    names : sequence of str, optional
        Of models; all shipped ones by default.
    """
    for name in list_models() if names is None else names:
        if of_kind := _SCORES_OF.get(read_header(name).kind):  # nothing in the sample data judges the others
            yield from of_kind(name, samples)


def agreement(shown: Sequence[Shown], radius: float) -> dict[str, Any]:
    """Scores of numbers over the atoms of one sample, which may be shown in several structures.

    Parameters
    ----------
    shown : sequence of Shown
    radius : float
        Of the averages.

    Returns
    -------
    dict
        Values of the fields of `Scored` with the same names.
    """
    parts: list[tuple[NDArray, ...]] = []
    for one in shown:
        known = np.isfinite(one.predicted) & np.isfinite(one.true)
        values = [np.where(known, column, np.nan) for column in (one.predicted, one.true)]
        coarse = [average_within(one.structure, column, radius) for column in values]
        names = np.array(one.structure.species_names)[one.structure.species]
        error = np.full(len(known), np.nan) if one.error is None else one.error
        columns = (*values, *coarse, names, one.extrapolation, error)
        parts.append(tuple(column[known] for column in columns))
    predicted, true, coarse_predicted, coarse_true, names, novelty, error = map(
        np.concatenate, zip(*parts, strict=True)
    )
    species = {name: names == name for name in np.unique(names).tolist()}
    apart = [column.copy() for column in (predicted, true)]
    for atoms in species.values():
        for column in apart:
            column[atoms] -= column[atoms].mean()
    stated = np.isfinite(error)
    return {
        "atoms": len(true),
        "correlation": pearson(predicted, true),
        "within": pearson(*apart),
        "by_species": ", ".join(f"{name} {pearson(predicted[a], true[a]):.3f}" for name, a in species.items()),
        "coarse": pearson(coarse_predicted, coarse_true),
        "remainder": pearson(predicted - coarse_predicted, true - coarse_true),
        "flagged": float((novelty > 1).mean()),
        "coverage": float((np.abs(predicted - true) <= error)[stated].mean()) if stated.any() else None,
    }


# --- methods --------------------------------------------------------------------------------------


def _stiffness(name: str, samples: Path) -> Iterator[Scored]:
    model: Any = load_model(name)
    expects_heat = "300 K" in str(model.header.training["shown"])
    learned = set(model.header.training["samples"])
    # Labels of a snapshot at 300 K are those of the glass at rest.
    for sample in _labelled(samples, model):
        if sample.name in learned:
            continue
        places = (*PLACES, *HARMONIC_PLACES)
        file = next(found for place in places for found in samples.glob(place + ENDING) if stem(found) == sample.name)
        hot = samples / "stiffness" / "snapshots" / f"{AT_300_K}{file.name}"
        states = {"at rest": sample.structure} | ({"300 K": read_frames(hot)[0].structure} if hot.exists() else {})
        for state, structure in states.items():
            prediction = model.predict(structure)
            of_both = (
                (STIFFNESS, sample.stiffness, prediction.stiffness, prediction.error),
                (CAGE_STIFFNESS, sample.cage, prediction.cage, prediction.cage_error),
            )
            for quantity, true, predicted, error in of_both:
                if true is None or predicted is None or not (known := np.isfinite(true) & np.isfinite(predicted)).any():
                    continue
                yield Scored(
                    **_facts(name, model, file, read_frames(file)[0]) | {"predicts": quantity},
                    state=state,
                    expected="yes" if (state == "300 K") == expects_heat else "no",
                    bias=float(predicted[known].mean() / true[known].mean() - 1),
                    **agreement([Shown(structure, predicted, true, prediction.extrapolation, error)], COARSE_RADIUS),
                )


def _labelled(samples: Path, model: LearnedModel) -> list[LabelledSample]:
    """Glasses of a model's species; the stiffness of those of Cu-Zr is the published one, of others the harmonic."""
    if set(model.species) == {"Cu", "Zr"}:
        return read_samples(samples)
    found = read_samples(samples, HARMONIC_PLACES, label="Harmonic_Stiffness")
    return [sample for sample in found if set(sample.structure.shares) <= set(model.species)]


def _barcode(name: str, samples: Path) -> Iterator[Scored]:
    model: Any = load_model(name)
    for file in _files(samples, ENERGY_PLACES, model):
        frames = read_frames(file)
        shown, off = [], []
        for frame in frames:
            prediction = model.predict(frame.structure)
            energies = frame.columns["Potential_Energy"]
            true = energies - _species_means(frame.structure, energies)
            shown.append(Shown(frame.structure, prediction.contribution, true, prediction.extrapolation))
            off.append(1000 * (prediction.energy - energies.mean()))
        yield Scored(
            **_facts(name, model, file, frames[0]),
            state="sheared" if "shear" in file.name else "at rest",
            expected="yes" if model.predict(frames[0].structure).same_composition else "no",
            bias=float(np.mean(off)),
            **agreement(shown, COARSE_RADIUS),
        )


def _species_means(structure: Structure, values: NDArray) -> NDArray[np.float64]:
    """For each atom the mean over the atoms of its species."""
    counts = np.maximum(np.bincount(structure.species), 1)
    return (np.bincount(structure.species, values) / counts)[structure.species]


def _prototypes(name: str, samples: Path) -> Iterator[Scored]:
    model: Any = load_model(name)
    for file in _files(samples, ("barriers/barriers-*",), model):
        (frame,) = read_frames(file)
        prediction = model.predict(frame.structure)
        barrier = frame.columns["Activation_Energy"]
        known = np.isfinite(barrier) & np.isfinite(prediction.logit)
        high, logit = highest(barrier[known]), prediction.logit[known]
        yield Scored(
            **_facts(name, model, file, frame),
            state="at rest",
            expected="yes",
            **agreement([Shown(frame.structure, prediction.logit, barrier, prediction.extrapolation)], COARSE_RADIUS),
            auc=area_under_roc(logit[~high], logit[high]),
            accuracy=balanced_accuracy(high.astype(int), prediction.probability[known] > 0.5),
            events=float(high.mean()),
            average_precision=average_precision(high, logit),
            precision=precision_at_true_rate(high, logit),
            mcc=matthews_at_true_rate(high, logit),
        )


def _activity(name: str, samples: Path) -> Iterator[Scored]:
    model: Any = load_model(name)
    _, abbreviation, activation = name.split("-")
    system = next(long for long, short in SYSTEMS.items() if short == abbreviation)
    for file in _files(samples, (f"activity/{activation}-{system}-*",), model):
        if activation == "shear":
            read = [sample for sample in read_shear(file) if sample.scored.any()]
        else:
            read = [read_thermal(file, model.active_species)]
        (clear,) = score_samples(model, read)
        radius = COARSE_RADIUS / COPPER_ZIRCONIUM * model.descriptor.nearest
        yield Scored(
            **_facts(name, model, file, read_frames(file)[0]),
            state="before an event" if activation == "shear" else "inherent structure of a liquid",
            expected="yes",
            **agreement([_displaced(model, sample) for sample in read], radius),
            auc=clear.auc,
            accuracy=clear.accuracy,
            events=clear.rate,
            average_precision=clear.average_precision,
            precision=clear.precision,
            mcc=clear.mcc,
        )


def _displaced(model: Any, sample: ActivitySample) -> Shown:
    """Probability beside the logarithm of D²min."""
    prediction = model.predict(sample.structure)
    moved = np.full(len(sample.displacement), np.nan)
    known = np.isfinite(sample.displacement)
    moved[known] = log_displacement(sample.displacement[known])
    return Shown(sample.structure, prediction.probability, moved, prediction.extrapolation)


#: Kind of a model → rows of the table.
_SCORES_OF: dict[str, Callable[[str, Path], Iterator[Scored]]] = {
    "stiffness": _stiffness,
    "activity": _activity,
    "scnn": _prototypes,
    "ule": _barcode,
}


def _files(samples: Path, places: Sequence[str], model: LearnedModel) -> list[Path]:
    """Files that the model has not learned from, by the list of its samples."""
    learned = {str(name) for name in model.header.training["samples"]}
    found = [file for place in places for file in sorted(samples.glob(place + ENDING), key=_by_number)]
    return [file for file in found if stem(file) not in learned]


def _by_number(file: Path) -> tuple[str, int]:
    """Ten comes after nine."""
    name, _, number = stem(file).rpartition("-")
    return (name, int(number)) if number.isdigit() else (stem(file), 0)


def _facts(name: str, model: LearnedModel, file: Path, frame: Snapshot) -> dict[str, Any]:
    """What a row says of model and sample."""
    structure = frame.structure
    counts = np.bincount(structure.species, minlength=len(structure.species_names)) / len(structure)
    material = material_of_header(frame.header)
    return {
        "model": name,
        "predicts": str(model.header.output["property"]),
        "sample": stem(file),
        "material": material.name if material else "",
        "composition": "".join(
            f"{species}{100 * share:.0f}"
            for species, share in zip(structure.species_names, counts, strict=True)
            if share
        ),
        "rate": _rate(frame),
    }


def _rate(frame: Snapshot) -> str:
    """How the sample was cooled, or at which temperature the liquid was."""
    settings = made_with(frame.header, "input_settings" if "input_settings" in frame.header else "settings")
    if "cooling_rate" in settings:
        return f"{settings['cooling_rate']:.0e} K/s".replace("e+", "e")
    if "temperature" in frame.header:
        return f"T = {frame.header['temperature']}"
    if "anneal_time" in settings:
        return f"annealed {settings['anneal_time']:g} ps"
    return f"quench of {settings['quench_time']:g} τ" if "quench_time" in settings else ""


def _main(samples: Path) -> None:
    rows = []
    for row in scores(samples):
        rows.append(row)
        print(f"{row.model} on {row.sample}, {row.state}", flush=True)
    write_scores(rows)
    print(scores_page(rows))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
