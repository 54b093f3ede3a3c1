"""Non-affine squared displacements from OVITO's `AtomicStrainModifier`, called for one block of atoms at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection
from ovito.modifiers import AtomicStrainModifier
from ovito.pipeline import StaticSource

from ovito_glassml.adapter.progress import part_of, with_progress
from ovito_glassml.adapter.trajectory import Motion
from ovito_glassml.neighbours import (
    CellGrid,
    CellList,
    build_cell_list,
    neighbour_counts,
    neighbour_flatness,
    stage,
)

__all__ = ["AFFINE_MAPPINGS", "ovito_nonaffine_displacements"]

#: Names of OVITO's options.
AFFINE_MAPPINGS = ("Off", "ToReference", "ToCurrent")

#: Three bonds can always be mapped exactly, so that D²min would be 0 whatever the atoms did.
FEWEST_NEIGHBOURS = 4

#: Neighbours thinner than 10⁻⁵ of their extent are in a plane; a ratio of squares, as `neighbour_flatness`.
FLAT = 1e-10

#: Displacements smaller than this share of the coordinates are rounding errors.
ROUNDING = 1e-13

#: The same for inverting second moments, whose condition number multiplies it.
FIT_ROUNDING = 1e-14

#: Atoms evaluated between two signs of life, at most. Smaller blocks have more surroundings for each atom.
BLOCK_SIZE = 2048

#: Share of the time that goes into the search for neighbours.
SEARCH_SHARE = 0.1


def ovito_nonaffine_displacements(
    motion: Motion, cutoff: float, affine_mapping: str = "Off"
) -> Generator[float | str, None, tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """D²min as OVITO's `AtomicStrainModifier` finds it, yielding the fraction done.

    OVITO gets compact blocks of atoms with their surroundings, periodic images included. That keeps
    it interruptible, spares it atoms in random order, and makes cells smaller than the cutoff
    right, where it leaves out an atom's own images.

    Parameters
    ----------
    motion : Motion
    cutoff : float
        Neighbours in the reference configuration are nearer than this.
    affine_mapping : str
        One of `AFFINE_MAPPINGS`: the cell in which displacements are measured.

    Returns
    -------
    squares : (M,) array
        Σ over neighbours, in the square of the length unit; 0 where it is not above rounding errors, NaN
        for fewer than 4 neighbours and those in a plane.
    neighbours : (M,) int64 array
        Number of neighbours.

    Raises
    ------
    StructureError
        As `build_cell_list`.
    """
    squares = np.full(len(motion.start), np.nan)
    if not len(squares):
        return squares, np.zeros(0, dtype=np.int64)

    def search(report: Callable[[float], None]) -> tuple[CellList, NDArray[np.int64], NDArray[np.float64]]:
        cells = build_cell_list(motion.start, cutoff)
        counts = neighbour_counts(cells, stage(report, 0.0, 0.5))
        return cells, counts, neighbour_flatness(cells, stage(report, 0.5, 1.0))

    cells, neighbours, flatness = yield from part_of(with_progress(search), 0.0, SEARCH_SHARE)
    positions = np.column_stack(cells.grid[:3])
    done = 0
    for block in _compact_blocks(positions, cells.order):
        entries, inner = _with_surroundings(cells.grid, positions, block, cutoff)
        moved = positions[entries] + motion.displacements[cells.grid.atom[entries]]
        values = _strained(positions[entries], moved, motion.deformation, cutoff, affine_mapping)
        squares[cells.grid.atom[block]] = values[inner]
        done += len(block)
        yield SEARCH_SHARE + (1 - SEARCH_SHARE) * done / len(squares)
    scale = max(np.abs(values).max() for values in (positions, motion.start.positions, motion.displacements))
    # Fitting a gradient to flat surroundings magnifies rounding errors, until OVITO finds nothing else.
    noise = ROUNDING * scale + FIT_ROUNDING * cutoff / np.maximum(flatness, FLAT)
    squares[squares < neighbours * noise**2] = 0.0
    squares[(neighbours < FEWEST_NEIGHBOURS) | (flatness < FLAT)] = np.nan
    return squares, neighbours


def _compact_blocks(positions: NDArray, entries: NDArray) -> Iterator[NDArray]:
    """Halve along the longest edge until no part has more than `BLOCK_SIZE` atoms."""
    if len(entries) <= BLOCK_SIZE:
        yield entries
        return
    axis = int(np.ptp(positions[entries], axis=0).argmax())
    order = np.argpartition(positions[entries, axis], len(entries) // 2)
    for part in np.split(order, [len(entries) // 2]):
        # In the order of the grid, which is that of memory.
        yield from _compact_blocks(positions, entries[np.sort(part)])


def _with_surroundings(grid: CellGrid, positions: NDArray, block: NDArray, reach: float) -> tuple[NDArray, NDArray]:
    """Grid entries in the box around a block widened by `reach`, and where the block is among them."""
    lower, upper = positions[block].min(axis=0) - reach, positions[block].max(axis=0) + reach
    planes = np.clip((np.array([lower[0], upper[0]]) - grid.corner[0]) * grid.per_width[0], 0, grid.shape[0] - 1)
    first, last = planes.astype(np.int64) * grid.shape[1] * grid.shape[2]
    in_slabs = slice(grid.starts[first], grid.starts[last + grid.shape[1] * grid.shape[2]])
    near = ((positions[in_slabs] >= lower) & (positions[in_slabs] <= upper)).all(axis=1)
    entries = in_slabs.start + np.flatnonzero(near)
    return entries, np.searchsorted(entries, block)


def _strained(
    positions: NDArray, moved: NDArray, deformation: NDArray, cutoff: float, affine_mapping: str
) -> NDArray[np.float64]:
    """OVITO's D²min of isolated atoms, NaN for those that it calls invalid."""
    lower = positions.min(axis=0)
    box = np.diag(np.maximum(np.ptp(positions, axis=0), cutoff))
    reference = _frame(positions, box, lower)
    data = _frame(np.einsum("ij,kj->ik", moved, deformation), deformation @ box, deformation @ lower)
    strain = AtomicStrainModifier(
        reference=StaticSource(data=reference),  # type: ignore[arg-type]
        cutoff=cutoff,
        affine_mapping=getattr(AtomicStrainModifier.AffineMapping, affine_mapping),
        minimum_image_convention=False,
        output_nonaffine_squared_displacements=True,
        select_invalid_particles=True,
    )
    data.apply(strain)
    invalid = data.particles.selection[...] != 0
    return np.where(invalid, np.nan, data.particles["Nonaffine Squared Displacement"][...])


def _frame(positions: NDArray, vectors: NDArray, origin: NDArray) -> DataCollection:
    """Atoms in a cell without periodic boundaries; the cell's vectors are columns."""
    data = DataCollection()
    data.create_cell(np.column_stack([vectors, origin]), pbc=(False, False, False))
    data.create_particles(count=len(positions)).create_property("Position", data=positions)
    return data
