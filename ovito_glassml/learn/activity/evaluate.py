"""How good an activity classifier is on configurations that it has not been trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.labels.activity import ACTIVE
from ovito_glassml.learn.activity.data import ActivitySample, configurations
from ovito_glassml.learn.activity.model import ActivityModel
from ovito_glassml.learn.activity.train import LabelledRows, balanced_accuracy, cross_validate
from ovito_glassml.learn.evaluation import area_under_roc, balanced_brier
from ovito_glassml.learn.format import ResultTable
from ovito_glassml.structure import Structure

__all__ = [
    "ConfigurationScore",
    "cross_validation_table",
    "jackknife_error",
    "left_out_accuracies",
    "mean_and_error",
    "score_samples",
    "score_table",
]


@dataclass(frozen=True)
class ConfigurationScore:
    """Scores on the labelled atoms of one configuration.

    Attributes
    ----------
    name : str
    active, inactive : int
        Numbers of labelled atoms.
    accuracy : float
        Balanced: mean of the shares of active and of inactive atoms that are recognised.
    auc : float
        Probability that an active atom gets a higher value than an inactive one.
    brier : float
        Mean squared difference of probability and outcome, both classes weighing the same; 0.25 says nothing.
    extrapolating : float
        Fraction of labelled atoms whose extrapolation score is above 1.
    """

    name: str
    active: int
    inactive: int
    accuracy: float
    auc: float
    brier: float
    extrapolating: float


def score_samples(
    model: ActivityModel, samples: Sequence[ActivitySample], shown: Sequence[Structure] | None = None
) -> list[ConfigurationScore]:
    """Score a model on every configuration.

    Parameters
    ----------
    model : ActivityModel
    samples : sequence of ActivitySample
        Each configuration needs active and inactive atoms.
    shown : sequence of Structure, optional
        What the model looks at in place of the samples' own structures, such as thermal snapshots.
    """
    structures = shown or [sample.structure for sample in samples]
    labels: dict[str, list[NDArray]] = {name: [] for name in configurations(samples)}
    values: dict[str, list[NDArray]] = {name: [] for name in labels}
    novelty: dict[str, list[NDArray]] = {name: [] for name in labels}
    for sample, structure in zip(samples, structures, strict=True):
        prediction = model.predict(structure)
        chosen = sample.scored & np.isfinite(prediction.probability)
        labels[sample.configuration].append(sample.activity[chosen])
        values[sample.configuration].append(prediction.probability[chosen])
        novelty[sample.configuration].append(prediction.extrapolation[chosen])
    return [_score(name, *(np.concatenate(part[name]) for part in (labels, values, novelty))) for name in labels]


def _score(name: str, labels: NDArray, probability: NDArray, novelty: NDArray) -> ConfigurationScore:
    active = labels == ACTIVE
    return ConfigurationScore(
        name,
        int(active.sum()),
        int((~active).sum()),
        balanced_accuracy(labels, probability > 0.5),
        area_under_roc(probability[~active], probability[active]),
        balanced_brier(probability, active),
        float((novelty > 1).mean()),
    )


def score_table(title: str, scores: Sequence[ConfigurationScore], note: str = "") -> ResultTable:
    """A row for each configuration and their mean."""
    rows: list[tuple[object, ...]] = [
        (s.name, s.active, s.inactive, s.accuracy, s.auc, s.brier, f"{s.extrapolating:.0%}") for s in scores
    ]
    means = [float(np.mean([getattr(s, name) for s in scores])) for name in ("accuracy", "auc", "brier")]
    total = sum(s.active for s in scores), sum(s.inactive for s in scores)
    rows.append(("mean", *total, *means, ""))
    columns = ("configuration", "active", "inactive", "balanced accuracy", "AUC", "Brier score", "extrapolating")
    return ResultTable(title, columns, tuple(rows), note)


def cross_validation_table(named: Sequence[tuple[str, LabelledRows, str]], title: str, note: str = "") -> ResultTable:
    """Balanced accuracy on configurations left out, for several sets of features or methods.

    Parameters
    ----------
    named : sequence of (name, rows, method)
    title, note : str
        The strength of regularisation is chosen by the same decisions that are scored.
    """
    rows = []
    for name, data, method in named:
        accuracy, error = mean_and_error(data, cross_validate(data, method).decisions)
        rows.append((name, data.rows.shape[1], accuracy, error))
    return ResultTable(title, ("features", "number", "balanced accuracy", "standard error"), tuple(rows), note)


def mean_and_error(data: LabelledRows, decisions: NDArray) -> tuple[float, float]:
    """Balanced accuracy over all judged atoms, and its standard error from the scatter between configurations.

    The error is that of a mean over configurations weighted by their numbers of labelled atoms, by
    leaving out one configuration after the other (jackknife).
    """
    return data.accuracy(decisions), jackknife_error(left_out_accuracies(data, decisions))


def left_out_accuracies(data: LabelledRows, decisions: NDArray) -> NDArray[np.float64]:
    """Balanced accuracy over all configurations but one, for each that leaves atoms of both classes."""
    without = []
    for number in np.unique(data.configuration):
        kept = data.configuration != number
        if len(np.unique(data.labels[kept & data.judged])) == 2:
            without.append(data.atoms(kept).accuracy(decisions[kept]))
    return np.array(without)


def jackknife_error(without: NDArray) -> float:
    """Standard error of a quantity from its values without one configuration each; NaN for fewer than two."""
    count = len(without)
    if count < 2:
        return float("nan")
    return float(np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2)))
