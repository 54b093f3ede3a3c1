"""Voronoi indices of atoms from OVITO's own analysis."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection
from ovito.modifiers import VoronoiAnalysisModifier

from ovito_glassml.structure import Structure, StructureError

__all__ = ["EDGES", "voronoi_indices"]

#: Numbers of edges of the faces that are counted.
EDGES = (3, 4, 5, 6, 7, 8)


def voronoi_indices(structure: Structure, atoms: NDArray[np.int64] | None = None) -> NDArray[np.int32]:
    """Faces of the Voronoi cells by number of edges, every face and edge counted however small.

    Parameters
    ----------
    structure : Structure
        With a cell.
    atoms : (M,) int array, optional
        Indices of the atoms wanted; all by default.

    Returns
    -------
    (M, 6) int32 array
        Numbers n_3 … n_8 of faces with 3 to 8 edges; ⟨0,0,12,0⟩ is an icosahedron.

    Raises
    ------
    StructureError
        For a structure without a cell.
    """
    if structure.cell is None:
        raise StructureError("The structure has no simulation cell, so its outer Voronoi cells have no end; add one.")
    wanted = np.arange(len(structure)) if atoms is None else np.asarray(atoms, dtype=np.int64)
    data = DataCollection()
    data.create_cell(np.column_stack([structure.cell.T, structure.origin]), pbc=structure.pbc)
    data.create_particles(count=len(structure)).create_property("Position", data=structure.positions)
    # Its option only_selected would leave the others out as neighbours too.
    data.apply(VoronoiAnalysisModifier(compute_indices=True))
    found = data.particles["Voronoi Index"][...]
    # The property is as wide as the largest number of edges; its first component counts faces with one edge.
    counts = np.zeros((len(structure), EDGES[-1]), dtype=np.int32)
    width = min(found.shape[1], EDGES[-1])
    counts[:, :width] = found[:, :width]
    return counts[wanted, EDGES[0] - 1 :]
