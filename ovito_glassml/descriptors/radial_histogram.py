"""Kernel 1: how many neighbours of each species every atom has in bins of distance."""

from __future__ import annotations

import numpy as np

from ovito_glassml.compile import empty, inlined, kernel, unowned
from ovito_glassml.neighbours import row_runs, run_space

__all__ = ["EDGE_TOLERANCE", "radial_histogram"]

#: A distance this fraction of a bin below an edge counts as on it, and so belongs to the upper bin:
#: equal shells of a perfect crystal must not be torn apart by rounding.
EDGE_TOLERANCE = 1e-8


@kernel
def radial_histogram(begin, end, grid, block, reach, r_min, bins_per_length, columns, scale, places, rows):
    """Count neighbours by distance and column for some atoms of a block, and write their rows.

    Parameters
    ----------
    begin, end : int
        Range of the atoms in the block.
    grid : CellGrid
    block : (B,) int64 array
        Grid entries of the central atoms.
    reach : float
        Upper end of the last bin, with the slack of the cell list.
    r_min : float
        Lower end of the first bin.
    bins_per_length : float
        One over the bin width.
    columns : (species,) int64 array
        The histogram that neighbours of each species go to.
    scale : (bins,) float64 array
        Factors of the counts.
    places : (B,) int64 array
        The rows to write.
    rows : (M, H * bins) float32 array
        Filled with the scaled counts, column by column.
    """
    grid, block, columns = unowned((grid, block, columns))
    scale, places, rows = unowned((scale, places, rows))
    bins = len(scale)
    # The first and the last bin hold what is too near and too far.
    histograms = empty((rows.shape[1] // bins, bins + 2), np.int32)
    offset = 1.0 + EDGE_TOLERANCE - r_min * bins_per_length
    slots = empty(grid.longest_row, np.int32)
    runs = run_space(grid, reach)
    for t in range(begin, end):
        i = block[t]
        x, y, z = grid.x[i], grid.y[i], grid.z[i]
        histograms[:] = 0
        for run in range(row_runs(grid, x, y, z, reach, runs)):
            first, last = runs[0, run], runs[1, run]
            xs, ys, zs = grid.x[first:last], grid.y[first:last], grid.z[first:last]
            # Slices from 0 and no branch: this runs in vector registers.
            for k in range(len(xs)):
                dx, dy, dz = xs[k] - x, ys[k] - y, zs[k] - z
                slots[k] = _bin(np.sqrt(dx * dx + dy * dy + dz * dz) * bins_per_length + offset, bins + 1.0)
            species = grid.species[first:last]
            for k in range(len(species)):
                histograms[columns[species[k]], slots[k]] += 1
        own = _bin(offset, bins + 1.0)
        histograms[columns[grid.species[i]], own] -= 1
        for column in range(len(histograms)):
            row = rows[places[t], column * bins : (column + 1) * bins]
            for k in range(bins):
                row[k] = histograms[column, k + 1] * scale[k]


@inlined
def _bin(place, last):
    inside = place if place > 0.0 else 0.0
    return np.int32(inside if inside < last else last)
