"""Training of activity classifiers on labelled atoms. Needs the extra `train`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.descriptors.blocks import species_columns
from ovito_glassml.errors import TrainingError
from ovito_glassml.labels.activity import ACTIVE
from ovito_glassml.learn.activity.data import ActivitySample, configurations
from ovito_glassml.learn.activity.model import KIND, ActivityModel
from ovito_glassml.learn.activity.settings import RADIUS
from ovito_glassml.learn.averaged_sum import (
    AveragedSum,
    LinearPart,
    averaged_features,
    mean_rows,
    radii_that_fit,
    weights_by_radius,
)
from ovito_glassml.learn.extrapolation import ExtrapolationScore, fit_extrapolation
from ovito_glassml.learn.format import ModelHeader, ResultTable
from ovito_glassml.learn.units import NOT_STATED
from ovito_glassml.progress import Report, silent, span_of
from ovito_glassml.threads import one_blas_thread

__all__ = [
    "FOLDS",
    "METHODS",
    "ActivityDesign",
    "CrossValidation",
    "LabelledRows",
    "balanced_accuracy",
    "cross_validate",
    "describe",
    "fit_line",
    "fitting_radii",
    "train_activity",
]

#: Strengths of Tikhonov regularisation that cross-validation chooses from, per labelled atom.
STRENGTHS = tuple(10.0**exponent for exponent in np.arange(-4, 1.1, 0.5))
#: Parts of the data in cross-validation, or one for each configuration if there are fewer.
FOLDS = 5
#: Regions over which novelty is measured, in nearest-neighbour distances: 8 Å in Cu-Zr.
REGION = 3.0
#: Fewer labelled atoms of either class than this teach nothing.
SMALLEST_CLASS = 20


@dataclass(frozen=True)
class ActivityDesign:
    """What a model looks at and how it learns.

    Attributes
    ----------
    title, summary : str
        For the card.
    descriptor : ACEDescriptors
    active_species : str
        The species whose atoms are classified.
    activation : str
        ``thermal`` or ``shear``: what made the atoms move.
    method : str
        One of `METHODS`.
    length_unit : str
        Of structures and cutoff, for the card.
    radii : tuple of float
        Radii of averages over neighbours, in nearest-neighbour distances; none by default.
    """

    title: str
    summary: str
    descriptor: ACEDescriptors
    active_species: str
    activation: str
    method: str = "logistic"
    length_unit: str = NOT_STATED
    radii: tuple[float, ...] = ()


class LabelledRows(NamedTuple):
    """Descriptor rows of labelled atoms with all that training needs to know of them.

    `labels` are 1 (active) or 0 (inactive), `displacement` their D²min, `configuration` the number of
    the configuration among `names`, `judged` the atoms that scores count. `centre` are the mean rows of each species,
    which averages are relative to.
    """

    rows: NDArray[np.float64]
    labels: NDArray[np.int8]
    displacement: NDArray[np.float64]
    configuration: NDArray[np.int64]
    names: tuple[str, ...]
    judged: NDArray[np.bool_]
    centre: NDArray[np.float64] = np.zeros((0, 0))

    def columns(self, chosen: NDArray | slice) -> LabelledRows:
        """The same atoms with fewer features."""
        return self._replace(rows=self.rows[:, chosen])

    def atoms(self, chosen: NDArray) -> LabelledRows:
        """Fewer atoms with the same features."""
        whole = ("names", "centre")
        return self._replace(**{name: array[chosen] for name, array in self._asdict().items() if name not in whole})

    def accuracy(self, decisions: NDArray) -> float:
        """Balanced accuracy of decisions about these atoms, over those that are judged."""
        return balanced_accuracy(self.labels[self.judged], decisions[self.judged] > 0)


class CrossValidation(NamedTuple):
    """Decisions about atoms of configurations that were not trained on, and the strength that did best."""

    decisions: NDArray[np.float64]
    strength: float


class Line(NamedTuple):
    """Standardisation, direction and offset of a linear decision."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    offset: float

    def decide(self, rows: NDArray) -> NDArray[np.float64]:
        """Decision value of each row; positive means active."""
        return (rows - self.mean) / self.scale @ self.weights + self.offset


