"""Local shear strain from OVITO's `AtomicStrainModifier`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection
from ovito.modifiers import AtomicStrainModifier
from ovito.pipeline import StaticSource

from ovito_glassml.structure import Structure, StructureError

__all__ = ["von_mises_strain"]


def von_mises_strain(reference: Structure, deformed: Structure, cutoff: float = 4.0) -> NDArray[np.float64]:
    """Von Mises invariant of the strain of every atom's surroundings, that of the whole cell included.

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
        If the atoms are not the same.
    """
    if not np.array_equal(np.sort(reference.ids), np.sort(deformed.ids)):
        raise StructureError(
            "The deformed structure has other atoms than its reference; give frames of one simulation."
        )
    data = _as_data(deformed)
    strain = AtomicStrainModifier(
        reference=StaticSource(data=_as_data(reference)),  # type: ignore[arg-type]
        cutoff=cutoff,
        select_invalid_particles=True,
    )
    data.apply(strain)
    invalid = data.particles.selection[...] != 0
    return np.where(invalid, np.nan, data.particles["Shear Strain"][...])


def _as_data(structure: Structure) -> DataCollection:
    data = DataCollection()
    data.create_cell(np.column_stack([np.asarray(structure.cell).T, structure.origin]), pbc=structure.pbc)
    particles = data.create_particles(count=len(structure))
    particles.create_property("Position", data=structure.positions)
    particles.create_property("Particle Identifier", data=structure.ids)
    return data
