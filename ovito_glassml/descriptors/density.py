"""Kernel 2: expansion of the neighbour density of an atom in radial functions and spherical harmonics.

    A[z, l, m, n] = Σ_j δ(z, z_j) R_nl(r_ij) Y_lm(r̂_ij)

for one atom at a time, in a workspace that stays in the processor's cache: collect the neighbours,
group them by species, look the radial functions up in their table, run the recurrences of the
harmonics over all neighbours at once, multiply. The families of descriptors call these functions
from their own block kernels and contract A before the next atom; nothing of the size neighbours ×
functions outlives an atom.

The harmonics are real and orthonormal, m from −l (sine) to l (cosine), without the Condon-Shortley phase.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ovito_glassml.compile import empty, inner, maker, unowned
from ovito_glassml.descriptors.products import row_product
from ovito_glassml.descriptors.radial import STENCIL, RadialTable
from ovito_glassml.neighbours import Found, gather_neighbours, neighbour_space

__all__ = [
    "Expansion",
    "Workspace",
    "collect_neighbours",
    "evaluate_harmonics",
    "evaluate_radial",
    "expand_density",
    "make_expansion",
    "make_workspace",
]


class Expansion(NamedTuple):
    """Settings and tables of an expansion, in a form that compiled code takes.

    Attributes
    ----------
    table : (K, C) array
        Values of `RadialTable`.
    knots_per_length : float
    row : int
        Radial values of one neighbour: the columns of the table, or more if the family adds products of them.
    group_step : int
        Columns from one degree to the next, 0 if all degrees share the same functions.
    width : int
        Numbers n of the density, padded; what stands in the padding has no meaning.
    widths : (l_max + 1,) int64 array
        As many of these as each degree needs, padded.
    l_max : int
    columns : (species,) int64 array
        Density that neighbours of each of the structure's species count in.
    densities : int
        Number of densities z.
    cutoff : float
    start : (l_max + 1,) array
        Harmonics for l = m, without the azimuthal part.
    ahead, back : (l_max + 1, l_max + 1) arrays
        Factors [m, l] of their recurrence in l.
    """

    table: NDArray
    knots_per_length: float
    row: int
    group_step: int
    width: int
    widths: NDArray[np.int64]
    l_max: int
    columns: NDArray[np.int64]
    densities: int
    cutoff: float
    start: NDArray
    ahead: NDArray
    back: NDArray


def make_expansion(
    table: RadialTable, l_max: int, columns: NDArray[np.int64], densities: int, cutoff: float
) -> Expansion:
    """Gather what compiled code needs; the number type is that of the table."""
    kind = table.values.dtype
    start, ahead, back = _recurrence(l_max, kind)
    return Expansion(
        table.values,
        table.knots_per_length,
        table.values.shape[1],
        table.functions if table.groups > 1 else 0,
        table.width,
        np.full(l_max + 1, table.width),
        l_max,
        columns,
        densities,
        cutoff,
        start,
        ahead,
        back,
    )


def _recurrence(l_max: int, dtype: DTypeLike) -> tuple[NDArray, NDArray, NDArray]:
    """Y_l±m = P_lm (cos, sin)(mφ) sin^m θ with P_mm = start, P_lm = ahead · (z P_(l−1)m + back · P_(l−2)m)."""
    m = np.arange(l_max + 1)
    ratio = np.concatenate([[1.0], np.cumprod((2 * m[1:] + 1) / (2 * m[1:]))])
    start = np.sqrt(ratio / (4 * np.pi) * np.where(m > 0, 2, 1))
    ahead, back = np.zeros((2, l_max + 1, l_max + 1))
    for order in m:
        degree = np.arange(order + 1, l_max + 1)
        before = degree - 1
        ahead[order, degree] = np.sqrt((4 * degree**2 - 1) / (degree**2 - order**2))
        back[order, degree] = -np.sqrt((before**2 - order**2) / (4 * before**2 - 1))
    return start.astype(dtype), ahead.astype(dtype), back.astype(dtype)


class Workspace(NamedTuple):
    """Buffers of one task.

    Attributes
    ----------
    found : Found
        Neighbours as `gather_neighbours` finds them.
    x, y, z, r : (capacity,) arrays
        Unit vectors and distances, grouped by density.
    first : (densities + 1,) int64 array
        Where each density's neighbours begin.
    radial : flat array, `row` values for each j
    harmonics : flat array, row l² + l + m, then j
    azimuth : (4, capacity) array
        Room for the recurrences.
    density : flat array [z, l² + l + m, n], n padded to `width`
    """

    found: Found
    x: NDArray
    y: NDArray
    z: NDArray
    r: NDArray[np.float64]
    first: NDArray[np.int64]
    radial: NDArray
    harmonics: NDArray
    azimuth: NDArray
    density: NDArray


@maker
def make_workspace(grid, block, first, last, expansion):
    """Allocate buffers for the neighbours of any of ``block[first:last]``, and the atom itself."""
    grid, block, expansion = unowned((grid, block, expansion))
    found = neighbour_space(grid, block, first, last, expansion.cutoff)
    room = (len(found.squares) + 16) // 16 * 16
    kind = expansion.table.dtype
    terms = (expansion.l_max + 1) * (expansion.l_max + 1)
    radial = empty(room * expansion.row, kind)
    for k in range(len(radial)):  # the padding has no meaning, but must not slow the processor down
        radial[k] = 0
    return Workspace(
        found,
        empty(room, kind),
        empty(room, kind),
        empty(room, kind),
        empty(room, np.float64),
        empty(expansion.densities + 1, np.int64),
        radial,
        empty(terms * room, kind),
        empty((4, room), kind),
        empty(expansion.densities * terms * expansion.width, kind),
    )


@inner
def collect_neighbours(grid, i, expansion, work):
    """Find the neighbours of entry `i` and store their unit vectors and distances, grouped by density.

    Returns
    -------
    int
        Number of neighbours.
    """
    count = gather_neighbours(grid, i, expansion.cutoff, work.found)
    entries, vectors, squares, _ = work.found
    n = 0
    for column in range(expansion.densities):
        work.first[column] = n
        for k in range(count):
            if expansion.columns[grid.species[entries[k]]] == column:
                r = np.sqrt(squares[k])
                work.r[n] = r
                work.x[n] = vectors[0, k] / r
                work.y[n] = vectors[1, k] / r
                work.z[n] = vectors[2, k] / r
                n += 1
    work.first[expansion.densities] = n
    return n


@inner
def evaluate_radial(expansion, work, count):
    """Look up the radial functions of all collected neighbours."""
    table = expansion.table
    columns = table.shape[1]
    for j in range(count):
        place = work.r[j] * expansion.knots_per_length
        k = np.int64(place) - 2
        k = k if k > 0 else np.int64(0)
        k = k if k < len(table) - STENCIL else np.int64(len(table) - STENCIL)
        u = place - k
        # Lagrange's polynomials through the knots 0 … 5.
        u1, u2, u3, u4, u5 = u - 1, u - 2, u - 3, u - 4, u - 5
        left2, left3, left4 = u * u1, u * u1 * u2, u * u1 * u2 * u3
        right2, right3, right4 = u4 * u5, u3 * u4 * u5, u2 * u3 * u4 * u5
        w0 = table.dtype.type(-u1 * right4 / 120)
        w1 = table.dtype.type(u * right4 / 24)
        w2 = table.dtype.type(-left2 * right3 / 12)
        w3 = table.dtype.type(left3 * right2 / 12)
        w4 = table.dtype.type(-left4 * u5 / 24)
        w5 = table.dtype.type(left4 * u4 / 120)
        t0, t1, t2, t3, t4, t5 = table[k], table[k + 1], table[k + 2], table[k + 3], table[k + 4], table[k + 5]
        out = work.radial[j * expansion.row :][:columns]
        for c in range(columns):
            out[c] = (w0 * t0[c] + w1 * t1[c]) + (w2 * t2[c] + w3 * t3[c]) + (w4 * t4[c] + w5 * t5[c])


@inner
def evaluate_harmonics(expansion, work, count):
    """Spherical harmonics of all collected neighbours, by recurrence in l for every m."""
    l_max = expansion.l_max
    room = len(work.x)
    x, y, z = work.x[:count], work.y[:count], work.z[:count]
    cosine, sine = work.azimuth[0, :count], work.azimuth[1, :count]
    current, previous = work.azimuth[2, :count], work.azimuth[3, :count]
    for j in range(count):
        cosine[j] = 1
        sine[j] = 0
    for m in range(l_max + 1):
        first = expansion.start[m]
        plus = work.harmonics[(m * m + 2 * m) * room :][:count]
        minus = work.harmonics[m * m * room :][:count]
        for j in range(count):
            previous[j] = 0
            current[j] = first
            minus[j] = first * sine[j]
        for j in range(count):
            plus[j] = first * cosine[j]
        for degree in range(m + 1, l_max + 1):
            ahead, back = expansion.ahead[m, degree], expansion.back[m, degree]
            plus = work.harmonics[(degree * degree + degree + m) * room :][:count]
            minus = work.harmonics[(degree * degree + degree - m) * room :][:count]
            for j in range(count):
                value = ahead * (z[j] * current[j] + back * previous[j])
                previous[j] = current[j]
                current[j] = value
                minus[j] = value * sine[j]
                plus[j] = value * cosine[j]
        for j in range(count):
            turned = x[j] * cosine[j] - y[j] * sine[j]
            sine[j] = x[j] * sine[j] + y[j] * cosine[j]
            cosine[j] = turned


@inner
def expand_density(expansion, work):
    """Multiply radial functions and harmonics of the collected neighbours into `work.density`."""
    width = expansion.width
    room = len(work.x)
    terms = (expansion.l_max + 1) * (expansion.l_max + 1)
    one = np.int64(1)  # the literal would be a type of its own, and all products compiled for it again
    for column in range(expansion.densities):
        first = work.first[column]
        count = work.first[column + 1] - first
        for degree in range(expansion.l_max + 1):
            row_product(
                work.density,
                (column * terms + degree * degree) * width,
                width,
                work.harmonics,
                degree * degree * room + first,
                room,
                one,
                work.radial,
                first * expansion.row + degree * expansion.group_step,
                expansion.row,
                2 * degree + 1,
                count,
                expansion.widths[degree],
            )
