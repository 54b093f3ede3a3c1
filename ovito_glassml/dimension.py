"""Whether atoms fill space, or only a plane of it that a simulation in two dimensions has put into a cell."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.structure import Structure, StructureError

__all__ = ["check_three_dimensional"]

#: So many atoms lie in one plane by chance, or are the unit cell of a crystal.
MOST_IN_UNIT_CELL = 8

#: Atoms are in one plane if it holds them to this share of their spacing. Vibrations of solids take more room.
PLANE = 0.02

#: A periodic cell is thinner than an atom if it repeats after less than this share of the distance between columns of
#: atoms. Crystals repeat after 0.9 (simple hexagonal) or more, cells of LAMMPS in two dimensions after 0.1 to 0.5.
THIN = 0.7

#: Fewer atoms in a thin cell may be a gas.
FEWEST_COLUMNS = 16

#: Atoms that are looked at first, and columns whose distances are measured.
MOST_TRIED = 1000


def check_three_dimensional(structure: Structure) -> None:
    """Refuse atoms that all lie in one plane, and periodic cells thinner than an atom.

    In such a cell, which programs give to simulations in two dimensions, an atom would count its neighbours, and
    itself, once for every image on top of each other. All lengths are compared with the atoms' own spacing, so
    that their unit does not matter. Up to eight atoms, which may be the unit cell of a crystal, are let through, and so
    is a crystal one unit cell thick.

    Raises
    ------
    StructureError
        In the one case and the other.
    """
    if len(structure) <= MOST_IN_UNIT_CELL:
        return
    vectors = _reduced(structure)
    if _in_one_plane(structure, vectors):
        raise StructureError(
            f"All {len(structure)} atoms lie in one plane, so they are two-dimensional and this analysis needs three "
            "dimensions; if they are one layer of a crystal, repeat the cell across it."
        )
    periodic = vectors[list(structure.pbc)]
    if len(structure) >= FEWEST_COLUMNS and len(periodic) and _is_thin(structure, periodic):
        thickness = np.linalg.norm(periodic, axis=1).min()
        raise StructureError(
            f"The periodic cell repeats after {thickness:.3g}, less than the distance between atoms, so it is "
            "two-dimensional and this analysis needs three dimensions; give the cell its thickness."
        )


def _reduced(structure: Structure) -> NDArray[np.float64]:
    """Vectors of the same cell: no periodic one becomes shorter by adding a multiple of another."""
    vectors = np.eye(3) if structure.cell is None else structure.cell.copy()
    pairs = list(itertools.permutations(np.flatnonzero(structure.pbc), 2))
    changed = True
    while changed:
        changed = False
        for i, j in pairs:
            shorter = vectors[i] - np.rint(vectors[i] @ vectors[j] / (vectors[j] @ vectors[j])) * vectors[j]
            if shorter @ shorter < (1 - 1e-12) * (vectors[i] @ vectors[i]):
                vectors[i], changed = shorter, True
    return vectors


def _in_one_plane(structure: Structure, vectors: NDArray) -> bool:
    """Whether all atoms, or images of them, lie in one plane, along a face of the cell if that repeats across."""
    offsets = _nearest_images(structure.positions - structure.positions[0], vectors, structure.pbc)
    few = offsets[:: max(1, len(offsets) // MOST_TRIED)]
    tolerance = PLANE / np.sqrt(len(offsets))
    if _thickness(few, vectors, structure.pbc) > tolerance * 2 * np.abs(offsets).max():  # as of nearly all structures
        return False
    # The width of most atoms, since one that has flown off must not make the others look flat.
    width = 4 * np.median(np.abs(offsets - np.median(offsets, axis=0)), axis=0).max()
    return _thickness(offsets, vectors, structure.pbc) <= tolerance * width


def _nearest_images(offsets: NDArray, vectors: NDArray, pbc: tuple[bool, ...]) -> NDArray:
    """The same atoms beside the first: how wide they lie must not depend on the images that a file happens to hold."""
    if not any(pbc):
        return offsets
    fractions = np.einsum("ij,jk->ik", offsets, np.linalg.inv(vectors))
    return offsets - np.einsum("ij,jk->ik", np.where(pbc, np.rint(fractions), 0.0), vectors)


def _thickness(offsets: NDArray, vectors: NDArray, pbc: tuple[bool, ...]) -> float:
    """Of the thinnest layer that holds all atoms or images of them."""
    layers = [_thickness_along_face(offsets, vectors, axis) for axis in range(3) if pbc[axis]]
    if not all(pbc):
        layers.append(_thickness_at_any_angle(offsets, vectors[list(pbc)]))
    return min(layers)


def _thickness_along_face(offsets: NDArray, vectors: NDArray, axis: int) -> float:
    """Of the layer between two faces of the cell that holds an image of every atom."""
    normal = np.cross(vectors[axis - 1], vectors[axis - 2])
    normal /= np.linalg.norm(normal)
    period = abs(float(vectors[axis] @ normal))
    heights = np.einsum("ij,j->i", offsets, normal)
    heights -= np.rint(heights / period) * period
    return float(np.ptp(heights))


def _thickness_at_any_angle(offsets: NDArray, periodic: NDArray) -> float:
    """Of the thinnest layer along all periodic vectors that holds every atom."""
    free = np.linalg.svd(periodic)[2][len(periodic) :] if len(periodic) else np.eye(3)
    across = np.einsum("ij,kj->ik", offsets, free)
    spread = across - across.mean(axis=0)
    _, directions = np.linalg.eigh(np.einsum("ij,ik->jk", spread, spread))
    return float(np.ptp(np.einsum("ij,j->i", spread, directions[:, 0])))


def _is_thin(structure: Structure, periodic: NDArray) -> bool:
    """Whether columns of images on top of each other are further apart than these images."""
    lengths = np.linalg.norm(periodic, axis=1)
    shortest = int(lengths.argmin())
    across = np.linalg.svd(periodic[shortest][None])[2][1:]
    lattice = np.einsum("ij,kj->ik", np.delete(periodic, shortest, axis=0), across)
    if len(lattice) == 2 and _too_dense(lengths[shortest], abs(np.linalg.det(lattice)) / len(structure)):
        return False
    columns = np.einsum("ij,kj->ik", structure.positions - structure.positions[0], across)
    if len(lattice):
        columns -= np.floor(columns @ np.linalg.pinv(lattice)) @ lattice
    if _too_dense(lengths[shortest], float(np.prod(np.ptp(columns, axis=0))) / len(columns)):
        return False
    from scipy.spatial import cKDTree  # takes a while to import and is hardly ever needed

    steps = np.reshape(list(itertools.product((-1, 0, 1), repeat=len(lattice))), (3 ** len(lattice), len(lattice)))
    images = (columns + (steps @ lattice)[:, None]).reshape(-1, 2)
    tried = columns[:: max(1, len(columns) // MOST_TRIED)]
    nearest = cKDTree(images).query(tried, k=2)[0][:, 1]
    return bool(lengths[shortest] < THIN * np.median(nearest))


def _too_dense(length: float, area: float) -> bool:
    """Whether columns with this area each cannot be as far apart as a thin cell asks; the furthest are hexagonal."""
    return length > THIN * np.sqrt(2 / np.sqrt(3) * area)
