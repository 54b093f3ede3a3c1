"""Neighbour search: a cell list on spatially sorted copies of the atoms and of their periodic images.

Every image that any atom can see is stored explicitly, so a kernel never thinks about
boundaries: triclinic, mixed, open and tiny cells are all the same Cartesian grid. The grid is
made of rows along z that lie contiguously in memory; the neighbours of an atom are a few dozen
runs of consecutive atoms, which vector units and caches like.

A kernel walks over them like this::

    for k in range(row_runs(grid, x, y, z, reach, runs)):
        for j in range(runs[0, k], runs[1, k]):
            ...  # grid.x[j], grid.y[j], grid.z[j]; skip j == i
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.compile import empty, inlined, inner, kernel, maker, unowned, unsigned
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.threads import LARGE_TASK_SIZE, Progress, one_blas_thread, run_tasks

__all__ = [
    "BLOCK_SIZE",
    "CellGrid",
    "CellList",
    "Found",
    "NeighbourLists",
    "Progress",
    "average_within",
    "block_lists",
    "block_stages",
    "blocks_around",
    "buffer_size",
    "build_cell_list",
    "cut_out",
    "gather_neighbours",
    "neighbour_counts",
    "neighbour_lists",
    "neighbour_space",
    "reporting",
    "row_runs",
    "run_space",
    "sort_in_space",
    "stage",
    "sum_within",
    "within_reach",
]

#: Atoms between two calls of a progress callback. Fixed, so that results never depend on it.
BLOCK_SIZE = 4096

#: More neighbours than this within a cutoff mean a wrong length unit rather than a wish.
MAX_NEIGHBOURS = 50_000

#: More atoms and images than this take more memory (40 bytes each) than a workstation has to spare.
MAX_ENTRIES = 500_000_000

#: Two atoms closer than this (in the length unit of the structure) are the same atom twice.
COINCIDENCE = 1e-4

# Relative slack of the search region: rounding must never lose an atom at the cutoff.
_SLACK = 1e-9


class CellGrid(NamedTuple):
    """Atoms and periodic images sorted by grid cell, in a form that compiled code takes.

    Attributes
    ----------
    x, y, z : (M,) float64 arrays
        Coordinates of the atoms and of their images.
    species : (M,) int32 array
        Species index.
    atom : (M,) int32 array
        Index in the structure of the atom, or of the atom that this is an image of.
    starts : int64 array
        First entry of every grid cell, cells numbered with z fastest, and M at the end.
    shape : (3,) int64 array
        Number of grid cells per axis.
    axes : (3, 3) float64 array
        Lower corner of the grid, edge lengths of one grid cell, and one over them.
    longest_row : int
        Number of atoms and images in the fullest row: the size of a buffer for one run.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    z: NDArray[np.float64]
    species: NDArray[np.int32]
    atom: NDArray[np.int32]
    starts: NDArray[np.int64]
    shape: NDArray[np.int64]
    axes: NDArray[np.float64]
    longest_row: int


@dataclass(frozen=True, eq=False)
class CellList:
    """A structure sorted in space for searches up to `cutoff`.

    Attributes
    ----------
    grid : CellGrid
        What compiled kernels take.
    order : (N,) int64 array
        Entries of the grid that are atoms of the structure and not images, in space order.
    cutoff : float
        Largest distance at which neighbours are complete.
    """

    grid: CellGrid
    order: NDArray[np.int64]
    cutoff: float

    def blocks(self, mask: NDArray[np.bool_] | None = None, together: int = 1) -> Iterator[NDArray[np.int64]]:
        """Grid entries of the atoms in `mask` (None: all), `BLOCK_SIZE` times `together` at a time, in space order."""
        chosen = self.order if mask is None else self.order[mask[self.grid.atom[self.order]]]
        size = BLOCK_SIZE * together
        for first in range(0, len(chosen), size):
            yield chosen[first : first + size]


