"""Chemical short-range order: which species prefer each other as nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.neighbours import neighbour_lists
from ovito_glassml.structure import Structure
from ovito_glassml.topology.length_scale import first_peak

__all__ = ["SHELL", "by_pair", "warren_cowley"]

#: Where the first shell ends, in units of the first peak of g(r): about the first minimum in glasses.
SHELL = 1.36


def warren_cowley(structure: Structure) -> NDArray[np.float64]:
    """Warren-Cowley parameters of the first shell: α_ij = 1 − Z_ij / (Z_i c_j).

    0 is a random mixture, negative means that j is preferred as a neighbour of i, positive that it is avoided.

    Returns
    -------
    (K, K) array
        By species of the structure; NaN where a species is absent or has no neighbours.

    References
    ----------
    J. M. Cowley, Phys. Rev. 77, 669 (1950).
    """
    kinds, species = structure.species, len(structure.species_names)
    peak = first_peak(structure)
    counts = np.zeros((species, species))
    if peak is not None:
        lists = neighbour_lists(structure, SHELL * peak)
        owner = np.repeat(kinds, np.diff(lists.offsets))
        np.add.at(counts, (owner, kinds[lists.indices]), 1)
    shares = np.bincount(kinds, minlength=species) / max(len(kinds), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 1 - counts / counts.sum(axis=1, keepdims=True) / shares


def by_pair(names: Sequence[str], orders: NDArray[np.float64]) -> dict[str, float]:
    """The parameter of every pair of species, such as ``Cu-Zr``."""
    count = len(names)
    return {f"{names[a]}-{names[b]}": float(orders[a, b]) for a in range(count) for b in range(a, count)}
