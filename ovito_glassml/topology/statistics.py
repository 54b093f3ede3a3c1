"""Frequencies of signatures, labels and sub-clusters, of all analysed atoms and of groups of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.topology.standard_clusters import LaSCAResult

__all__ = ["ClusterStatistics", "cluster_statistics"]


@dataclass(frozen=True, eq=False)
class ClusterStatistics:
    """Frequencies; the first column stands for all atoms, the others for the groups.

    Attributes
    ----------
    names : tuple of str
        ``"all atoms"`` and the names of the groups.
    sizes : (G + 1,) int64 array
        Number of atoms.
    signature_shares : (S, G + 1) array
        Fractions of atoms with each of the spelled signatures of the result, in their order.
    label_numbers : (L,) int32 array
        Labels that occur, the most frequent first, 0 (no label) left out.
    label_shares : (L, G + 1) array
        Fractions of atoms with them.
    subcluster_fractions : (F + 1, G + 1) array
        Mean fractions of the sub-clusters, of the others last, over atoms that have neighbours; NaN if none has.
    """

    names: tuple[str, ...]
    sizes: NDArray[np.int64]
    signature_shares: NDArray[np.float64]
    label_numbers: NDArray[np.int32]
    label_shares: NDArray[np.float64]
    subcluster_fractions: NDArray[np.float64]


def cluster_statistics(
    result: LaSCAResult, groups: NDArray[np.integer] | None = None, names: Sequence[str] = ()
) -> ClusterStatistics:
    """Count what a result contains.

    Parameters
    ----------
    result : LaSCAResult
    groups : (M,) integer array, optional
        For every atom of the result the index of its group in `names`; others belong to none.
    names : sequence of str

    Returns
    -------
    ClusterStatistics
    """
    members = [np.ones(len(result.coordination), dtype=np.bool_)]
    members += [groups == index for index in range(len(names))] if groups is not None else []
    sizes = np.array([np.count_nonzero(chosen) for chosen in members])
    spelled = len(result.signatures)
    signatures = [np.bincount(result.signature_indices[chosen], minlength=spelled)[:spelled] for chosen in members]
    distinct, places, counts = np.unique(result.labels, return_inverse=True, return_counts=True)
    labels = [np.bincount(places[chosen], minlength=len(distinct)) for chosen in members]
    order = np.argsort(-counts, kind="stable")
    order = order[distinct[order] > 0]
    return ClusterStatistics(
        ("all atoms", *names),
        sizes,
        np.column_stack(signatures) / np.maximum(sizes, 1),
        distinct[order],
        np.column_stack(labels)[order] / np.maximum(sizes, 1),
        np.column_stack([_mean_rows(result.fractions[chosen & (result.coordination > 0)]) for chosen in members]),
    )


def _mean_rows(fractions: NDArray[np.float32]) -> NDArray[np.float64]:
    if not len(fractions):
        return np.full(fractions.shape[1], np.nan)
    return fractions.mean(axis=0, dtype=np.float64)
