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
from ovito_glassml.adapter.output import scatter, write_attributes, write_property
from ovito_glassml.adapter.progress import with_progress
from ovito_glassml.structure import Structure

__all__ = ["Descriptor", "describe_particles"]


class Descriptor(Protocol):
    """What the families of descriptors have in common."""

    @property
    def feature_names(self) -> tuple[str, ...]: ...

    def compute(self, structure: Structure, progress: Callable[[float], None] | None = None) -> NDArray: ...


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
    yield f"Computing {name}"
    rows = yield from with_progress(lambda report: descriptor.compute(structure, report))
    yield "Writing properties"
    write_property(data, name, scatter(structure, rows, np.nan), descriptor.feature_names)
    complete = int(np.isfinite(rows).all(axis=1).sum())
    values = {"features": len(descriptor.feature_names), "undefined": len(structure) - complete}
    write_attributes(data, name.replace(" ", ""), values)
