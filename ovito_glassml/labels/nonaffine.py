"""Non-affine squared displacement D²min: how far an atom's neighbourhood is from a linear deformation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovito_glassml.compile import compiled, inner, kernel, unowned
from ovito_glassml.neighbours import block_stages, build_cell_list, gather_neighbours, neighbour_space
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.threads import run_tasks

__all__ = ["LocalDeformation", "local_deformation", "nonaffine_squared_displacement"]

#: Three bonds can always be mapped exactly, so that D²min would be 0 whatever the atoms did.
FEWEST_NEIGHBOURS = 4

#: Neighbours thinner than about 10⁻⁵ of their extent are in a plane; the square of a ratio of lengths.
FLATNESS = 1e-10

#: Displacements smaller than this share of the coordinates are rounding errors.
ROUNDING = 1e-13


@dataclass(frozen=True, eq=False)
class LocalDeformation:
    """How the surroundings of every atom deform, and what is left over.

    Attributes
    ----------
    squares : (N,) array
        D²min, the squared displacements of the neighbours that no linear map explains, summed over them; in the
        square of the length unit. 0 where it is not above rounding errors, NaN for atoms with fewer than
        `FEWEST_NEIGHBOURS` neighbours or with all of them in a plane.
    gradients : (N, 3, 3) array
        The map G that explains most: a neighbour at r is displaced by ``G @ r`` (columns); NaN as above.
    neighbours : (N,) int64 array
        Number of neighbours.
    """

    squares: NDArray[np.float64]
    gradients: NDArray[np.float64]
    neighbours: NDArray[np.int64]


def local_deformation(
    reference: Structure, displacements: ArrayLike, cutoff: float, progress: Progress | None = None
) -> LocalDeformation:
    """Fit a linear deformation to the displacements of the neighbours of every atom.

    ``D²min_i = min_G Σ_j |u_j − u_i − G r_ij|²`` over the neighbours j that atom i has in the
    reference configuration; r_ij connects them there. The sum, not the mean, as in OVITO's
    `AtomicStrainModifier`.

    Parameters
    ----------
    reference : Structure
        Configuration in which neighbours are sought, periodic images included.
    displacements : (N, 3) array
        From the reference to the other configuration, unwrapped; in periodic systems without the deformation of the
        cell, since all images of an atom are given the same.
    cutoff : float
        In the length unit of the structure.
    progress : callable, optional
        Called with the fraction done between blocks; may raise to stop.

    Raises
    ------
    StructureError
        If the shapes differ, or as `build_cell_list`.

    References
    ----------
    M. L. Falk, J. S. Langer, Phys. Rev. E 57, 7192 (1998).

    Examples
    --------
    Shear deforms every neighbourhood and leaves nothing else; one atom that moves by itself does. It and its six
    neighbours show it:

    >>> from ovito_glassml.labels.nonaffine import local_deformation
    >>> moves = np.zeros_like(glass.positions)
    >>> moves[0] = 1.0, 0.0, 0.0
    >>> fit = local_deformation(glass, moves, cutoff=3.6)
    >>> int((fit.squares > 1e-9).sum()) == int(fit.neighbours[0]) + 1
    True
    """
    moved = np.asarray(displacements, dtype=np.float64)
    count = len(reference)
    if moved.shape != (count, 3):
        raise StructureError(
            f"The displacements have shape {moved.shape}; give three components for each of {count} atoms."
        )
    squares, gradients = np.full(count, np.nan), np.full((count, 3, 3), np.nan)
    neighbours = np.zeros(count, dtype=np.int64)
    cells = build_cell_list(reference, cutoff)
    motion = moved[cells.grid.atom]
    scale = max(np.abs(values).max(initial=0.0) for values in (*cells.grid[:3], reference.positions, moved))
    for block, share in block_stages(cells.blocks(), count, progress):
        factors, mixed = np.zeros((len(block), 3, 3)), np.zeros((len(block), 3, 3))
        left, found = np.zeros(len(block)), np.zeros(len(block), dtype=np.int64)
        results = (factors, mixed, left, found)
        run_tasks(_fit_block, len(block), cells.grid, block, cells.cutoff, motion, *results, progress=share)
        solid = (found >= FEWEST_NEIGHBOURS) & ~_is_flat(factors)
        left[left < found * (ROUNDING * scale) ** 2] = 0.0
        atoms = cells.grid.atom[block]
        neighbours[atoms] = found
        squares[atoms[solid]] = left[solid]
        gradients[atoms[solid]] = np.linalg.solve(factors[solid], mixed[solid]).transpose(0, 2, 1)
    return LocalDeformation(squares, gradients, neighbours)


def nonaffine_squared_displacement(
    reference: Structure, displacements: ArrayLike, cutoff: float
) -> NDArray[np.float64]:
    """D²min of every atom, (N,), NaN for atoms whose neighbours define no linear map; see `local_deformation`."""
    return local_deformation(reference, displacements, cutoff).squares


def _is_flat(factors: NDArray) -> NDArray[np.bool_]:
    """Whether bonds with these triangular factors lie in a plane, by their condition number in the Frobenius norm."""
    diagonal = np.abs(np.diagonal(factors, axis1=1, axis2=2))
    singular = diagonal.min(axis=1) <= FLATNESS * np.maximum(diagonal.max(axis=1), np.finfo(np.float64).tiny)
    inverses = np.linalg.inv(np.where(singular[:, None, None], np.eye(3), factors))
    return singular | ((inverses**2).sum(axis=(1, 2)) * (factors**2).sum(axis=(1, 2)) > 1 / FLATNESS)


@kernel
def _fit_block(begin, end, grid, block, cutoff, motion, factors, mixed, left, found):
    grid, block, motion, factors = unowned((grid, block, motion, factors))
    mixed, left, found = unowned((mixed, left, found))
    near = neighbour_space(grid, block, begin, end, cutoff)
    entries, bonds, _, _ = unowned(near)
    moves = np.empty(bonds.shape)
    for t in range(begin, end):
        i = block[t]
        n = gather_neighbours(grid, i, cutoff, near)
        for k in range(n):
            for c in range(3):
                moves[c, k] = motion[entries[k], c] - motion[i, c]
        found[t] = n
        left[t] = _fit(bonds, moves, n, factors[t], mixed[t])


@inner
def _fit(bonds, moves, n, factor, mixed):
    """Least squares by orthogonal vectors, which flat surroundings spoil less than normal equations.

    ``bonds[:, :n].T = Q R``: R goes into `factor`, Qᵀ times the moves into `mixed`. Returns the squares left over.
    """
    for a in range(3):
        for _ in range(2):  # once leaves a remainder where the vectors are nearly parallel
            for b in range(a):
                factor[b, a] += _take_out(bonds[b], bonds[a], n)
        factor[a, a] = np.sqrt(_dot(bonds[a], bonds[a], n))
        if factor[a, a] > 0.0:
            for k in range(n):
                bonds[a, k] /= factor[a, a]
    total = 0.0
    for c in range(3):
        for b in range(3):
            mixed[b, c] = _take_out(bonds[b], moves[c], n)
        total += _dot(moves[c], moves[c], n)
    return total


@compiled(inline="always")
def _dot(first, second, n):
    total = 0.0
    for k in range(n):
        total += first[k] * second[k]
    return total


@compiled(inline="always")
def _take_out(direction, vector, n):
    """Remove the part of a vector along a direction of unit length, and return it."""
    share = _dot(direction, vector, n)
    for k in range(n):
        vector[k] -= share * direction[k]
    return share
