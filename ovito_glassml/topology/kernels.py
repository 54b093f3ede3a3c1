"""Compiled search for the largest standard cluster of an atom.

The neighbours of a centre are numbered from 0 in ascending distance; a set of them is the bits of
one 64-bit integer, and `bonds[a]` the set of the neighbours that neighbour `a` is bonded to. So the
common neighbours of the centre and neighbour `a` are `bonds[a]` itself, and the bonds among them
come from the intersections of such sets.
"""

from __future__ import annotations

import numpy as np

from ovito_glassml.compile import inner, kernel, unowned
from ovito_glassml.neighbours import gather_neighbours, neighbour_space
from ovito_glassml.threads import TASK_SIZE
from ovito_glassml.topology.coding import key_of_codes, label_of_codes

__all__ = ["MOST_NEIGHBOURS", "describe_clusters", "measure_clusters", "pair_histogram"]

#: No standard cluster has this many neighbours. Neighbours seen from the centre at an angle below
#: 60° are bonded, and five that are all bonded to each other are not standard. So a cap of 60°
#: across, 6.7 % of the sphere, holds at most four of them, wherever it is: they are 59 at most.
MOST_NEIGHBOURS = 60

#: Squared distances that differ by less than this fraction are equal: the atoms of one shell of a
#: perfect crystal must come all together, whatever the rounding.
_EQUAL = 2e-7

_ONE = np.uint64(1)
_NONE = np.uint64(0)


