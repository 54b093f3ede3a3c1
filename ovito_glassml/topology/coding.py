"""Sub-clusters, signatures and labels as numbers, for compiled code and for arrays of many atoms.

The code of a sub-cluster S_ijk is (64 i + j) 64 + k; no cluster has more than 59 neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.compile import empty, inlined, inner, kernel, unowned

__all__ = ["BCC", "FCC", "HCP", "numbers_of_keys", "summarise_codes"]

#: Label numbers of the clusters that perfect crystals are made of.
FCC, HCP, BCC = 1, 2, 3

#: A topologically close-packed label needs a shell with at most this many bonds missing.
MOST_MISSING_BONDS = 2

_S421 = (4 * 64 + 2) * 64 + 1
_S422 = (4 * 64 + 2) * 64 + 2
_S444 = (4 * 64 + 4) * 64 + 4
_S666 = (6 * 64 + 6) * 64 + 6


@inlined
def _mixed(value):
    """Spread the bits of an integer over 64 (the finaliser of SplitMix64)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@kernel
def summarise_codes(begin, end, codes, sizes, kinds, keys, labels, fractions):
    """Key, label and fractions of sub-clusters of some clusters.

    Parameters
    ----------
    begin, end : int
        Range of the clusters.
    codes : (B, C) int32 array
        Codes of the sub-clusters, one for each neighbour.
    sizes : (B,) int32 array
        Number of neighbours.
    kinds : (F,) int64 array
        Codes of the sub-clusters whose fractions are wanted.
    keys : (B,) uint64 array
        Filled with 64-bit keys of the signatures: the sum over the sub-clusters of their mixed codes. The order does
        not matter; no sub-clusters give zero. Among a million signatures two share a key with a probability of
        3·10⁻⁸.
    labels : (B,) int32 array
        Filled with numbers of labels by the rule of `signature.cluster_label`: 0 without label, 1 to 3 for fcc, hcp
        and bcc, else 10000 n + 100 n₄ + N.
    fractions : (B, F + 1) float32 array
        Filled; the last column is for all other sub-clusters.
    """
    codes, sizes, kinds, keys, labels, fractions = unowned((codes, sizes, kinds, keys, labels, fractions))
    closed, unfinished = empty(64 + MOST_MISSING_BONDS, np.int64), empty(64 + MOST_MISSING_BONDS, np.int64)
    for t in range(begin, end):
        own, size = codes[t], sizes[t]
        key = np.uint64(0)
        for column in range(fractions.shape[1]):
            fractions[t, column] = 0.0
        for a in range(size):
            key += _mixed(np.uint64(own[a] + 1))
            column = 0
            while column < len(kinds) and kinds[column] != own[a]:
                column += 1
            fractions[t, column] += np.float32(1.0)
        for column in range(fractions.shape[1]):
            fractions[t, column] /= np.float32(size if size > 1 else 1)
        keys[t] = key
        labels[t] = _label(own, size, closed, unfinished)


def numbers_of_keys(keys: NDArray[np.uint64]) -> NDArray[np.int32]:
    """The first 31 bits of the keys, which OVITO's types can hold; zero only for the empty signature."""
    numbers = (keys >> np.uint64(33)).astype(np.int32)
    return np.where(keys == 0, 0, np.maximum(numbers, 1)).astype(np.int32)


@inner
def _label(codes, size, closed, unfinished):
    s421, s422, s444, s666, total = 0, 0, 0, 0, 0
    for a in range(size):
        s421 += codes[a] == _S421
        s422 += codes[a] == _S422
        s444 += codes[a] == _S444
        s666 += codes[a] == _S666
        total += codes[a] >> 12
    if size == 12 and s421 == 12:
        return FCC
    if size == 12 and s421 == 6 and s422 == 6:
        return HCP
    if size == 14 and s444 == 6 and s666 == 8:
        return BCC
    missing = (6 * size - 12 - total) >> 1
    if missing < 0 or missing > MOST_MISSING_BONDS:
        return 0
    for i in range(64 + MOST_MISSING_BONDS):
        closed[i], unfinished[i] = 0, 0
    for a in range(size):
        i, j, k = codes[a] >> 12, (codes[a] >> 6) & 63, codes[a] & 63
        if i == j and j == k:
            closed[i] += 1
        else:
            unfinished[i] += 1
    for _ in range(missing):
        smallest = 0
        while smallest < 64 and unfinished[smallest] < 2:
            smallest += 1
        if smallest == 64:
            return 0
        unfinished[smallest] -= 2
        unfinished[smallest + 1] += 2
    four, five = closed[4] + unfinished[4], closed[5] + unfinished[5]
    if 2 * four + five != 12:
        return 0
    return 10000 * missing + 100 * four + size
