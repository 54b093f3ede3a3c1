"""Who has rearranged and who has not: labels from a measured displacement."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovito_glassml.errors import GlassMLError

__all__ = ["ACTIVE", "INACTIVE", "NEITHER", "LabelError", "label_by_quantile", "label_by_threshold"]

ACTIVE, INACTIVE, NEITHER = 1, 0, -1


class LabelError(GlassMLError):
    """Atoms cannot be labelled in this way; the message says why and what to do."""


def label_by_threshold(
    displacement: ArrayLike, threshold: float, eligible: NDArray[np.bool_] | None = None
) -> NDArray[np.int8]:
    """Active above a threshold, inactive at or below it.

    Parameters
    ----------
    displacement : (N,) array
        Such as D²min; NaN where unknown.
    threshold : float
        In the unit of `displacement`.
    eligible : (N,) bool array, optional
        Atoms to label; by default all.

    Returns
    -------
    (N,) int8 array
        1 active, 0 inactive, −1 neither.

    Raises
    ------
    LabelError
        For a threshold that is not positive and finite.
    """
    if not (np.isfinite(threshold) and threshold > 0):
        raise LabelError(f"The threshold {threshold} is no positive number; give the least D²min of an active atom.")
    values, known = _known(displacement, eligible)
    return np.where(known, np.where(values > threshold, ACTIVE, INACTIVE), NEITHER).astype(np.int8)


def label_by_quantile(
    displacement: ArrayLike,
    active_share: float = 0.05,
    inactive_share: float = 0.05,
    eligible: NDArray[np.bool_] | None = None,
) -> NDArray[np.int8]:
    """Active are those that moved most, inactive those that moved least.

    Parameters
    ----------
    displacement : (N,) array
        Such as D²min; NaN where unknown.
    active_share, inactive_share : float
        Shares of the eligible atoms, 0.05 each by default: few enough to be clear cases, many enough to learn from.
    eligible : (N,) bool array, optional
        Atoms to label; by default all.

    Returns
    -------
    (N,) int8 array
        1 active, 0 inactive, −1 neither. Of equal values the first atoms count as smaller.

    Raises
    ------
    LabelError
        For shares that are not positive or that overlap.
    """
    if not (active_share > 0 and inactive_share > 0):
        raise LabelError(f"The shares {active_share:g} and {inactive_share:g} must be positive, such as 0.05 and 0.05.")
    if active_share + inactive_share > 1:
        raise LabelError(
            f"The most active {active_share:.0%} and the least active {inactive_share:.0%} of the atoms overlap; "
            "choose shares whose sum is at most 100 %."
        )
    values, known = _known(displacement, eligible)
    atoms = np.flatnonzero(known)
    order = atoms[np.argsort(values[atoms], kind="stable")]
    labels = np.full(len(values), NEITHER, dtype=np.int8)
    labels[order[: round(inactive_share * len(order))]] = INACTIVE
    labels[order[len(order) - round(active_share * len(order)) :]] = ACTIVE
    return labels


def _known(displacement: ArrayLike, eligible: NDArray[np.bool_] | None) -> tuple[NDArray, NDArray[np.bool_]]:
    values = np.asarray(displacement, dtype=np.float64)
    known = np.isfinite(values)
    return values, known if eligible is None else known & eligible
