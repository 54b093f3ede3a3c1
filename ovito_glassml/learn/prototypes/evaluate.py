"""How good a prototype network is on samples it has not seen, and what its prototypes mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.evaluation import (
    area_under_roc,
    average_precision,
    balanced_brier,
    matthews_at_true_rate,
    pearson,
)
from ovito_glassml.learn.format import ResultTable
from ovito_glassml.learn.prototypes.data import ENVIRONMENT, BarrierSample, ScnnDesign, TrainingData, describe_samples
from ovito_glassml.learn.prototypes.model import CLASSES, PROTOTYPES, ScnnModel
from ovito_glassml.learn.prototypes.network import TrainingSettings, balanced
from ovito_glassml.learn.prototypes.train import FittedPrototypes, balanced_logistic, fit_prototypes, train_plain
from ovito_glassml.progress import Report, silent

__all__ = [
    "HIGH_FRACTION",
    "FoldScore",
    "area_of_highest",
    "area_on_atoms",
    "balanced_calibration",
    "by_atom_table",
    "compare_quadruples",
    "fold_tables",
    "highest",
    "leave_one_out",
    "quadruple_area",
    "score_model",
    "score_tables",
    "seed_table",
    "shares",
]

#: Share of a sample's atoms that count as high, as published.
HIGH_FRACTION = 0.2
#: How to read the scores.
OF_HIGHEST = (
    "AUC, average precision and MCC: of the highest fifth of each sample's barriers, MCC with a fifth of the atoms "
    "called high; guessing gives 0.5, 0.2 and 0. Brier: both classes weighing the same; 0.25 is ignorance."
)


@dataclass(frozen=True, eq=False)
class FoldScore:
    """Scores on one sample that took no part in training, and the model's prototypes.

    Attributes
    ----------
    name : str
        The sample.
    prototypes, plain : float
        Area under the ROC curve for the highest fifth of the sample's barriers, by the prototype network and
        by the plain network trained on the same rows. NaN if there was no plain one.
    brier : float
        Mean squared difference of probability and outcome, both classes weighing the same; 0.25 says nothing.
    average_precision, mcc : float
        For the highest fifth, by the prototype network: precision averaged over these atoms, and Matthews correlation
        if as many are called high as there are. Guessing gives 0.2 and 0.
    regression : float
        Pearson R of barriers predicted by a plain regressor, over the sample's atoms; NaN if there was none.
    shares : (4,) array
        Fractions of the sample's atoms that are nearest to each prototype.
    cosines : (4, 4) array
        Of the prototypes with each other.
    barrier, predicted : (M,) arrays
        Barriers and those the regressor predicts, eV.
    """

    name: str
    prototypes: float
    plain: float
    brier: float
    average_precision: float
    mcc: float
    regression: float
    shares: NDArray[np.float64]
    cosines: NDArray[np.float64]
    barrier: NDArray[np.float64]
    predicted: NDArray[np.float64]


def highest(barrier: NDArray, fraction: float = HIGH_FRACTION) -> NDArray[np.bool_]:
    """Atoms above the quantile of their own sample."""
    return barrier > np.quantile(barrier, 1 - fraction)


def area_of_highest(barrier: NDArray, values: NDArray) -> float:
    """Area under the ROC curve of `values` for the highest fifth; atoms without label or value do not count."""
    known = np.isfinite(barrier) & np.isfinite(values)
    high = highest(barrier[known])
    if not high.any():
        raise TrainingError("The barriers of a sample are all equal; take a sample in which they differ.")
    return area_under_roc(values[known][~high], values[known][high])


def shares(prototype: NDArray[np.int32]) -> NDArray[np.float64]:
    """Fractions of atoms that are nearest to each prototype; atoms without one (−1) do not count."""
    counts = np.bincount(prototype[prototype >= 0], minlength=PROTOTYPES)
    return counts / max(counts.sum(), 1)


def score_model(model: ScnnModel, sample: BarrierSample) -> FoldScore:
    """Score a model on a sample that it has not been trained on."""
    prediction = model.predict(sample.structure)
    known = np.isfinite(sample.barrier) & np.isfinite(prediction.logit)
    barrier = sample.barrier[known]
    return FoldScore(
        sample.name,
        area_of_highest(barrier, prediction.logit[known]),
        np.nan,
        balanced_brier(prediction.probability[known], highest(barrier)),
        average_precision(highest(barrier), prediction.logit[known]),
        matthews_at_true_rate(highest(barrier), prediction.logit[known]),
        np.nan,
        shares(prediction.prototype),
        model.network.cosines(),
        barrier,
        np.full(len(barrier), np.nan),
    )


def leave_one_out(
    samples: Sequence[BarrierSample],
    design: ScnnDesign = ENVIRONMENT,
    settings: TrainingSettings | None = None,
    *,
    seed: int = 1,
    numbers: Sequence[int] | None = None,
    regression: bool = True,
    progress: Report | None = None,
) -> list[FoldScore]:
    """Score every sample by networks trained on the others, slabs of which stop the training.

    Parameters
    ----------
    samples : sequence of BarrierSample
        Two or more.
    design, settings, seed
        As for `train_scnn`.
    numbers : sequence of int, optional
        Which samples to leave out; all by default.
    regression : bool
        Train a plain regressor too.
    progress : callable, optional
        Called with the fraction done and a text.
    """
    if len(samples) < 2:
        raise TrainingError(f"There are {len(samples)} samples; leaving one out and learning from others needs two.")
    report = progress or silent
    chosen = range(len(samples)) if numbers is None else numbers
    scores = []
    for place, left_out in enumerate(chosen):
        report(place / len(chosen), f"leaving out {samples[left_out].name}")
        learned = [number for number in range(len(samples)) if number != left_out]
        data = describe_samples(samples, design, learned=learned)
        scores.append(_fold(data, learned, left_out, design, settings, seed, regression))
    report(1.0, "done")
    return scores


def _fold(
    data: TrainingData,
    learned: Sequence[int],
    left_out: int,
    design: ScnnDesign,
    settings: TrainingSettings | None,
    seed: int,
    regression: bool,
) -> FoldScore:
    rows = data.divided(learned)
    tested = data.of_samples([left_out])
    network = fit_prototypes(data, *rows, design=design, settings=settings, seed=seed).network
    plain = train_plain(data, *rows, design=design, settings=settings, seed=seed)
    table, barrier = data.rows[tested], data.barrier[tested]
    similarity = network.similarities(network.embed(table))
    logit = network.logits(similarity)
    predicted = np.full(len(barrier), np.nan)
    if regression:
        predicted = train_plain(data, *rows, design=design, settings=settings, seed=seed, regression=True).predict(
            table
        )
    return FoldScore(
        data.samples[left_out].name,
        area_of_highest(barrier, logit),
        area_of_highest(barrier, plain.predict(table)),
        balanced_brier(network.probabilities(logit), highest(barrier)),
        average_precision(highest(barrier), logit),
        matthews_at_true_rate(highest(barrier), logit),
        pearson(predicted, barrier) if regression else np.nan,
        shares(similarity.argmax(axis=1).astype(np.int32)),
        network.cosines(),
        barrier,
        predicted,
    )


def fold_tables(scores: Sequence[FoldScore], title: str) -> list[ResultTable]:
    """Scores by sample with their mean, pooled figures beside what the samples' means alone give, prototypes."""
    rows: list[tuple[object, ...]] = [
        (s.name, s.prototypes, s.plain, s.brier, s.regression, s.average_precision, s.mcc) for s in scores
    ]
    rows.append(("mean", *(float(np.mean([row[column] for row in rows])) for column in range(1, 7))))  # type: ignore[arg-type]
    tables = [
        ResultTable(
            title,
            ("sample", "AUC prototypes", "AUC plain network", "Brier", "R regressor", "average precision", "MCC"),
            tuple(rows),
            OF_HIGHEST,
        )
    ]
    if all(np.isfinite(score.predicted).all() for score in scores) and len(scores) > 1:
        barrier = np.concatenate([score.barrier for score in scores])
        predicted = np.concatenate([score.predicted for score in scores])
        means = np.concatenate([np.full(len(score.barrier), score.barrier.mean()) for score in scores])
        pooled = (("regressor", pearson(predicted, barrier)), ("mean of the sample", pearson(means, barrier)))
        tables.append(ResultTable("Pooled over samples", ("prediction", "R"), pooled))
    tables.append(interpretation_table([(score.name, score.cosines, score.shares) for score in scores]))
    return tables


