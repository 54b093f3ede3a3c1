"""Harmonic and cage stiffness of a structure with a force field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.labels.harmonic import HarmonicMotion, first_shells, harmonic_motion, rigid_motions
from ovito_glassml.simulate.forces import LammpsForces
from ovito_glassml.simulate.hessian import STEP, embedded_atom_hessian, hessian_by_differences
from ovito_glassml.simulate.local_forces import STYLES, is_embedded_atom
from ovito_glassml.simulate.material import Material, load_material
from ovito_glassml.structure import Structure
from ovito_glassml.topology.length_scale import first_minimum, nearest_neighbour_distance

__all__ = [
    "MOST_ATOMS",
    "HarmonicLimit",
    "check_size",
    "harmonic_limit",
    "material_for",
    "minimised",
    "resting_force",
]

#: Largest force on any atom of a structure at rest, by the units of LAMMPS: 10⁻³ eV/Å moves a minimum by 10⁻⁴ Å, and
#: so little of the distance between neighbours it may be elsewhere.
RESTING_FORCE = {"metal": 1e-3, "real": 0.02, "lj": 0.01}

#: Of so many the Hessian fills 3.6 GB, and its inverse takes minutes: as the square and the cube of their number.
MOST_ATOMS = 10_000

#: Up to this many, double precision costs nothing that one would notice.
FEW_ATOMS = 1000

#: Force at which minimising ends, relative to that of a structure at rest.
MINIMUM = 1e-4

#: Share of the time that forces and their differences take.
FORCES_SHARE = 0.5

Report = Callable[[float, str], None]


@dataclass(frozen=True, eq=False)
class HarmonicLimit:
    """What a structure at rest and its force field give.

    Attributes
    ----------
    motion : HarmonicMotion
        Amplitudes, in the units of the force field.
    shell : float
        Where the first shell ends: the first minimum of g(r).
    largest_force : float
        On any atom.
    """

    motion: HarmonicMotion
    shell: float
    largest_force: float


def harmonic_limit(structure: Structure, material: Material, progress: Report | None = None) -> HarmonicLimit:
    """Harmonic and cage stiffness of every atom.

    Parameters
    ----------
    structure : Structure
        At rest; at most `MOST_ATOMS` atoms.
    material : Material
        Force field. Embedded-atom potentials have their Hessian in a second; for any other it takes two evaluations of
        LAMMPS's forces for each coordinate.
    progress : callable, optional
        Called with fraction and text; may raise to stop.

    Raises
    ------
    SimulationError
        If the structure is too large, not at rest, or the force field does not fit it.
    HarmonicError
        If it is at rest but not in a minimum.
    """
    check_size(structure)
    spacing = nearest_neighbour_distance(structure)
    report = progress or (lambda fraction, text: None)
    report(0.0, "Forces")
    with LammpsForces(structure, material) as forces:
        largest = float(np.linalg.norm(forces(structure.positions)[1], axis=1).max())
        _check_rest(largest, material)
        hessian = _hessian(structure, material, forces, STEP * spacing, report)
    shell = first_minimum(structure)
    assert shell is not None  # where there is a distance of neighbours

    def inverting(fraction: float) -> None:
        report(FORCES_SHARE + (1 - FORCES_SHARE) * fraction, "Inverting the Hessian")

    motion = harmonic_motion(hessian, first_shells(structure, shell), rigid_motions(structure), inverting)
    return HarmonicLimit(motion, shell, largest)


def minimised(structure: Structure, material: Material, progress: Report | None = None) -> Structure:
    """The minimum below a structure, in its cell; `progress` is told no fraction of the way.

    Raises
    ------
    SimulationError
        If the force field does not fit the structure, or there is no minimum within reach.
    StructureError
        If there is no distance of neighbours: no atoms, or two in one place.
    """
    nearest_neighbour_distance(structure)
    with LammpsForces(structure, material) as forces:
        positions, left = forces.minimised(
            MINIMUM * resting_force(material), lambda: progress(0.0, "Minimising") if progress else None
        )
    if not left < resting_force(material):
        raise SimulationError(
            f"The structure does not come to rest, a force of {left:.2g} remains; is it a solid, in the units of "
            "the material?"
        )
    return structure.moved(positions)


def material_for(name: str, structure: Structure) -> Material:
    """A shipped material, one of a file, or that of an embedded-atom potential for a structure.

    Parameters
    ----------
    name : str
        Of a material, a ``.toml`` file, or a potential file that ends in ``.eam.fs`` or ``.eam.alloy``.
    structure : Structure
        Names the species in the last case.

    Raises
    ------
    SimulationError
        As `load_material`.
    """
    style = next((style for style in STYLES if name.endswith("." + style.replace("/", "."))), None)
    if style is None:
        return load_material(name)
    if not Path(name).is_file():
        raise SimulationError(f"There is no potential file {name}; give the path of one, or the name of a material.")
    species = structure.species_names
    file = f'"{Path(name).resolve()}"'
    commands = f"pair_style {style}", f"pair_coeff * * {file} {' '.join(species)}"
    return Material(Path(name).name, species, (1 / len(species),) * len(species), "metal", commands)


def resting_force(material: Material) -> float:
    """Largest force on an atom at rest."""
    if material.units not in RESTING_FORCE:
        raise SimulationError(
            f"The harmonic limit does not know the units {material.units!r}; use {', '.join(RESTING_FORCE)}."
        )
    return RESTING_FORCE[material.units]


def check_size(structure: Structure) -> None:
    """Refuse what has too many atoms for `harmonic_limit`."""
    if len(structure) > MOST_ATOMS:
        raise SimulationError(
            f"The harmonic limit of {len(structure)} atoms takes too much memory and time; give at most {MOST_ATOMS}."
        )


def _check_rest(largest: float, material: Material) -> None:
    if not largest <= (limit := resting_force(material)):
        raise SimulationError(
            f"The structure is not at rest, the largest force is {largest:.2g} and not below {limit:g}; minimise it "
            "with this force field first."
        )


def _hessian(structure: Structure, material: Material, forces: LammpsForces, step: float, report: Report) -> NDArray:
    """Dense."""
    dtype = np.float64 if len(structure) <= FEW_ATOMS else np.float32
    try:
        return _filled(structure, material, forces, step, dtype, report)
    except MemoryError as error:
        size = (3 * len(structure)) ** 2 * np.dtype(dtype).itemsize / 1e9
        raise SimulationError(
            f"The Hessian of {len(structure)} atoms takes {size:.2g} GB of memory, more than is free; give fewer atoms."
        ) from error


def _filled(
    structure: Structure, material: Material, forces: LammpsForces, step: float, dtype: type, report: Report
) -> NDArray:
    if is_embedded_atom(material):
        report(0.1 * FORCES_SHARE, "Second derivatives of the energy")
        return embedded_atom_hessian(structure, material).astype(dtype).toarray()

    def differences(fraction: float) -> None:
        report(FORCES_SHARE * fraction, "Second derivatives of the energy")

    return hessian_by_differences(forces, structure.positions, step, dtype, differences)
