"""A step of a pipeline that brings structures to rest, for modifiers that look at inherent structures."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ovito.data import DataCollection
from ovito.pipeline import ModifierInterface
from traits.api import HasStrictTraits, Str

from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.adapter.progress import with_progress
from ovito_glassml.simulate.harmonic import material_for, minimised

__all__ = ["MinimiseModifier"]


class MinimiseModifier(HasStrictTraits, ModifierInterface):
    """Move all particles to the energy minimum below, in the cell as it is.

    Outputs:

    * ``Position``: particle property, that of the inherent structure.

    Errors are raised for a material whose potential is missing or does not know the species, and for structures that
    do not come to rest.
    """

    material = Str()
    """
    Name or file of a material, or a potential file, as `HarmonicStiffnessModifier` takes it.
    """

    species = Str()
    """
    Names for unnamed particle types, in type order.
    """

    def modify(self, data: DataCollection, **kwargs: Any) -> Generator[str | float, None, None]:
        structure = structure_from_data(data, species=self.species)
        material = material_for(self.material, structure)
        yield "Minimising"
        at_rest = yield from with_progress(
            lambda report: minimised(structure, material, lambda fraction, text: report(fraction))
        )
        data.particles_.positions_[...] = at_rest.positions