def train_activity(
    samples: Sequence[ActivitySample],
    design: ActivityDesign,
    *,
    training: Mapping[str, Any] | None = None,
    results: Sequence[ResultTable] = (),
    progress: Report | None = None,
) -> ActivityModel:
    """Train a classifier of active and inactive atoms.

    The strength of regularisation is the one whose decisions about configurations not trained on have
    the highest balanced accuracy; these decisions also calibrate the probability. The final classifier
    is fitted to all samples.

    Parameters
    ----------
    samples : sequence of ActivitySample
        From at least two configurations.
    design : ActivityDesign
    training : mapping, optional
        How the data were made, for the card.
    results : sequence of ResultTable
        Held-out scores, for the card.
    progress : callable, optional
        Called with the fraction done and a text.

    Raises
    ------
    TrainingError
        For fewer than two configurations, one class only, or too few atoms of a class.
    """
    report = progress or silent
    data = describe(samples, design.descriptor, span_of(report, 0.0, 0.4), radii=design.radii)
    report(0.4, "cross-validating by configuration")
    validation = cross_validate(data, design.method)
    line = fit_line(data, design.method, validation.strength)
    slope, shift = _calibrate(validation.decisions[data.judged], data.labels[data.judged])
    linear = _sum_of(line, data.centre, design)
    report(0.8, "measuring where the training data lie")
    score = _novelty(samples, design)
    header = _header(samples, design, data, validation.strength, training or {}, results)
    report(1.0, "done")
    return ActivityModel(header, linear, np.array(slope), np.array(shift), score)


def _sum_of(line: Line, centre: NDArray, design: ActivityDesign) -> AveragedSum:
    """The same decision as a sum over an atom's own rows and averages."""
    descriptor, weights = design.descriptor, line.weights / line.scale
    own, averaged = weights_by_radius(weights, len(descriptor.feature_names), len(descriptor.species))
    part = LinearPart(descriptor, centre, own, averaged)
    radii = np.array(design.radii) * descriptor.nearest
    return AveragedSum(design.active_species, radii, (part,), np.array(line.offset - line.mean @ weights))


def describe(
    samples: Sequence[ActivitySample],
    descriptor: ACEDescriptors,
    progress: Report | None = None,
    *,
    radii: Sequence[float] = (),
) -> LabelledRows:
    """Descriptor rows of all labelled atoms and, for each of the radii, averages over the neighbours of each species.

    Radii are in nearest-neighbour distances, no larger than half a box.

    Raises
    ------
    TrainingError
        As `train_activity`.
    """
    names = configurations(samples)
    if not samples:
        raise TrainingError("There are no labelled structures to train on; give files with a column of labels.")
    tables, kinds = [], []
    for number, sample in enumerate(samples):
        if progress is not None:
            progress(number / len(samples), f"describing {sample.configuration}")
        table = np.zeros((len(sample.structure), len(descriptor.feature_names)), dtype=np.float32)
        chosen = np.ones(len(table), dtype=np.bool_) if radii else sample.labelled
        table[chosen] = descriptor.compute(replace(sample.structure, mask=chosen))
        tables.append(table)
        kinds.append(species_columns(sample.structure, descriptor.species)[sample.structure.species])
    centre = np.zeros((len(descriptor.species), len(descriptor.feature_names)))
    if radii:
        centre = mean_rows(tables, kinds, len(descriptor.species))
    lengths = [radius * descriptor.nearest for radius in radii]
    parts = []
    for sample, table, kind in zip(samples, tables, kinds, strict=True):
        labelled = sample.labelled
        features = averaged_features(sample.structure, table, kind, centre, lengths, labelled)
        place = np.full(len(features), names.index(sample.configuration))
        known = (sample.activity, sample.displacement, sample.scored)
        parts.append((features.astype(np.float64), place, *(column[labelled] for column in known)))
    rows, configuration, labels, displacement, judged = map(np.concatenate, zip(*parts, strict=True))
    data = LabelledRows(rows, labels, displacement, configuration, names, judged, centre)
    _check(data)
    return data


