"""How good a stiffness model is: held-out scores, and the numbers behind the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import linregress

from ovito_glassml.descriptors.rdf import RDFDescriptors
from ovito_glassml.labels.vibrations import stiffness_from_msd
from ovito_glassml.learn.evaluation import area_under_roc, pearson
from ovito_glassml.learn.format import ResultTable
from ovito_glassml.learn.stiffness.data import BY_SPECIES, CAGE_LABEL, STIFFNESS_LABEL, LabelledSample, ModelDesign
from ovito_glassml.learn.stiffness.model import StiffnessModel, StiffnessPrediction
from ovito_glassml.learn.stiffness.train import ENOUGH_SAMPLES, leave_samples_out, with_expected_errors
from ovito_glassml.learn.units import Units
from ovito_glassml.neighbours import average_within
from ovito_glassml.progress import Report
from ovito_glassml.structure import Structure

__all__ = [
    "COARSE_RADIUS",
    "SampleScore",
    "coarse_radius",
    "extreme_rdfs",
    "judged_by_leaving_out",
    "label_reliability",
    "mean_slope",
    "radius_scan",
    "rate_differences",
    "score_prediction",
    "score_sample",
    "score_table",
    "score_tables",
    "separation_table",
]

#: Å, the published coarse-graining radius.
COARSE_RADIUS = 6.0
#: Å, between nearest neighbours in the glasses for which that was published.
COPPER_ZIRCONIUM = 2.7
#: Å at which coarse-graining is tried.
SCAN_RADII = (0.0, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5, 8.0, 9.0, 10.0, 12.0)


@dataclass(frozen=True)
class SampleScore:
    """Scores of a model on one sample that it has not been trained on.

    Attributes
    ----------
    name : str
        The sample.
    correlation : float
        Pearson R of predicted and measured stiffness over atoms.
    coarse : float
        The same for averages within 6 Å, or as many distances of neighbours.
    predicted_mean, measured_mean : float
        eV/Å², over the atoms with a label.
    error : float
        Root-mean-square error, eV/Å².
    extrapolating : float
        Fraction of atoms whose extrapolation score is above 1.
    """

    name: str
    correlation: float
    coarse: float
    predicted_mean: float
    measured_mean: float
    error: float
    extrapolating: float

    @property
    def bias(self) -> float:
        """Predicted over measured mean, less one."""
        return self.predicted_mean / self.measured_mean - 1


def score_sample(
    model: StiffnessModel, sample: LabelledSample, seen: Structure | None = None, label: str = "stiffness"
) -> SampleScore:
    """Compare prediction and measurement.

    Parameters
    ----------
    model : StiffnessModel
    sample : LabelledSample
    seen : Structure, optional
        What the model is shown instead of the sample's own structure, with the same atoms in the
        same order: a thermal snapshot. The measured averages stay those of the sample.
    label : str
        ``stiffness`` or ``cage``.
    """
    structure = sample.structure if seen is None else seen
    prediction = model.predict(structure, coarse_graining_radius=coarse_radius(model))
    return score_prediction(model, sample._replace(structure=structure), prediction, label, sample.structure)


def score_prediction(
    model: StiffnessModel,
    sample: LabelledSample,
    prediction: StiffnessPrediction,
    label: str = "stiffness",
    measured_on: Structure | None = None,
) -> SampleScore:
    """As `score_sample`, of a prediction that is there already; `measured_on` is the sample at rest, if it was not."""
    structure, radius = sample.structure, coarse_radius(model)
    at_rest = structure if measured_on is None else measured_on
    values, labels = getattr(prediction, label), getattr(sample, label)
    coarse = prediction.coarse if label == "stiffness" else average_within(structure, values, radius)
    measured_coarse = average_within(at_rest, labels, radius)
    labelled = np.isfinite(labels) & np.isfinite(values)
    measured, predicted = labels[labelled], values[labelled]
    return SampleScore(
        name=sample.name,
        correlation=pearson(predicted, measured),
        coarse=pearson(coarse[labelled], measured_coarse[labelled]),
        predicted_mean=float(predicted.mean()),
        measured_mean=float(measured.mean()),
        error=float(np.sqrt(np.mean((predicted - measured) ** 2))),
        extrapolating=float((prediction.extrapolation > 1).mean()),
    )


def coarse_radius(model: StiffnessModel) -> float:
    """The published 6 Å, and as many distances of neighbours in other units."""
    spacing = model.header.architecture.get("nearest_neighbour_distance")
    if spacing is None or model.header.length_unit == "angstrom":
        return COARSE_RADIUS
    return COARSE_RADIUS / COPPER_ZIRCONIUM * float(spacing)


def mean_slope(scores: Sequence[SampleScore]) -> str:
    """How predicted sample means rise with the measured ones, in words, with the standard error of the slope."""
    if len(scores) < 3:
        return ""
    fit = linregress([score.measured_mean for score in scores], [score.predicted_mean for score in scores])
    biases = np.abs([score.bias for score in scores])
    return (
        f"Predicted means rise with measured ones by {fit.slope:.2f} ± {fit.stderr:.2f}; off by {biases.mean():.1%} in "
        f"the mean, {biases.max():.1%} at most."
    )


def score_table(title: str, scores: Sequence[SampleScore], note: str = "", *, units: Units) -> ResultTable:
    """Scores of several samples, one a row."""
    columns = (
        "sample",
        "R",
        "R coarse",
        "bias",
        f"RMSE ({units.stiffness})",
        "predicted mean",
        "measured mean",
        "extrapolating",
    )
    rows = [
        (
            score.name,
            score.correlation,
            score.coarse,
            f"{100 * score.bias:+.1f} %",
            score.error,
            score.predicted_mean,
            score.measured_mean,
            f"{100 * score.extrapolating:.1f} %",
        )
        for score in scores
    ]
    return ResultTable(title, columns, tuple(rows), note)


def score_tables(
    model: StiffnessModel, samples: Sequence[LabelledSample], note: str = "", *, units: Units
) -> list[ResultTable]:
    """Scores on samples not trained on: of the stiffness, and of the cage stiffness where the model was taught it."""
    tables = [score_table("Held-out samples", [score_sample(model, one) for one in samples], note, units=units)]
    caged = [one for one in samples if one.cage is not None]
    if model.cage_heads and caged:
        scores = [score_sample(model, one, label="cage") for one in caged]
        tables.append(score_table("Held-out samples, cage stiffness", scores, note, units=units))
    return tables


def judged_by_leaving_out(
    model: StiffnessModel,
    samples: Sequence[LabelledSample],
    *,
    design: ModelDesign = BY_SPECIES,
    seed: int = 1,
    progress: Report | None = None,
) -> tuple[StiffnessModel, list[ResultTable]]:
    """A trained model with the errors to expect of it, and tables of every one of its samples left out.

    Takes as long as five trainings. With fewer than `ENOUGH_SAMPLES` samples the model is returned as it is.

    Parameters
    ----------
    model : StiffnessModel
        Trained on all `samples` with this `design` and `seed`.
    """
    if len(samples) < ENOUGH_SAMPLES:
        return model, []
    left_out = leave_samples_out(samples, design=design, seed=seed, progress=progress)
    tables = []
    for label in (STIFFNESS_LABEL, CAGE_LABEL) if model.cage_heads else (STIFFNESS_LABEL,):
        scores = [
            score_prediction(model, sample, prediction, label)
            for sample, prediction in zip(samples, left_out, strict=True)
            if sample.known(label).any()
        ]
        title = "Samples left out in turn" + (", cage stiffness" if label == CAGE_LABEL else "")
        note = f"By models of four fifths of the samples. {mean_slope(scores)}"
        tables.append(score_table(title, scores, note, units=design.units))
    model, held = with_expected_errors(model, samples, left_out)
    return model, [*tables, *held]


def rate_differences(scores: Sequence[SampleScore], groups: Mapping[str, str]) -> ResultTable:
    """Difference of the mean stiffness between groups of samples, such as cooling rates.

    Parameters
    ----------
    scores : sequence of SampleScore
        Held-out scores.
    groups : mapping of sample name to group
        Two or more groups; the first one found is what the others are compared with.
    """
    names = list(dict.fromkeys(groups[score.name] for score in scores))

    def mean(group: str, quantity: str) -> float:
        return float(np.mean([getattr(score, quantity) for score in scores if groups[score.name] == group]))

    rows = []
    for group in names[1:]:
        predicted = mean(group, "predicted_mean") - mean(names[0], "predicted_mean")
        measured = mean(group, "measured_mean") - mean(names[0], "measured_mean")
        rows.append((f"{group} minus {names[0]}", predicted, measured, predicted / measured))
    return ResultTable(
        "Difference of mean stiffness (eV/Å²)", ("groups", "predicted", "measured", "ratio"), tuple(rows)
    )


def separation_table(
    model: StiffnessModel, glasses: Sequence[Structure], foreign: Mapping[str, Structure]
) -> ResultTable:
    """How well the extrapolation score tells held-out glass from what the model has never seen.

    Parameters
    ----------
    model : StiffnessModel
    glasses : sequence of Structure
        Glasses of the model's kind that it was not trained on.
    foreign : mapping of name to Structure
        Everything else.
    """
    own = np.concatenate([model.predict(glass).extrapolation for glass in glasses])
    rows: list[tuple[object, ...]] = [("held-out glass", "", f"{100 * (own > 1).mean():.1f} %")]
    for name, structure in foreign.items():
        other = model.predict(structure).extrapolation
        rows.append((name, area_under_roc(own, other), f"{100 * (other > 1).mean():.1f} %"))
    return ResultTable(
        "Extrapolation score",
        ("structure", "AUROC against held-out glass", "atoms above 1"),
        tuple(rows),
        "AUROC: probability that an atom of the structure scores higher than an atom of a glass kept aside.",
    )


def label_reliability(msd: NDArray, temperatures: Sequence[float]) -> float:
    """Largest correlation with the labels that a perfect model could be expected to reach.

    The stiffness at each temperature comes from a simulation of its own. What these have in
    common is taken as the truth and what they do not as noise (Cronbach's α); the ceiling is √α.
    Real dependence on temperature counts as noise too, so the true ceiling is somewhat higher.

    Parameters
    ----------
    msd : (N, T) array
        u² at each temperature, Å².
    temperatures : sequence of float
        K.
    """
    stiffness = stiffness_from_msd(msd, np.asarray(temperatures))
    stiffness = stiffness[np.isfinite(stiffness).all(axis=1)]
    items = stiffness.shape[1]
    shared = 1 - stiffness.var(axis=0).sum() / stiffness.sum(axis=1).var()
    return float(np.sqrt(max(0.0, items / (items - 1) * shared)))


def extreme_rdfs(
    structure: Structure, values: Mapping[str, NDArray], fraction: float = 0.1
) -> tuple[NDArray, dict[str, NDArray]]:
    """Mean radial distribution function about the stiffest and the softest atoms.

    Parameters
    ----------
    structure : Structure
    values : mapping of name to (N,) array
        Such as the predicted and the measured stiffness.
    fraction : float
        Share of atoms at each end; a tenth as published.

    Returns
    -------
    radii : (R,) array
        Å, bins of 0.1 Å from 2 to 10.
    functions : dict
        ``<name> softest`` and ``<name> stiffest``, and ``all``.
    """
    descriptor = RDFDescriptors(bin_width=0.1)
    rows = descriptor.compute(structure)
    functions = {"all": rows.mean(axis=0)}
    for name, quantity in values.items():
        labelled = np.flatnonzero(np.isfinite(quantity))
        order = labelled[np.argsort(quantity[labelled], kind="stable")]
        count = max(1, round(fraction * len(order)))
        functions[f"{name} softest"] = rows[order[:count]].mean(axis=0)
        functions[f"{name} stiffest"] = rows[order[-count:]].mean(axis=0)
    return descriptor.radii, functions


def radius_scan(
    structure: Structure, predicted: NDArray, measured: NDArray, radii: Sequence[float] = SCAN_RADII
) -> dict[str, NDArray]:
    """Does coarse-graining over another radius than 6 Å bring prediction and measurement closer?

    Parameters
    ----------
    structure : Structure
    predicted, measured : (N,) arrays
        Stiffness per atom, eV/Å².
    radii : sequence of float
        Å; 0 is no averaging.

    Returns
    -------
    dict
        ``radius``; ``correlation`` (Pearson R of the averages); ``measured_spread`` and
        ``predicted_spread``, the standard deviations of the averages.
    """
    results: dict[str, list[float]] = {
        key: [] for key in ("radius", "correlation", "measured_spread", "predicted_spread")
    }
    for radius in radii:
        averages = [
            values if radius == 0 else average_within(structure, values, radius) for values in (predicted, measured)
        ]
        both = np.isfinite(averages[0]) & np.isfinite(averages[1])
        results["radius"].append(radius)
        results["correlation"].append(pearson(averages[0][both], averages[1][both]))
        results["predicted_spread"].append(float(averages[0][both].std()))
        results["measured_spread"].append(float(averages[1][both].std()))
    return {key: np.array(column) for key, column in results.items()}
