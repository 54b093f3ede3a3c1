"""The unit in which models measure lengths: metals, oxides and Lennard-Jones glasses go through the same code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ovito_glassml.structure import Structure
from ovito_glassml.topology.length_scale import nearest_neighbour_distance

__all__ = ["SHARPNESS", "nearest_neighbours", "two_shells"]

#: Width of the Gaussians of an angular spectrum over its cutoff: the published 0.5 Å over 5 Å.
SHARPNESS = 0.1

#: Reach of the first two shells of neighbours in distances of nearest neighbours: the published 5 Å in Cu-Zr.
TWO_SHELLS = 1.77


def nearest_neighbours(structures: Sequence[Structure]) -> float:
    """Mean distance of nearest neighbours in structures of one material, to four digits, with `StructureError`s."""
    return float(f"{np.mean([nearest_neighbour_distance(structure) for structure in structures]):.4g}")


def two_shells(structures: Sequence[Structure]) -> float:
    """Reach of the first two shells of neighbours."""
    return float(f"{TWO_SHELLS * nearest_neighbours(structures):.4g}")
