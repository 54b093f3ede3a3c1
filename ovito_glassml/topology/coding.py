"""Sub-clusters, signatures and labels as numbers, for compiled code and for arrays of many atoms.

The code of a sub-cluster S_ijk is (64 i + j) 64 + k; no cluster has more than 59 neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.compile import compiled, inlined

__all__ = ["BCC", "FCC", "HCP", "key_of_codes", "label_of_codes", "numbers_of_keys"]

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


@compiled()
def key_of_codes(codes, size):
    """64-bit key of a signature: the sum over its sub-clusters of their mixed codes.

    The order does not matter; no sub-clusters give zero. Among a million signatures two share a
    key with a probability of 3·10⁻⁸.
    """
    key = np.uint64(0)
    for a in range(size):
        key += _mixed(np.uint64(codes[a] + 1))
    return key


def numbers_of_keys(keys: NDArray[np.uint64]) -> NDArray[np.int32]:
    """The first 31 bits of the keys, which OVITO's types can hold; zero only for the empty signature."""
    numbers = (keys >> np.uint64(33)).astype(np.int32)
    return np.where(keys == 0, 0, np.maximum(numbers, 1)).astype(np.int32)


@compiled()
def label_of_codes(codes, size):
    """Number of the label of a cluster, by the rule of `signature.cluster_label`.

    Parameters
    ----------
    codes : integer array
        Codes of the sub-clusters, one for each neighbour.
    size : int
        Number of neighbours.

    Returns
    -------
    int
        0 without label, 1 to 3 for fcc, hcp and bcc, else 10000 n + 100 n₄ + N.
    """
    s421, s422, s444, s666, total = 0, 0, 0, 0, 0
    for a in range(size):
        s421 += codes[a] == _S421
        s422 += codes[a] == _S422
        s444 += codes[a] == _S444
        s666 += codes[a] == _S666
        total += codes[a] // 4096
    if size == 12 and s421 == 12:
        return FCC
    if size == 12 and s421 == 6 and s422 == 6:
        return HCP
    if size == 14 and s444 == 6 and s666 == 8:
        return BCC
    missing = (6 * size - 12 - total) // 2
    if missing < 0 or missing > MOST_MISSING_BONDS:
        return 0
    closed = np.zeros(64 + MOST_MISSING_BONDS, dtype=np.int64)
    unfinished = np.zeros(64 + MOST_MISSING_BONDS, dtype=np.int64)
    for a in range(size):
        i, j, k = codes[a] // 4096, codes[a] // 64 % 64, codes[a] % 64
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
