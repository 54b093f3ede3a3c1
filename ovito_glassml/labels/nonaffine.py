"""Non-affine squared displacement D²min: how far an atom's neighbourhood is from a linear deformation."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovito_glassml.neighbours import neighbour_lists
from ovito_glassml.structure import Structure, StructureError

__all__ = ["nonaffine_squared_displacement"]

#: Smallest ratio of the extents of a neighbourhood for which a linear deformation can be fitted.
FLATNESS = 1e-6


def nonaffine_squared_displacement(
    reference: Structure, displacements: ArrayLike, cutoff: float
) -> NDArray[np.float64]:
    """D²min of every atom: the part of its neighbours' displacements that no linear map explains.

    ``D²min_i = min_G Σ_j |u_j − u_i − G r_ij|²`` over the neighbours j that atom i has in the
    reference configuration; r_ij connects them there. The sum, not the mean, as in OVITO's
    `AtomicStrainModifier`.

    Parameters
    ----------
    reference : Structure
        Configuration in which neighbours are sought.
    displacements : (N, 3) array
        From the reference to the other configuration, unwrapped. A homogeneous deformation may be
        left in or taken out: it does not change the result.
    cutoff : float
        In the length unit of the structure.

    Returns
    -------
    (N,) array
        In the square of the length unit; NaN for atoms whose neighbours do not span three dimensions.

    Raises
    ------
    StructureError
        If the shapes differ, or as `neighbour_lists`.

    References
    ----------
    M. L. Falk, J. S. Langer, Phys. Rev. E 57, 7192 (1998).
    """
    moved = np.asarray(displacements, dtype=np.float64)
    if moved.shape != reference.positions.shape:
        raise StructureError(
            f"The displacements have shape {moved.shape}; give three components for each of {len(reference)} atoms."
        )
    lists = neighbour_lists(reference, cutoff, vectors=True)
    count = len(reference)
    owner = np.repeat(np.arange(count), np.diff(lists.offsets))
    bonds = np.asarray(lists.vectors, dtype=np.float64)
    relative = moved[lists.indices] - moved[owner]
    extent = _sum_of_products(owner, bonds, bonds, count)
    mixed = _sum_of_products(owner, bonds, relative, count)
    scales = np.linalg.eigvalsh(extent)
    solid = scales[:, 0] > FLATNESS * scales[:, 2]
    map_of = np.zeros((count, 3, 3))
    map_of[solid] = np.linalg.solve(extent[solid], mixed[solid])
    residual = relative - np.einsum("pa,pab->pb", bonds, map_of[owner])
    result = np.bincount(owner, weights=(residual**2).sum(axis=1), minlength=count)
    return np.where(solid, result, np.nan)


def _sum_of_products(owner: NDArray, left: NDArray, right: NDArray, count: int) -> NDArray[np.float64]:
    """Σ over each atom's neighbours of the outer product of two vectors, (N, 3, 3)."""
    sums = np.empty((count, 3, 3))
    for a in range(3):
        for b in range(3):
            sums[:, a, b] = np.bincount(owner, weights=left[:, a] * right[:, b], minlength=count)
    return sums
