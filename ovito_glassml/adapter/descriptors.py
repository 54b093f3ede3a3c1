"""From a frame of OVITO's pipeline to rows of descriptors and back, as modifiers do it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection
from ovito.pipeline import ModifierInterface

from ovito_glassml.adapter.input import UNTYPED, species_of_run, structure_from_data
from ovito_glassml.adapter.notices import note_foreign_unit, note_missing_cell
from ovito_glassml.adapter.output import new_rows, write_attributes
from ovito_glassml.adapter.progress import with_progress
from ovito_glassml.structure import Structure

__all__ = ["Descriptor", "describe_particles"]


class Descriptor(Protocol):
    """What the families of descriptors have in common."""

    @property
    def feature_names(self) -> tuple[str, ...]: ...

    @property
    def dtype(self) -> str: ...

    def compute(
        self, structure: Structure, progress: Callable[[float], None] | None = None, out: NDArray | None = None
    ) -> NDArray: ...


def describe_particles(
    data: DataCollection,
    name: str,
    make: Callable[[tuple[str, ...]], Descriptor],
    modifier: Any,
    lengths: Sequence[str],
    *,
    input_slots: Mapping[str, ModifierInterface.InputSlot],
    data_cache: DataCollection,
    **kwargs: Any,
) -> Generator[str | float, None, None]:
    """Compute a descriptor for the particles of a frame and add it to them, yielding progress.

    Particle types without names count as species of their own.

    Parameters
    ----------
    data : DataCollection
    name : str
        Name of the particle property, such as ``"SOAP Descriptors"``; without spaces, the prefix of the
        attributes ``features`` (number of columns), ``undefined`` (particles without a complete row) and those
        of `note_missing_cell` and `note_foreign_unit`.
    make : callable
        Gives the descriptor for the names that `species_of_run` finds, in canonical order.
    modifier : modifier
        Whose parameters `species`, `only_selected` and those with a default length in Å count.
    lengths : sequence of str
        Names of the latter.
    input_slots, data_cache, **kwargs
        What OVITO hands to a modifier.

    Raises
    ------
    StructureError
        As `structure_from_data` and the descriptor.
    """
    yield "Reading particles"
    species = modifier.species
    structure = structure_from_data(data, species=species, only_selected=modifier.only_selected, names_needed=False)
    note_missing_cell(data, data_cache, modifier)
    note_foreign_unit(data, data_cache, modifier, *lengths)
    descriptor = make(species_of_run(data, species, input_slots, data_cache, names_needed=False) or (UNTYPED,))
    names = descriptor.feature_names
    yield f"Computing {name}"
    with new_rows(data, name, descriptor.dtype, names, structure.mask) as rows:
        yield from with_progress(lambda report: descriptor.compute(structure, report, rows))
        # A sum is finite if all its terms are; no array of flags as large as the rows.
        undefined = len(structure) - int(np.isfinite(rows.sum(axis=1)).sum())
    write_attributes(data, name.replace(" ", ""), {"features": len(names), "undefined": undefined})
