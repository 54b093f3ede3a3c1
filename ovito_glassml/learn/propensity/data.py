"""Structures with how far their atoms moved, to learn propensities from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovito_glassml.errors import TrainingError
from ovito_glassml.structure import Structure

__all__ = ["PropensitySample", "configurations", "propensity_sample"]


class PropensitySample(NamedTuple):
    """A structure and how far its atoms moved in the runs that began with it.

    `displacement` (N, R) holds every run's distances in the structure's length unit. Structures of one
    `configuration` are not independent of each other and stay together whenever data are divided. Scores count
    samples that are `judged`. The others are there to learn from: such as the end of a run, from which the run
    played backwards, which is as likely, leads back to the beginning.
    """

    structure: Structure
    displacement: NDArray[np.float64]
    configuration: str
    judged: bool = True

    @property
    def propensity(self) -> NDArray[np.float64]:
        """Mean over the runs."""
        return self.displacement.mean(axis=1)


def propensity_sample(
    structure: Structure, displacement: ArrayLike, configuration: str, *, judged: bool = True
) -> PropensitySample:
    """A sample from one column for all runs, or one for each.

    Raises
    ------
    TrainingError
        For numbers that are no distances, and another number of atoms.
    """
    table = np.asarray(displacement, dtype=np.float64)
    table = table[:, None] if table.ndim == 1 else table
    if table.ndim != 2 or len(table) != len(structure) or not table.shape[1]:
        raise TrainingError(
            f"{configuration} has {len(structure)} atoms and displacements of shape {table.shape}; "
            "give one row for each atom and one column for each run, and only runs that are complete."
        )
    strange = ~(np.isfinite(table) & (table >= 0))
    if strange.any():
        raise TrainingError(
            f"{configuration} has the displacement {table[strange][0]:g}; give finite distances of all atoms."
        )
    return PropensitySample(structure, table, configuration, judged)


def configurations(samples: Sequence[PropensitySample]) -> tuple[str, ...]:
    """Names of the configurations, in the order of their first samples."""
    return tuple(dict.fromkeys(sample.configuration for sample in samples))
