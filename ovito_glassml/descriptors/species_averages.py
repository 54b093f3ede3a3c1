"""Averages of what atoms are like over those around an atom, for each species apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.compile import empty, kernel, unowned, unsigned
from ovito_glassml.neighbours import (
    CellList,
    block_stages,
    gather_neighbours,
    neighbour_space,
)
from ovito_glassml.progress import Progress
from ovito_glassml.threads import run_tasks

__all__ = ["species_averages"]


def species_averages(
    cells: CellList,
    values: NDArray[np.float32],
    columns: NDArray[np.int64],
    count: int,
    radius: float,
    mask: NDArray[np.bool_] | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
    """Yield (atom indices, averages) for blocks of atoms in space order.

    ::

        x̄_i,s = Σ_j w_ij x_j / Σ_j w_ij over the atoms j of species s, i itself among its own,
        w_ij = (1 − r_ij² / R²)³ for r_ij < R

    The weight goes smoothly to zero at the radius R, and looks like a Gaussian of standard deviation 0.38 R.
    Averaging is linear: average the few numbers that a model makes of a row, not the row.

    Parameters
    ----------
    cells : CellList
        Best in space order; must reach at least as far as `radius`.
    values : (N, k) float32 array
        Per atom.
    columns : (N,) int64 array
        Place of every atom's species among the `count` averages; -1 for atoms that do not count.
    count : int
        Number of species.
    radius : float
        R in the structure's length unit.
    mask : (N,) bool array, optional
        Atoms whose averages are wanted; by default all.
    progress : callable, optional
        Called with the fraction done; may raise to stop.

    Yields
    ------
    (B,) int32 array, (B, count, k) float32 array
        Zero where no atom of a species is near.
    """
    wanted = len(cells.order) if mask is None else int(mask.sum())
    for block, share in block_stages(cells.blocks(mask), wanted, progress):
        averages = np.empty((len(block), count, values.shape[1]), dtype=np.float32)
        run_tasks(_average, len(block), cells.grid, block, float(radius), values, columns, averages, progress=share)
        yield cells.grid.atom[block], averages


@kernel
def _average(begin, end, grid, block, radius, values, columns, averages):
    grid, block, values, columns, averages = unowned((grid, block, values, columns, averages))
    found = neighbour_space(grid, block, begin, end, radius)
    entries, _, squares, _ = unowned(found)
    count, width = averages.shape[1], averages.shape[2]
    totals = empty(count, np.float64)
    for t in range(begin, end):
        i = block[t]
        own = averages[t]
        for s in range(count):
            totals[s] = 0.0
            for c in range(width):
                own[s, c] = 0.0
        n = gather_neighbours(grid, i, radius, found)
        entries[n], squares[n] = i, 0.0  # the atom itself; there is always room for one more
        for k in range(n + 1):
            atom = unsigned(grid.atom[entries[k]])
            s = columns[atom]
            if s >= 0:
                rest = 1.0 - squares[k] / (radius * radius)
                weight = rest * rest * rest
                totals[s] += weight
                factor = np.float32(weight)
                for c in range(width):
                    own[s, c] += factor * values[atom, c]
        for s in range(count):
            factor = np.float32(1.0 / totals[s]) if totals[s] > 0.0 else np.float32(0.0)
            for c in range(width):
                own[s, c] *= factor
