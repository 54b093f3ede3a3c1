"""Averages over an atom's neighbours, shell after shell, as passes over a stored list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.compile import compiled, kernel, unowned
from ovito_glassml.neighbours import Progress, neighbour_lists
from ovito_glassml.structure import Structure
from ovito_glassml.threads import run_tasks

__all__ = ["ShellAverage", "shell_average"]


@dataclass(frozen=True, eq=False)
class ShellAverage:
    """X'_i = Σ_j w_ij X_j / Σ_j w_ij over the neighbours j of i, with w_ij = exp(−r_ij / r_c).

    Averaging is linear: average the few numbers that a model makes of a row, not the row.

    Attributes
    ----------
    offsets : (N + 1,) int64 array
    indices : (P,) int32 array
        Neighbours, as in `NeighbourLists`.
    weights : (P,) float32 array
        w_ij, not normalised.
    """

    offsets: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray[np.float32]

    def neighbourhood(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The atoms in `mask` and all their neighbours."""
        widened = mask.copy()
        _mark_neighbours(self.offsets, self.indices, mask, widened)
        return widened

    def average(
        self, rows: NDArray, atoms: NDArray[np.int64] | None = None, progress: Progress | None = None
    ) -> NDArray:
        """Average the rows of each atom's neighbours.

        Parameters
        ----------
        rows : (N, k) array
        atoms : (M,) int64 array, optional
            Atoms whose average is wanted; None means all.
        progress : callable, optional
            Called with the fraction done meanwhile; may raise to stop.

        Returns
        -------
        (M, k) array of the type of `rows`
            NaN for an atom without neighbours.
        """
        wanted = np.arange(len(rows)) if atoms is None else np.asarray(atoms)
        source = np.ascontiguousarray(rows)
        averaged = np.empty((len(wanted), rows.shape[1]), dtype=rows.dtype)
        lists = (self.offsets, self.indices, self.weights)
        run_tasks(_average, len(wanted), *lists, source, wanted, averaged, progress=progress)
        return averaged


def shell_average(structure: Structure, cutoff: float, progress: Progress | None = None) -> ShellAverage:
    """Store the neighbours within `cutoff` and their weights.

    Raises
    ------
    StructureError
        As `neighbour_lists`.
    """
    lists = neighbour_lists(structure, cutoff, progress=progress)
    return ShellAverage(lists.offsets, lists.indices, np.exp(-lists.distances / np.float32(cutoff)))


@compiled()
def _mark_neighbours(offsets, indices, mask, widened):
    for i in range(len(mask)):
        if mask[i]:
            for k in range(offsets[i], offsets[i + 1]):
                widened[indices[k]] = True


@kernel
def _average(begin, end, offsets, indices, weights, rows, block, averaged):
    offsets, indices, weights = unowned((offsets, indices, weights))
    rows, block, averaged = unowned((rows, block, averaged))
    width = rows.shape[1]
    for t in range(begin, end):
        i = block[t]
        out = averaged[t]
        out[:] = 0 if offsets[i] < offsets[i + 1] else np.nan
        total = 0.0
        for k in range(offsets[i], offsets[i + 1]):
            weight = rows.dtype.type(weights[k])
            total += weights[k]
            row = rows[indices[k]]
            for c in range(width):
                out[c] += weight * row[c]
        factor = rows.dtype.type(1 / total) if total else rows.dtype.type(1)
        for c in range(width):
            out[c] *= factor
