"""Signatures of largest standard clusters: how they are written, labelled and numbered.

A signature such as ``[2/433, 2/544, 8/555]`` counts the sub-clusters S_ijk of a cluster, one for
each neighbour of its centre. S_ijk has i common neighbours of centre and neighbour, j bonds among
them, and k bonds in the longest chain of these.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from ovito_glassml.errors import GlassMLError
from ovito_glassml.topology.coding import BCC, FCC, HCP, numbers_of_keys, summarise_codes

__all__ = [
    "CRYSTALS",
    "Signature",
    "SignatureError",
    "SubCluster",
    "cluster_label",
    "decode",
    "encode",
    "format_signature",
    "format_subcluster",
    "label_name",
    "label_number",
    "make_signature",
    "parse_signature",
    "signature_number",
]

#: (i, j, k): common neighbours, bonds among them, bonds in the longest chain.
SubCluster: TypeAlias = tuple[int, int, int]

#: (count, sub-cluster) pairs in ascending order of the sub-clusters.
Signature: TypeAlias = tuple[tuple[int, SubCluster], ...]

#: Labels of the clusters that perfect crystals are made of, and their numbers.
CRYSTALS = {"fcc": FCC, "hcp": HCP, "bcc": BCC}

#: What stands for 0, 1, 2 ... sub-clusters with four common neighbours; six are the most there can be.
_LETTERS = "ZABCDEF"

_ENTRY = re.compile(r"(\d+)\s*/\s*S?(?:(\d)(\d)(\d)|(\d+)\.(\d+)\.(\d+))")
_LABEL = re.compile(rf"(?:([12])-)?([{_LETTERS}])(\d\d?)")


class SignatureError(GlassMLError):
    """A text is no signature or no label; the message says how they are written."""


def make_signature(subclusters: Iterable[SubCluster]) -> Signature:
    """Count sub-clusters, one for each neighbour, in any order."""
    return tuple((count, kind) for kind, count in sorted(Counter(subclusters).items()))


def parse_signature(text: str) -> Signature:
    """Read a signature written as in the literature.

    Parameters
    ----------
    text : str
        Such as ``"[2/433, 2/544, 8/555]"``; order, spaces, brackets and a letter S before the
        three digits do not matter. Numbers above 9 are separated by dots: ``1/10.9.8``.

    Raises
    ------
    SignatureError
        For any other text.
    """
    entries = [entry.strip() for entry in text.strip().removeprefix("[").removesuffix("]").split(",")]
    subclusters: list[SubCluster] = []
    for entry in entries if entries != [""] else []:
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise SignatureError(f"{text!r} is no signature; write one such as [2/433, 2/544, 8/555].")
        count, i, j, k = (int(group) for group in match.groups() if group is not None)
        subclusters += count * [(i, j, k)]
    return make_signature(subclusters)


def format_subcluster(subcluster: SubCluster) -> str:
    """The three digits of S_ijk, with dots between them if one needs two."""
    return ("." if max(subcluster) > 9 else "").join(str(number) for number in subcluster)


def format_signature(signature: Signature) -> str:
    """Write a signature as the literature does; `parse_signature` reads it back."""
    return "[" + ", ".join(f"{count}/{format_subcluster(kind)}" for count, kind in signature) + "]"


def encode(subcluster: SubCluster) -> int:
    """One integer for S_ijk."""
    i, j, k = subcluster
    return (i * 64 + j) * 64 + k


def decode(code: int) -> SubCluster:
    """S_ijk of the integer."""
    return code // 4096, code // 64 % 64, code % 64


def cluster_label(signature: Signature) -> str:
    """Name of a cluster: a crystal, a topologically close-packed label, or nothing.

    A closed shell of N atoms all of whose faces are triangles has 3N − 6 bonds. A cluster with n
    bonds less is labelled as the closed one that it becomes when these are restored: ``n-`` (if n
    is not 0), a letter for the number of sub-clusters with four common neighbours (Z none, A one,
    B two ...), and N. A restored bond joins two neighbours, so that each gains a common neighbour;
    it is put between two sub-clusters of equal, smallest i that are no rings. There is a label if
    n ≤ 2 and afterwards 2n₄ + n₅ = 12, with nᵢ sub-clusters of i common neighbours.

    Parameters
    ----------
    signature : Signature

    Returns
    -------
    str
        ``"Z12"``, ``"1-A15"``, ``"fcc"``, ``"hcp"``, ``"bcc"`` ..., empty if there is none.
    """
    return label_name(_key_and_label(signature)[1])


def label_number(label: str) -> int:
    """Number that stands for a label wherever classes are integers, the same for ever.

    0 is no label, 1 to 3 are fcc, hcp and bcc; the others are 10000 n + 100 n₄ + N, so that Z12 is
    12, A13 is 113 and 1-B12 is 10212.

    Raises
    ------
    SignatureError
        If the text is no label.
    """
    if not label:
        return 0
    if label in CRYSTALS:
        return CRYSTALS[label]
    match = _LABEL.fullmatch(label)
    if match is None:
        raise SignatureError(f"{label!r} is no label of a cluster; write one such as Z12, 1-A15 or fcc.")
    return 10000 * int(match[1] or 0) + 100 * _LETTERS.index(match[2]) + int(match[3])


def label_name(number: int) -> str:
    """The label of a number that `label_number` gives; empty for 0."""
    crystals = {number: name for name, number in CRYSTALS.items()}
    if number in crystals or number == 0:
        return crystals.get(number, "")
    missing, four, size = number // 10000, number // 100 % 100, number % 100
    return (f"{missing}-" if missing else "") + f"{_LETTERS[four]}{size}"


def signature_number(signature: Signature) -> int:
    """Number that stands for a signature wherever classes are integers, the same for ever.

    A sum of scrambled sub-clusters cut to 31 bits, which needs no list of all signatures there
    can be. Two of ten thousand signatures share a number with a probability of 2 %. The empty
    signature has 0.
    """
    return int(numbers_of_keys(np.array([_key_and_label(signature)[0]], dtype=np.uint64))[0])


def _key_and_label(signature: Signature) -> tuple[int, int]:
    codes = np.array([[encode(kind) for count, kind in signature for _ in range(count)]], dtype=np.int32)
    sizes, kinds = np.array([codes.shape[1]], dtype=np.int32), np.empty(0, dtype=np.int64)
    keys, labels = np.empty(1, dtype=np.uint64), np.empty(1, dtype=np.int32)
    summarise_codes(0, 1, codes, sizes, kinds, keys, labels, np.empty((1, 1), dtype=np.float32))
    return int(keys[0]), int(labels[0])
