"""Angles between the bonds of an atom, weighted by smooth functions of distance."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.compile import empty, inlined, kernel, unowned, unsigned
from ovito_glassml.descriptors.blocks import known_columns
from ovito_glassml.neighbours import gather_neighbours, neighbour_space
from ovito_glassml.structure import Structure

__all__ = ["DEGREES", "AngularSums", "sum_angles"]

#: Degrees of the Legendre polynomials. Even ones: a spring pulls along its bond whichever way that points.
DEGREES = (2, 4, 6)
#: Harmonics up to and with each of these degrees, of which only even ones count, and of all.
LAST = (5, 14, 27)
HARMONICS = LAST[-1]
#: Factors of the harmonics with m > 0, √(2 (l - m)! / (l + m)!) times what is taken out of the polynomials in z.
SQUARES = (3, 3 / 4, 5 / 8, 5 / 16, 35 / 8, 35 / 64, 21 / 64, 105 / 512, 105 / 128, 63 / 256, 693 / 128, 231 / 512)
SCALES = tuple(math.sqrt(square) for square in SQUARES)


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

    def settings(self, structure: Structure) -> tuple[float, NDArray[np.int64], NDArray[np.float64], int]:
        """What `sum_angles` takes between the atoms and the rows."""
        table = np.ascontiguousarray(self.table, dtype=np.float64)
        return self.cutoff, known_columns(structure, self.species), table, len(self.species) * table.shape[1]


@kernel
def sum_angles(begin, end, grid, block, cutoff, columns, table, channels, first, rows):
    """Write the sums of some atoms of a block; degree-major, then channels p, then q.

    By the addition theorem, P_l(cos θ_jik) = Σ_m y_lm(r_ij) y_lm(r_ik): each neighbour is looked at once and not with
    every other.

    Parameters
    ----------
    begin, end : int
        Range of the atoms in the block.
    grid : CellGrid
        Of a cell list that reaches at least as far.
    block : (B,) int64 array
        Grid entries of the atoms.
    cutoff, table
        See `AngularSums`.
    columns : (species,) int64 array
        Place of each species of the structure among those that have channels, -1 for none.
    channels : int
    first : int
        Column of the first sum.
    rows : (B, F) array
        Filled from there on.
    """
    grid, block, columns, table, rows = unowned((grid, block, columns, table, rows))
    points_per_length, last = (len(table) - 1) / cutoff, len(table) - 2.0
    functions = table.shape[1]
    found = neighbour_space(grid, block, begin, end, cutoff)
    entries, vectors, squares, _ = unowned(found)
    harmonics = empty(HARMONICS, np.float64)
    moments = empty((channels, HARMONICS), np.float64)
    for t in range(begin, end):
        n = gather_neighbours(grid, block[t], cutoff, found)
        moments[:] = 0.0
        for j in range(n):
            channel = columns[unsigned(grid.species[unsigned(entries[j])])] * functions
            if channel < 0:
                continue
            length = np.sqrt(squares[j])
            place, inverse = length * points_per_length, 1.0 / length
            point = unsigned(place if place < last else last)
            rest, low, high = place - point, table[point], table[point + unsigned(1)]
            _even_harmonics(vectors[0, j] * inverse, vectors[1, j] * inverse, vectors[2, j] * inverse, harmonics)
            for k in range(functions):
                weight = low[k] + rest * (high[k] - low[k])
                own = moments[channel + k]
                for m in range(HARMONICS):
                    own[m] += weight * harmonics[m]
        column = first
        low = 0
        for high in LAST:
            for p in range(channels):
                for q in range(p, channels):
                    total = 0.0
                    for m in range(low, high):
                        total += moments[p, m] * moments[q, m]
                    rows[t, column] = total
                    column += 1
            low = high


@inlined
def _even_harmonics(x, y, z, values):
    """Real spherical harmonics of degrees 2, 4, 6 of a unit vector, scaled so that Σ_m y_lm(u) y_lm(v) = P_l(u v)."""
    c1, s1, h = x, y, z * z
    c2, s2 = c1 * x - s1 * y, c1 * y + s1 * x
    c3, s3 = c2 * x - s2 * y, c2 * y + s2 * x
    c4, s4 = c3 * x - s3 * y, c3 * y + s3 * x
    c5, s5 = c4 * x - s4 * y, c4 * y + s4 * x
    c6, s6 = c5 * x - s5 * y, c5 * y + s5 * x
    values[0] = 1.5 * h - 0.5
    factor = SCALES[0] * z
    values[1], values[2] = factor * c1, factor * s1
    factor = SCALES[1]
    values[3], values[4] = factor * c2, factor * s2
    values[5] = (4.375 * h - 3.75) * h + 0.375
    factor = SCALES[2] * z * (7.0 * h - 3.0)
    values[6], values[7] = factor * c1, factor * s1
    factor = SCALES[3] * (7.0 * h - 1.0)
    values[8], values[9] = factor * c2, factor * s2
    factor = SCALES[4] * z
    values[10], values[11] = factor * c3, factor * s3
    factor = SCALES[5]
    values[12], values[13] = factor * c4, factor * s4
    values[14] = ((14.4375 * h - 19.6875) * h + 6.5625) * h - 0.3125
    factor = SCALES[6] * z * ((33.0 * h - 30.0) * h + 5.0)
    values[15], values[16] = factor * c1, factor * s1
    factor = SCALES[7] * ((33.0 * h - 18.0) * h + 1.0)
    values[17], values[18] = factor * c2, factor * s2
    factor = SCALES[8] * z * (11.0 * h - 3.0)
    values[19], values[20] = factor * c3, factor * s3
    factor = SCALES[9] * (11.0 * h - 1.0)
    values[21], values[22] = factor * c4, factor * s4
    factor = SCALES[10] * z
    values[23], values[24] = factor * c5, factor * s5
    factor = SCALES[11]
    values[25], values[26] = factor * c6, factor * s6
