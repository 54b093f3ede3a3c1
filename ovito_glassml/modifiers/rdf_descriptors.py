##### Glass ML: RDF descriptors #####
#
# Compute the radial distribution function of every atom. Its 40 values are the
# input of the stiffness models and can be used to train others. The table shows
# their mean over the atoms.

"""Radial distribution function of every atom as a particle property."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection
from ovito.pipeline import ModifierInterface
from traits.api import Bool, HasStrictTraits, Range, Str

from ovito_glassml.adapter.input import species_of_run, structure_from_data
from ovito_glassml.adapter.notices import note_foreign_unit, note_missing_cell
from ovito_glassml.adapter.output import new_rows, write_attributes, write_table
from ovito_glassml.adapter.progress import with_progress
from ovito_glassml.descriptors.rdf import RDFDescriptors

__all__ = ["RDFDescriptorsModifier"]


class RDFDescriptorsModifier(HasStrictTraits, ModifierInterface):
    """Compute the radial distribution function of every atom.

    Its 40 values are the input of the stiffness models and can be used to train others. The table shows their mean over
    the atoms.

    g_i(r) = n_i(r) / (4π r² ρ Δr), where n_i(r) counts the neighbours of atom i in a shell of
    width Δr = 0.2 Å about r and ρ is the mean number density of the structure; r runs from 2 to
    10 Å. Lengths are in Å. Positions of inherent structures show sharper peaks than thermal snapshots, in
    which vibrations blur the first shell.

    Outputs:

    * ``RDF Descriptors``: particle property, 40 columns named by the bin centre (``r2_1`` is 2.1 Å);
      with `partial` 40 for each species (``Cu_r2_1``). NaN for unselected atoms.
    * ``rdf-descriptors``: table with the mean over the atoms that have values.
    * ``RDFDescriptors.number_density``: attribute, the ρ used, in 1/Å³.
    * ``RDFDescriptors.no_cell``: attribute, 1 if there is no simulation cell: all boundaries are open,
      which is said in a line. Else 0.
    * ``RDFDescriptors.foreign_unit``: attribute, 1 if atoms are too dense for lengths in Å and those of this
      modifier keep their defaults in Å, which is said in a line. Else 0.
    * ``RDFDescriptors.undefined``: attribute, the number of atoms without values.

    Errors are raised for unnamed types (only with `partial`), for a structure without a cell
    (unless `number_density` is given), and for two atoms in one place.

    Source: Z.-H. Peng, Z.-Y. Yang, Y.-J. Wang, Machine learning atomic-scale stiffness in metallic glass, Extreme Mech.
    Lett. 48, 101446 (2021).
    """

    partial = Bool(False, label="One RDF per neighbour species", ovito_group="RDF descriptors")
    """
    Count the neighbours of every species in columns of their own. All are divided by the total
    density, so that they add up to the function of all neighbours. Species are ordered by atomic
    number, or alphabetically if not all are elements.

    :Default: ``False``, the 40 values that the published stiffness model uses.
    """

    species = Str("", label="Species of unnamed types", ovito_group="RDF descriptors", ovito_placeholder="Cu,Zr")
    """
    Names of particle types 1, 2 and so on, such as ``"Cu,Zr"``, for files that do not
    name them. Only `partial` needs names; all frames get columns of these species.

    :Default: ``""``, the names in this frame, the first and the last.
    """

    number_density = Range(
        low=0.0, value=0.0, label="Number density (1/Å³, 0 = from cell)", ovito_group="RDF descriptors"
    )
    """
    Density ρ that g_i(r) is relative to, in atoms per Å³. Give it for structures with free
    surfaces or without a cell, where the number of atoms over the volume of the cell is no density of the material.

    :Default: ``0.0``, the number of atoms divided by the volume of the cell.
    """

    only_selected = Bool(False, label="Use only selected particles", ovito_group="RDF descriptors")
    """
    Compute values for selected atoms only. The others still count as neighbours.

    :Default: ``False``
    """

    def modify(
        self,
        data: DataCollection,
        *,
        input_slots: dict[str, ModifierInterface.InputSlot],
        data_cache: DataCollection,
        **kwargs: Any,
    ) -> Generator[str | float, None, None]:
        yield "Counting neighbours"
        structure = structure_from_data(
            data, species=self.species, only_selected=self.only_selected, names_needed=self.partial
        )
        note_missing_cell(data, data_cache, self)
        note_foreign_unit(data, data_cache, self)
        descriptors = RDFDescriptors(
            partial=species_of_run(data, self.species, input_slots, data_cache) if self.partial else None,
            number_density=self.number_density or None,
        )
        names, mask = descriptors.feature_names, structure.mask
        with new_rows(data, "RDF Descriptors", descriptors.dtype, names, mask) as rows:
            yield from with_progress(lambda report: descriptors.compute(structure, report, rows))
            counted = len(structure.selected)
            mean = rows.sum(axis=0, dtype=np.float64, where=True if mask is None else mask[:, None]) / max(counted, 1)
        _write_mean(data, descriptors, mean)
        density = self.number_density or structure.number_density
        write_attributes(data, "RDFDescriptors", {"number_density": density, "undefined": len(structure) - counted})


def _write_mean(data: DataCollection, descriptors: RDFDescriptors, mean: NDArray[np.float64]) -> None:
    names = descriptors.partial or ("g(r)",)
    curves = dict(zip(names, mean.reshape(len(names), -1), strict=True))
    x = ("r (Å)", descriptors.radii)
    write_table(data, "rdf-descriptors", "Mean of RDF descriptors", x=x, y=curves, y_label="g(r)")
