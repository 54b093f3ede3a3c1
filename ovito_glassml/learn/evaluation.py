"""How well predicted values agree with true ones: scores with confidence intervals, and the curves behind them.

Atoms are no independent samples: neighbours share most of their surroundings. Intervals therefore come
from a bootstrap over boxes of space. Every box is first reduced to what the scores need of it, sums
and histograms, so that a resampled score costs the same for a thousand atoms and for a million.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy  # its parts are loaded when first used: scipy.stats takes half a second
from numpy.typing import ArrayLike, NDArray

from ovito_glassml.errors import GlassMLError
from ovito_glassml.progress import Progress, silent
from ovito_glassml.structure import Structure
from ovito_glassml.threads import one_blas_thread

__all__ = [
    "CLASSIFICATION",
    "CONFIDENCE",
    "REGRESSION",
    "RESAMPLES",
    "TOP_SHARE",
    "Evaluation",
    "EvaluationError",
    "Score",
    "are_probabilities",
    "area_under_roc",
    "average_precision",
    "balanced_brier",
    "calibration_curve",
    "chance",
    "class_labels",
    "classification_scores",
    "evaluate",
    "expected_calibration_error",
    "matthews_at_true_rate",
    "parity",
    "pearson",
    "precision_at_true_rate",
    "precision_recall_curve",
    "regression_scores",
    "roc_curve",
    "spatial_groups",
    "spearman",
    "top_overlap",
]

#: Names of the scores.
REGRESSION = ("pearson", "spearman", "top_overlap", "rmse", "bias")
CURVE_SCORES = ("auc", "average_precision", "precision", "mcc")
CLASSIFICATION = (*CURVE_SCORES, "brier", "calibration_error")

#: Share of the atoms with the largest values, whose overlap is scored: as many as are called active where labels are
#: quantiles.
TOP_SHARE = 0.05

#: Share of intervals that hold the true value.
CONFIDENCE = 0.95
TAIL = (1 - CONFIDENCE) / 2

#: Enough for limits that are known to a few percent of the width of the interval.
RESAMPLES = 1000

#: Of the resampling, so that the same data always get the same intervals.
SEED = 1

#: Boxes hold this many compared atoms on average, or more: in a metal 12 Å, the range of structural correlations.
ATOMS_PER_GROUP = 100

#: More boxes make the limits no better.
MOST_GROUPS = 2000

#: From fewer boxes than this the scatter of a score cannot be told.
FEWEST_GROUPS = 10

#: Intervals of resampled ranks: single values, and both values of an atom at once.
RANK_BINS, JOINT_BINS = 256, 32

#: Equal intervals of probability in which predicted and observed shares are compared.
CALIBRATION_BINS = 10

#: Points of a curve, more than a screen shows.
CURVE_POINTS = 1000

#: Resamples between two reports of progress.
BLOCK = 100


class EvaluationError(GlassMLError):
    """The values cannot be compared; the message says why and what to do."""


class Score(NamedTuple):
    """A score and the limits of its confidence interval, NaN for what the data do not determine."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` finds.

    Attributes
    ----------
    compared : (N,) bool array
        Atoms with both values that are wanted.
    labels : (N,) int8 array or None
        For classes: 1 positive, 0 negative, −1 not compared.
    scores : dict of str to Score
        Over all compared atoms.
    by_species : dict of str to dict
        The same over the compared atoms of each species of the structure.
    """

    compared: NDArray[np.bool_]
    labels: NDArray[np.int8] | None
    scores: dict[str, Score]
    by_species: dict[str, dict[str, Score]]


def evaluate(
    structure: Structure,
    predicted: ArrayLike,
    true: ArrayLike,
    *,
    task: str = "regression",
    positive_share: float = 0.0,
    top_share: float = TOP_SHARE,
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> Evaluation:
    """Score predicted values over all atoms of a structure and over each species.

    Parameters
    ----------
    structure : Structure
        Where the atoms are, for the resampling; with a mask, only the atoms in it are compared.
    predicted : (N,) array
        NaN where there is no prediction.
    true : (N,) array
        NaN where there is no label; for classes see `class_labels`.
    task : str
        ``"regression"`` or ``"classification"``.
    positive_share : float
        As for `class_labels`.
    top_share : float
        As for `regression_scores`.
    resamples : int
        0 leaves out the intervals.
    progress : callable, optional
        Takes the fraction done.

    Returns
    -------
    Evaluation

    Raises
    ------
    EvaluationError
        For labels that are none, as `class_labels`.
    """
    report = progress or silent
    predictions, truths = np.asarray(predicted, dtype=np.float64), np.asarray(true, dtype=np.float64)
    compared = np.isfinite(predictions) & np.isfinite(truths)
    if structure.mask is not None:
        compared &= structure.mask
    labels = None
    if task == "classification":
        labels = class_labels(np.where(compared, truths, np.nan), positive_share)
        compared = labels >= 0
    groups = np.zeros(len(structure), dtype=np.int64)
    groups[compared] = spatial_groups(structure, compared)

    def scores(species: int | None) -> dict[str, Score]:
        """Over the compared atoms of a species, or over all."""
        atoms = compared if species is None else compared & (structure.species == species)
        step = 0 if species is None else species + 1

        def share(done: float) -> None:
            report((step + done) / (len(names) + 1))

        values, boxes = predictions[atoms], groups[atoms]
        if labels is None:
            settings: dict[str, Any] = {"top_share": top_share, "resamples": resamples}
            return regression_scores(values, truths[atoms], boxes, **settings, progress=share)
        return classification_scores(values, labels[atoms] == 1, boxes, resamples=resamples, progress=share)

    names = structure.species_names
    with one_blas_thread():  # whose sums would depend on the number of threads
        overall, by_species = scores(None), {name: scores(number) for number, name in enumerate(names)}
    return Evaluation(compared, labels, overall, by_species)


def class_labels(true: ArrayLike, positive_share: float = 0.0) -> NDArray[np.int8]:
    """1 for positive, 0 for negative atoms, −1 for those without a label.

    Parameters
    ----------
    true : (N,) array
        With `positive_share` 0 the classes: 1, 0, and −1 or NaN for no label. Else any quantity; NaN is no label.
    positive_share : float
        Share of the labelled atoms, those with the largest values, that are positive. All atoms that
        share the least of these values are positive too.

    Raises
    ------
    EvaluationError
        If there are other values than 1, 0 and −1 and no share.
    """
    values = np.asarray(true, dtype=np.float64)
    known = np.isfinite(values)
    labels = np.full(len(values), -1, dtype=np.int8)
    if not positive_share:
        other = known & ~np.isin(values, (1, 0, -1))
        if other.any():
            raise EvaluationError(
                f"{int(other.sum())} atoms have true values, such as {values[other][0]:g}, that are not 1, 0 or -1; "
                "set positive_share to call the largest values positive, or choose another true property."
            )
        labels[known] = values[known]
    elif known.any():
        count = max(1, round(positive_share * int(known.sum())))
        least = np.partition(values[known], -count)[-count]
        labels[known] = values[known] >= least
    return labels


def spatial_groups(structure: Structure, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of the box that every chosen atom is in.

    The region of the chosen atoms is divided along the cell vectors into boxes about as long as wide,
    at most `MOST_GROUPS` and on average with no fewer than `ATOMS_PER_GROUP` of these atoms.

    Parameters
    ----------
    structure : Structure
    chosen : (N,) bool array

    Returns
    -------
    (M,) int64 array
        For the chosen atoms in their order.
    """
    positions = structure.positions[chosen]
    if not len(positions):
        return np.zeros(0, dtype=np.int64)
    vectors = np.eye(3) if structure.cell is None else structure.cell
    inverse = np.linalg.inv(vectors)
    places = np.einsum("ij,jk->ik", positions - structure.origin, inverse)
    places -= np.floor(places) * structure.pbc
    places -= places.min(axis=0)
    spans = places.max(axis=0)
    widths = spans / np.linalg.norm(inverse, axis=0)
    divisions = _divisions(widths, min(MOST_GROUPS, len(positions) // ATOMS_PER_GROUP))
    per_box = np.divide(divisions, spans, out=np.zeros(3), where=spans > 0)
    boxes = np.minimum((places * per_box).astype(np.int64), divisions - 1)
    return np.ravel_multi_index(tuple(boxes.T), tuple(divisions))


def _divisions(widths: NDArray, most: int) -> NDArray[np.int64]:
    """How often to divide each direction so that at most so many boxes come out, about as long as wide."""
    divisions = np.ones(3, dtype=np.int64)
    while True:
        longest = np.argmax(widths / divisions)
        more = divisions.copy()
        more[longest] += 1
        if more.prod() > most:
            return divisions
        divisions = more


# --- scores ---------------------------------------------------------------------------------------


def pearson(first: NDArray, second: NDArray) -> float:
    """Pearson correlation; NaN for fewer than two atoms or constant values."""
    if len(first) < 2 or not np.ptp(first) or not np.ptp(second):
        return float("nan")
    first, second = (values - values.mean(dtype=np.float64) for values in (first, second))
    return float((first * second).sum() / np.sqrt((first * first).sum() * (second * second).sum()))


def spearman(first: NDArray, second: NDArray) -> float:
    """Pearson correlation of the ranks, equal values sharing their mean rank."""
    return pearson(scipy.stats.rankdata(first), scipy.stats.rankdata(second))


def area_under_roc(negative: NDArray, positive: NDArray) -> float:
    """Probability that a positive value exceeds a negative one, ties counted half; NaN without values of both kinds."""
    if not len(negative) or not len(positive):
        return float("nan")
    ranks = scipy.stats.rankdata(np.concatenate([negative, positive]))
    count = len(positive)
    return float((ranks[len(negative) :].sum() - count * (count + 1) / 2) / (count * len(negative)))


def average_precision(positive: NDArray[np.bool_], predicted: NDArray) -> float:
    """Precision averaged over the positive atoms: Σ (R_k − R_k₋₁) P_k over falling thresholds k.

    P is the share of positives among the atoms from the threshold on, R the share of the positives that are
    among them. Guessing gives the share of positives. NaN without atoms of both kinds.
    """
    if not positive.any() or positive.all():
        return float("nan")
    steps = _steps(positive, predicted)
    return float(_average_precision(steps.positive, steps.negative))


def precision_at_true_rate(positive: NDArray[np.bool_], predicted: NDArray) -> float:
    """Share of positives among the atoms with the largest values, of which as many are taken as are positive.

    It is the share of the positives that are found, too. Of equal values at the threshold each counts with
    the probability to be among those that are taken. Guessing gives the share of positives. NaN without atoms of
    both kinds.
    """
    if not positive.any() or positive.all():
        return float("nan")
    steps = _steps(positive, predicted)
    return float(_precision_at_true_rate(steps.positive, steps.negative))


def matthews_at_true_rate(positive: NDArray[np.bool_], predicted: NDArray) -> float:
    """Matthews correlation of positives with the atoms that `precision_at_true_rate` takes: 1 perfect, 0 a guess.

    Where as many atoms are taken as are positive it is that precision, counted from what guessing gives.
    """
    if not positive.any() or positive.all():
        return float("nan")
    return float(_matthews(precision_at_true_rate(positive, predicted), positive.mean()))


def top_overlap(predicted: NDArray, true: NDArray, share: float = TOP_SHARE) -> float:
    """Share of the atoms with the largest predicted values that have the largest true ones, too.

    Of both the same share of the atoms is taken, a fraction of an atom included, so that a repeated cell scores as the
    cell does. Equal values at a threshold count as in `precision_at_true_rate`. Guessing gets the share that is taken.
    NaN for fewer than two atoms or constant values.
    """
    if len(true) < 2 or not np.ptp(predicted) or not np.ptp(true):
        return float("nan")
    wanted = share * len(true)
    first, second = _taken(predicted, wanted), _taken(true, wanted)
    drawn, others = ((taken > 0) & (taken < 1) for taken in (first, second))
    both = first * second  # drawn independently, but for the same atoms
    if np.array_equal(drawn, others):
        both[drawn] = first[drawn]
    return float(both.sum() / wanted)


def chance(score: str, share: float) -> float:
    """What guessing gets on average, of one of the scores, where this share of the atoms is positive (or on top)."""
    if not 0 < share < 1:
        return float("nan")
    known = {"auc": 0.5, "average_precision": share, "precision": share, "mcc": 0.0, "top_overlap": share}
    return known.get(score, float("nan"))


def balanced_brier(probability: NDArray, positive: NDArray[np.bool_]) -> float:
    """Mean squared difference of probability and outcome, both classes weighing the same; 0.25 says nothing."""
    squares = (probability - positive) ** 2
    return float(0.5 * squares[positive].mean() + 0.5 * squares[~positive].mean())


def expected_calibration_error(positive: NDArray[np.bool_], probability: NDArray) -> float:
    """Mean distance of predicted probability and share of positives over ten equal intervals of probability.

    Intervals weigh as many atoms as they hold. Even perfect probabilities get a little more than 0
    in a finite sample.
    """
    if not len(positive):
        return float("nan")
    excess = np.bincount(_probability_bins(probability), probability - positive, CALIBRATION_BINS)
    return float(np.abs(excess).sum() / len(positive))


def regression_scores(
    predicted: NDArray,
    true: NDArray,
    groups: NDArray[np.int64],
    *,
    top_share: float = TOP_SHARE,
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> dict[str, Score]:
    """Scores of predicted numbers.

    Parameters
    ----------
    predicted, true : (M,) arrays
        Finite.
    groups : (M,) int64 array
        From `spatial_groups`: what is resampled.
    top_share : float
        Share of the atoms for `top_overlap`.
    resamples : int
        0 leaves out the intervals, as do fewer than `FEWEST_GROUPS` groups.
    progress : callable, optional
        Takes the fraction done.

    Returns
    -------
    dict of str to Score
        ``pearson``; ``spearman``; ``top_overlap``; ``rmse``, the root-mean-square difference; ``bias``, the mean of
        predicted minus true.
    """
    report = progress or silent
    difference = predicted - true
    ranks = scipy.stats.rankdata(predicted), scipy.stats.rankdata(true)
    report(0.0)
    exact = {
        "pearson": pearson(predicted, true),
        "spearman": pearson(*ranks),
        "top_overlap": top_overlap(predicted, true, top_share),
        "rmse": float(np.sqrt((difference**2).mean())) if len(true) else float("nan"),
        "bias": float(difference.mean()) if len(true) else float("nan"),
    }
    bootstrap = _Bootstrap.over(groups, resamples)
    if bootstrap is None:
        return {name: Score(value) for name, value in exact.items()}
    first, second = _standardised(predicted), _standardised(true)
    columns = (np.ones(len(true)), first, second, first**2, second**2, first * second, difference, difference**2)
    moments = bootstrap.sums(columns)
    joint = _rank_bins(ranks[0]) * JOINT_BINS + _rank_bins(ranks[1])
    correlation, error, bias = bootstrap.resampled(moments, _moment_scores)
    top = _top_bins(ranks[0], top_share) * JOINT_BINS + _top_bins(ranks[1], top_share)
    rank_correlation, overlap = (
        bootstrap.resampled(bootstrap.histograms(bins, JOINT_BINS**2), formula, span)
        for bins, formula, span in (
            (joint, _rank_correlation, lambda done: report(done / 2)),
            (top, partial(_joint_overlap, share=top_share), lambda done: report((1 + done) / 2)),
        )
    )
    return {
        "pearson": bootstrap.score(exact["pearson"], correlation),
        "spearman": bootstrap.score(exact["spearman"], rank_correlation, (-1, 1)),
        "top_overlap": bootstrap.score(exact["top_overlap"], overlap, (0, 1)),
        "rmse": bootstrap.score(exact["rmse"], error),
        "bias": bootstrap.score(exact["bias"], bias),
    }


def classification_scores(
    predicted: NDArray,
    positive: NDArray[np.bool_],
    groups: NDArray[np.int64],
    *,
    resamples: int = RESAMPLES,
    progress: Progress | None = None,
) -> dict[str, Score]:
    """Scores of values that should be larger for positive atoms.

    Parameters
    ----------
    predicted : (M,) array
        Finite.
    positive : (M,) bool array
    groups, resamples, progress
        As for `regression_scores`.

    Returns
    -------
    dict of str to Score
        ``auc``, as `area_under_roc`; ``average_precision``; ``precision`` and ``mcc``, as `precision_at_true_rate`
        and `matthews_at_true_rate`; ``brier``, the mean squared difference of probability and outcome;
        ``calibration_error``, as `expected_calibration_error`. The latter two are NaN if values are outside 0 to 1.
        The interval of the calibration error is that of a vector's length, the vector being the excess of
        probability in each interval; it holds the true value at least as often as stated.
    """
    report = progress or silent
    exact = dict.fromkeys(CLASSIFICATION, float("nan"))
    exact["auc"] = area_under_roc(predicted[~positive], predicted[positive])
    report(0.0)
    exact["average_precision"] = average_precision(positive, predicted)
    exact["precision"] = precision_at_true_rate(positive, predicted)
    exact["mcc"] = matthews_at_true_rate(positive, predicted)
    probable = are_probabilities(predicted)
    if probable:
        exact["brier"] = float(((predicted - positive) ** 2).mean())
        exact["calibration_error"] = expected_calibration_error(positive, predicted)
    scores = {name: Score(value) for name, value in exact.items()}
    bootstrap = _Bootstrap.over(groups, resamples)
    if bootstrap is None:
        return scores
    if np.isfinite(exact["auc"]):
        bins = positive * RANK_BINS + _balanced_bins(positive, predicted)
        histograms = bootstrap.histograms(bins, 2 * RANK_BINS)
        resampled = bootstrap.resampled(histograms, _curve_scores, report)
        for name, values in zip(CURVE_SCORES, resampled, strict=True):
            scores[name] = bootstrap.score(exact[name], values, (-1 if name == "mcc" else 0, 1))
    if probable:
        sums = bootstrap.sums(_excess_columns(positive, predicted))
        brier, *excess = bootstrap.resampled(sums, lambda total: (total[:, 1:] / total[:, :1]).T)
        scores["brier"] = bootstrap.score(exact["brier"], brier, (0, 1))
        scores["calibration_error"] = bootstrap.distance(exact["calibration_error"], np.stack(excess), (0, 1))
    return scores


def are_probabilities(values: NDArray) -> bool:
    """Whether there are values and all are from 0 to 1."""
    return bool(len(values) and values.min() >= 0 and values.max() <= 1)


# --- resampling -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Bootstrap:
    """How often each of G groups occurs in each resample, after the original itself in the first row."""

    groups: NDArray[np.int64]
    weights: NDArray[np.float64]

    @classmethod
    def over(cls, groups: NDArray[np.int64], resamples: int) -> _Bootstrap | None:
        """None if there are too few groups, or no resamples are wanted."""
        present = np.flatnonzero(np.bincount(groups))
        count = len(present)
        if count < FEWEST_GROUPS or not resamples:
            return None
        draws = np.random.default_rng(SEED).multinomial(count, np.full(count, 1 / count), size=resamples)
        weights = np.concatenate([np.ones((1, count)), draws])
        return cls(np.searchsorted(present, groups), weights)

    def sums(self, columns: tuple[NDArray, ...]) -> NDArray[np.float64]:
        """Sum of every column over every group."""
        count = self.weights.shape[1]
        return np.column_stack([np.bincount(self.groups, column, count) for column in columns])

    def histograms(self, bins: NDArray[np.int64], count: int) -> NDArray[np.float64]:
        """Number of atoms of every group in every bin."""
        groups = self.weights.shape[1]
        return np.bincount(self.groups * count + bins, minlength=groups * count).reshape(groups, count).astype(float)

    def resampled(
        self,
        statistics: NDArray,
        formula: Callable[[NDArray], NDArray],
        report: Progress = silent,
    ) -> NDArray[np.float64]:
        """What `formula` makes of the statistics added over each resample, along the last axis; the original first."""
        blocks = []
        with np.errstate(invalid="ignore", divide="ignore"):
            for begin in range(0, len(self.weights), BLOCK):
                blocks.append(formula(self.weights[begin : begin + BLOCK] @ statistics))
                report(min(1.0, (begin + BLOCK) / len(self.weights)))
        return np.concatenate(blocks, axis=-1)

    def score(self, value: float, resampled: NDArray, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Score:
        """A score between the percentiles of the resampled ones.

        These are moved by what binning changed in the original, and spread by what is known to
        be missing from the percentiles where groups are few.
        """
        if not np.isfinite(value) or np.isfinite(resampled).mean() < CONFIDENCE:
            return Score(value)
        limits = np.nanquantile(resampled[1:], (TAIL, 1 - TAIL)) - resampled[0]
        low, high = np.clip(value + self._spread * limits, *bounds)
        return Score(value, float(low), float(high))

    def distance(self, value: float, resampled: NDArray, bounds: tuple[float, float]) -> Score:
        """The length of a vector, and the radius that holds the resampled vectors (in columns) about the original.

        For lengths near 0 percentiles of resampled lengths are wrong, since noise can only lengthen.
        """
        distances = np.abs(resampled[:, 1:] - resampled[:, :1]).sum(axis=0)
        radius = self._spread * np.quantile(distances, CONFIDENCE)
        low, high = np.clip([value - radius, value + radius], *bounds)
        return Score(value, float(low), float(high))

    @property
    def _spread(self) -> float:
        """Student's t in place of the normal distribution, and the variance that n − 1 stands for in place of n."""
        count = self.weights.shape[1]
        return float(
            scipy.special.stdtrit(count - 1, 1 - TAIL) / scipy.special.ndtri(1 - TAIL) * np.sqrt(count / (count - 1))
        )


def _standardised(values: NDArray) -> NDArray[np.float64]:
    """Mean 0 and variance 1, without which sums of squares lose digits."""
    return (values - values.mean()) / (values.std() or 1.0)


def _moment_scores(sums: NDArray) -> NDArray[np.float64]:
    """Pearson correlation, root-mean-square error and bias from moments."""
    first, second, squares, other_squares, products, bias, error = (sums[:, 1:] / sums[:, :1]).T
    variances = (squares - first**2) * (other_squares - second**2)
    return np.stack([(products - first * second) / np.sqrt(variances), np.sqrt(error), bias])


def _rank_bins(ranks: NDArray) -> NDArray[np.int64]:
    """Intervals of a quantity that hold equally many atoms, as far as none have equal values."""
    return ((ranks - 0.5) * (JOINT_BINS / len(ranks))).astype(np.int64)


def _rank_correlation(counts: NDArray) -> NDArray[np.float64]:
    """Spearman correlation of atoms counted in JOINT_BINS × JOINT_BINS intervals."""
    joint = counts.reshape(len(counts), JOINT_BINS, JOINT_BINS)
    total = counts.sum(axis=1, keepdims=True)
    margins = joint.sum(axis=2), joint.sum(axis=1)
    first, second = (np.cumsum(margin, axis=1) - (margin + total) / 2 for margin in margins)
    variances = [(margin * ranks**2).sum(axis=1) for margin, ranks in zip(margins, (first, second), strict=True)]
    covariance = (np.matmul(joint, second[:, :, None])[:, :, 0] * first).sum(axis=1)
    return covariance / np.sqrt(variances[0] * variances[1])


class _Steps(NamedTuple):
    """Atoms in the order of their values, and how many of each kind have each of the distinct values.

    `order` and `step` say for the sorted atoms which atom it is, and the number of its value.
    """

    order: NDArray[np.int64]
    step: NDArray[np.int64]
    positive: NDArray[np.int64]
    negative: NDArray[np.int64]


def _steps(positive: NDArray[np.bool_], predicted: NDArray) -> _Steps:
    order = np.argsort(predicted, kind="stable")
    values = predicted[order]
    step = np.concatenate([[0], np.cumsum(values[1:] != values[:-1])])
    count = step[-1] + 1
    kinds = [np.bincount(step[positive[order] == kind], minlength=count) for kind in (True, False)]
    return _Steps(order, step, *kinds)


def _balanced_bins(positive: NDArray[np.bool_], predicted: NDArray) -> NDArray[np.int64]:
    """Intervals of the predicted value that hold as much of the one class as of the other, however rare it is."""
    steps = _steps(positive, predicted)
    shares = [(np.cumsum(kind) - kind / 2) / kind.sum() for kind in (steps.positive, steps.negative)]
    bins = np.empty(len(predicted), dtype=np.int64)
    bins[steps.order] = ((shares[0] + shares[1]) / 2 * RANK_BINS).astype(np.int64)[steps.step]
    return bins


def _curve_scores(counts: NDArray) -> NDArray[np.float64]:
    """Area under the curve, average precision, precision and MCC of negative and positive atoms in intervals."""
    negative, positive = counts[:, :RANK_BINS], counts[:, RANK_BINS:]
    below = np.cumsum(negative, axis=1) - negative / 2
    area = (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))
    precision = _precision_at_true_rate(positive, negative)
    rate = positive.sum(axis=1) / counts.sum(axis=1)
    return np.stack([area, _average_precision(positive, negative), precision, _matthews(precision, rate)])


def _average_precision(positive: NDArray, negative: NDArray) -> NDArray[np.float64]:
    """From numbers of atoms at rising values along the last axis."""
    falling = positive[..., ::-1]
    found, taken = np.cumsum(falling, axis=-1), np.cumsum((positive + negative)[..., ::-1], axis=-1)
    return (falling * found / np.maximum(taken, 1)).sum(axis=-1) / found[..., -1]


def _share_taken(counts: NDArray, wanted: NDArray | float) -> NDArray[np.float64]:
    """Which share of the atoms in each interval along the last axis is among the `wanted` ones with largest values."""
    above = np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1] - counts
    return np.clip((np.asarray(wanted)[..., None] - above) / np.maximum(counts, 1), 0, 1)


def _precision_at_true_rate(positive: NDArray, negative: NDArray) -> NDArray[np.float64]:
    """From numbers of atoms at rising values along the last axis."""
    rate = positive.sum(axis=-1)
    return (positive * _share_taken(positive + negative, rate)).sum(axis=-1) / rate


def _matthews(precision: NDArray | float, rate: NDArray | float) -> NDArray | float:
    """Of a classification that calls as many atoms positive as there are: all four of its counts follow."""
    return (precision - rate) / (1 - rate)


def _taken(values: NDArray, wanted: float) -> NDArray[np.float64]:
    """Probability of each atom to be among the `wanted` ones with the largest values, equal ones drawn at random."""
    _, step, counts = np.unique(values, return_inverse=True, return_counts=True)
    return _share_taken(counts, wanted)[step]


def _top_bins(ranks: NDArray, share: float) -> NDArray[np.int64]:
    """Intervals of a quantity half of which lie among the top ones, and which are narrow about their threshold."""
    below_top = 1 - (ranks - 0.5) / len(ranks)
    return (share / (share + below_top) * JOINT_BINS).astype(np.int64)


def _joint_overlap(counts: NDArray, share: float) -> NDArray[np.float64]:
    """Overlap of the top atoms of two quantities from atoms counted in JOINT_BINS × JOINT_BINS intervals."""
    joint = counts.reshape(len(counts), JOINT_BINS, JOINT_BINS)
    wanted = share * counts.sum(axis=1)
    first, second = (_share_taken(joint.sum(axis=axis), wanted) for axis in (2, 1))
    return (np.matmul(joint, second[:, :, None])[:, :, 0] * first).sum(axis=1) / wanted


def _probability_bins(probability: NDArray) -> NDArray[np.int64]:
    return np.searchsorted(np.linspace(0, 1, CALIBRATION_BINS + 1)[1:-1], probability)


def _excess_columns(positive: NDArray[np.bool_], probability: NDArray) -> tuple[NDArray, ...]:
    """Ones, squared differences of probability and outcome, and their differences in each interval of probability."""
    difference, bins = probability - positive, _probability_bins(probability)
    columns = (np.where(bins == number, difference, 0.0) for number in range(CALIBRATION_BINS))
    return (np.ones(len(positive)), difference**2, *columns)


# --- curves ---------------------------------------------------------------------------------------


def parity(predicted: NDArray, measured: NDArray, atoms_per_bin: int = 100) -> dict[str, NDArray]:
    """Mean measured against mean predicted value of atoms sorted by prediction.

    Parameters
    ----------
    predicted, measured : (N,) arrays
        Atoms without a label (NaN) are left out.
    atoms_per_bin : int
        As published: 100. The remainder that fills no bin, the atoms with the largest predictions, is left out.

    Returns
    -------
    dict
        ``predicted`` and ``measured`` means and the ``standard_error`` of the latter, one a bin.
    """
    both = np.isfinite(predicted) & np.isfinite(measured)
    order = np.argsort(predicted[both], kind="stable")
    bins = len(order) // atoms_per_bin
    chosen = order[: bins * atoms_per_bin].reshape(bins, atoms_per_bin)
    binned = measured[both][chosen]
    return {
        "predicted": predicted[both][chosen].mean(axis=1),
        "measured": binned.mean(axis=1),
        "standard_error": binned.std(axis=1, ddof=1) / np.sqrt(atoms_per_bin),
    }


def roc_curve(
    positive: NDArray[np.bool_], predicted: NDArray, points: int = CURVE_POINTS
) -> dict[str, NDArray[np.float64]]:
    """Receiver operating characteristic: what falling thresholds find, and what they take for it.

    Parameters
    ----------
    positive : (M,) bool array
    predicted : (M,) array
    points : int
        Of more distinct values only so many thresholds are kept, equally many atoms apart.

    Returns
    -------
    dict
        ``false_positive_rate`` and ``true_positive_rate``, from 0 to 1; empty without atoms of both kinds.
    """
    found, taken = _falling(positive, predicted, points)
    wrong = taken - found
    return {"false_positive_rate": wrong / wrong[-1:], "true_positive_rate": found / found[-1:]}


def precision_recall_curve(
    positive: NDArray[np.bool_], predicted: NDArray, points: int = CURVE_POINTS
) -> dict[str, NDArray[np.float64]]:
    """Share of positives among the atoms above falling thresholds, against the share of the positives found.

    Parameters as for `roc_curve`. Returns ``recall``, rising to 1, and ``precision``.
    """
    found, taken = (counts[1:] for counts in _falling(positive, predicted, points))
    return {"recall": found / found[-1:], "precision": found / taken}


def _falling(positive: NDArray[np.bool_], predicted: NDArray, points: int) -> tuple[NDArray, NDArray]:
    """Numbers of positive and of all atoms above falling thresholds, the first of which is above all of them."""
    if not positive.any() or positive.all():
        return np.zeros(0), np.zeros(0)
    steps = _steps(positive, predicted)
    found = np.concatenate([[0], np.cumsum(steps.positive[::-1])])
    taken = np.concatenate([[0], np.cumsum((steps.positive + steps.negative)[::-1])])
    if len(taken) > points:
        kept = np.unique(np.searchsorted(taken, np.linspace(0, taken[-1], points)))
        found, taken = found[kept], taken[kept]
    return found, taken


def calibration_curve(positive: NDArray[np.bool_], probability: NDArray) -> dict[str, NDArray[np.float64]]:
    """Share of positives against mean probability in ten equal intervals of probability.

    Returns
    -------
    dict
        ``predicted``, ``observed`` and ``atoms`` of the intervals that hold any.
    """
    bins = _probability_bins(probability)
    atoms = np.bincount(bins, minlength=CALIBRATION_BINS)
    filled = atoms > 0
    predicted = np.bincount(bins, probability, CALIBRATION_BINS)[filled] / atoms[filled]
    observed = np.bincount(bins, positive, CALIBRATION_BINS)[filled] / atoms[filled]
    return {"predicted": predicted, "observed": observed, "atoms": atoms[filled].astype(np.float64)}
