"""What all descriptor families share around their kernels: species, output arrays, progress."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ovito_glassml.memory import check_memory
from ovito_glassml.neighbours import Progress, stage
from ovito_glassml.structure import Structure, StructureError

__all__ = ["Fill", "assemble", "check_dtype", "fill_rows", "known_columns", "separate_blocks", "species_columns"]


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


def known_columns(structure: Structure, names: Sequence[str]) -> NDArray[np.int64]:
    """As `species_columns`, but -1 for species that are not there, whose atoms do not count."""
    return np.array([names.index(name) if name in names else -1 for name in structure.species_names], dtype=np.int64)


def check_dtype(dtype: DTypeLike) -> np.dtype:
    """float32 or float64."""
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise StructureError(f"Descriptors cannot be computed as {kind}; choose float32 or float64.")
    return kind


def assemble(
    structure: Structure,
    features: int,
    dtype: DTypeLike,
    blocks: Iterable[tuple[NDArray, NDArray]],
    progress: Progress | None = None,
    out: NDArray | None = None,
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
    out : (N, features) array, optional
        Where to write the rows, each at its atom's index; others stay as they are.

    Returns
    -------
    (M, features) array
        Rows in the order of ``structure.selected``, or `out`.
    """

    def copied() -> Iterator[tuple[NDArray, Fill]]:
        for indices, values in blocks:
            yield indices, partial(_copy, values)

    return fill_rows(structure, features, dtype, copied(), progress, out)


def fill_rows(
    structure: Structure,
    features: int,
    dtype: DTypeLike,
    blocks: Iterable[tuple[NDArray, Fill]],
    progress: Progress | None = None,
    out: NDArray | None = None,
) -> NDArray:
    """As `assemble`, for blocks that write their rows themselves, which saves a copy of wide rows.

    Parameters
    ----------
    blocks : iterable of (atom indices, fill)
        ``fill(places, rows)`` writes the row of atom k to ``rows[places[k]]``.
    """
    selected = structure.selected
    if out is None:
        check_memory(len(selected), features, dtype)
        out, row_of = np.empty((len(selected), features), dtype=dtype), np.empty(len(structure), dtype=np.int64)
        row_of[selected] = np.arange(len(selected))
    else:
        row_of = np.arange(len(structure))
    done = 0
    for indices, fill in blocks:
        share = stage(progress, done / len(selected), (done + len(indices)) / len(selected))
        fill(row_of[indices], out, progress=share)
        done += len(indices)
    return out


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
