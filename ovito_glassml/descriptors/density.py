"""Kernel 2: expansion of the neighbour density of an atom in radial functions and spherical harmonics.

    A[z, l, m, n] = Σ_j δ(z, z_j) R_nl(r_ij) Y_lm(r̂_ij)

for one atom at a time, in a workspace that stays in the processor's cache: collect the neighbours,
group them by species, look the radial functions up in their table, run the recurrences of the
harmonics, multiply. The families of descriptors call these functions from their own block kernels
and contract A before the next atom; nothing of the size neighbours × functions outlives an atom.

All but the look-up is done for vectors of neighbours (see `ovito_glassml.descriptors.vectors`). Every density's
neighbours begin a new vector; the places left over in the last one hold what has no meaning.

The harmonics are real and orthonormal, m from −l (sine) to l (cosine), without the Condon-Shortley phase.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ovito_glassml.compile import empty, inlined, inner, maker, unowned
from ovito_glassml.descriptors.products import block_product
from ovito_glassml.descriptors.radial import STENCIL, RadialTable
from ovito_glassml.descriptors.vectors import VECTOR_BYTES, lanes, larger, load, root, smaller, spread, store, whole
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
    table : flat array
        Values of `RadialTable`, `row` for each of `knots` knots.
    knots : int
    knots_per_length : float
    row : int
    group_step : int
        Columns from one degree to the next, 0 if all degrees share the same functions.
    width : int
        Numbers n of the density, padded; what stands in the padding has no meaning.
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
    knots: int
    knots_per_length: float
    row: int
    group_step: int
    width: int
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
        _aligned(table.values.ravel()),
        len(table.values),
        table.knots_per_length,
        table.values.shape[1],
        table.functions if table.groups > 1 else 0,
        table.width,
        l_max,
        columns,
        densities,
        cutoff,
        start,
        ahead,
        back,
    )


def _aligned(values: NDArray) -> NDArray:
    """Copy that begins where vectors begin, so that none lies across two lines of the cache."""
    room = np.empty(values.nbytes + VECTOR_BYTES, dtype=np.uint8)
    begin = -room.ctypes.data % VECTOR_BYTES
    copy = room[begin : begin + values.nbytes].view(values.dtype)
    copy[:] = values
    return copy


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
    vectors : (4, capacity) float64 array
        Vectors to the neighbours and squared distances, grouped by density.
    x, y, z : (capacity,) arrays
        Unit vectors.
    r : (capacity,) float64 array
        Distances.
    first, last : (densities,) int64 arrays
        First and one past the last of each density's neighbours.
    knots : (capacity,) int32 array
        First of the `STENCIL` knots that a neighbour's radial functions are interpolated from.
    weights : (STENCIL, capacity) array
        What the values at these knots are multiplied by.
    radial : flat array, `row` values for each j
    harmonics : flat array, blocks of l² + l + m, see `ovito_glassml.descriptors.products`
    density : flat array [z, l² + l + m, n], n padded to `width`
    """

    found: Found
    vectors: NDArray[np.float64]
    x: NDArray
    y: NDArray
    z: NDArray
    r: NDArray[np.float64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    knots: NDArray[np.int32]
    weights: NDArray
    radial: NDArray
    harmonics: NDArray
    density: NDArray


@maker
def make_workspace(grid, block, first, last, expansion):
    """Allocate buffers for the neighbours of any of ``block[first:last]``, and the atom itself."""
    grid, block, expansion = unowned((grid, block, expansion))
    found = neighbour_space(grid, block, first, last, expansion.cutoff)
    kind = expansion.table.dtype
    # Each density may leave all but one place of a vector empty.
    room = (len(found.squares) // 16 + 1 + expansion.densities) * 16
    terms = (expansion.l_max + 1) * (expansion.l_max + 1)
    vectors = empty((4, room), np.float64)
    for k in range(room):  # what has no meaning must not slow the processor down
        vectors[0, k] = vectors[1, k] = vectors[2, k] = vectors[3, k] = 1.0
    return Workspace(
        found,
        vectors,
        empty(room, kind),
        empty(room, kind),
        empty(room, kind),
        empty(room, np.float64),
        empty(expansion.densities, np.int64),
        empty(expansion.densities, np.int64),
        empty(room, np.int32),
        empty((STENCIL, room), kind),
        empty(room * expansion.row, kind),
        empty(terms * room, kind),
        # Whole vectors can be read from any place.
        empty(expansion.densities * terms * expansion.width + 16, kind),
    )


@inner
def collect_neighbours(grid, i, expansion, work):
    """Find the neighbours of entry `i` and store their unit vectors and distances, grouped by density.

    Each group has room for one more.

    Returns
    -------
    int
        Places filled, those without meaning included.
    """
    count = gather_neighbours(grid, i, expansion.cutoff, work.found)
    entries, found, squares, _ = work.found
    kinds, size = work.knots, lanes(work.x)
    for k in range(count):
        kinds[k] = expansion.columns[grid.species[entries[k]]]
    dx, dy, dz, square = work.vectors
    end = 0
    for column in range(expansion.densities):
        n = work.first[column] = end
        for k in range(count):
            # Written always and kept if of this group, as in `gather_neighbours`.
            dx[n], dy[n], dz[n], square[n] = found[0, k], found[1, k], found[2, k], squares[k]
            n += kinds[k] == column
        work.last[column] = n
        end += (n - end + size) // size * size
    for j in range(0, end, size):
        r = root(load(square, j, work.x))
        inverse = 1.0 / r
        store(work.r, j, r)
        store(work.x, j, load(dx, j, r) * inverse)
        store(work.y, j, load(dy, j, r) * inverse)
        store(work.z, j, load(dz, j, r) * inverse)
    return end


@inner
def evaluate_radial(expansion, work, count):
    """Look up the radial functions of all collected neighbours."""
    _weigh_knots(expansion, work, count)
    for column in range(expansion.densities):
        for j in range(work.first[column], work.last[column]):
            _interpolate(expansion, work, j)


@inlined
def _interpolate(expansion, work, j):
    """Radial functions of one neighbour."""
    table, row = expansion.table, expansion.row
    w0, w1, w2, w3, w4, w5 = work.weights
    v0, v1, v2 = spread(w0[j], table), spread(w1[j], table), spread(w2[j], table)
    v3, v4, v5 = spread(w3[j], table), spread(w4[j], table), spread(w5[j], table)
    first, out = work.knots[j] * row, j * row
    for c in range(0, row, lanes(table)):
        at = first + c
        value = v0 * load(table, at, table)
        value += v1 * load(table, at + row, table)
        value += v2 * load(table, at + 2 * row, table)
        value += v3 * load(table, at + 3 * row, table)
        value += v4 * load(table, at + 4 * row, table)
        value += v5 * load(table, at + 5 * row, table)
        store(work.radial, out + c, value)


@inner
def _weigh_knots(expansion, work, count):
    """Lagrange's polynomials through the knots 0 … 5 around every neighbour's distance."""
    w0, w1, w2, w3, w4, w5 = work.weights
    for j in range(0, count, lanes(work.x)):
        place = load(work.r, j, work.x) * expansion.knots_per_length
        first = larger(whole(place) - 2.0, spread(0.0, place))
        first = smaller(first, spread(np.float64(expansion.knots - STENCIL), place))
        u = place - first
        u1, u2, u3, u4, u5 = u - 1.0, u - 2.0, u - 3.0, u - 4.0, u - 5.0
        left2, left3, right2, right3 = u * u1, u * u1 * u2, u4 * u5, u3 * u4 * u5
        store(work.knots, j, first)
        store(w0, j, u1 * u2 * right3 * (-1 / 120))
        store(w1, j, u * u2 * right3 * (1 / 24))
        store(w2, j, left2 * right3 * (-1 / 12))
        store(w3, j, left3 * right2 * (1 / 12))
        store(w4, j, left3 * u3 * u5 * (-1 / 24))
        store(w5, j, left3 * u3 * u4 * (1 / 120))


@inner
def evaluate_harmonics(expansion, work, count):
    """Spherical harmonics of all collected neighbours, by recurrence in l for every m."""
    l_max, out = expansion.l_max, work.harmonics
    size = lanes(work.x)
    terms = (l_max + 1) * (l_max + 1)
    zero, one = expansion.start.dtype.type(0), expansion.start.dtype.type(1)
    for j in range(0, count, size):
        x, y, z = load(work.x, j, work.x), load(work.y, j, work.x), load(work.z, j, work.x)
        cosine, sine = spread(one, x), spread(zero, x)
        for m in range(l_max + 1):
            previous, current = spread(zero, x), spread(expansion.start[m], x)
            centre = j * terms + (m * m + m) * size
            store(out, centre - m * size, current * sine)
            store(out, centre + m * size, current * cosine)
            for degree in range(m + 1, l_max + 1):
                value = expansion.ahead[m, degree] * (z * current + expansion.back[m, degree] * previous)
                previous, current = current, value
                centre += 2 * degree * size
                store(out, centre - m * size, value * sine)
                store(out, centre + m * size, value * cosine)
            cosine, sine = x * cosine - y * sine, x * sine + y * cosine


@inner
def expand_density(expansion, work):
    """Multiply radial functions and harmonics of the collected neighbours into `work.density`."""
    size = lanes(work.x)
    terms = (expansion.l_max + 1) * (expansion.l_max + 1)
    for column in range(expansion.densities):
        first = work.first[column]
        for degree in range(expansion.l_max + 1):
            block_product(
                work.density,
                (column * terms + degree * degree) * expansion.width,
                expansion.width,
                work.harmonics,
                first * terms + degree * degree * size,
                terms * size,
                work.radial,
                first * expansion.row + degree * expansion.group_step,
                expansion.row,
                2 * degree + 1,
                work.last[column] - first,
                expansion.width,
            )
