"""The unit in which models measure lengths: metals, oxides and Lennard-Jones glasses go through the same code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ovito_glassml.errors import TrainingError
from ovito_glassml.structure import Structure
from ovito_glassml.topology.length_scale import first_peak

__all__ = ["nearest_neighbour_distance", "two_shells"]

#: Reach of the first two shells of neighbours in distances of nearest neighbours: the published 5 Å in Cu-Zr.
TWO_SHELLS = 1.77


def nearest_neighbour_distance(structures: Sequence[Structure]) -> float:
    """Mean position of the first peak of the radial distribution function of all atoms, to four digits.

    Parameters
    ----------
    structures : sequence of Structure
        Of one material; compositions may differ.

    Returns
    -------
    float
        In the structures' length unit.

    Raises
    ------
    TrainingError
        If a structure has no such peak.
    """
    peaks = [first_peak(structure) for structure in structures]
    found = [peak for peak in peaks if peak is not None]
    if not found or len(found) < len(peaks):
        raise TrainingError(
            "The distance of nearest neighbours, in which the model measures lengths, cannot be found, since the atoms "
            "of a structure have no neighbours; leave that structure out."
        )
    return float(f"{np.mean(found):.4g}")


def two_shells(structures: Sequence[Structure]) -> float:
    """Reach of the first two shells of neighbours, with the errors of `nearest_neighbour_distance`."""
    return float(f"{TWO_SHELLS * nearest_neighbour_distance(structures):.4g}")
