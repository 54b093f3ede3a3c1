"""Averages over an atom's neighbours, shell after shell, of rows that are kept while a neighbour waits for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ovito_glassml.compile import kernel, unowned
from ovito_glassml.neighbours import (
    CellList,
    Progress,
    block_lists,
    blocks_around,
)
from ovito_glassml.threads import run_tasks

__all__ = ["Averaged", "iterate_averages"]


@dataclass(frozen=True, eq=False)
class Averaged:
    """What is averaged, and how often.

    Averaging is linear: average the few numbers that a model makes of a row, not the row.

    Attributes
    ----------
    rows : callable
        Gives the rows (B, width) of a block of grid entries.
    width : int
    shells : int
        Number of averages.
    """

    rows: Callable[[NDArray[np.int64]], NDArray]
    width: int
    shells: int


def iterate_averages(
    cells: CellList,
    cutoff: float,
    quantities: Sequence[Averaged],
    mask: NDArray[np.bool_] | None = None,
    dtype: DTypeLike = np.float32,
    progress: Progress | None = None,
) -> Iterator[tuple[NDArray[np.int32], list[list[NDArray]]]]:
    """Yield (atom indices, rows and their averages, for each quantity) for blocks of atoms in space order.

    With w_ij = exp(−r_ij / r_c) and neighbours j within r_c::

        X^(k)_i = Σ_j w_ij X^(k−1)_j / Σ_j w_ij

    An atom without neighbours has averages of NaN. Rows of a block are computed when a neighbour first asks for them
    and dropped after the last: only a layer across the structure, as thick as the averages reach, is ever held.

    Parameters
    ----------
    cells : CellList
        From `sort_in_space`, so that atoms near each other lie close in memory.
    cutoff : float
        r_c, at most that of the cell list.
    quantities : sequence of Averaged
    mask : (N,) array, optional
        Atoms that are wanted; rows are computed for them and for the neighbours that the averages read. None means all.
    dtype : float32 or float64
        Precision of rows and averages.
    progress : callable, optional
        Called with the fraction done; may raise to stop.
    """
    work = _Work(cells, cutoff, quantities, mask, np.dtype(dtype), progress)
    for number in np.flatnonzero(work.reached[0]).tolist():
        yield work.atoms(number, 0), [work.taken(quantity, number) for quantity in work.levels]
        work.lists.pop(number, None)


class _Level:
    """Rows after some averages, of the blocks that are at hand."""

    def __init__(self, blocks: Sequence[NDArray], atoms: int, width: int, dtype: np.dtype) -> None:
        # Room for all, of which the system provides only what has ever been used: free slots are taken from the front.
        size = max(map(len, blocks), default=1)
        self.rows = np.empty((len(blocks) * size, width), dtype=dtype)
        self.place = np.empty(atoms, dtype=np.int32)
        self.free = list(range(0, len(self.rows), size))[::-1]
        self.slots: dict[int, int] = {}
        #: How often each block will still be read.
        self.uses = np.zeros(len(blocks), dtype=np.int64)

    def put(self, number: int, atoms: NDArray, rows: NDArray) -> None:
        first = self.slots[number] = self.free.pop()
        self.rows[first : first + len(rows)] = rows
        self.place[atoms] = np.arange(first, first + len(rows), dtype=np.int32)

    def has_been_read(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.uses[number] -= 1
            if not self.uses[number]:
                self.free.append(self.slots.pop(number))


class _Work:
    """The blocks of `iterate_averages`: what one waits for is computed first."""

    def __init__(
        self,
        cells: CellList,
        cutoff: float,
        quantities: Sequence[Averaged],
        mask: NDArray[np.bool_] | None,
        dtype: np.dtype,
        progress: Progress | None,
    ) -> None:
        self.cells, self.cutoff, self.progress = cells, cutoff, progress
        most, count = max(quantity.shells for quantity in quantities), len(cells.order)
        #: The atoms that so many steps lead to.
        self.halos = [np.ones(count, dtype=np.bool_) if mask is None else mask]
        for _ in range(most):
            self.halos.append(self.halos[-1] if mask is None else _with_neighbours(cells, cutoff, self.halos[-1]))
        self.blocks = list(cells.blocks(self.halos[-1]))
        self.reached = [
            np.array([halo[cells.grid.atom[block]].any() for block in self.blocks], dtype=np.bool_)
            for halo in self.halos
        ]
        self.around = blocks_around(cells, self.blocks, cutoff)
        self.lists: dict[int, tuple[NDArray, NDArray, NDArray]] = {}
        self.levels = {
            quantity: [_Level(self.blocks, count, quantity.width, dtype) for _ in range(quantity.shells)]
            for quantity in quantities
        }
        for quantity, levels in self.levels.items():
            for k, level in enumerate(levels):
                level.uses += self.reached[0]
                for number in np.flatnonzero(self.reached[quantity.shells - k - 1]):
                    level.uses[self.around[number]] += 1
        self.done = 0
        self.total = sum(self.reached[k].sum() for quantity in quantities for k in range(quantity.shells + 1))

    def atoms(self, number: int, steps: int) -> NDArray[np.int32]:
        """Atoms of a block that so many steps lead to."""
        return self._chosen(number, steps)[0]

    def taken(self, quantity: Averaged, number: int) -> list[NDArray]:
        """Rows of the wanted atoms of a block after every average."""
        atoms, rows = self.atoms(number, 0), []
        for k, level in enumerate(self.levels[quantity]):
            self._hold(quantity, k, number)
            rows.append(level.rows[level.place[atoms]])
            level.has_been_read([number])
        return [*rows, self._computed(quantity, quantity.shells, number)]

    def _chosen(self, number: int, steps: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Atoms of a block that so many steps lead to, and their places in the block."""
        atoms = self.cells.grid.atom[self.blocks[number]]
        places = np.flatnonzero(self.halos[steps][atoms])
        return atoms[places], places

    def _hold(self, quantity: Averaged, k: int, number: int) -> None:
        level = self.levels[quantity][k]
        if number not in level.slots and self.reached[quantity.shells - k][number]:
            level.put(number, self.atoms(number, quantity.shells - k), self._computed(quantity, k, number))

    def _computed(self, quantity: Averaged, k: int, number: int) -> NDArray:
        """Rows of a block after k averages, of the atoms that need them."""
        _, places = self._chosen(number, quantity.shells - k)
        if k == 0:
            rows = quantity.rows(self.blocks[number][places])
        else:
            below = self.levels[quantity][k - 1]
            for other in self.around[number]:
                self._hold(quantity, k - 1, other)
            rows = np.empty((len(places), quantity.width), dtype=below.rows.dtype)
            run_tasks(_average, len(rows), *self._weights(number), places, below.place, below.rows, rows)
            below.has_been_read(self.around[number])
        self.done += 1
        if self.progress is not None:
            self.progress(self.done / self.total)
        return rows

    def _weights(self, number: int) -> tuple[NDArray, NDArray, NDArray]:
        """Neighbours of the atoms of a block and their weights."""
        if number not in self.lists:
            lists = block_lists(self.cells, self.blocks[number], self.cutoff)
            weights = np.exp(np.divide(lists.distances, np.float32(-self.cutoff), out=lists.distances), lists.distances)
            self.lists[number] = lists.offsets, lists.indices, weights
        return self.lists[number]


def _with_neighbours(cells: CellList, cutoff: float, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The atoms in a mask and all their neighbours."""
    widened = mask.copy()
    for block in cells.blocks(mask):
        widened[block_lists(cells, block, cutoff).indices] = True
    return widened


@kernel
def _average(begin, end, offsets, indices, weights, block, place, rows, averaged):
    offsets, indices, weights, block = unowned((offsets, indices, weights, block))
    place, rows, averaged = unowned((place, rows, averaged))
    width = rows.shape[1]
    for t in range(begin, end):
        i = block[t]
        out = averaged[t]
        out[:] = 0 if offsets[i] < offsets[i + 1] else np.nan
        total = 0.0
        for k in range(offsets[i], offsets[i + 1]):
            weight = rows.dtype.type(weights[k])
            total += weights[k]
            row = rows[place[indices[k]]]
            for c in range(width):
                out[c] += weight * row[c]
        factor = rows.dtype.type(1 / total) if total else rows.dtype.type(1)
        for c in range(width):
            out[c] *= factor
