"""Largest standard cluster analysis: the neighbourhood of every atom in words such as [12/555]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.neighbours import CellList, Progress, block_stages, build_cell_list, stage
from ovito_glassml.progress import silent
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.threads import run_tasks
from ovito_glassml.topology.coding import numbers_of_keys, summarise_codes
from ovito_glassml.topology.kernels import MOST_NEIGHBOURS, find_clusters
from ovito_glassml.topology.length_scale import first_peak
from ovito_glassml.topology.signature import Signature, SubCluster, decode, encode, make_signature

__all__ = ["SUBCLUSTERS", "Cluster", "LaSCA", "LaSCAResult", "Stop"]

Stop = Literal["max cutoff", "no obtuse triangle"]

#: Sub-clusters whose fractions are given; in Cu-Zr glasses all others together make 3 %.
SUBCLUSTERS: tuple[SubCluster, ...] = (
    (3, 1, 1), (3, 2, 2), (4, 2, 1), (4, 2, 2), (4, 3, 3), (4, 4, 4), (5, 4, 4), (5, 5, 5), (6, 6, 6),
)  # fmt: skip

#: The automatic cap over the position of the first peak: 3.7 Å, with which the frequencies of
#: clusters agree best with the published ones, in Cu64Zr36, whose first peak is at 2.717 Å.
CAP_PER_PEAK = 3.7 / 2.717

#: Where obtuse triangles stop the growth, the search need not reach further than this many first
#: peaks: within it there are about fifty atoms, far more than a standard cluster has.
REACH_PER_PEAK = 2.2

#: Signatures that are spelled out, the most frequent ones; a glass has thousands.
MOST_SPELLED = 100

#: More neighbours than this within `max_cutoff` are a wrong length unit rather than a wish.
MOST_WITHIN = 300


@dataclass(frozen=True, eq=False)
class LaSCAResult:
    """Largest standard clusters of the selected atoms of a structure, in their order.

    Attributes
    ----------
    coordination : (M,) int32 array
        Number of neighbours in the cluster.
    cutoffs : (M,) float64 array
        Cutoff at which the growth of the cluster ended: pairs nearer than this belong to it.
    capped : (M,) bool array
        Whether the stop ended the growth of a cluster that would be standard beyond it.
    fractions : (M, F + 1) float32 array
        Fractions of the sub-clusters `SUBCLUSTERS` among the neighbours, then of all others. All
        zero for an atom without neighbours.
    labels : (M,) int32 array
        Number of the label, as `label_name` and `label_number` translate it; 0 without.
    signature_indices : (M,) int32 array
        Place of each atom's signature among those that occur, the most frequent first.
    counts : (S,) int64 array
        How many atoms have each signature.
    numbers : (S,) int32 array
        Number of each signature, as `signature_number` gives it.
    signatures : tuple of Signature
        The first of them spelled out.
    max_cutoff : float
        The largest cutoff allowed; NaN if no atom has a neighbour to take it from.
    """

    coordination: NDArray[np.int32]
    cutoffs: NDArray[np.float64]
    capped: NDArray[np.bool_]
    fractions: NDArray[np.float32]
    labels: NDArray[np.int32]
    signature_indices: NDArray[np.int32]
    counts: NDArray[np.int64]
    numbers: NDArray[np.int32]
    signatures: tuple[Signature, ...]
    max_cutoff: float


class _Clusters(NamedTuple):
    """What `find_clusters` fills for a block."""

    within: NDArray[np.int64]
    coordination: NDArray[np.int32]
    cutoffs: NDArray[np.float64]
    capped: NDArray[np.bool_]
    members: NDArray[np.int32]
    codes: NDArray[np.int32]
    bonds: NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class Cluster:
    """The largest standard cluster of one atom.

    Attributes
    ----------
    center : int
        Index of the atom in the structure.
    neighbours : (n,) int64 array
        Indices of its neighbours, nearest first. In a small cell some may be images of one atom.
    vectors : (n, 3) float64 array
        From the centre to its neighbours.
    subclusters : tuple of SubCluster
        One for each neighbour.
    shell_bonds : (b, 2) int64 array
        Pairs of bonded neighbours, as positions in `neighbours`.
    """

    center: int
    neighbours: NDArray[np.int64]
    vectors: NDArray[np.float64]
    subclusters: tuple[SubCluster, ...]
    shell_bonds: NDArray[np.int64]

    @property
    def signature(self) -> Signature:
        """Counted sub-clusters."""
        return make_signature(self.subclusters)


@dataclass(frozen=True)
class LaSCA:
    """Largest standard clusters, with a cutoff of its own for every atom.

    One cutoff decides which atoms are neighbours of the centre and which of these are bonded to
    each other. The common neighbours of the centre and a neighbour, with the bonds among them,
    form a sub-cluster S_ijk: i common neighbours, j bonds, k bonds in their longest chain. It is
    *standard* if no common neighbour has more than two of the bonds and if a ring, should there be
    one, contains all of them. The cutoff grows until one sub-cluster is not standard. A larger
    cutoff never makes it standard again, so there is one largest standard cluster. Pairs whose
    distances agree to a ten-millionth come together.

    Parameters
    ----------
    max_cutoff : float, optional
        The cutoff grows no further than this, in the structure's length unit. None takes 3.7 Å
        scaled by the first peak of the radial distribution function relative to that of Cu64Zr36.
    stop : {"max cutoff", "no obtuse triangle"}
        With the latter, `max_cutoff` is not used: the growth ends where the first obtuse triangle
        of the centre and two bonded neighbours would appear. It has no parameter.

    Raises
    ------
    StructureError
        For impossible settings, and, when computing, for a `max_cutoff` within which atoms have
        no neighbours or hundreds.

    Examples
    --------
    The share of atoms of a glass whose largest standard cluster is an icosahedron, which has the label Z12:

    >>> from ovito_glassml.topology.standard_clusters import LaSCA
    >>> clusters = LaSCA().compute(glass)
    >>> float(round((clusters.labels == 12).mean(), 3))
    0.04
    """

    max_cutoff: float | None = None
    stop: Stop = "max cutoff"

    def __post_init__(self) -> None:
        if self.max_cutoff is not None and not 0 < self.max_cutoff < np.inf:
            raise StructureError(f"max_cutoff is {self.max_cutoff}; give a positive length, or none for automatic.")
        if self.stop not in get_args(Stop):
            raise StructureError(f"There is no stop {self.stop!r}; choose from {', '.join(get_args(Stop))}.")

    def largest_cutoff(self, structure: Structure, progress: Progress | None = None) -> float:
        """Length beyond which no cutoff grows, NaN if no atom has a neighbour to take it from."""
        acute = self.stop == "no obtuse triangle"
        if self.max_cutoff is not None and not acute:
            return float(self.max_cutoff)
        peak = first_peak(structure, progress)
        if peak is None:
            return float("nan")
        return float(f"{peak * (REACH_PER_PEAK if acute else CAP_PER_PEAK):.4g}")

    def compute(
        self, structure: Structure, progress: Progress | None = None, *, spelled: int | None = MOST_SPELLED
    ) -> LaSCAResult:
        """Analyse the selected atoms of a structure.

        Parameters
        ----------
        structure : Structure
            Species do not matter.
        spelled : int, optional
            How many of the most frequent signatures are spelled out; None for all.
        progress : callable, optional
            Called with the fraction done between blocks; may raise to stop.

        Returns
        -------
        LaSCAResult
        """
        report = progress or silent
        limit = self.largest_cutoff(structure, lambda fraction: report(0.3 * fraction))
        if np.isnan(limit):
            return _no_clusters(len(structure.selected))
        cells = build_cell_list(structure, limit)
        count = len(structure.selected)
        row_of = np.empty(len(structure), dtype=np.int64)
        row_of[structure.selected] = np.arange(count)
        coordination = np.zeros(count, dtype=np.int32)
        cutoffs = np.zeros(count)
        capped = np.zeros(count, dtype=np.bool_)
        keys = np.zeros(count, dtype=np.uint64)
        labels = np.zeros(count, dtype=np.int32)
        fractions = np.zeros((count, len(SUBCLUSTERS) + 1), dtype=np.float32)
        columns: tuple[NDArray, ...] = (coordination, cutoffs, capped, keys, labels, fractions)
        kinds = np.array([encode(kind) for kind in SUBCLUSTERS], dtype=np.int64)
        any_within = False
        for block, share in block_stages(cells.blocks(structure.mask), count, stage(report, 0.3, 0.95)):
            rows = row_of[cells.grid.atom[block]]
            clusters = self._find(cells, block, limit, share)
            summary = [np.empty((len(block), *column.shape[1:]), column.dtype) for column in columns[3:]]
            run_tasks(summarise_codes, len(block), clusters.codes, clusters.coordination, kinds, *summary)
            results = (clusters.coordination, clusters.cutoffs, clusters.capped, *summary)
            for column, values in zip(columns, results, strict=True):
                column[rows] = values
            self._check_neighbours(clusters.within, limit)
            any_within |= bool(clusters.within.any())
        if count and not any_within:
            self._check_reach(structure, limit)
        examples, indices, counts = _by_frequency(keys)
        signatures = self._spell(cells, structure.selected[examples[:spelled]], limit)
        numbers = numbers_of_keys(keys[examples])
        report(1.0)
        return LaSCAResult(
            coordination, cutoffs, capped, fractions, labels, indices, counts, numbers, signatures, limit
        )

    def cluster(self, structure: Structure, atom: int, max_cutoff: float | None = None) -> Cluster:
        """The cluster of one atom with its members and bonds.

        Parameters
        ----------
        structure : Structure
        atom : int
            Index in the structure.
        max_cutoff : float, optional
            What `largest_cutoff` gave, if that is known already.

        Returns
        -------
        Cluster
        """
        limit = self.largest_cutoff(structure) if max_cutoff is None else max_cutoff
        if np.isnan(limit):
            return Cluster(atom, np.empty(0, np.int64), np.empty((0, 3)), (), np.empty((0, 2), np.int64))
        cells = build_cell_list(structure, limit)
        grid = cells.grid
        center = _entries_of(cells, np.array([atom]))
        found = self._find(cells, center, limit)
        size = int(found.coordination[0])
        entries = found.members[0, :size]
        vectors = np.column_stack([axis[entries] - axis[center[0]] for axis in (grid.x, grid.y, grid.z)])
        shell = [(a, b) for a in range(size) for b in range(a) if int(found.bonds[0, a]) >> b & 1]
        return Cluster(
            atom,
            grid.atom[entries].astype(np.int64),
            vectors,
            tuple(decode(code) for code in found.codes[0, :size].tolist()),
            np.array(shell, dtype=np.int64).reshape(-1, 2),
        )

    def _find(self, cells: CellList, block: NDArray, limit: float, progress: Progress | None = None) -> _Clusters:
        """The clusters of some grid entries."""
        count, shape = len(block), (len(block), MOST_NEIGHBOURS)
        found = _Clusters(
            np.empty(count, np.int64), np.empty(count, np.int32), np.empty(count), np.empty(count, np.bool_),
            np.empty(shape, np.int32), np.empty(shape, np.int32), np.empty(shape, np.uint64),
        )  # fmt: skip
        acute = self.stop == "no obtuse triangle"
        run_tasks(find_clusters, count, cells.grid, block, limit, acute, *found, progress=progress)
        return found

    def _spell(self, cells: CellList, atoms: NDArray[np.int64], limit: float) -> tuple[Signature, ...]:
        """Signatures of a few atoms."""
        codes = self._find(cells, _entries_of(cells, atoms), limit).codes
        return tuple(make_signature(decode(code) for code in row if code >= 0) for row in codes.tolist())

    def _check_neighbours(self, within: NDArray[np.int64], limit: float) -> None:
        if within.mean() > MOST_WITHIN:
            raise StructureError(
                f"Atoms have {within.mean():.0f} neighbours within max_cutoff = {limit:g} on average; "
                "lower max_cutoff or check the length unit."
            )

    def _check_reach(self, structure: Structure, limit: float) -> None:
        peak = first_peak(structure)
        if peak is not None and peak > limit:
            raise StructureError(
                f"No atom has a neighbour within max_cutoff = {limit:g}, most have their first ones at {peak:.3g}; "
                "raise max_cutoff or check the length unit."
            )


def _entries_of(cells: CellList, atoms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Grid entries of atoms."""
    entry = np.empty(len(cells.order), dtype=np.int64)
    entry[cells.grid.atom[cells.order]] = cells.order
    return entry[atoms]


def _by_frequency(keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """An example of each distinct key, the most frequent first, every atom's place among them, and their counts."""
    distinct, examples, places, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((distinct, -counts))
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order))
    return examples[order], rank[places.reshape(-1)], counts[order]


def _no_clusters(count: int) -> LaSCAResult:
    """Result for atoms none of which has a neighbour."""
    some = min(count, 1)
    return LaSCAResult(
        coordination=np.zeros(count, np.int32),
        cutoffs=np.full(count, np.nan),
        capped=np.zeros(count, np.bool_),
        fractions=np.zeros((count, len(SUBCLUSTERS) + 1), np.float32),
        labels=np.zeros(count, np.int32),
        signature_indices=np.zeros(count, np.int32),
        counts=np.full(some, count),
        numbers=np.zeros(some, np.int32),
        signatures=((),) * some,
        max_cutoff=float("nan"),
    )
