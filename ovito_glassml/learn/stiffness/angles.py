"""Angles between the bonds of an atom, weighted by smooth functions of distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.compile import empty, kernel, unowned
from ovito_glassml.neighbours import CellList, build_cell_list, gather_neighbours, neighbour_space
from ovito_glassml.structure import Structure
from ovito_glassml.threads import run_tasks

__all__ = ["DEGREES", "AngularSums"]

#: Degrees of the Legendre polynomials. Even ones: a spring pulls along its bond whichever way that points.
DEGREES = (2, 4, 6)


@dataclass(frozen=True)
class AngularSums:
    """S_l(p, q) = Σ_jk R_p(r_ij) R_q(r_ik) P_l(cos θ_jik) for pairs of channels p ≤ q and l = 2, 4, 6.

    A channel is a radial function for the neighbours of one species. The sums do not change when
    the structure is turned; they tell an atom held evenly from all sides from one held in a plane.

    Attributes
    ----------
    cutoff : float
        In the structure's length unit.
    table : (R, K) array
        R_k at R equally spaced distances from 0 to `cutoff`, interpolated linearly.
    species : tuple of str
        Whose neighbours have channels of their own; others do not count.
    """

    cutoff: float
    table: NDArray[np.float64]
    species: tuple[str, ...]

    @property
    def width(self) -> int:
        """Number of sums of an atom."""
        channels = len(self.species) * self.table.shape[1]
        return len(DEGREES) * channels * (channels + 1) // 2

    def prepare(self, structure: Structure) -> PreparedAngles:
        """Sort the structure for evaluation, block by block."""
        cells = build_cell_list(structure, self.cutoff)
        entry = np.empty(len(structure), dtype=np.int64)
        entry[cells.grid.atom[cells.order]] = cells.order
        columns = [self.species.index(name) if name in self.species else -1 for name in structure.species_names]
        return PreparedAngles(self, cells, entry, np.array(columns, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class PreparedAngles:
    """`AngularSums` of one structure, evaluated for any of its atoms.

    Attributes
    ----------
    sums : AngularSums
    cells : CellList
        The structure sorted for `sums.cutoff`.
    entry : (N,) int64 array
        Where each atom is in the cell list.
    columns : (species,) int64 array
        Place of each species of the structure in `sums.species`, -1 for none.
    """

    sums: AngularSums
    cells: CellList
    entry: NDArray[np.int64]
    columns: NDArray[np.int64]

    def rows(self, indices: NDArray) -> NDArray[np.float64]:
        """(B, width) sums of the atoms with these indices; degree-major, then channels p, then q."""
        result = np.zeros((len(indices), self.sums.width))
        table = np.ascontiguousarray(self.sums.table, dtype=np.float64)
        channels = len(self.sums.species) * table.shape[1]
        block = self.entry[indices]
        settings = (self.sums.cutoff, self.columns, table, channels)
        run_tasks(_sum_angles, len(block), self.cells.grid, block, *settings, result)
        return result


@kernel
def _sum_angles(begin, end, grid, block, cutoff, columns, table, channels, result):
    grid, block, columns, table, result = unowned((grid, block, columns, table, result))
    points_per_length = (len(table) - 1) / cutoff
    functions = table.shape[1]
    pairs = channels * (channels + 1) // 2
    found = neighbour_space(grid, block, begin, end, cutoff)
    entries, vectors, squares, _ = unowned(found)
    weights = empty((len(entries), functions), np.float64)
    for t in range(begin, end):
        n = gather_neighbours(grid, block[t], cutoff, found)
        for j in range(n):
            length = np.sqrt(squares[j])
            place = length * points_per_length
            point = np.int64(place)
            point = point if point < len(table) - 2 else np.int64(len(table) - 2)
            for k in range(functions):
                weights[j, k] = table[point, k] + (place - point) * (table[point + 1, k] - table[point, k])
            for d in range(3):
                vectors[d, j] /= length
        for j in range(n):
            first = columns[grid.species[entries[j]]] * functions
            if first < 0:
                continue
            for k in range(n):
                second = columns[grid.species[entries[k]]] * functions
                if second < first:
                    continue
                cosine = 0.0
                for d in range(3):
                    cosine += vectors[d, j] * vectors[d, k]
                x = cosine * cosine
                p2 = 1.5 * x - 0.5
                p4 = (4.375 * x - 3.75) * x + 0.375
                p6 = ((14.4375 * x - 19.6875) * x + 6.5625) * x - 0.3125
                for a in range(functions):
                    p = first + a
                    for b in range(functions):
                        q = second + b
                        if q >= p:
                            weight = weights[j, a] * weights[k, b]
                            place_of_pair = p * channels - p * (p - 1) // 2 + q - p
                            result[t, place_of_pair] += weight * p2
                            result[t, pairs + place_of_pair] += weight * p4
                            result[t, 2 * pairs + place_of_pair] += weight * p6
