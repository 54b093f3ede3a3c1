"""Which atoms sit in a crystal: fcc, hcp, bcc and B2, and both diamonds, in any unit.

Common-neighbour analysis with a cutoff for every atom: A. Stukowski, Model. Simul. Mater. Sci. Eng. 20, 045021 (2012);
diamond by the second neighbours, which form an fcc or hcp shell: E. Maras et al., Comput. Phys. Commun. 205, 13 (2016).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.neighbours import neighbour_lists
from ovito_glassml.structure import Structure

__all__ = ["CRYSTALS", "crystal_types"]

#: Names of the numbers that `crystal_types` gives; 0 is none of them.
CRYSTALS = ("none", "fcc", "hcp", "bcc", "B2", "diamond", "hexagonal diamond")

#: Atoms looked at per call; bounds the memory for pairs of neighbours.
_BLOCK = 4096

#: Search radius over the cube root of the volume an atom has: some fifty neighbours in a homogeneous structure.
_REACH = 2.3

#: Halfway between the first and the second shell of a close-packed crystal, in first-shell distances.
_HALFWAY = (1 + np.sqrt(2)) / 2


def crystal_types(structure: Structure) -> NDArray[np.int64]:
    """The crystal that every atom is in, by its neighbours.

    Best at rest: heat hides crystals. B2 is bcc whose eight nearest neighbours are all of another species than the
    atom.

    Parameters
    ----------
    structure : Structure
        Periodic in all directions. The mask is ignored.

    Returns
    -------
    (N,) array
        Places in `CRYSTALS`.
    """
    count = len(structure)
    reach = _REACH * (structure.volume / max(count, 1)) ** (1 / 3)
    lists = neighbour_lists(structure, reach, vectors=True)
    found = np.zeros(count, dtype=np.int64)
    nearest, atoms = _nearest(lists.offsets, lists.indices, lists.distances, lists.vectors)
    for first in range(0, count, _BLOCK):
        chosen = slice(first, min(first + _BLOCK, count))
        found[chosen] = _close_packed(nearest[chosen])
        bcc = (found[chosen] == 0) & _is_bcc(nearest[chosen])
        kinds = structure.species
        foreign = (kinds[atoms[chosen, :8]] != kinds[chosen, None]).all(axis=1)
        found[chosen][bcc] = np.where(foreign[bcc], CRYSTALS.index("B2"), CRYSTALS.index("bcc"))
        second = _second_shell(nearest, atoms, chosen)
        shell = np.where(found[chosen] == 0, _close_packed(second), 0)
        found[chosen] += np.where(shell > 0, shell + CRYSTALS.index("diamond") - 1, 0)
    return found


def _nearest(
    offsets: NDArray, indices: NDArray, distances: NDArray, vectors: NDArray | None, wanted: int = 14
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Vectors (N, wanted, 3) to the nearest neighbours, and their indices; NaN and the atom itself for want of more."""
    count = len(offsets) - 1
    owner = np.repeat(np.arange(count), np.diff(offsets))
    order = np.lexsort((distances, owner))
    rank = np.arange(len(order)) - offsets[owner]
    kept = rank < wanted
    found = np.full((count, wanted, 3), np.nan)
    atoms = np.repeat(np.arange(count)[:, None], wanted, axis=1)
    if vectors is not None:
        found[owner[kept], rank[kept]] = vectors[order][kept]
    atoms[owner[kept], rank[kept]] = indices[order][kept]
    return found, atoms


def _shells(vectors: NDArray, cutoff: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Common neighbours, bonds among them and most bonds of one of them, for every neighbour (N, k)."""
    apart = vectors[:, :, None] - vectors[:, None]
    squares = np.einsum("nijk,nijk->nij", apart, apart)
    bonded = (squares < cutoff[:, None, None] ** 2) & (squares > 1e-12)  # NaN: not bonded
    numbers = bonded.astype(np.float32)
    degrees = numbers * (numbers @ numbers)
    return numbers.sum(axis=2), degrees.sum(axis=2) / 2, degrees.max(axis=2)


def _close_packed(vectors: NDArray) -> NDArray[np.int64]:
    """1 where the first twelve vectors are an fcc shell, 2 where they are an hcp shell, otherwise 0."""
    shell = vectors[:, :12]
    common, bonds, most = _shells(shell, _HALFWAY * np.linalg.norm(shell, axis=2).mean(axis=1))
    standard = (common == 4) & (bonds == 2)
    straight = (standard & (most == 1)).sum(axis=1)
    bent = (standard & (most == 2)).sum(axis=1)
    return np.where(straight == 12, 1, np.where((straight == 6) & (bent == 6), 2, 0))


def _is_bcc(vectors: NDArray) -> NDArray[np.bool_]:
    distances = np.linalg.norm(vectors, axis=2)
    constant = (2 / np.sqrt(3) * distances[:, :8].sum(axis=1) + distances[:, 8:14].sum(axis=1)) / 14
    common, bonds, most = _shells(vectors, _HALFWAY * constant)
    six = ((common == 6) & (bonds == 6) & (most == 2)).sum(axis=1)
    four = ((common == 4) & (bonds == 4) & (most == 2)).sum(axis=1)
    return (six == 8) & (four == 6)


def _second_shell(nearest: NDArray, atoms: NDArray, chosen: slice) -> NDArray[np.float64]:
    """Vectors (n, 12, 3) to the three other neighbours of each of the four nearest ones."""
    towards = nearest[chosen, :4]
    onwards = towards[:, :, None] + nearest[atoms[chosen, :4], :4]
    back = np.linalg.norm(onwards, axis=3).argmin(axis=2)
    others = np.argsort(np.arange(4) == back[:, :, None], axis=2, kind="stable")[:, :, :3]
    return np.take_along_axis(onwards, others[..., None], axis=2).reshape(len(onwards), 12, 3)