def score_tables(scores: Sequence[FoldScore], title: str) -> list[ResultTable]:
    """Scores of one model on several samples, and its prototypes."""
    rows = tuple((s.name, s.prototypes, s.brier, s.average_precision, s.mcc) for s in scores)
    nearest = [(score.name, score.cosines, score.shares) for score in scores]
    return [
        ResultTable(title, ("sample", "AUC", "Brier", "average precision", "MCC"), rows, OF_HIGHEST),
        interpretation_table(nearest),
    ]


def by_atom_table(
    data: TrainingData, design: ScnnDesign = ENVIRONMENT, settings: TrainingSettings | None = None, *, seed: int = 1
) -> ResultTable:
    """What `area_on_atoms` finds, as a table."""
    rows = tuple(zip(("prototypes", "plain network"), area_on_atoms(data, design, settings, seed=seed), strict=True))
    note = "Half of the atoms to learn from, a quarter to stop by, a quarter to judge by; neighbours are shared."
    return ResultTable("Divided by atom, as published", ("network", "AUC"), rows, note)


def interpretation_table(models: Sequence[tuple[str, NDArray, NDArray]]) -> ResultTable:
    """Cosines within and between the classes, and shares of atoms by nearest prototype, one model a row."""
    rows = []
    for name, cosines, nearest in models:
        between = cosines[np.ix_(CLASSES == 0, CLASSES == 1)]
        rows.append((name, cosines[0, 1], cosines[2, 3], between.min(), between.max(), *(float(x) for x in nearest)))
    return ResultTable(
        "Prototypes",
        ("model", "cosine low", "cosine high", "least between", "most between", "share 0", "share 1", "2", "3"),
        tuple(rows),
        "Cosines of the prototypes of one class and of different ones; shares of atoms nearest to each.",
    )


