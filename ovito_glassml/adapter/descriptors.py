"""From a frame of OVITO's pipeline to rows of descriptors and back, as modifiers do it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection

from ovito_glassml.adapter.input import UNTYPED, declared_species, structure_from_data
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
    data: DataCollection, name: str, make: Callable[[tuple[str, ...]], Descriptor], species: str, only_selected: bool
) -> Generator[str | float, None, None]:
    """Compute a descriptor for the particles of a frame and add it to them, yielding progress.

    Particle types without names count as species of their own.

    Parameters
    ----------
    data : DataCollection
    name : str
        Name of the particle property, such as ``"SOAP Descriptors"``; without spaces, the prefix of the
        attributes ``features`` (number of columns) and ``undefined`` (particles without a complete row).
    make : callable
        Gives the descriptor for the names of the declared species, in canonical order.
    species : str
        Names in type order for data that have none.
    only_selected : bool
        Give the other particles NaN.

    Raises
    ------
    StructureError
        As `structure_from_data` and the descriptor.
    """
    yield "Reading particles"
    structure = structure_from_data(data, species=species, only_selected=only_selected, names_needed=False)
    descriptor = make(declared_species(data, species, names_needed=False) or (UNTYPED,))
    yield f"Computing {name}"
    rows = yield from with_progress(lambda report: descriptor.compute(structure, report))
    yield "Writing properties"
    write_property(data, name, scatter(structure, rows, np.nan), descriptor.feature_names)
    complete = int(np.isfinite(rows).all(axis=1).sum())
    values = {"features": len(descriptor.feature_names), "undefined": len(structure) - complete}
    write_attributes(data, name.replace(" ", ""), values)
