"""Unique local environments: a set of real atoms to which every atom of the training structures is similar.

Two environments are one if the distance of their normalised SOAP rows p, q is small enough::

    1 − √(|p − q|² / 2) > Δ,        that is        p·q > 1 − (1 − Δ)²

Atoms are visited in a random order of structures; one that is similar to none of those kept so far
is kept. Comparing full rows with thousands of kept ones would take ten times as long as computing
them, so products are bounded first: with the projections x, y of the rows on a few principal axes and
the lengths ρ of what the axes leave out ::

    x·y − ρ_p ρ_q  ≤  p·q  ≤  x·y + ρ_p ρ_q

Only where the bounds do not decide, the full product does, in double precision. The result is that of
comparing everything with everything, whatever the axes and the size of the blocks.

Source: "Concurrent prediction of metallic glasses' global energy and internal structural heterogeneity by
interpretable machine learning" and its published code, fanyue-um/Metallic_Glasses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.compile import compiled, kernel, unowned
from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.errors import TrainingError
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure
from ovito_glassml.threads import one_blas_thread, run_tasks

__all__ = [
    "SIMILARITY",
    "UniqueEnvironments",
    "least_product",
    "normalised",
    "principal_axes",
    "rows_by_identifier",
    "sample_rows",
    "select_environments",
]

#: Δ, as published.
SIMILARITY = 0.84
#: Rows compared at a time.
BLOCK = 2048
#: Axes on which products are bounded; more make the bounds tighter and dearer.
AXES = 192
#: Structures and atoms of each that the axes are fitted to.
SAMPLED_STRUCTURES, SAMPLED_ATOMS = 32, 64
#: Covers the rounding of single precision in products and residues.
MARGIN = np.float32(1e-5)


@dataclass(frozen=True, eq=False)
class UniqueEnvironments:
    """Environments no two of which are similar.

    Attributes
    ----------
    rows : (K, F) float32 array
        Normalised SOAP rows.
    structure, atom : (K,) int64 arrays
        Where each comes from: number of the structure in the sequence given, index of the atom in it.
    similarity : float
        Δ, above which two environments are one.
    axes : (F, A) float32 array
        Orthonormal columns; they make searching fast and never change its result.
    """

    rows: NDArray[np.float32]
    structure: NDArray[np.int64]
    atom: NDArray[np.int64]
    similarity: float
    axes: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, chosen: NDArray) -> UniqueEnvironments:
        """Some of the environments, in the order given."""
        return replace(self, rows=self.rows[chosen], structure=self.structure[chosen], atom=self.atom[chosen])

    def nearest(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The most similar environment of each normalised row and the product with it, similar enough or not."""
        index = np.empty(len(rows), dtype=np.int64)
        product = np.empty(len(rows))
        kept, _ = _coordinates(self.rows, self.axes)
        for first in range(0, len(rows), BLOCK):
            part = slice(first, first + BLOCK)
            with one_blas_thread():
                coordinates, _ = _coordinates(rows[part], self.axes)
                bounds = coordinates @ kept.T
            run_tasks(_find_nearest, len(bounds), rows[part], self.rows, bounds, index[part], product[part])
        return index, product

    def assign(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """The most similar environment of each normalised row; −1 where none is similar enough."""
        index, product = self.nearest(rows)
        return np.where(product > least_product(self.similarity), index, -1)


def least_product(similarity: float) -> float:
    """Two normalised rows are similar if their product is above this."""
    return 1 - (1 - similarity) ** 2


def normalised(rows: NDArray) -> NDArray[np.float32]:
    """Rows of length one, in place where possible."""
    single = rows.astype(np.float32, copy=False)
    single /= np.sqrt(np.einsum("ij,ij->i", single, single, dtype=np.float32))[:, None]
    return single


def select_environments(
    structures: Sequence[Structure],
    descriptor: SOAPDescriptors,
    *,
    similarity: float = SIMILARITY,
    share: float = 0.4,
    seed: int = 1,
    block: int = BLOCK,
    progress: Progress | None = None,
) -> UniqueEnvironments:
    """Visit the atoms of a random part of the structures and keep those that are like none kept before.

    Memory holds the kept rows and one block, however many atoms are visited.

    Parameters
    ----------
    structures : sequence of Structure
        Their masks are ignored.
    descriptor : SOAPDescriptors
    similarity : float
        Δ; 0.84 as published.
    share : float
        Part of the structures that is visited; 0.4 as published.
    seed : int
        Of the order of structures. Atoms are visited by identifier, so that their order in a file
        does not matter.
    block : int
        Rows in memory at a time. The result does not depend on it.
    progress : callable, optional
        Called with the fraction done; may raise to stop.

    Raises
    ------
    TrainingError
        For no structures and for settings out of range.
    """
    if not 0 < share <= 1 or not 0 < similarity < 1:
        raise TrainingError(f"The share {share} and the similarity {similarity} must lie between 0 and 1.")
    order = np.random.default_rng(seed).permutation(len(structures))
    order = order[: max(1, round(share * len(structures)))]
    if not sum(len(structures[number]) for number in order):
        raise TrainingError("There are no atoms to select environments from; give at least one structure.")
    with one_blas_thread():  # its threads would fight with those of the descriptor
        axes = principal_axes(sample_rows([structures[number] for number in order], descriptor, seed))
        kept = _Kept(descriptor.feature_count, axes, least_product(similarity))
        for done, number in enumerate(order):
            for atoms, rows in rows_by_identifier(structures[number], descriptor, block):
                kept.add(rows, np.full(len(atoms), number), atoms)
            if progress is not None:
                progress((done + 1) / len(order))
    return UniqueEnvironments(*kept.result(), similarity, axes)


def rows_by_identifier(
    structure: Structure, descriptor: SOAPDescriptors, block: int = BLOCK
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
    """Yield (atom indices, normalised rows) of all atoms in the order of their identifiers."""
    order = np.argsort(structure.ids, kind="stable")
    for first in range(0, len(order), block):
        atoms = order[first : first + block]
        mask = np.zeros(len(structure), dtype=np.bool_)
        mask[atoms] = True
        rows = descriptor.compute(replace(structure, mask=mask))
        yield atoms, normalised(rows[np.argsort(np.argsort(atoms))])


def sample_rows(structures: Sequence[Structure], descriptor: SOAPDescriptors, seed: int = 1) -> NDArray[np.float32]:
    """Normalised rows of some atoms of some structures."""
    rng = np.random.default_rng(seed)
    parts = []
    for number in np.unique(np.linspace(0, len(structures) - 1, SAMPLED_STRUCTURES).round().astype(int)):
        structure = structures[number]
        mask = np.zeros(len(structure), dtype=np.bool_)
        mask[rng.permutation(len(structure))[:SAMPLED_ATOMS]] = True
        parts.append(descriptor.compute(replace(structure, mask=mask)))
    return normalised(np.concatenate(parts))


def principal_axes(rows: NDArray, count: int = AXES) -> NDArray[np.float32]:
    """(F, A) array: orthonormal axes of largest mean square of the rows, at most `count`."""
    table = rows.astype(np.float64)
    squares, combinations = np.linalg.eigh(table @ table.T)
    wanted = max(1, min(count, int(np.count_nonzero(squares > 1e-9 * squares[-1]))))
    axes, _ = np.linalg.qr(table.T @ combinations[:, ::-1][:, :wanted])
    return np.ascontiguousarray(axes, dtype=np.float32)


def _coordinates(rows: NDArray[np.float32], axes: NDArray[np.float32]) -> tuple[NDArray, NDArray]:
    """Projections with the length ρ of what they leave out as last column, and ρ alone.

    Products of such coordinates are upper bounds of the products of the rows.
    """
    projected = rows @ axes
    residue = np.sqrt(np.maximum(1 - np.einsum("ij,ij->i", projected, projected, dtype=np.float64), 0))
    residue = residue.astype(np.float32)
    return np.column_stack([projected, residue]), residue


class _Kept:
    """Kept rows in an array that grows by doubling."""

    def __init__(self, features: int, axes: NDArray[np.float32], threshold: float) -> None:
        self.axes, self.threshold, self.count = axes, threshold, 0
        self.rows = np.empty((256, features), dtype=np.float32)
        self.coordinates = np.empty((256, axes.shape[1] + 1), dtype=np.float32)
        self.structure: list[NDArray] = []
        self.atom: list[NDArray] = []

    def add(self, rows: NDArray[np.float32], structure: NDArray, atom: NDArray) -> None:
        """Keep those rows of a block that are like no kept one and like no earlier row of the block that is kept."""
        coordinates, residue = _coordinates(rows, self.axes)
        covered = np.zeros(len(rows), dtype=np.bool_)
        if self.count:
            kept = self.coordinates[: self.count]
            known = self.rows[: self.count]
            bounds = (coordinates @ kept.T, residue, kept[:, -1].copy(), self.threshold)
            run_tasks(_find_covered, len(rows), rows, known, *bounds, covered)
        left = np.flatnonzero(~covered)
        bounds = coordinates[left] @ coordinates[left].T
        fresh = left[_greedy(rows[left], bounds, residue[left], self.threshold)]
        self._append(rows[fresh], coordinates[fresh])
        self.structure.append(structure[fresh])
        self.atom.append(atom[fresh])

    def _append(self, rows: NDArray, coordinates: NDArray) -> None:
        end = int(self.count + len(rows))
        if end > len(self.rows):
            self.rows = _enlarged(self.rows, self.count, 2 * end)
            self.coordinates = _enlarged(self.coordinates, self.count, 2 * end)
        self.rows[self.count : end] = rows
        self.coordinates[self.count : end] = coordinates
        self.count = end

    def result(self) -> tuple[NDArray, NDArray, NDArray]:
        """Rows, structures and atoms."""
        return self.rows[: self.count].copy(), np.concatenate(self.structure), np.concatenate(self.atom)


def _enlarged(array: NDArray, used: int, size: int) -> NDArray:
    larger = np.empty((size, array.shape[1]), dtype=array.dtype)
    larger[:used] = array[:used]
    return larger


@compiled(fastmath={"reassoc", "contract"})
def _product(first, second):
    """Scalar product in double precision."""
    total = 0.0
    for k in range(len(first)):
        total += np.float64(first[k]) * np.float64(second[k])
    return total


@kernel
def _find_covered(begin, end, rows, kept, upper, residue, kept_residue, threshold, covered):
    """Mark rows whose product with some kept row is above the threshold; `upper` bounds all products."""
    rows, kept, upper, residue = unowned((rows, kept, upper, residue))
    kept_residue, covered = unowned((kept_residue, covered))
    for i in range(begin, end):
        likely = 0
        for j in range(len(kept)):
            if upper[i, j] - 2 * residue[i] * kept_residue[j] > threshold + MARGIN:
                covered[i] = True
                break
            if upper[i, j] > upper[i, likely]:
                likely = j
        if covered[i] or upper[i, likely] <= threshold - MARGIN:
            continue
        covered[i] = _product(rows[i], kept[likely]) > threshold
        for j in range(len(kept)):
            if covered[i]:
                break
            if upper[i, j] > threshold - MARGIN:
                covered[i] = _product(rows[i], kept[j]) > threshold


@compiled()
def _greedy(rows, upper, residue, threshold):
    """Rows that are like no earlier row that is kept."""
    fresh = np.ones(len(rows), dtype=np.bool_)
    for i in range(len(rows)):
        if not fresh[i]:
            continue
        for j in range(i + 1, len(rows)):
            if fresh[j] and upper[i, j] > threshold - MARGIN:
                certain = upper[i, j] - 2 * residue[i] * residue[j] > threshold + MARGIN
                fresh[j] = not (certain or _product(rows[i], rows[j]) > threshold)
    return np.flatnonzero(fresh)


@kernel
def _find_nearest(begin, end, rows, kept, upper, index, product):
    """The kept row with the largest product; those whose upper bound is too low are passed over."""
    rows, kept, upper, index, product = unowned((rows, kept, upper, index, product))
    for i in range(begin, end):
        best = int(np.argmax(upper[i]))
        largest = _product(rows[i], kept[best])
        for j in range(len(kept)):
            if j != best and upper[i, j] > largest - MARGIN:
                value = _product(rows[i], kept[j])
                if value > largest:
                    best, largest = j, value
        index[i], product[i] = best, largest
