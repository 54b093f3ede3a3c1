"""Sums over the neighbours of an atom, weighted by smooth functions of distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.compile import empty, kernel, unowned, unsigned
from ovito_glassml.neighbours import block_stages, build_cell_list, gather_neighbours, neighbour_space
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure
from ovito_glassml.threads import run_tasks

__all__ = ["cosine_taper", "gaussians", "shell_sums", "sum_shells"]


def cosine_taper(radii: NDArray, cutoff: float) -> NDArray[np.float64]:
    """1 at the centre, falling smoothly to 0 at the cutoff, so that no atom enters with a jump."""
    return np.where(radii < cutoff, 0.5 * (1 + np.cos(np.pi * np.asarray(radii) / cutoff)), 0.0)


def gaussians(radii: NDArray, centres: NDArray, width: float, cutoff: float) -> NDArray[np.float64]:
    """Gaussian functions of distance times `cosine_taper`.

    Parameters
    ----------
    radii : (R,) array
        Where to evaluate them.
    centres : (K,) array
        Positions of the maxima.
    width : float
        Standard deviation.
    cutoff : float
        Where they vanish.

    Returns
    -------
    (R, K) array
    """
    reduced = (np.asarray(radii)[:, None] - np.asarray(centres)) / width
    return np.exp(-0.5 * reduced**2) * cosine_taper(radii, cutoff)[:, None]


def shell_sums(
    structure: Structure,
    values: NDArray,
    table: NDArray,
    cutoff: float,
    columns: NDArray,
    column_count: int,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Σ_j f_k(r_ij) v_j over the neighbours j of every selected atom i, by species of j.

    Parameters
    ----------
    structure : Structure
    values : (N,) array
        v, for every atom.
    table : (R, K) array
        f_k at R equally spaced distances from 0 to `cutoff`, interpolated linearly.
    cutoff : float
        In the structure's length unit.
    columns : (species,) integer array
        The column, from 0, in which each species' atoms count; -1 for those that do not.
    column_count : int
    progress : callable, optional
        Called with the fraction done between blocks; may raise to stop.

    Returns
    -------
    (M, column_count * K) float32 array
        In the order of ``structure.selected``.
    """
    cells = build_cell_list(structure, cutoff)
    settings = float(cutoff), np.asarray(columns, dtype=np.int64), np.ascontiguousarray(table, dtype=np.float64)
    selected = structure.selected
    row_of = np.empty(len(structure), dtype=np.int64)
    row_of[selected] = np.arange(len(selected))
    sums = np.empty((len(selected), column_count * table.shape[1]), dtype=np.float32)
    for block, share in block_stages(cells.blocks(structure.mask), len(selected), progress):
        part = np.empty((len(block), sums.shape[1]), dtype=np.float32)
        arguments = (cells.grid, block, *settings, np.asarray(values, dtype=np.float64), 0, part)
        run_tasks(sum_shells, len(block), *arguments, progress=share)
        sums[row_of[cells.grid.atom[block]]] = part
    return sums


@kernel
def sum_shells(begin, end, grid, block, cutoff, columns, table, values, first, rows):
    """Write the sums of `shell_sums` for some atoms of a block, from column `first` of their rows on."""
    grid, block, columns, table = unowned((grid, block, columns, table))
    values, rows = unowned((values, rows))
    points_per_length, last = (len(table) - 1) / cutoff, len(table) - 2.0
    functions = table.shape[1]
    sums = empty(rows.shape[1] - first, np.float64)
    found = neighbour_space(grid, block, begin, end, cutoff)
    entries, _, squares, _ = unowned(found)
    for t in range(begin, end):
        n = gather_neighbours(grid, block[t], cutoff, found)
        sums[:] = 0.0
        for j in range(n):
            entry = unsigned(entries[j])
            column = columns[unsigned(grid.species[entry])] * functions
            if column < 0:
                continue
            place = np.sqrt(squares[j]) * points_per_length
            point = unsigned(place if place < last else last)
            rest, value = place - point, values[unsigned(grid.atom[entry])]
            own, low, high = sums[column : column + functions], table[point], table[point + unsigned(1)]
            for k in range(functions):
                own[k] += ((1 - rest) * low[k] + rest * high[k]) * value
        for k in range(len(sums)):
            rows[t, first + k] = sums[k]
