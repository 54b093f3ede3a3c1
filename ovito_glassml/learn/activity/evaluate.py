"""How good an activity classifier is on configurations that it has not been trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.labels.activity import ACTIVE
from ovito_glassml.learn.activity.data import ActivitySample, configurations
from ovito_glassml.learn.activity.model import ActivityModel
from ovito_glassml.learn.activity.train import SMALLEST_CLASS, LabelledRows, balanced_accuracy, cross_validate
from ovito_glassml.learn.evaluation import (
    area_under_roc,
    average_precision,
    balanced_brier,
    matthews_at_true_rate,
    precision_at_true_rate,
)
from ovito_glassml.learn.format import ResultTable
from ovito_glassml.structure import Structure

__all__ = [
    "AT_TRUE_RATE",
    "ConfigurationScore",
    "FeatureTrial",
    "accuracies_by_glass",
    "cross_validation_table",
    "jackknife_error",
    "left_out_accuracies",
    "mean_and_error",
    "score_samples",
    "score_table",
    "simplest_as_good",
    "trial_table",
    "try_features",
]

#: Scores of a configuration that have a mean, and what tables call them.
SCORE_COLUMNS = {
    "accuracy": "balanced accuracy",
    "auc": "AUC",
    "brier": "Brier score",
    "rate": "rate of events",
    "average_precision": "average precision",
    "precision": "precision",
    "mcc": "MCC",
}
#: How to read the last four.
AT_TRUE_RATE = (
    "Accuracy, AUC and Brier score are of the clear cases, active and inactive. The rate of events is the share of the "
    "active among all atoms of the species, most of which are neither; average precision, and precision and MCC with "
    "as many atoms called active as there are, are of all these atoms. Guessing gives the rate, the rate and 0."
)


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
    rate : float
        Share of the active among *all* atoms of the active species, those that are neither included. It is what
        guessing gives for the next two; for the last it is 0.
    average_precision, precision, mcc : float
        Among all these atoms: precision averaged over the active ones; precision, and Matthews correlation, if as many
        are called active as there are.
    extrapolating : float
        Fraction of labelled atoms whose extrapolation score is above 1.
    """

    name: str
    active: int
    inactive: int
    accuracy: float
    auc: float
    brier: float
    rate: float
    average_precision: float
    precision: float
    mcc: float
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
    seen: dict[str, list[tuple[NDArray, ...]]] = {name: [] for name in configurations(samples)}
    for sample, structure in zip(samples, structures, strict=True):
        prediction = model.predict(structure)
        judged = sample.scored & np.isfinite(prediction.probability)
        # Of a structure without judged atoms it is not known who is active.
        known = np.isfinite(prediction.probability) & judged.any()
        if np.isfinite(sample.displacement).any():
            known &= np.isfinite(sample.displacement)
        kept = known | judged
        columns = sample.activity, prediction.probability, prediction.extrapolation, judged
        seen[sample.configuration].append(tuple(column[kept] for column in columns))
    return [_score(name, *map(np.concatenate, zip(*parts, strict=True))) for name, parts in seen.items()]


def _score(
    name: str, activity: NDArray, probability: NDArray, novelty: NDArray, judged: NDArray[np.bool_]
) -> ConfigurationScore:
    labels, clear = activity[judged], probability[judged]
    active = labels == ACTIVE
    event = judged & (activity == ACTIVE)  # every other atom stays where it is, or is no clear case
    return ConfigurationScore(
        name,
        int(active.sum()),
        int((~active).sum()),
        balanced_accuracy(labels, clear > 0.5),
        area_under_roc(clear[~active], clear[active]),
        balanced_brier(clear, active),
        float(event.mean()),
        average_precision(event, probability),
        precision_at_true_rate(event, probability),
        matthews_at_true_rate(event, probability),
        float((novelty[judged] > 1).mean()),
    )


def score_table(title: str, scores: Sequence[ConfigurationScore], note: str = "") -> ResultTable:
    """A row for each configuration and their mean."""
    numbers = tuple(SCORE_COLUMNS)
    rows: list[tuple[object, ...]] = [
        (s.name, s.active, s.inactive, *(getattr(s, name) for name in numbers), f"{s.extrapolating:.0%}")
        for s in scores
    ]
    means = [float(np.mean([getattr(s, name) for s in scores])) for name in numbers]
    total = sum(s.active for s in scores), sum(s.inactive for s in scores)
    rows.append(("mean", *total, *means, ""))
    columns = ("configuration", "active", "inactive", *SCORE_COLUMNS.values(), "extrapolating")
    return ResultTable(title, columns, tuple(rows), f"{note} {AT_TRUE_RATE}".strip())


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


