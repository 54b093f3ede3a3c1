"""Labelled atoms to learn activity from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovito_glassml.labels.activity import ACTIVE, INACTIVE, NEITHER, LabelError
from ovito_glassml.structure import Structure

__all__ = ["EXTREME_SHARE", "ActivitySample", "configurations", "labelled_sample"]

#: Share of the atoms labelled active, and as many inactive, where labels are quantiles.
EXTREME_SHARE = 0.05


class ActivitySample(NamedTuple):
    """A structure and what its atoms did.

    `activity` is 1 (active), 0 (inactive) or −1 (neither); `displacement` is the D²min behind it in the
    square of the structure's length unit, NaN where unknown. Samples of one `configuration` are not
    independent of each other and stay together whenever data are divided. Scores count labelled atoms
    that are `judged`, all by default; the others are there to learn from.
    """

    structure: Structure
    activity: NDArray[np.int8]
    displacement: NDArray[np.float64]
    configuration: str
    judged: NDArray[np.bool_] | None = None

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Atoms to learn from."""
        return self.activity != NEITHER

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Atoms to judge by."""
        return self.labelled if self.judged is None else self.labelled & self.judged


def labelled_sample(
    structure: Structure, activity: ArrayLike, displacement: ArrayLike | None, configuration: str
) -> ActivitySample:
    """A sample from columns of a user's file.

    Parameters
    ----------
    structure : Structure
    activity : (N,) array
        1 active, 0 inactive, −1 or NaN neither.
    displacement : (N,) array, optional
        D²min; unknown by default.
    configuration : str
        Such as the name of the file.

    Raises
    ------
    LabelError
        For other labels.
    """
    labels = np.where(np.isnan(activity), NEITHER, activity)
    strange = np.setdiff1d(labels, (ACTIVE, INACTIVE, NEITHER))
    if len(strange):
        raise LabelError(
            f"{configuration} has the activity {strange[0]:g}; labels are 1 (active), 0 (inactive) and -1 (neither)."
        )
    moved = np.full(len(structure), np.nan) if displacement is None else np.asarray(displacement, dtype=np.float64)
    return ActivitySample(structure, labels.astype(np.int8), moved, configuration)


def configurations(samples: Sequence[ActivitySample]) -> tuple[str, ...]:
    """Names of the configurations, in the order of their first samples."""
    return tuple(dict.fromkeys(sample.configuration for sample in samples))
