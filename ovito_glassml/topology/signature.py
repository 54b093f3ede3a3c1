"""Signatures of largest standard clusters: how they are written, labelled and numbered.

A signature such as ``[2/433, 2/544, 8/555]`` counts the sub-clusters S_ijk of a cluster, one for
each neighbour of its centre. S_ijk has i common neighbours of centre and neighbour, j bonds among
them, and k bonds in the longest chain of these.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from ovito_glassml.errors import GlassMLError

__all__ = [
    "CRYSTALS",
    "Signature",
    "SignatureError",
    "SubCluster",
    "cluster_label",
    "format_signature",
    "format_subcluster",
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
CRYSTALS = {"fcc": 1, "hcp": 2, "bcc": 3}

_CRYSTAL_SIGNATURES: dict[Signature, str] = {
    ((12, (4, 2, 1)),): "fcc",
    ((6, (4, 2, 1)), (6, (4, 2, 2))): "hcp",
    ((6, (4, 4, 4)), (8, (6, 6, 6))): "bcc",
}

#: A topologically close-packed label needs a shell with at most this many bonds missing.
MOST_MISSING_BONDS = 2

_ENTRY = re.compile(r"(\d+)\s*/\s*S?(?:(\d)(\d)(\d)|(\d+)\.(\d+)\.(\d+))")
_LABEL = re.compile(r"(?:(\d)-)?([A-Z])(\d+)")


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
    if signature in _CRYSTAL_SIGNATURES:
        return _CRYSTAL_SIGNATURES[signature]
    subclusters = [kind for count, kind in signature for _ in range(count)]
    missing = (6 * len(subclusters) - 12 - sum(i for i, _, _ in subclusters)) // 2
    if not 0 <= missing <= MOST_MISSING_BONDS:
        return ""
    sizes = _sizes_when_closed(subclusters, missing)
    if 2 * sizes.count(4) + sizes.count(5) != 12:
        return ""
    letter = "ZABCDEF"[sizes.count(4)]
    return f"{missing}-{letter}{len(subclusters)}" if missing else f"{letter}{len(subclusters)}"


def _sizes_when_closed(subclusters: Sequence[SubCluster], missing: int) -> list[int]:
    """Common neighbours of every sub-cluster after restoring bonds; empty if there is no place for these."""
    closed = [i for i, j, k in subclusters if i == j == k]
    unfinished = Counter(i for i, j, k in subclusters if not i == j == k)
    for _ in range(missing):
        pairs = [size for size, count in unfinished.items() if count >= 2]
        if not pairs:
            return []
        unfinished[min(pairs)] -= 2
        unfinished[min(pairs) + 1] += 2
    return closed + list(unfinished.elements())


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
    if match is None or match[2] not in "ZABCDEF":
        raise SignatureError(f"{label!r} is no label of a cluster; write one such as Z12, 1-A15 or fcc.")
    return 10000 * int(match[1] or 0) + 100 * "ZABCDEF".index(match[2]) + int(match[3])


def signature_number(signature: Signature) -> int:
    """Number that stands for a signature wherever classes are integers, the same for ever.

    It is made of the first 31 bits of the SHA-256 digest of the text that `format_signature`
    gives, so that it needs no list of all signatures there can be. Two of ten thousand
    signatures share a number with a probability of 2 %. The empty signature has 0.
    """
    if not signature:
        return 0
    digest = hashlib.sha256(format_signature(signature).encode()).digest()
    return max(int.from_bytes(digest[:4], "big") >> 1, 1)
