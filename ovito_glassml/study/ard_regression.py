"""Regression whose weights are switched off one by one where the data give no evidence for them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_ard"]

#: Weights with a larger precision than this are zero.
_LARGEST_PRECISION = 1e4
#: Parameters of the gamma priors on precisions: so small that the data decide.
_PRIOR = 1e-6
_TOLERANCE = 1e-3
_MOST_STEPS = 300


def fit_ard(rows: NDArray, target: NDArray) -> NDArray[np.float64]:
    """Weights of automatic relevance determination (D. MacKay, 1994).

    The same fixed-point steps as in scikit-learn's `ARDRegression`, on the normal equations: a step takes the
    time of inverting a matrix of the features left, however many rows there are.

    Parameters
    ----------
    rows : (N, F) array
        Standardised.
    target : (N,) array

    Returns
    -------
    (F,) array
        Weights on the rows; the constant is the mean of the target.
    """
    centred = target - target.mean()
    gram, moment, square = rows.T @ rows, rows.T @ centred, float(centred @ centred)
    noise = len(target) / max(square, 1e-300)
    precision = np.ones(rows.shape[1])
    weights = np.zeros(rows.shape[1])
    for _ in range(_MOST_STEPS):
        before = weights.copy()
        kept = np.flatnonzero(precision < _LARGEST_PRECISION)
        weights[:] = 0.0
        if not len(kept):
            break
        part = gram[np.ix_(kept, kept)]
        covariance = np.linalg.inv(noise * part + np.diag(precision[kept]))
        found = noise * covariance @ moment[kept]
        weights[kept] = found
        known = 1 - precision[kept] * np.diag(covariance)
        precision[kept] = (known + 2 * _PRIOR) / (found**2 + 2 * _PRIOR)
        residual = max(square - 2 * found @ moment[kept] + found @ part @ found, 0.0)
        noise = (len(target) - known.sum() + 2 * _PRIOR) / (residual + 2 * _PRIOR)
        if np.abs(weights - before).sum() < _TOLERANCE:
            break
    return weights
