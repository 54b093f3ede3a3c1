"""How far a noisy label can be trusted, and what the best possible prediction of it can reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from ovito_glassml.errors import GlassMLError

__all__ = ["auc_ceiling", "split_half_reliability"]

#: Points per axis of the integral over the two classes; the result is good to 10⁻⁴.
QUADRATURE_POINTS = 400


def split_half_reliability(values: ArrayLike, splits: int = 200, seed: int = 0) -> float:
    """Reliability of the mean over repeated measurements: its squared correlation with the true value.

    Each atom's measurements are divided at random into halves; the correlation r of the two means
    over the atoms gives 2r / (1 + r) for the mean over all measurements. Several such divisions are
    averaged, because a single one scatters.

    Parameters
    ----------
    values : (N, k) array
        Measurements of every atom; NaN where there are fewer. Atoms with fewer than two are left out.
    splits : int
        Random divisions.
    seed : int
        Starts them.

    Returns
    -------
    float
        At most 1. About 0, or slightly below, where the measurements do not tell atoms apart.

    Raises
    ------
    GlassMLError
        If fewer than three atoms have two measurements.

    Notes
    -----
    W. Brown, Br. J. Psychol. 3, 296 (1910); C. Spearman, ibid., 271.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise GlassMLError(f"The measurements have shape {table.shape}; give one row of them for every atom.")
    table = table[np.isfinite(table).sum(axis=1) >= 2]
    if len(table) < 3:
        raise GlassMLError(f"Only {len(table)} atoms have two measurements; reliability needs at least three.")
    random = np.random.default_rng(seed)
    correlations = [np.asarray(np.corrcoef(_halves(table, random)))[0, 1] for _ in range(splits)]
    mean = float(np.mean(correlations))
    return 2 * mean / (1 + mean)


def _halves(table: NDArray, random: np.random.Generator) -> NDArray[np.float64]:
    """Means (2, N) over two random halves of every row's finite entries."""
    order = np.where(np.isfinite(table), random.random(table.shape), np.inf)
    rank = order.argsort(axis=1).argsort(axis=1)
    # A row with an odd number gives the larger half to either side in turn, so that none is favoured.
    count = np.isfinite(table).sum(axis=1) + random.integers(0, 2, len(table))
    first = rank < (count // 2)[:, None]
    filled = np.nan_to_num(table)
    second = ~first & np.isfinite(table)
    return np.stack([(filled * half).sum(axis=1) / half.sum(axis=1) for half in (first, second)])


def auc_ceiling(reliability: float, top: float = 0.2) -> float:
    """Area under the ROC curve of a predictor that knows every atom's true value.

    It is judged by noisy labels: whether the *label* is among the highest. True values and noise are
    taken as normally distributed.

    Parameters
    ----------
    reliability : float
        Variance of the true values over that of the labels, 0 to 1; see `split_half_reliability`.
    top : float
        Share of atoms that count as high.

    Returns
    -------
    float
        From 0.5 (labels of noise alone) to 1.

    Raises
    ------
    GlassMLError
        If a share is out of range.
    """
    if not 0 <= reliability <= 1:
        raise GlassMLError(f"A reliability of {reliability:g} is not between 0 and 1.")
    if not 0 < top < 1:
        raise GlassMLError(f"The share {top:g} of high labels is not between 0 and 1, such as 0.2.")
    if reliability == 1:
        return 1.0
    middles = (np.arange(QUADRATURE_POINTS) + 0.5) / QUADRATURE_POINTS
    high, other = ndtri(1 - top * middles), ndtri((1 - top) * middles)
    # Given two labels, their true values differ by a normal variable of this mean and variance.
    mean = np.sqrt(reliability) * (high[:, None] - other)
    return float(ndtr(mean / np.sqrt(2 * (1 - reliability))).mean())