def fitting_radii(samples: Sequence[ActivitySample], nearest: float, radius: float = RADIUS) -> tuple[float, ...]:
    """Radii for an `ActivityDesign`: this one or half of the smallest box; none if it is 0.

    Raises
    ------
    TrainingError
        For a radius below 0.
    """
    if not radius >= 0:
        raise TrainingError(f"The radius of averages is {radius:g}; give one such as {RADIUS:g}, or 0 for none.")
    return radii_that_fit((sample.structure for sample in samples), nearest, (radius,) if radius > 0 else ())


def _check(data: LabelledRows) -> None:
    if len(data.names) < 2:
        raise TrainingError(
            f"All labelled atoms belong to {data.names[0]}; give at least two configurations, "
            "one to learn from and one to judge by."
        )
    for label, name in ((1, "active"), (0, "inactive")):
        count = np.count_nonzero(data.labels[data.judged] == label)
        if count < SMALLEST_CLASS:
            raise TrainingError(
                f"There are {count} {name} atoms; give structures with at least {SMALLEST_CLASS} of each class."
            )


def cross_validate(
    data: LabelledRows, method: str = "logistic", strengths: Sequence[float] | None = None, folds: int = FOLDS
) -> CrossValidation:
    """Decisions about every atom by a classifier that has not seen its configuration.

    Parameters
    ----------
    data : LabelledRows
    method : str
        One of `METHODS`.
    strengths : sequence of float, optional
        To choose from by balanced accuracy over all judged atoms; by default `STRENGTHS`.
    folds : int
        Parts of the data; one for each configuration if there are fewer.
    """
    fold = data.configuration % min(folds, len(data.names))
    tried = []
    for strength in strengths or (STRENGTHS if METHODS[method].regularised else (0.0,)):
        decisions = np.empty(len(data.labels))
        with one_blas_thread():  # more threads are slower: the products are small, and there are many
            for number in np.unique(fold):
                held = fold == number
                decisions[held] = fit_line(data.atoms(~held), method, strength).decide(data.rows[held])
        tried.append(CrossValidation(decisions, strength))
    return max(tried, key=lambda validation: data.accuracy(validation.decisions))


def fit_line(data: LabelledRows, method: str, strength: float) -> Line:
    """Fit a linear decision to labelled rows, active and inactive atoms weighing the same."""
    mean, scale = data.rows.mean(axis=0), data.rows.std(axis=0)
    scale = np.where(scale > 1e-9 * scale.max(initial=1e-300), scale, 1.0)  # features that never vary
    weights, offset = METHODS[method].fit((data.rows - mean) / scale, data, strength)
    return Line(mean, scale, weights, offset)


class _Method(NamedTuple):
    fit: Callable[[NDArray, LabelledRows, float], tuple[NDArray, float]]
    regularised: bool


def _fit_logistic(rows: NDArray, data: LabelledRows, strength: float) -> tuple[NDArray, float]:
    from sklearn.linear_model import LogisticRegression

    # Newton's method needs four steps where a thousand of L-BFGS end before the minimum.
    weakness = 1 / (strength * len(rows))
    model = LogisticRegression(C=weakness, class_weight="balanced", solver="newton-cholesky")
    model.fit(rows, data.labels)
    return model.coef_[0], float(model.intercept_[0])


def _fit_svm(rows: NDArray, data: LabelledRows, strength: float) -> tuple[NDArray, float]:
    from sklearn.svm import LinearSVC

    model = LinearSVC(C=1 / (strength * len(rows)), class_weight="balanced", dual="auto", max_iter=20_000)
    model.fit(rows, data.labels)
    return model.coef_[0], float(model.intercept_[0])


