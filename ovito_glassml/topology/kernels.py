"""Compiled search for the largest standard cluster of an atom.

The neighbours of a centre are numbered from 0 in ascending distance; a set of them is the bits of
one 64-bit integer, and `bonds[a]` the set of the neighbours that neighbour `a` is bonded to. So the
common neighbours of the centre and neighbour `a` are `bonds[a]` itself, and the bonds among them
come from the intersections of such sets.
"""

from __future__ import annotations

import numpy as np

from ovito_glassml.compile import empty, inner, kernel, maker, unowned, unsigned
from ovito_glassml.neighbours import gather_neighbours, neighbour_space
from ovito_glassml.threads import TASK_SIZE

__all__ = ["MOST_NEIGHBOURS", "find_clusters", "pair_histogram"]

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
    return unsigned(_count((members & (~members + _ONE)) - _ONE))


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
            ends |= _ONE << a
        total += degree
    longest = 0
    left = common
    while ends:
        length, left = _walk(_lowest(ends), left, bonds)
        ends &= left
        longest = length if length > longest else longest
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
    left &= ~(_ONE << start)
    following = bonds[start] & left
    while following:
        a = _lowest(following)
        left &= ~(_ONE << a)
        length += 1
        following = bonds[a] & left
    return length, left


@inner
def _bond(thresholds, squares, n, limit, bonds):
    """Bonds of the cluster made of all pairs up to `limit`; returns its number of neighbours."""
    size = 0
    while size < n and squares[size] <= limit:
        own, place = _NONE, unsigned(size)
        for a in range(place):
            bond = unsigned(thresholds[place, a] <= limit)  # no jump, which nobody could predict
            own |= bond << a
            bonds[a] |= bond << place
        bonds[place] = own
        size += 1
    return size


@inner
def _is_standard(size, bonds, codes):
    """Whether all sub-clusters of a cluster are standard; then they are written, each S_ijk as one integer."""
    for a in range(size):
        j, k = _subcluster(bonds[a], bonds)
        if j < 0:
            return False
        codes[a] = (_count(bonds[a]) * 64 + j) * 64 + k
    return True


@inner
def _nearest_first(n, found, order, members, places, near):
    """Copy the nearest neighbours, at most 60, in ascending distance; returns how many."""
    entries, vectors, squares, _ = found
    kept = 0
    for k in range(n):
        if kept == MOST_NEIGHBOURS and squares[k] >= squares[order[kept - 1]]:
            continue
        at = kept if kept < MOST_NEIGHBOURS else MOST_NEIGHBOURS - 1
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
        gap = gap * 5 // 11 if gap > 2 else 1
        for i in range(gap, len(values)):
            value = values[i]
            k = i
            while k >= gap and values[k - gap] > value:
                values[k] = values[k - gap]
                k -= gap
            values[k] = value


@inner
def _largest_cluster(n, places, squares, limit, acute, thresholds, events, bonds, codes):
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
    codes : (60,) int32 array
        Filled with its sub-clusters.

    Returns
    -------
    size : int
        Number of neighbours of the cluster.
    square : float
        Squared cutoff below which the cluster has all its pairs and is standard.
    capped : bool
        Whether it would be standard beyond that, too.
    """
    for b in range(n):
        if squares[b] >= limit:
            n = b
            break
        for a in range(b):
            square = 0.0
            for d in range(3):
                square += (places[a, d] - places[b, d]) ** 2
            # A bond between neighbours is in the cluster once both of them are.
            threshold = square if square > squares[b] else squares[b]
            thresholds[b, a] = threshold
            if acute and 2 * threshold > (square + squares[a] + squares[b]) * (1 + _EQUAL) and threshold < limit:
                limit = threshold
    below = limit * (1 - _EQUAL)
    size = _bond(thresholds, squares, n, below, bonds)
    if _is_standard(size, bonds, codes):
        return size, limit, True
    # The first step that breaks the standard; it stays broken at all later ones.
    steps = events[: _steps(thresholds, squares, n, below, events)]
    low, high = 0, len(steps) - 1
    while True:
        middle = (low + high) // 2
        found = low == high
        size = _bond(thresholds, squares, n, steps[middle] * (1 - _EQUAL if found else 1 + _EQUAL), bonds)
        standard = _is_standard(size, bonds, codes)
        if found:
            return size, steps[high], False
        if standard:
            low = middle + 1
        else:
            high = middle


@inner
def _steps(thresholds, squares, n, below, events):
    """Write what a growing cutoff lets in one after the other, neighbours and bonds; returns how many they are."""
    count = 0
    for b in range(n):
        if squares[b] < below:
            events[count] = squares[b]
            count += 1
        for a in range(b):
            if squares[b] < thresholds[b, a] < below:
                events[count] = thresholds[b, a]
                count += 1
    _sort(events[:count])
    return count


@kernel
def find_clusters(begin, end, grid, block, limit, acute, within, coordination, cutoffs, capped, members, codes, bonds):
    """The largest standard cluster of some atoms of a block.

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
    within : (B,) int64 array
        Filled with the number of neighbours within `limit`.
    coordination : (B,) int32, cutoffs : (B,) float64, capped : (B,) bool array
        Filled.
    members : (B, 60) int32 array
        Filled with grid entries of the neighbours, nearest first, then −1.
    codes : (B, 60) int32 array
        Filled with the codes of the sub-clusters, then −1.
    bonds : (B, 60) uint64 array
        Filled with the sets of neighbours that each neighbour is bonded to.
    """
    grid, block, within, coordination, cutoffs = unowned((grid, block, within, coordination, cutoffs))
    capped, members, codes, bonds = unowned((capped, members, codes, bonds))
    found = neighbour_space(grid, block, begin, end, limit)
    order, places, near, thresholds, events = _cluster_space()
    for t in range(begin, end):
        within[t] = gather_neighbours(grid, block[t], limit, found)
        n = _nearest_first(within[t], found, order, members[t], places, near)
        size, square, capped[t] = _largest_cluster(
            n, places, near, limit * limit, acute, thresholds, events, bonds[t], codes[t]
        )
        coordination[t] = size
        cutoffs[t] = np.sqrt(square)
        for a in range(size, MOST_NEIGHBOURS):
            members[t, a], codes[t, a] = -1, -1


@maker
def _cluster_space():
    """Work space of one cluster: order, places, squares, thresholds, events."""
    n = MOST_NEIGHBOURS
    return (
        empty(n, np.int64),
        empty((n, 3), np.float64),
        empty(n, np.float64),
        empty((n, n), np.float64),
        empty(n * (n + 1) // 2, np.float64),
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
    found = neighbour_space(grid, block, begin, end, reach)
    squares = unowned(found).squares
    for t in range(begin, end):
        n = gather_neighbours(grid, block[t], reach, found)
        smallest = np.inf
        for k in range(n):
            square = squares[k]
            smallest = square if square < smallest else smallest
            place = np.int64(np.floor(0.5 * np.log(square / (shortest * shortest)) * bins_per_factor))
            if 0 <= place < counts.shape[1]:
                counts[begin // TASK_SIZE, place] += 1
        nearest[t] = np.sqrt(smallest)