@dataclass(frozen=True, eq=False)
class FeatureTrial:
    """How well classifiers with one set of features recognise the atoms of glasses that they have not seen.

    Attributes
    ----------
    name : str
    count : int
        Number of features.
    pooled : float
        Balanced accuracy over all judged atoms together, in which glasses with many events decide.
    by_glass : (G,) array
        Balanced accuracy of every glass that has enough judged atoms, see `accuracies_by_glass`.
    without : (C,) array
        Pooled accuracy without each configuration, for the error of differences.
    """

    name: str
    count: int
    pooled: float
    by_glass: NDArray[np.float64]
    without: NDArray[np.float64]

    def behind(self, best: FeatureTrial) -> tuple[float, float]:
        """By how much the mean over glasses is less than another's, and the standard error of that, glass by glass."""
        difference = best.by_glass - self.by_glass
        return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference)))

    def behind_pooled(self, best: FeatureTrial) -> tuple[float, float]:
        """The same of the pooled accuracy, the error by leaving out one configuration after the other."""
        return best.pooled - self.pooled, jackknife_error(best.without - self.without)


def try_features(name: str, data: LabelledRows, strengths: Sequence[float] | None = None) -> FeatureTrial:
    """Leave every glass out in turn, the strength of regularisation being the best one over all of them."""
    decisions = cross_validate(data, "logistic", strengths, folds=len(data.names)).decisions
    by_glass, without = accuracies_by_glass(data, decisions), left_out_accuracies(data, decisions)
    return FeatureTrial(name, data.rows.shape[1], data.accuracy(decisions), by_glass, without)


def accuracies_by_glass(data: LabelledRows, decisions: NDArray, fewest: int = SMALLEST_CLASS) -> NDArray[np.float64]:
    """Balanced accuracy of each configuration that has at least `fewest` judged atoms of either class."""
    found = []
    for number in np.unique(data.configuration):
        chosen = data.judged & (data.configuration == number)
        active = int((data.labels[chosen] == ACTIVE).sum())
        if min(active, int(chosen.sum()) - active) >= fewest:
            found.append(balanced_accuracy(data.labels[chosen], decisions[chosen] > 0))
    return np.array(found)


def simplest_as_good(trials: Sequence[FeatureTrial]) -> FeatureTrial:
    """The fewest features whose mean over glasses is less than one paired standard error behind the best.

    Of as few features those with the best mean. Paired, since all are judged by the same glasses, which differ by more
    than the features do.
    """
    best = max(trials, key=lambda one: one.by_glass.mean())
    enough = [one for one in trials if one is best or np.less_equal(*one.behind(best))]
    return min(enough, key=lambda one: (one.count, -one.by_glass.mean()))


def trial_table(title: str, trials: Sequence[FeatureTrial]) -> ResultTable:
    """A row for each set of features."""
    best = max(trials, key=lambda one: one.by_glass.mean())
    rows = [
        (one.name, one.count, float(one.by_glass.mean()), *one.behind(best), one.pooled, *one.behind_pooled(best))
        for one in trials
    ]
    behind = "behind the best", "paired standard error"
    columns = ("features", "number", "mean over glasses", *behind, "pooled", "pooled, behind the same", "paired error")
    note = (
        f"Balanced accuracy with every glass left out in turn: the mean over the {len(best.by_glass)} glasses with at "
        f"least {SMALLEST_CLASS} judged atoms of either class, and all judged atoms pooled. Chosen are the fewest "
        "features that are at most one paired standard error behind the best mean over glasses; of as few, the best. "
        "Configurations kept aside take no part; regularisation is chosen by the same decisions that are scored."
    )
    return ResultTable(title, columns, tuple(rows), note)


def jackknife_error(without: NDArray) -> float:
    """Standard error of a quantity from its values without one configuration each; NaN for fewer than two."""
    count = len(without)
    if count < 2:
        return float("nan")
    return float(np.sqrt((count - 1) / count * np.sum((without - without.mean()) ** 2)))
