"""Sums over the neighbours of an atom, weighted by smooth functions of distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.compile import kernel, unowned
from ovito_glassml.neighbours import block_stages, build_cell_list, row_runs, run_space
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure
from ovito_glassml.threads import run_tasks

__all__ = ["cosine_taper", "gaussians", "shell_sums"]


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
    (M, column_count, K) float32 array
        In the order of ``structure.selected``.
    """
    cells = build_cell_list(structure, cutoff)
    source = np.asarray(values, dtype=np.float64)[cells.grid.atom]
    kinds = np.asarray(columns, dtype=np.int64)
    radial = np.ascontiguousarray(table, dtype=np.float64)
    selected = structure.selected
    row_of = np.empty(len(structure), dtype=np.int64)
    row_of[selected] = np.arange(len(selected))
    sums = np.empty((len(selected), column_count, radial.shape[1]), dtype=np.float32)
    for block, share in block_stages(cells.blocks(structure.mask), len(selected), progress):
        part = np.zeros((len(block), *sums.shape[1:]))
        arguments = (cells.grid, block, float(cutoff), kinds, radial, source, part)
        run_tasks(_sum_block, len(block), *arguments, progress=share)
        sums[row_of[cells.grid.atom[block]]] = part
    return sums


@kernel
def _sum_block(begin, end, grid, block, cutoff, columns, table, source, sums):
    grid, block, columns, table = unowned((grid, block, columns, table))
    source, sums = unowned((source, sums))
    points_per_length = (len(table) - 1) / cutoff
    functions = table.shape[1]
    runs = run_space(grid, cutoff)
    for t in range(begin, end):
        i = block[t]
        x, y, z = grid.x[i], grid.y[i], grid.z[i]
        for run in range(row_runs(grid, x, y, z, cutoff, runs)):
            for j in range(runs[0, run], runs[1, run]):
                dx, dy, dz = grid.x[j] - x, grid.y[j] - y, grid.z[j] - z
                square = dx * dx + dy * dy + dz * dz
                column = columns[grid.species[j]]
                if square >= cutoff * cutoff or j == i or column < 0:
                    continue
                place = np.sqrt(square) * points_per_length
                point = np.int64(place)
                point = point if point < len(table) - 2 else np.int64(len(table) - 2)
                rest = place - point
                for k in range(functions):
                    weight = (1 - rest) * table[point, k] + rest * table[point + 1, k]
                    sums[t, column, k] += weight * source[j]
