"""Features one after the other: which one adds most to those that are there already."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

__all__ = ["RIDGE", "class_weights", "fit_logistic", "forward_selection"]

#: Strength of Tikhonov regularisation: few features need little.
RIDGE = 1e-3
#: Candidates that are fitted in every step, the best by the score test; the others cannot win.
_FITTED = 20
_ENOUGH_STEPS = 50


def forward_selection(rows: NDArray, labels: NDArray, steps: int) -> Iterator[tuple[list[int], NDArray[np.float64]]]:
    """Choose features by the likelihood of the labels, one after the other.

    The likelihood of a logistic regression is smooth where the share of right decisions jumps from atom
    to atom, so it tells apart candidates that the accuracy cannot, and the first steps agree.

    Parameters
    ----------
    rows : (N, F) array
        Standardised.
    labels : (N,) array
        1 or 0.
    steps : int
        Features to choose.

    Yields
    ------
    chosen : list of int
        Columns so far, in the order of their choice.
    coefficients : (len(chosen) + 1,) array
        Of the logistic regression on them, the constant first.
    """
    weights = class_weights(labels)
    chosen: list[int] = []
    columns = np.ones((len(rows), 1))
    coefficients = np.zeros(1)
    for _ in range(min(steps, rows.shape[1])):
        best = (np.inf, -1, coefficients)
        for feature in _promising(rows, labels, weights, columns, coefficients, chosen):
            trial = np.column_stack([columns, rows[:, feature]])
            fitted, loss = fit_logistic(trial, labels, weights, np.append(coefficients, 0.0))
            best = min(best, (loss, int(feature), fitted), key=lambda one: one[:2])
        _, feature, coefficients = best
        chosen = [*chosen, feature]
        columns = np.column_stack([columns, rows[:, feature]])
        yield chosen, coefficients


def class_weights(labels: NDArray) -> NDArray[np.float64]:
    """Weight of every atom such that both classes have a total of one half."""
    active = labels == 1
    return np.where(active, 0.5 / max(active.sum(), 1), 0.5 / max((~active).sum(), 1))


def fit_logistic(
    columns: NDArray, labels: NDArray, weights: NDArray, start: NDArray
) -> tuple[NDArray[np.float64], float]:
    """Coefficients of a logistic regression by Newton's method, and the loss.

    Parameters
    ----------
    columns : (N, K) array
        The first one constant: its coefficient is not regularised.
    labels, weights : (N,) arrays
    start : (K,) array
        Coefficients to begin with; those of a similar problem save steps.
    """
    ridge = np.full(columns.shape[1], RIDGE)
    ridge[0] = 0.0
    signs = np.where(labels == 1, 1.0, -1.0)

    def loss_of(coefficients: NDArray) -> float:
        margins = signs * (columns @ coefficients)
        return float(weights @ np.logaddexp(0.0, -margins) + 0.5 * ridge @ coefficients**2)

    coefficients, loss = np.asarray(start, dtype=np.float64), loss_of(start)
    for _ in range(_ENOUGH_STEPS):
        chance = expit(columns @ coefficients)
        gradient = columns.T @ (weights * (chance - (labels == 1))) + ridge * coefficients
        curved = columns * (weights * chance * (1 - chance))[:, None]
        step = np.linalg.solve(curved.T @ columns + np.diag(ridge + 1e-12), gradient)
        if gradient @ step < 1e-10:
            break
        # Far from the minimum a full step may overshoot.
        for length in 0.5 ** np.arange(12):
            trial = coefficients - length * step
            new = loss_of(trial)
            if new < loss:
                break
        else:
            break
        coefficients, loss = trial, new
    return coefficients, loss


def _promising(
    rows: NDArray, labels: NDArray, weights: NDArray, columns: NDArray, coefficients: NDArray, chosen: list[int]
) -> NDArray[np.int64]:
    """Candidates by how much the first Newton step with them would gain (the score test)."""
    chance = expit(columns @ coefficients)
    gradient = rows.T @ (weights * ((labels == 1) - chance))
    curvature = weights * chance * (1 - chance)
    crossed = columns.T @ (curvature[:, None] * rows)
    known = (columns * curvature[:, None]).T @ columns + RIDGE * np.eye(columns.shape[1])
    variance = curvature @ rows**2 + RIDGE - np.sum(crossed * np.linalg.solve(known, crossed), axis=0)
    gain = gradient**2 / np.maximum(variance, RIDGE)
    gain[chosen] = -np.inf
    return np.argsort(-gain, kind="stable")[: min(_FITTED, len(gain) - len(chosen))]
