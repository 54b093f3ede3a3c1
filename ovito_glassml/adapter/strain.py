"""Local shear strain between two structures of the same atoms."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.displacements import displacements_between
from ovito_glassml.labels.nonaffine import local_deformation
from ovito_glassml.structure import Structure, StructureError

__all__ = ["von_mises_strain"]


def von_mises_strain(reference: Structure, deformed: Structure, cutoff: float = 4.0) -> NDArray[np.float64]:
    """Von Mises invariant of the strain of every atom's surroundings, that of the whole cell included.

    With the deformation gradient F that describes an atom's neighbours best, E = (FᵀF − 1)/2, as in OVITO's
    `AtomicStrainModifier`.

    Parameters
    ----------
    reference, deformed : Structure
        The same atoms by identifier, in periodic cells.
    cutoff : float
        Å; neighbours in the reference are nearer than this. The default is the first shell of a metallic glass.

    Returns
    -------
    (N,) array
        In the order of the atoms of `deformed`; NaN for atoms with too few neighbours.

    Raises
    ------
    StructureError
        If the atoms are not the same, or no deformation of the cell connects them.
    """
    order, places = np.argsort(reference.ids), np.argsort(deformed.ids)
    if not np.array_equal(reference.ids[order], deformed.ids[places]):
        raise StructureError(
            "The deformed structure has other atoms than its reference; give frames of one simulation."
        )
    ends = np.empty_like(reference.positions)
    ends[order] = deformed.positions[places]
    displacements, deformation = displacements_between(reference, deformed, ends)
    gradients = deformation @ (np.eye(3) + local_deformation(reference, displacements, cutoff).gradients)
    xx, yy, zz, xy, xz, yz = _strain_components(gradients)
    shear = np.sqrt(xy**2 + xz**2 + yz**2 + ((xx - yy) ** 2 + (xx - zz) ** 2 + (yy - zz) ** 2) / 6)
    strains = np.empty(len(deformed))
    strains[places] = shear[order]
    return strains


def _strain_components(gradients: NDArray) -> tuple[NDArray, ...]:
    """xx, yy, zz, xy, xz and yz of Green's strain."""
    strain = (np.einsum("nki,nkj->nij", gradients, gradients) - np.eye(3)) / 2
    return tuple(strain[:, i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)))