def _fit_ard(rows: NDArray, data: LabelledRows, strength: float) -> tuple[NDArray, float]:
    """Regression on log D²min; the boundary lies half-way between the means of the two classes."""
    from sklearn.linear_model import ARDRegression

    target = log_displacement(data.displacement)
    model = ARDRegression().fit(rows, target)
    boundary = 0.5 * (target[data.labels == ACTIVE].mean() + target[data.labels != ACTIVE].mean())
    return model.coef_, float(model.intercept_ - boundary)


#: Ways to find the line: name → how.
METHODS: dict[str, _Method] = {
    "logistic": _Method(_fit_logistic, True),
    "svm": _Method(_fit_svm, True),
    "ard": _Method(_fit_ard, False),
}


def log_displacement(displacement: NDArray) -> NDArray[np.float64]:
    """Logarithm of D²min, whose distribution has a long tail."""
    if not np.isfinite(displacement).all():
        raise TrainingError("Some labelled atoms have no D²min; give the column, or choose logistic or svm.")
    return np.log(np.maximum(displacement, 1e-8))


def balanced_accuracy(labels: NDArray, active: NDArray[np.bool_]) -> float:
    """Mean of the shares of active and of inactive atoms that are recognised."""
    return float(0.5 * (active[labels == ACTIVE].mean() + (~active[labels != ACTIVE]).mean()))


def _calibrate(decisions: NDArray, labels: NDArray) -> tuple[float, float]:
    """Slope and shift of the logistic function that gives the decisions their probabilities (J. Platt, 1999)."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=1e6, class_weight="balanced").fit(decisions[:, None], labels)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _novelty(samples: Sequence[ActivitySample], design: ActivityDesign) -> ExtrapolationScore:
    """Where the training data lie, from one structure of every configuration."""
    firsts = {sample.configuration: sample for sample in reversed(samples)}
    structures, tables, members, parts = [], [], [], []
    for number, name in enumerate(configurations(samples)):
        structure = firsts[name].structure
        chosen = structure.of_species(design.active_species)
        table = np.zeros((len(structure), len(design.descriptor.feature_names)), dtype=np.float32)
        table[chosen] = design.descriptor.compute(replace(structure, mask=chosen))
        structures.append(structure)
        tables.append(table)
        members.append({design.active_species: np.flatnonzero(chosen)})
        parts.append(np.full(len(structure), number))
    radius = REGION * design.descriptor.nearest
    return fit_extrapolation(structures, tables, members, parts, radius=radius)


def _header(
    samples: Sequence[ActivitySample],
    design: ActivityDesign,
    data: LabelledRows,
    strength: float,
    training: Mapping[str, Any],
    results: Sequence[ResultTable],
) -> ModelHeader:
    descriptor = asdict(design.descriptor)
    counts = dict.fromkeys(design.descriptor.species, 0)
    for sample in samples:
        for name in counts:
            counts[name] += int(sample.structure.of_species(name).sum())
    total = sum(counts.values())
    return ModelHeader(
        kind=KIND,
        title=design.title,
        summary=design.summary,
        species=design.descriptor.species,
        cutoff=float(design.descriptor.cutoff + max(design.radii, default=0) * design.descriptor.nearest),
        descriptor=descriptor,
        architecture={
            "active_species": design.active_species,
            "method": design.method,
            "strength": strength,
            "extrapolation_radius": REGION * design.descriptor.nearest,
        },
        output={"property": "Activity Probability", "unit": "probability"},
        training={
            "activation": design.activation,
            "composition": {name: round(count / total, 4) for name, count in counts.items()},
            **training,
            "active_atoms": int((data.labels == ACTIVE).sum()),
            "inactive_atoms": int((data.labels != ACTIVE).sum()),
            "samples": list(data.names),
        },
        results=tuple(results),
        length_unit=design.length_unit,
    )