def seed_table(
    data: TrainingData,
    learned: NDArray[np.int64],
    validated: NDArray[np.int64],
    tested: NDArray[np.int64],
    *,
    design: ScnnDesign = ENVIRONMENT,
    settings: TrainingSettings | None = None,
    seeds: Sequence[int] = (1, 2, 3, 4, 5),
) -> tuple[ResultTable, list[FittedPrototypes]]:
    """Train with several seeds on the same rows: areas, cosines, shares, and the networks themselves."""
    fits, rows = [], []
    for seed in seeds:
        fitted = fit_prototypes(data, learned, validated, design=design, settings=settings, seed=seed)
        network = fitted.network
        similarity = network.similarities(network.embed(data.rows[tested]))
        area = area_of_highest(data.barrier[tested], network.logits(similarity))
        name = f"seed {seed}, AUC {area:.3f}"
        rows.append((name, network.cosines(), shares(similarity.argmax(axis=1).astype(np.int32))))
        fits.append(fitted)
    return interpretation_table(rows), fits


def area_on_atoms(
    data: TrainingData,
    design: ScnnDesign = ENVIRONMENT,
    settings: TrainingSettings | None = None,
    *,
    seed: int = 1,
) -> tuple[float, float]:
    """The published way to judge: the highest fifth of all atoms and as many others, divided by atom.

    Half of the atoms are learned from, a quarter stops the training, a quarter is for testing.
    Neighbours of learned atoms are among the tested, so this flatters; compare with `leave_one_out`.

    Returns
    -------
    prototypes, plain : float
        Areas under the ROC curve.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(balanced(highest(data.barrier), rng))
    quarter = len(chosen) // 4
    tested, validated, learned = chosen[:quarter], chosen[quarter : 2 * quarter], chosen[2 * quarter :]
    halves = replace(settings or TrainingSettings(), high_fraction=0.5)  # these rows hold as many high as others
    network = fit_prototypes(data, learned, validated, design=design, settings=halves, seed=seed).network
    plain = train_plain(data, learned, validated, design=design, settings=halves, seed=seed)
    high = data.barrier[tested] > np.quantile(data.barrier, 1 - HIGH_FRACTION)
    table = data.rows[tested]
    values = network.logits(network.similarities(network.embed(table))), plain.predict(table)
    first, second = (area_under_roc(value[~high], value[high]) for value in values)
    return first, second


def balanced_calibration(
    probability: NDArray, high: NDArray[np.bool_], bins: int = 10
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean probability and frequency of high barriers in bins of probability, at equal prevalence.

    Returns
    -------
    predicted, observed : (bins,) arrays
        NaN in empty bins.
    """
    weights = np.where(high, 0.5 / high.mean(), 0.5 / (1 - high.mean()))
    place = np.minimum((probability * bins).astype(int), bins - 1)
    total = np.bincount(place, weights, bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        predicted = np.bincount(place, weights * probability, bins) / total
        observed = np.bincount(place, weights * high, bins) / total
    return predicted, observed


def quadruple_area(
    rows: NDArray, high: NDArray[np.bool_], tested: NDArray, tested_high: NDArray[np.bool_], atoms: NDArray
) -> float:
    """Area reached by a head on the cosines of raw rows with those of four atoms.

    Parameters
    ----------
    rows, tested : (M, F), (T, F) arrays
        Standardised rows, scaled to unit length, to train the head on and to test it.
    high, tested_high : bool arrays
    atoms : (4, F) array
        Standardised rows of the atoms, scaled to unit length.
    """
    coefficients = balanced_logistic(rows @ atoms.T, high)
    values = (tested @ atoms.T) @ coefficients[:-1]
    return area_under_roc(values[~tested_high], values[tested_high])


def compare_quadruples(
    rows: NDArray,
    high: NDArray[np.bool_],
    tested: NDArray,
    tested_high: NDArray[np.bool_],
    prototypes: NDArray,
    *,
    quadruples: int = 1000,
    most_rows: int = 4000,
    seed: int = 1,
    progress: Callable[[float], None] | None = None,
) -> tuple[float, NDArray[np.float64]]:
    """Do the raw descriptors of the prototypes classify better than those of four random atoms?

    Parameters
    ----------
    rows, tested : (M, F), (T, F) arrays
        Descriptor rows of training and test atoms.
    high, tested_high : bool arrays
        Their classes.
    prototypes : (4, F) array
        Rows of the prototype atoms.
    quadruples : int
        Number of random ones: two atoms of each class.
    most_rows : int
        Rows of each kind that are used, at random, to save time.
    seed : int
    progress : callable, optional
        Called with the fraction done.

    Returns
    -------
    area : float
        Of the prototypes.
    random : (quadruples,) array
        Areas of random quadruples, sorted. Prototypes mean something above their 95th percentile.
    """
    rng = np.random.default_rng(seed)
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.maximum(scale, 1e-6 * scale.max() + 1e-300)

    def directions(table: NDArray) -> NDArray:
        standard = (table - mean) / scale
        return (standard / np.linalg.norm(standard, axis=1, keepdims=True)).astype(np.float32)

    learned = rng.choice(len(rows), min(len(rows), most_rows), replace=False)
    judged = rng.choice(len(tested), min(len(tested), most_rows), replace=False)
    settings = directions(rows[learned]), high[learned], directions(tested[judged]), tested_high[judged]
    area = quadruple_area(*settings, directions(prototypes))
    members = [np.flatnonzero(~high), np.flatnonzero(high)]
    random = np.empty(quadruples)
    for number in range(quadruples):
        atoms = np.concatenate([rng.choice(chosen, 2, replace=False) for chosen in members])
        random[number] = quadruple_area(*settings, directions(rows[atoms]))
        if progress is not None:
            progress((number + 1) / quadruples)
    return area, np.sort(random)
