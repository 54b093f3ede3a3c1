##### Glass ML: Harmonic stiffness #####
#
# Compute how stiffly every atom is held when all forces are linear: K_i = k_B T
# / u_i² in the limit of low T. Needs the force field (a material, or an
# embedded-atom potential file), LAMMPS, and a structure at rest. Takes seconds
# for 1000 atoms, half a minute for 4000, minutes for 10000.

"""Stiffness of every atom in the harmonic limit, from the force field."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from ovito.data import DataCollection
from ovito.pipeline import ModifierInterface
from traits.api import Bool, HasStrictTraits, Str

from ovito_glassml.adapter.colors import ColorRange
from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.adapter.notices import note_missing_cell
from ovito_glassml.adapter.output import color_by, mean_and_spread, write_attributes, write_histogram, write_property
from ovito_glassml.adapter.progress import with_progress
from ovito_glassml.simulate.harmonic import HarmonicLimit, check_size, harmonic_limit, material_for, minimised
from ovito_glassml.simulate.material import Material
from ovito_glassml.structure import Structure

__all__ = ["HarmonicStiffnessModifier"]


class HarmonicStiffnessModifier(HasStrictTraits, ModifierInterface):
    """Compute how stiffly every atom is held when all forces are linear: K_i = k_B T / u_i² in the limit of low T.

    Needs the force field (a material, or an embedded-atom potential file), LAMMPS, and a structure at rest. Takes
    seconds for 1000 atoms, half a minute for 4000, minutes for 10000.

    In this limit u_i²/(k_B T) is the trace of the atom's block of the inverse Hessian H⁻¹, with H the
    second derivatives of the energy and rigid motions of the whole taken out. It is the stiffness that
    Atomic stiffness measures in a simulation at a few kelvin, without the simulation; its inverse is
    also called vibrality. At 50 K a real Cu-Zr glass is 7-10 % softer, since forces are not linear.

    The *cage* stiffness is the same for the displacement relative to the mean of the atom's first shell,
    the neighbours within the first minimum of g(r). Long waves, which move an atom together with its
    neighbours and of which a larger sample has more, hardly enter it, and local structure determines it
    better.

    The structure must be at rest: an energy minimum of the force field. With `minimise` it is minimised
    first, in its cell, and the values are those of the minimum, whose positions are not written. At
    most 10000 atoms: time grows with the cube of their number.

    Outputs:

    * ``Harmonic Stiffness``, ``Cage Stiffness``: particle properties, in energy/length² of the material, eV/Å²
      for metals. ``Cage Stiffness`` is NaN for an atom without neighbours.
    * ``Soft Mode Share``: particle property, the atom's share in the softest 1 % of the vibrational modes
      relative to the mean: 1 for an atom like all, much more where a soft mode is localised.
    * ``harmonic-stiffness-histogram``: table.
    * ``HarmonicStiffness.mean``, ``HarmonicStiffness.std``, ``HarmonicStiffness.cage_mean``: attributes,
      means and standard deviation.
    * ``HarmonicStiffness.material``: attribute, the name of the material or potential.
    * ``HarmonicStiffness.unit``: attribute, the unit of the stiffness.
    * ``HarmonicStiffness.shell``: attribute, the distance at which first shells end.
    * ``HarmonicStiffness.largest_force``: attribute, the largest force on any atom.
    * ``HarmonicStiffness.color_low``, ``HarmonicStiffness.color_high``: attributes, with `color_by_result`: the
      values at the two ends of the colors.
    * ``HarmonicStiffness.no_cell``: attribute, 1 if there is no simulation cell: all boundaries are open,
      which is said in a line. Else 0.
    * ``HarmonicStiffness.undefined``: attribute, the number of atoms without all values: those not selected
      with `only_selected`, and those without neighbours.

    Errors are raised if LAMMPS is missing, for species that the force field does not describe, for a
    structure that is not at rest or not held together, for more than 10000 atoms, and for two atoms in one
    place.

    Source: soft modes: A. Widmer-Cooper, H. Perry, P. Harrowell, D. R. Reichman, Nat. Phys. 4, 711 (2008);
    vibrality: H. Tong, N. Xu, Phys. Rev. E 90, 010401 (2014).
    """

    material = Str("cu-zr", label="Material, or potential file", ovito_group="Harmonic stiffness")
    """
    The force field: the name of a material that comes with the package, a material file (``.toml``), or an
    embedded-atom potential of LAMMPS (``.eam.fs`` or ``.eam.alloy``).

    :Default: ``"cu-zr"``, copper-zirconium by the potential of Mendelev et al. (2007).
    """

    minimise = Bool(False, label="Minimise first", ovito_group="Harmonic stiffness")
    """
    Minimise the structure first, in its cell.

    :Default: ``False``: structures that are not at rest are refused, since the minimum may be another
              structure than the one that is shown.
    """

    species = Str("", label="Species of unnamed types", ovito_group="Harmonic stiffness", ovito_placeholder="Cu,Zr")
    """
    Names of particle types 1, 2 and so on, such as ``"Cu,Zr"``, for files that do not
    name them.

    :Default: ``""``, the names in the data.
    """

    only_selected = Bool(False, label="Use only selected particles", ovito_group="Harmonic stiffness")
    """
    Give values to selected atoms only. All atoms are computed, as all move.

    :Default: ``False``
    """

    color_by_result = Bool(False, label="Color particles by stiffness", ovito_group="Colors")
    """
    Color the particles by ``Harmonic Stiffness`` with OVITO's own color coding.

    :Default: ``False``, the colors stay as they are.
    """

    color_range = ColorRange()
    """
    Values at the two ends of the colors, such as ``"0.5, 1.1"``, to compare frames or pictures.

    :Default: ``""``, the 2nd and the 98th percentile of each frame, so that single odd atoms do not take the
              contrast from the others.
    """

    def modify(
        self, data: DataCollection, *, data_cache: DataCollection, **kwargs: Any
    ) -> Generator[str | float, None, None]:
        structure = structure_from_data(data, species=self.species, only_selected=self.only_selected)
        note_missing_cell(data, data_cache, self)
        material = material_for(self.material, structure)
        check_size(structure)
        if self.minimise:
            yield "Minimising"
            structure = yield from with_progress(lambda report: minimised(structure, material, _told(report)))
        yield "Inverting the Hessian"
        limit = yield from with_progress(lambda report: harmonic_limit(structure, material, _told(report)))
        yield "Writing properties"
        _write(data, structure, material, limit)
        if self.color_by_result:
            color_by(data, "Harmonic Stiffness", self.color_range, "HarmonicStiffness")


def _told(report: Callable[[float], None]) -> Callable[[float, str], None]:
    """A callback that takes a text, too, which the panel has no place for."""
    return lambda fraction, text: report(fraction)


def _write(data: DataCollection, structure: Structure, material: Material, limit: HarmonicLimit) -> None:
    motion, units = limit.motion, material.unit_system
    columns = {
        "Harmonic Stiffness": motion.stiffness,
        "Cage Stiffness": motion.cage_stiffness,
        "Soft Mode Share": motion.soft_mode_share,
    }
    if structure.mask is not None:
        columns = {name: np.where(structure.mask, values, np.nan) for name, values in columns.items()}
    for name, values in columns.items():
        write_property(data, name, values)
    unit = f"{units.energy}/{'Å' if units.length == 'angstrom' else units.length}²"
    main = columns["Harmonic Stiffness"]
    axis = f"Harmonic stiffness ({unit})"
    write_histogram(data, "harmonic-stiffness-histogram", "Histogram of harmonic stiffness", main, axis)
    mean, spread = mean_and_spread(main)
    statistics: dict[str, float | int | str] = {
        "mean": mean,
        "std": spread,
        "cage_mean": mean_and_spread(columns["Cage Stiffness"])[0],
        "material": material.name,
        "unit": unit,
        "shell": limit.shell,
        "largest_force": limit.largest_force,
        "undefined": int(np.isnan(list(columns.values())).any(axis=0).sum()),
    }
    write_attributes(data, "HarmonicStiffness", statistics)