@inner
def _count(members):
    """Number of members of a set (the usual sideways addition, which compilers know)."""
    members -= (members >> np.uint64(1)) & np.uint64(0x5555555555555555)
    members = (members & np.uint64(0x3333333333333333)) + ((members >> np.uint64(2)) & np.uint64(0x3333333333333333))
    members = (members + (members >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((members * np.uint64(0x0101010101010101)) >> np.uint64(56))


@inner
def _lowest(members):
    """Smallest member of a set that is not empty."""
    return _count((members & (~members + _ONE)) - _ONE)


@inner
def _subcluster(common, bonds):
    """Bonds among the common neighbours and in their longest chain; −1, −1 if they are not standard."""
    total = 0
    ends = _NONE
    left = common
    while left:
        a = _lowest(left)
        left &= left - _ONE
        degree = _count(bonds[a] & common)
        if degree > 2:
            return -1, -1
        if degree < 2:
            ends |= _ONE << np.uint64(a)
        total += degree
    longest = 0
    left = common
    while ends:
        length, left = _walk(_lowest(ends), left, bonds)
        ends &= left
        longest = max(longest, length)
    if left:
        # Only rings are left: standard is one that all common neighbours belong to.
        if left != common:
            return -1, -1
        length, left = _walk(_lowest(left), left, bonds)
        if left:
            return -1, -1
        longest = length + 1
    return total // 2, longest


@inner
def _walk(start, left, bonds):
    """Number of bonds of a chain and what remains of the set without it."""
    length = 0
    left &= ~(_ONE << np.uint64(start))
    following = bonds[start] & left
    while following:
        a = _lowest(following)
        left &= ~(_ONE << np.uint64(a))
        length += 1
        following = bonds[a] & left
    return length, left


@inner
def _bond(thresholds, squares, n, limit, bonds):
    """Bonds of the cluster made of all pairs up to `limit`; returns its number of neighbours."""
    size = 0
    while size < n and squares[size] <= limit:
        bonds[size] = _NONE
        for a in range(size):
            if thresholds[size, a] <= limit:
                bonds[size] |= _ONE << np.uint64(a)
                bonds[a] |= _ONE << np.uint64(size)
        size += 1
    return size


@inner
def _is_standard(size, bonds):
    for a in range(size):  # noqa: SIM110 - compiled code knows no generators
        if _subcluster(bonds[a], bonds)[0] < 0:
            return False
    return True


@inner
def _nearest_first(n, entries, vectors, squares, order, members, places, near):
    """Copy the nearest neighbours, at most 60, in ascending distance; returns how many."""
    kept = 0
    for k in range(n):
        if kept == MOST_NEIGHBOURS and squares[k] >= squares[order[kept - 1]]:
            continue
        at = min(kept, MOST_NEIGHBOURS - 1)
        kept = at + 1
        while at > 0 and squares[order[at - 1]] > squares[k]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = k
    for a in range(kept):
        members[a] = entries[order[a]]
        near[a] = squares[order[a]]
        for d in range(3):
            places[a, d] = vectors[d, order[a]]
    return kept


@inner
def _sort(values):
    """Shell sort, in place: a few hundred numbers, for which NumPy's sort takes as long to compile as all the rest."""
    gap = len(values)
    while gap > 1:
        gap = max(gap * 5 // 11, 1)
        for i in range(gap, len(values)):
            value = values[i]
            k = i
            while k >= gap and values[k - gap] > value:
                values[k] = values[k - gap]
                k -= gap
            values[k] = value


@inner
def _largest_cluster(n, places, squares, limit, acute, thresholds, events, bonds):
    """Find the largest standard cluster among the neighbours.

    Parameters
    ----------
    n : int
        Number of neighbours, nearest first.
    places : (60, 3) array, squares : (60,) array
        Vectors from the centre and their squared lengths.
    limit : float
        Squared largest cutoff.
    acute : bool
        Whether to stop at the first obtuse triangle of the centre and two bonded neighbours.
    thresholds : (60, 60) array, events : (60 * 61 / 2,) array
        Work space.
    bonds : (60,) uint64 array
        Filled with the bonds of the cluster.

    Returns
    -------
    size : int
        Number of neighbours of the cluster.
    square : float
        Squared cutoff below which the cluster has all its pairs and is standard.
    capped : bool
        Whether it would be standard beyond that, too.
    """
    count = 0
    for b in range(n):
        if squares[b] >= limit:
            n = b
            break
        for a in range(b):
            square = 0.0
            for d in range(3):
                square += (places[a, d] - places[b, d]) ** 2
            # A bond between neighbours is in the cluster once both of them are.
            thresholds[b, a] = max(square, squares[b])
            if acute and 2 * thresholds[b, a] > (square + squares[a] + squares[b]) * (1 + _EQUAL):
                limit = min(limit, thresholds[b, a])
    below = limit * (1 - _EQUAL)
    for b in range(n):
        if squares[b] < below:
            events[count] = squares[b]
            count += 1
        for a in range(b):
            if squares[b] < thresholds[b, a] < below:
                events[count] = thresholds[b, a]
                count += 1
    steps = events[:count]
    _sort(steps)
    # The first step that breaks the standard; it stays broken at all later ones.
    low, high = 0, count
    size = _bond(thresholds, squares, n, below, bonds)
    if not _is_standard(size, bonds):
        high = count - 1
        while low < high:
            middle = (low + high) // 2
            size = _bond(thresholds, squares, n, steps[middle] * (1 + _EQUAL), bonds)
            if _is_standard(size, bonds):
                low = middle + 1
            else:
                high = middle
        size = _bond(thresholds, squares, n, steps[high] * (1 - _EQUAL), bonds)
        return size, steps[high], False
    return size, limit, True


@inner
def _code(common, bonds):
    """S_ijk of a standard sub-cluster as one integer."""
    j, k = _subcluster(common, bonds)
    return (_count(common) * 64 + j) * 64 + k


@kernel
def measure_clusters(
    begin, end, grid, block, limit, acute, kinds, within, coordination, cutoffs, capped, keys, labels, fractions
):  # fmt: skip
    """Size, cutoff and sub-clusters of the largest standard cluster of some atoms of a block.

    Parameters
    ----------
    begin, end : int
        Range of the atoms in the block.
    grid : CellGrid
    block : (B,) int64 array
        Grid entries of the centres.
    limit : float
        Largest cutoff.
    acute : bool
        Whether an obtuse triangle stops the growth, too.
    kinds : (F,) int64 array
        Codes of the sub-clusters whose fractions are wanted.
    within : (B,) int64 array
        Filled with the number of neighbours within `limit`.
    coordination : (B,) int32, cutoffs : (B,) float64, capped : (B,) bool array
        Filled.
    keys : (B,) uint64, labels : (B,) int32 array
        Filled with `key_of_codes` and `label_of_codes`.
    fractions : (B, F + 1) float32 array
        Filled; the last column is for all other sub-clusters.
    """
    grid, block, kinds, within, coordination = unowned((grid, block, kinds, within, coordination))
    cutoffs, capped, keys, labels, fractions = unowned((cutoffs, capped, keys, labels, fractions))
    entries, vectors, squares = neighbour_space(grid, block, begin, end, limit)
    order, members, places, near, thresholds, events, bonds = _cluster_space()
    codes = np.empty(MOST_NEIGHBOURS, dtype=np.int64)
    for t in range(begin, end):
        within[t] = gather_neighbours(grid, block[t], limit, entries, vectors, squares)
        n = _nearest_first(within[t], entries, vectors, squares, order, members, places, near)
        size, square, capped[t] = _largest_cluster(n, places, near, limit * limit, acute, thresholds, events, bonds)
        coordination[t] = size
        cutoffs[t] = np.sqrt(square)
        fractions[t] = 0.0
        for a in range(size):
            codes[a] = _code(bonds[a], bonds)
            column = 0
            while column < len(kinds) and kinds[column] != codes[a]:
                column += 1
            fractions[t, column] += np.float32(1.0)
        for column in range(fractions.shape[1]):
            fractions[t, column] /= np.float32(max(size, 1))
        keys[t] = key_of_codes(codes, size)
        labels[t] = label_of_codes(codes, size)


@kernel
def describe_clusters(begin, end, grid, block, limit, acute, members, codes, bonds_of):
    """Members and bonds of the largest standard clusters of a few atoms.

    Parameters
    ----------
    begin, end, grid, block, limit, acute
        As for `measure_clusters`.
    members : (B, 60) int64 array
        Filled with grid entries of the neighbours, nearest first, then −1.
    codes : (B, 60) int64 array
        Filled with the codes of the sub-clusters, then −1.
    bonds_of : (B, 60) uint64 array
        Filled with the sets of neighbours that each neighbour is bonded to.
    """
    grid, block, members, codes, bonds_of = unowned((grid, block, members, codes, bonds_of))
    entries, vectors, squares = neighbour_space(grid, block, begin, end, limit)
    order, nearest, places, near, thresholds, events, bonds = _cluster_space()
    for t in range(begin, end):
        n = gather_neighbours(grid, block[t], limit, entries, vectors, squares)
        n = _nearest_first(n, entries, vectors, squares, order, nearest, places, near)
        size = _largest_cluster(n, places, near, limit * limit, acute, thresholds, events, bonds)[0]
        members[t] = -1
        codes[t] = -1
        for a in range(size):
            members[t, a] = nearest[a]
            codes[t, a] = _code(bonds[a], bonds)
            bonds_of[t, a] = bonds[a]


@inner
def _cluster_space():
    """Work space of one cluster: order, members, places, squares, thresholds, events, bonds."""
    n = MOST_NEIGHBOURS
    return (
        np.empty(n, dtype=np.int64),
        np.empty(n, dtype=np.int64),
        np.empty((n, 3)),
        np.empty(n),
        np.empty((n, n)),
        np.empty(n * (n + 1) // 2),
        np.empty(n, dtype=np.uint64),
    )


@kernel
def pair_histogram(begin, end, grid, block, reach, bins_per_factor, shortest, counts, nearest):
    """Count neighbours in bins of equal ratio, and find the nearest of every atom.

    Parameters
    ----------
    begin, end : int
        Range of the atoms in the block.
    grid : CellGrid
    block : (B,) int64 array
        Grid entries.
    reach : float
        Largest distance counted.
    bins_per_factor : float
        Number of bins in a factor e of the distance.
    shortest : float
        Lower edge of bin 0.
    counts : (tasks, bins) int64 array
        One row for each `TASK_SIZE` atoms, added to. What lies beyond the bins is left out.
    nearest : (B,) float64 array
        Filled with the smallest distance; infinity where there is no neighbour.
    """
    grid, block, counts, nearest = unowned((grid, block, counts, nearest))
    entries, vectors, squares = neighbour_space(grid, block, begin, end, reach)
    for t in range(begin, end):
        n = gather_neighbours(grid, block[t], reach, entries, vectors, squares)
        smallest = np.inf
        for k in range(n):
            smallest = min(smallest, squares[k])
            place = int(np.floor(0.5 * np.log(squares[k] / (shortest * shortest)) * bins_per_factor))
            if 0 <= place < counts.shape[1]:
                counts[begin // TASK_SIZE, place] += 1
        nearest[t] = np.sqrt(smallest)