def build_cell_list(structure: Structure, cutoff: float) -> CellList:
    """Sort a structure, with all periodic images within `cutoff`, for neighbour searches.

    Parameters
    ----------
    structure : Structure
        Any boundary conditions; atoms outside the cell are wrapped in its periodic directions.
    cutoff : float
        Largest distance that will be searched, in the structure's length unit.

    Raises
    ------
    StructureError
        For a cutoff that is not positive, more than `MAX_NEIGHBOURS` neighbours expected within
        it, or two atoms at the same place.
    """
    if not (np.isfinite(cutoff) and cutoff > 0):
        raise StructureError(f"The cutoff is {cutoff}; give a positive length.")
    reach = cutoff * (1 + _SLACK)
    images = _with_images(structure, reach)
    grid, real = _sorted_grid(*images, reach)
    order = np.flatnonzero(real)
    _check_coincidence(structure, grid, order)
    return CellList(grid, order, float(cutoff))


def sort_in_space(structure: Structure, cutoff: float) -> tuple[Structure, NDArray[np.int64], CellList]:
    """The same atoms in an order in which neighbours are close in memory too.

    Melting puts atoms in random order, and then every pass over stored neighbour lists waits for
    main memory. Sort once, work on the sorted structure, and scatter the results back.

    Parameters
    ----------
    structure : Structure
    cutoff : float
        As for `build_cell_list`, with the same errors.

    Returns
    -------
    sorted : Structure
    order : (N,) int64 array
        Atom ``order[k]`` of the structure is atom k of the sorted one.
    cells : CellList
        Of the sorted structure.
    """
    cells = build_cell_list(structure, cutoff)
    order = cells.grid.atom[cells.order].astype(np.int64)
    place = np.empty(len(order), dtype=np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    ordered = Structure(
        structure.positions[order],
        structure.species[order],
        structure.species_names,
        structure.cell,
        structure.origin,
        structure.pbc,
        structure.ids[order],
        None if structure.mask is None else structure.mask[order],
    )
    return ordered, order, replace(cells, grid=cells.grid._replace(atom=place[cells.grid.atom]))


def _with_images(structure: Structure, reach: float) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Positions, species, atom indices and a flag 'is no image', wrapped and with images up to `reach` outside."""
    count = len(structure)
    if structure.cell is None or not any(structure.pbc) or not count:
        _check_density(structure, count, reach)
        index = np.arange(count, dtype=np.int32)
        return structure.positions, structure.species, index, np.ones(count, dtype=np.bool_)
    inverse = np.linalg.inv(structure.cell)
    # Rows of the inverse's transpose are normal to the cell's faces; 1/|row| is the height above that face.
    heights = 1 / np.linalg.norm(inverse, axis=0)
    margins = np.where(structure.pbc, reach / heights, 0.0)
    _check_density(structure, count * float(np.prod(1 + 2 * margins)), reach)
    positions, index, real = _replicate(
        structure.positions, structure.cell, structure.origin, inverse, margins, np.array(structure.pbc)
    )
    return positions, structure.species[index], index, real


def _check_density(structure: Structure, expected_entries: float, reach: float) -> None:
    """Refuse searches whose size betrays a wrong cutoff or length unit."""
    if expected_entries > MAX_ENTRIES:
        raise StructureError(
            f"A search up to {reach:.6g} would need {expected_entries:.3g} atoms and periodic images; "
            "lower the cutoff or check the length unit."
        )
    if all(structure.pbc):
        neighbours = structure.number_density * 4 / 3 * np.pi * reach**3
        if neighbours > MAX_NEIGHBOURS:
            raise StructureError(
                f"An atom would have about {neighbours:.3g} neighbours within {reach:.6g}; "
                "lower the cutoff or check the length unit."
            )


def _replicate(
    positions: NDArray, cell: NDArray, origin: NDArray, inverse: NDArray, margins: NDArray, periodic: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Positions of the atoms and of their images, the index of the atom that each is, and whether it is no image."""
    # A row for each axis: NumPy is slow on rows of three.
    offsets, each = np.ascontiguousarray((positions - origin).T), periodic[:, None]
    # Not as a product of matrices, which every processor rounds in a way of its own.
    fractions = inverse[0, :, None] * offsets[0] + inverse[1, :, None] * offsets[1] + inverse[2, :, None] * offsets[2]
    base = np.where(each, -np.floor(fractions), 0.0)
    fractions += base
    reach = margins[:, None]
    lowest = np.where(each, np.ceil(-reach - fractions), 0.0)
    copies = (np.where(each, np.floor(1 + reach - fractions), 0.0) - lowest + 1).astype(np.int64)
    ends = np.cumsum(copies[0] * copies[1] * copies[2])
    out = np.empty((ends[-1], 3))
    index = np.empty(ends[-1], dtype=np.int32)
    real = np.empty(ends[-1], dtype=np.bool_)
    _place_images(0, len(positions), positions, cell, base, lowest, copies, ends, out, index, real)
    return out, index, real


@kernel
def _place_images(begin, end, positions, cell, base, lowest, copies, ends, out, index, real):
    for i in range(begin, end):
        n = ends[i] - copies[0, i] * copies[1, i] * copies[2, i]
        for a in range(copies[0, i]):
            for b in range(copies[1, i]):
                for c in range(copies[2, i]):
                    u, v, w = lowest[0, i] + a, lowest[1, i] + b, lowest[2, i] + c
                    real[n] = u == 0.0 and v == 0.0 and w == 0.0
                    u, v, w = u + base[0, i], v + base[1, i], w + base[2, i]
                    for k in range(3):
                        out[n, k] = positions[i, k] + (u * cell[0, k] + v * cell[1, k] + w * cell[2, k])
                    index[n] = i
                    n += 1


def _sorted_grid(
    positions: NDArray, species: NDArray, index: NDArray, real: NDArray, reach: float
) -> tuple[CellGrid, NDArray[np.bool_]]:
    count = len(positions)
    along = positions.T  # a row for each axis: NumPy is slow on rows of three
    lower = np.array([axis.min() for axis in along]) if count else np.zeros(3)
    extent = np.array([axis.max() for axis in along]) - lower if count else np.zeros(3)
    width = _grid_widths(extent, count, reach)
    shape = np.floor(extent / width).astype(np.int64) + 1
    settings = zip(along, lower, 1 / width, shape - 1, strict=True)
    cell = [np.minimum(((axis - least) * scale).astype(np.int64), last) for axis, least, scale, last in settings]
    cells = (cell[0] * shape[1] + cell[1]) * shape[2] + cell[2]
    starts = np.concatenate([[0], np.cumsum(np.bincount(cells, minlength=int(np.prod(shape))))])
    order = np.empty(count, dtype=np.int64)
    _sort_by_cell(0, count, cells, starts[:-1].copy(), order)
    x, y, z = (np.ascontiguousarray(positions[order, axis]) for axis in range(3))
    longest_row = int(np.diff(starts[:: shape[2]]).max(initial=0))
    axes = np.array([lower, width, 1 / width])
    grid = CellGrid(x, y, z, species[order], index[order], starts, shape, axes, longest_row)
    return grid, real[order]


def _grid_widths(extent: NDArray, count: int, reach: float) -> NDArray[np.float64]:
    """Edge lengths of the grid cells: rows a third of the reach wide but not thinner than the atoms'
    spacing, and cut along z so finely that a cell holds about one atom."""
    padded = np.maximum(extent, reach)
    volume_per_atom = float(np.prod(padded)) / max(count, 1)
    across = max(reach / 3, (2 * volume_per_atom) ** (1 / 3))
    along = min(volume_per_atom / across**2, reach / 3)
    width = np.array([across, across, along])
    # Far-flung atoms must not buy a huge empty grid.
    while np.prod(np.floor(extent / width) + 1) > 8 * count + 64:
        width *= 1.25
    return width


@kernel
def _sort_by_cell(begin, end, cells, places, order):
    """Counting sort; `places` holds the next place of each cell."""
    for i in range(begin, end):
        order[places[cells[i]]] = i
        places[cells[i]] += 1


@inlined
def _planes(corner, per_width, count, value, reach):
    """First and one past the last of the grid planes along an axis that come within `reach` of `value`."""
    first = np.int64((value - reach - corner) * per_width)
    last = np.int64((value + reach - corner) * per_width + 1.0)
    return first if first > 0 else 0, last if last < count else count


@inlined
def _gap(lower, width, value):
    """Distance along an axis from `value` to a grid plane's slab, 0 inside it."""
    below, above = lower - value, value - lower - width
    gap = below if below > above else above
    return gap if gap > 0.0 else 0.0


@inner
def row_runs(grid, x, y, z, reach, runs):
    """Write the first and one past the last entry in every grid row that can lie within `reach` of (x, y, z).

    Parameters
    ----------
    grid : CellGrid
    x, y, z : float
    reach : float
        At most the cutoff of the cell list, with its slack.
    runs : (2, rows) int64 array
        Filled; from `run_space`.

    Returns
    -------
    int
        Number of runs.
    """
    corner, width, per_width = grid.axes[0], grid.axes[1], grid.axes[2]
    shape, starts = grid.shape, grid.starts
    x_first, x_last = _planes(corner[0], per_width[0], shape[0], x, reach)
    y_first, y_last = _planes(corner[1], per_width[1], shape[1], y, reach)
    count = 0
    for ix in range(x_first, x_last):
        gap_x = _gap(corner[0] + ix * width[0], width[0], x)
        for iy in range(y_first, y_last):
            gap_y = _gap(corner[1] + iy * width[1], width[1], y)
            left = reach * reach - gap_x * gap_x - gap_y * gap_y
            if left >= 0.0:
                lowest, highest = _planes(corner[2], per_width[2], shape[2], z, np.sqrt(left))
                row = (ix * shape[1] + iy) * shape[2]
                if lowest < highest:
                    runs[0, count], runs[1, count] = starts[row + lowest], starts[row + highest]
                    count += 1
    return count


@maker
def run_space(grid, reach):
    """Room for `row_runs`."""
    (grid,) = unowned((grid,))
    across = np.int64(2.0 * reach * grid.axes[2, 0]) + 2
    return empty((2, across * (np.int64(2.0 * reach * grid.axes[2, 1]) + 2)), np.int64)


class Found(NamedTuple):
    """Neighbours of one atom, as `gather_neighbours` writes them, and its work space.

    Attributes
    ----------
    entries : (C,) int32 array
        Entries of the grid.
    vectors : (3, C) float64 array
        From the atom.
    squares : (C,) float64 array
        Squared distances.
    runs : (2, rows) int64 array
    """

    entries: NDArray[np.int32]
    vectors: NDArray[np.float64]
    squares: NDArray[np.float64]
    runs: NDArray[np.int64]


@inner
def buffer_size(grid, block, first, last, reach, runs):
    """Room for the neighbours of any of ``block[first:last]``: the most atoms in all runs of one, and one."""
    most = 0
    for t in range(first, last):
        i = block[t]
        total = 0
        for k in range(row_runs(grid, grid.x[i], grid.y[i], grid.z[i], reach, runs)):
            total += runs[1, k] - runs[0, k]
        most = total if total > most else most
    return most + 1


@maker
def neighbour_space(grid, block, first, last, cutoff):
    """Room for `gather_neighbours` of any of ``block[first:last]``."""
    grid, block = unowned((grid, block))
    reach = cutoff * (1 + _SLACK)
    runs = run_space(grid, reach)
    capacity = buffer_size(grid, block, first, last, reach, runs)
    return Found(empty(capacity, np.int32), empty((3, capacity), np.float64), empty(capacity, np.float64), runs)


@inner
def gather_neighbours(grid, i, cutoff, found):
    """Write the neighbours of entry `i` closer than `cutoff`; the entry itself is left out, its images are not.

    Parameters
    ----------
    grid : CellGrid
    i : int
        Entry of the grid.
    cutoff : float
        At most the cutoff of the cell list.
    found : Found
        From `neighbour_space`.

    Returns
    -------
    int
        Number of neighbours.
    """
    xs, ys, zs = grid.x, grid.y, grid.z
    entries, vectors, squares, runs = found
    x, y, z = xs[i], ys[i], zs[i]
    limit, own, n = cutoff * cutoff, unsigned(i), unsigned(0)
    for k in range(row_runs(grid, x, y, z, cutoff * (1 + _SLACK), runs)):
        for j in range(unsigned(runs[0, k]), unsigned(runs[1, k])):
            dx, dy, dz = xs[j] - x, ys[j] - y, zs[j] - z
            square = dx * dx + dy * dy + dz * dz
            # Written always and kept if near: a jump that the processor cannot predict costs more.
            entries[n] = j
            vectors[0, n] = dx
            vectors[1, n] = dy
            vectors[2, n] = dz
            squares[n] = square
            n += unsigned((square < limit) & (j != own))
    return np.int64(n)


def _check_coincidence(structure: Structure, grid: CellGrid, order: NDArray[np.int64]) -> None:
    partners = np.empty(len(order), dtype=np.int64)
    _mark_coincident(0, len(order), grid, order, COINCIDENCE, partners)
    if (partners >= 0).any():
        k = int(np.argmax(partners >= 0))
        first, second = sorted(int(structure.ids[grid.atom[entry]]) for entry in (order[k], partners[k]))
        raise StructureError(f"Atoms {first} and {second} are at the same place; delete one of them.")


@kernel
def _mark_coincident(begin, end, grid, block, distance, partners):
    grid, block, partners = unowned((grid, block, partners))
    xs, ys, zs = grid.x, grid.y, grid.z
    runs = run_space(grid, distance)
    for t in range(begin, end):
        i = block[t]
        x, y, z = xs[i], ys[i], zs[i]
        partners[t] = -1
        for k in range(row_runs(grid, x, y, z, distance, runs)):
            for j in range(runs[0, k], runs[1, k]):
                dx, dy, dz = xs[j] - x, ys[j] - y, zs[j] - z
                if j != i and dx * dx + dy * dy + dz * dz < distance * distance:
                    partners[t] = j


@dataclass(frozen=True, eq=False)
class NeighbourLists:
    """Neighbours of every atom, one after the other.

    Attributes
    ----------
    offsets : (N + 1,) int64 array
        Atom i's neighbours are entries ``offsets[i]`` to ``offsets[i + 1]``.
    indices : (P,) int32 array
        Indices of the neighbours. An atom seen through several images appears several times,
        and so does the atom itself in a cell smaller than the cutoff.
    distances : (P,) float32 array
    vectors : (P, 3) float32 array or None
        From the atom to its neighbour.
    """

    offsets: NDArray[np.int64]
    indices: NDArray[np.int32]
    distances: NDArray[np.float32]
    vectors: NDArray[np.float32] | None = None


def neighbour_lists(
    structure: Structure,
    cutoff: float,
    *,
    vectors: bool = False,
    max_bytes: float = 8e9,
    progress: Progress | None = None,
) -> NeighbourLists:
    """All neighbours closer than `cutoff`, stored, in the structure's order of atoms.

    Parameters
    ----------
    structure : Structure
        The mask is ignored: every atom gets its neighbours.
    cutoff : float
        In the structure's length unit.
    vectors : bool
        Store the connecting vectors too (12 bytes a neighbour more).
    max_bytes : float
        Lists larger than this are refused before they are made.
    progress : callable, optional
        Called with the fraction done between blocks; may raise to stop.

    Raises
    ------
    StructureError
        As `build_cell_list`, and for lists larger than `max_bytes`.
    """
    cells = build_cell_list(structure, cutoff)
    counts = neighbour_counts(cells, stage(progress, 0.0, 0.4))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    size = int(offsets[-1])
    needed = size * (20 if vectors else 8)
    if needed > max_bytes:
        raise StructureError(
            f"The neighbour lists would take {needed / 1e9:.1f} GB ({size / len(structure):.0f} neighbours an atom "
            f"within {cutoff:g}); lower the cutoff or raise max_bytes."
        )
    indices = np.empty(size, dtype=np.int32)
    distances = np.empty(size, dtype=np.float32)
    connections = np.empty((size if vectors else 0, 3), dtype=np.float32)
    arrays = (offsets, indices, distances, connections)
    for block, share in block_stages(cells.blocks(), len(structure), stage(progress, 0.4, 1.0)):
        places = cells.grid.atom[block]
        run_tasks(_fill_block, len(block), cells.grid, block, cells.cutoff, places, *arrays, progress=share)
    return NeighbourLists(offsets, indices, distances, connections if vectors else None)


def block_lists(cells: CellList, block: NDArray[np.int64], cutoff: float) -> NeighbourLists:
    """Neighbours of the grid entries of a block closer than `cutoff`, at most that of the cell list."""
    places, counts = np.arange(len(block), dtype=np.int32), np.empty(len(block), dtype=np.int64)
    run_tasks(_count_block, len(block), cells.grid, block, float(cutoff), places, counts)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    indices, distances = np.empty(offsets[-1], dtype=np.int32), np.empty(offsets[-1], dtype=np.float32)
    arrays = offsets, indices, distances, np.empty((0, 3), dtype=np.float32)
    run_tasks(_fill_block, len(block), cells.grid, block, float(cutoff), places, *arrays)
    return NeighbourLists(offsets, indices, distances)


def neighbour_counts(cells: CellList, progress: Progress | None = None) -> NDArray[np.int64]:
    """Number of neighbours that every atom of a cell list has closer than its cutoff, in the structure's order.

    As in `NeighbourLists`, an atom seen through several images counts several times.
    """
    counts = np.zeros(len(cells.order), dtype=np.int64)
    for block, share in block_stages(cells.blocks(), len(counts), progress):
        places = cells.grid.atom[block]
        run_tasks(_count_block, len(block), cells.grid, block, cells.cutoff, places, counts, progress=share)
    return counts


def stage(progress: Progress | None, begin: float, end: float) -> Progress | None:
    """Callback for a step of longer work that goes from fraction `begin` to `end` of it."""
    if progress is None:
        return None
    return lambda fraction: progress((1 - fraction) * begin + fraction * end)


def block_stages(
    blocks: Iterable[NDArray], count: int, progress: Progress | None
) -> Iterator[tuple[NDArray, Progress | None]]:
    """Yield blocks of together `count` atoms, each with a callback for its share of the work."""
    done = 0
    for block in blocks:
        yield block, stage(progress, done / count, (done + len(block)) / count)
        done += len(block)


def reporting(blocks: Iterable, count: int, progress: Progress | None) -> Iterator:
    """Pass blocks on and report the fraction of atoms done after each."""
    done = 0
    for indices, rows in blocks:
        yield indices, rows
        done += len(indices)
        if progress is not None:
            progress(done / count)


@kernel
def _count_block(begin, end, grid, block, cutoff, places, counts):
    grid, block, places, counts = unowned((grid, block, places, counts))
    reach = cutoff * (1 + _SLACK)
    runs = run_space(grid, reach)
    for t in range(begin, end):
        i = block[t]
        x, y, z = grid.x[i], grid.y[i], grid.z[i]
        n = -1  # the atom itself
        for k in range(row_runs(grid, x, y, z, reach, runs)):
            for j in range(runs[0, k], runs[1, k]):
                dx, dy, dz = grid.x[j] - x, grid.y[j] - y, grid.z[j] - z
                n += dx * dx + dy * dy + dz * dz < cutoff * cutoff
        counts[places[t]] = n


@kernel
def _fill_block(begin, end, grid, block, cutoff, places, offsets, indices, distances, connections):
    grid, block, places, offsets, indices = unowned((grid, block, places, offsets, indices))
    distances, connections = unowned((distances, connections))
    found = neighbour_space(grid, block, begin, end, cutoff)
    entries, vectors, squares, _ = unowned(found)
    for t in range(begin, end):
        i = block[t]
        n = gather_neighbours(grid, i, cutoff, found)
        first = offsets[places[t]]
        for k in range(n):
            indices[first + k] = grid.atom[entries[k]]
            distances[first + k] = np.sqrt(squares[k])
        if len(connections):
            for k in range(n):
                for d in range(3):
                    connections[first + k, d] = vectors[d, k]


def average_within(
    structure: Structure,
    values: NDArray,
    radius: float,
    progress: Progress | None = None,
    cells: CellList | None = None,
) -> NDArray[np.float64]:
    """Mean of a per-atom quantity over all atoms within `radius`, the atom itself included.

    Parameters
    ----------
    structure : Structure
        The mask is ignored; mark atoms that shall not count by NaN in `values`.
    values : (N,) or (N, k) array
        NaN is left out of the means.
    radius : float
        In the structure's length unit.
    progress : callable, optional
        Called with the fraction done between blocks; may raise to stop.
    cells : CellList, optional
        Of the structure, best in space order, see `sort_in_space`; serves if it reaches as far.

    Returns
    -------
    (N,) or (N, k) float64 array
        NaN where no value lies within `radius`.

    Raises
    ------
    StructureError
        As `build_cell_list`, and for `values` of the wrong length.
    """
    columns = np.asarray(values)
    if columns.dtype != np.float32:  # which is summed in double precision all the same
        columns = columns.astype(np.float64)
    if columns.shape[:1] != (len(structure),) or columns.ndim > 2:
        raise StructureError(f"values has shape {columns.shape}; give one row for each of the {len(structure)} atoms.")
    means = np.empty(columns.shape)
    if cells is None or cells.cutoff < radius:
        ordered, order, cells = sort_in_space(structure, radius)
        means[order] = average_within(ordered, columns[order], radius, progress, cells)
        return means
    table = np.atleast_2d(columns.T).T
    unknown = np.isnan(table)
    if unknown.any():
        table, known = np.where(unknown, table.dtype.type(0), table), ~unknown
    else:  # one count for all columns
        known = np.ones((len(table), 1), dtype=np.bool_)
    source = np.hstack([table, known], dtype=table.dtype)

    def divide(indices: NDArray[np.int32], sums: NDArray[np.float64]) -> None:
        counts = sums[:, table.shape[1] :]
        part = np.full((len(indices), table.shape[1]), np.nan)
        np.divide(sums[:, : table.shape[1]], counts, out=part, where=counts > 0)
        means[indices] = part.reshape(len(indices), *columns.shape[1:])

    sum_within(cells, source, radius, divide, progress=progress)
    return means


def sum_within(
    cells: CellList,
    values: NDArray,
    radius: float,
    receive: Callable[[NDArray[np.int32], NDArray[np.float64]], None],
    first: NDArray[np.int32] | None = None,
    width: int | None = None,
    also: tuple[NDArray[np.float64], float] | None = None,
    progress: Progress | None = None,
) -> None:
    """Sum the rows of all atoms within `radius` of each, itself included.

    Parameters
    ----------
    cells : CellList
        That reaches at least as far.
    values : (N, k) array
    radius : float
    receive : callable
        Takes (atom indices, sums) of a few atoms at a time, in any thread.
    first, width : (N,) int32 array and int, optional
        Where only `width` columns of an atom's row are not zero, the first of them; -1 for atoms that do not count.
    also : (N, m) array and radius, optional
        Further finite columns, summed in the same search up to a radius of their own.
    progress : callable, optional
        Called with the fraction done; may raise to stop.
    """
    first = np.zeros(len(values), dtype=np.int32) if first is None else first
    width = values.shape[1] if width is None else width
    further, other = also or (np.empty((len(values), 0)), 0.0)
    grid, order = cells.grid, cells.order
    settings = float(radius), values, first, width, float(other), further

    def work(begin: int, end: int) -> None:
        sums = np.empty((end - begin, values.shape[1] + further.shape[1]))
        _sum_within_block(0, end - begin, grid, order[begin:end], *settings, sums)
        receive(grid.atom[order[begin:end]], sums)

    # What receives may multiply matrices.
    run_tasks(work, len(order), size=LARGE_TASK_SIZE, progress=progress, around=one_blas_thread)


def cut_out(structure: Structure, atom: int, radius: float, species: tuple[str, ...]) -> Structure:
    """An atom, which comes first, and all atoms within a radius, nearest first, as an open cluster around the origin.

    Parameters
    ----------
    structure : Structure
    atom : int
    radius : float
        May be larger than the cell, whose atoms then appear several times.
    species : tuple of str
        Order of the species of the cluster.
    """
    cells = build_cell_list(structure, radius)
    grid = cells.grid
    centre = cells.order[grid.atom[cells.order] == atom][0]
    vectors = np.column_stack([axis - axis[centre] for axis in (grid.x, grid.y, grid.z)])
    distances = np.linalg.norm(vectors, axis=1)
    near = np.flatnonzero(distances < radius)
    near = near[np.argsort(distances[near], kind="stable")]
    members = grid.atom[near]
    names = [structure.species_names[kind] for kind in structure.species[members]]
    return Structure(vectors[near], [species.index(name) for name in names], species)


def within_reach(
    structure: Structure, chosen: NDArray[np.bool_], radius: float, cells: CellList | None = None
) -> NDArray[np.bool_]:
    """Atoms that are chosen or have a chosen atom within `radius`; `cells` as for `average_within`."""
    if chosen.all():
        return chosen
    return average_within(structure, chosen.astype(np.float64), radius, cells=cells) > 0


def blocks_around(cells: CellList, blocks: Sequence[NDArray[np.int64]], radius: float) -> list[NDArray[np.int64]]:
    """For each of some blocks in space order, the numbers of those that have atoms within `radius` of its own.

    A few more may be among them, and itself always is. As soon as these have been seen, all neighbours have: what an
    atom needs of its neighbours never has to be kept for the whole structure.
    """
    grid = cells.grid
    number = np.full(len(cells.order), len(blocks))
    for k, block in enumerate(blocks):
        number[grid.atom[block]] = k
    plane = grid.shape[1] * grid.shape[2]
    around = []
    for block in blocks:
        x = grid.x[block]
        reach = radius * (1 + _SLACK)
        ends = (np.array([x.min() - reach, x.max() + reach]) - grid.axes[0, 0]) * grid.axes[2, 0]
        begin, end = np.clip(np.floor(ends).astype(np.int64) + np.array([0, 1]), 0, grid.shape[0])
        seen = np.zeros(len(blocks) + 1, dtype=np.bool_)
        seen[number[grid.atom[grid.starts[begin * plane] : grid.starts[end * plane]]]] = True
        around.append(np.flatnonzero(seen[:-1]))
    return around


@kernel
def _sum_within_block(begin, end, grid, block, radius, source, first, width, other, further, sums):
    grid, block, source, first = unowned((grid, block, source, first))
    further, sums = unowned((further, sums))
    largest = radius if radius > other else other
    reach = largest * (1 + _SLACK)
    runs = run_space(grid, reach)
    capacity = buffer_size(grid, block, begin, end, reach, runs)
    near, squares = empty(capacity, np.int32), empty(capacity, np.float64)
    for t in range(begin, end):
        i = block[t]
        x, y, z = grid.x[i], grid.y[i], grid.z[i]
        own = sums[t]
        for c in range(len(own)):
            own[c] = 0.0
        n = unsigned(0)
        for k in range(row_runs(grid, x, y, z, reach, runs)):
            for j in range(unsigned(runs[0, k]), unsigned(runs[1, k])):
                dx, dy, dz = grid.x[j] - x, grid.y[j] - y, grid.z[j] - z
                square = dx * dx + dy * dy + dz * dz
                near[n] = grid.atom[j]  # kept if near, see `gather_neighbours`
                squares[n] = square
                n += unsigned(square < largest * largest)
        for k in range(n):
            atom = unsigned(near[k])
            start = first[atom]
            if start >= 0 and squares[k] < radius * radius:
                for c in range(unsigned(start), unsigned(start + width)):
                    own[c] += source[atom, c]
            counts = np.float64(squares[k] < other * other)  # no jump, see above
            for c in range(unsigned(further.shape[1])):
                own[unsigned(source.shape[1]) + c] += counts * further[atom, c]
