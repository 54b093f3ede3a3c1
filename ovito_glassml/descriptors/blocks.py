"""What all descriptor families share around their kernels: species, output arrays, progress."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ovito_glassml.neighbours import Progress, stage
from ovito_glassml.structure import Structure, StructureError

__all__ = ["Fill", "assemble", "check_dtype", "fill_rows", "physical_memory", "separate_blocks", "species_columns"]


class Fill(Protocol):
    """Writes the rows of a block of atoms to the places given, in the array given."""

    def __call__(self, places: NDArray, rows: NDArray, *, progress: Progress | None = None) -> None: ...


def species_columns(structure: Structure, names: Sequence[str]) -> NDArray[np.int64]:
    """For each species of the structure its place in `names`.

    Raises
    ------
    StructureError
        If atoms of another species are present.
    """
    columns = np.zeros(len(structure.species_names), dtype=np.int64)
    present = np.bincount(structure.species, minlength=len(columns)) > 0
    for index, name in enumerate(structure.species_names):
        if name in names:
            columns[index] = list(names).index(name)
        elif present[index]:
            raise StructureError(
                f"The structure contains {name}, which a descriptor of {', '.join(names)} does not know; "
                "add it to the descriptor's species or delete these atoms."
            )
    return columns


def check_dtype(dtype: DTypeLike) -> np.dtype:
    """float32 or float64."""
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise StructureError(f"Descriptors cannot be computed as {kind}; choose float32 or float64.")
    return kind


def physical_memory() -> float:
    """Bytes of main memory of this machine, infinite where the system does not tell."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def new_rows(structure: Structure, features: int, dtype: DTypeLike) -> NDArray:
    """Room for a row of each selected atom.

    Raises
    ------
    StructureError
        If it would not fit into the machine's memory.
    """
    count = len(structure.selected)
    needed = count * features * np.dtype(dtype).itemsize
    if needed > 0.8 * physical_memory():
        raise StructureError(
            f"{count} rows of {features} features take {needed / 1e9:.0f} GB, more than this machine's memory; "
            "select fewer atoms or reduce them block by block with iterate_blocks."
        )
    return np.empty((count, features), dtype=dtype)


def assemble(
    structure: Structure,
    features: int,
    dtype: DTypeLike,
    blocks: Iterable[tuple[NDArray, NDArray]],
    progress: Progress | None = None,
) -> NDArray:
    """Put rows that arrive block by block, in any order of atoms, into one array for the selected atoms.

    Parameters
    ----------
    structure : Structure
    features : int
        Length of a row.
    dtype : float32 or float64
    blocks : iterable of (atom indices, rows)
        Not started before the size of the result has been checked.
    progress : callable, optional
        Called with the fraction done between blocks; may raise to stop.

    Returns
    -------
    (M, features) array
        Rows in the order of ``structure.selected``.
    """

    def copied() -> Iterator[tuple[NDArray, Fill]]:
        for indices, values in blocks:
            yield indices, partial(_copy, values)

    return fill_rows(structure, features, dtype, copied(), progress)


def fill_rows(
    structure: Structure,
    features: int,
    dtype: DTypeLike,
    blocks: Iterable[tuple[NDArray, Fill]],
    progress: Progress | None = None,
) -> NDArray:
    """As `assemble`, for blocks that write their rows themselves, which saves a copy of wide rows.

    Parameters
    ----------
    blocks : iterable of (atom indices, fill)
        ``fill(places, rows)`` writes the row of atom k to ``rows[places[k]]``.
    """
    rows = new_rows(structure, features, dtype)
    row_of = np.empty(len(structure), dtype=np.int64)
    row_of[structure.selected] = np.arange(len(rows))
    done = 0
    for indices, fill in blocks:
        share = stage(progress, done / len(rows), (done + len(indices)) / len(rows))
        fill(row_of[indices], rows, progress=share)
        done += len(indices)
    return rows


def separate_blocks(
    features: int, dtype: DTypeLike, blocks: Iterable[tuple[NDArray, Fill]]
) -> Iterator[tuple[NDArray, NDArray]]:
    """Give every block of `fill_rows` an array of its own, and yield (atom indices, rows)."""
    for indices, fill in blocks:
        rows = np.empty((len(indices), features), dtype=dtype)
        fill(np.arange(len(indices)), rows)
        yield indices, rows


def _copy(values: NDArray, places: NDArray, rows: NDArray, *, progress: Progress | None = None) -> None:
    rows[places] = values
    if progress is not None:
        progress(1.0)
