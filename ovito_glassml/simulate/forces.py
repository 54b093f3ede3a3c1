"""Energy and forces of a structure or a region of it: by LAMMPS in this process for any force field, or compiled here
for embedded atoms.

A *glass* (`Surroundings`, `WholeCell`) is a structure from which regions are cut: ``around(atom, radius)`` gives the
atoms that move and a *field*, which gives their energy and forces while all others stand still, see `evaluated`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.atoms import lammps_types, triangular
from ovito_glassml.simulate.engine import apply_interaction, gather, open_lammps
from ovito_glassml.simulate.local_forces import (
    NEIGHBOURS,
    LocalForces,
    Surroundings,
    energy_and_forces,
    is_embedded_atom,
    read_tables,
)
from ovito_glassml.simulate.material import Material
from ovito_glassml.simulate.minima import minimise
from ovito_glassml.structure import Structure

__all__ = ["CellForces", "Field", "Glass", "LammpsForces", "Units", "WholeCell", "evaluated", "surroundings"]

#: eV, k_B times the glass temperature of Cu-Zr.
GLASS_ENERGY = 8.617333262e-5 * 700.0
#: LAMMPS's names of the components of its pressure tensor, and which of them stands where in the tensor.
PRESSURES = ("pxx", "pyy", "pzz", "pyz", "pxz", "pxy")
PLACES = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])


class LammpsForces:
    """A structure inside LAMMPS, whose atoms can be moved at will.

    Parameters
    ----------
    structure : Structure
        In any cell, periodic or not. All atoms count, whatever the mask.
    material : Material
        Force field.

    Raises
    ------
    SimulationError
        If LAMMPS is missing, or refuses the structure or the force field.
    """

    def __init__(self, structure: Structure, material: Material) -> None:
        self.structure = structure
        self.lammps = open_lammps()
        try:
            self._create(material)
        except BaseException:
            self.close()
            raise

    def _create(self, material: Material) -> None:
        structure, lammps = self.structure, self.lammps
        if any(command.startswith(("bond_style", "angle_style")) for command in material.commands):
            raise SimulationError(
                f"The material {material.name} has bonds, which a structure does not name; its forces can "
                "only be had in the protocols that build the chains."
            )
        types = lammps_types(structure, material)
        cell, self.origin = _closed_cell(structure)
        box, self.rotation = _lammps_cell(cell)
        self.periodic = np.array(structure.pbc, dtype=bool)
        self.vectors = np.array([[box[0], 0, 0], [box[3], box[1], 0], [box[4], box[5], box[2]]])
        lammps.commands_string(f"""
            units {material.units}
            atom_style {material.atom_style}
            atom_modify map array sort 0 0
            boundary {" ".join("p" if flag else "s" for flag in structure.pbc)}
            box tilt large
            region box prism 0 {box[0]!r} 0 {box[1]!r} 0 {box[2]!r} {box[3]!r} {box[4]!r} {box[5]!r}
            create_box {len(material.species)} box
        """)
        count = len(structure)
        inside = self._wrapped((structure.positions - self.origin) @ self.rotation)
        lammps.create_atoms(count, list(range(1, count + 1)), types.tolist(), inside.ravel().tolist())
        if lammps.get_natoms() != count:
            raise SimulationError(f"LAMMPS holds {lammps.get_natoms()} of {count} atoms; are some outside the cell?")
        for kind, charge in enumerate(material.charges, start=1):
            lammps.command(f"set type {kind} charge {charge}")
        apply_interaction(lammps, material)
        for command in (
            "timestep 0",
            "thermo_style custom step pe",
            "thermo_modify norm no",
            "thermo 1",
            "run 0 post no",
        ):
            lammps.command(command)

    def __call__(self, positions: NDArray) -> tuple[float, NDArray[np.float64]]:
        """Energy, and forces (N, 3) on all atoms, at positions (N, 3), in the order and axes of the structure."""
        lammps = self.lammps
        count = len(positions)
        order = lammps.numpy.extract_atom("id")[:count] - 1
        inside = lammps.numpy.extract_atom("x")[:count]
        # To the nearest image of where LAMMPS has the atom, or it would sort its neighbours anew.
        inside += self._nearest((positions[order] - self.origin) @ self.rotation - inside)
        lammps.command("run 1 pre no post no")
        order = lammps.numpy.extract_atom("id")[:count] - 1
        forces = np.empty((count, 3))
        forces[order] = lammps.numpy.extract_atom("f")[:count]
        return float(lammps.extract_compute("thermo_pe", 0, 0)), forces @ self.rotation.T

    def stress(self) -> NDArray[np.float64]:
        """Stress (3, 3) of the positions where they are, without any heat, in the axes of the structure.

        In LAMMPS's unit of pressure, positive where the structure is under tension.
        """
        for command in (f"thermo_style custom step pe {' '.join(PRESSURES)}", "thermo_modify norm no", "run 0 post no"):
            self.lammps.command(command)
        pressure = np.array([self.lammps.get_thermo(name) for name in PRESSURES])[PLACES]
        return -self.rotation @ pressure @ self.rotation.T

    def pressure(self) -> float:
        """Of the positions where they are, without any heat, in LAMMPS's unit."""
        return -float(np.trace(self.stress())) / 3

    def minimised(
        self, force_tolerance: float, progress: Callable[[], None] = lambda: None
    ) -> tuple[NDArray[np.float64], float]:
        """Positions (N, 3) of the minimum below, in the order and axes of the structure, and the force that is left.

        See `minimise`.
        """
        left = minimise(self.lammps, force_tolerance, progress)
        start = (self.structure.positions - self.origin) @ self.rotation
        moved = self._nearest(gather(self.lammps, "x") - start)
        return self.structure.positions + moved @ self.rotation.T, left

    def _nearest(self, vectors: NDArray) -> NDArray:
        turns = np.where(self.periodic, np.round(vectors @ np.linalg.inv(self.vectors)), 0.0)
        return vectors - turns @ self.vectors

    def _wrapped(self, positions: NDArray) -> NDArray:
        turns = np.where(self.periodic, np.floor(positions @ np.linalg.inv(self.vectors)), 0.0)
        return positions - turns @ self.vectors

    def close(self) -> None:
        self.lammps.close()

    def __enter__(self) -> LammpsForces:
        return self

    def __exit__(self, *unused: Any) -> None:
        self.close()


def _closed_cell(structure: Structure) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cell vectors as rows and corner; along open directions, across the periodic ones, around all atoms."""
    if structure.cell is not None and all(structure.pbc):
        return structure.cell, structure.origin
    cell = np.zeros((3, 3)) if structure.cell is None else structure.cell.copy()
    periodic = np.array(structure.pbc, dtype=bool)
    across = np.linalg.svd(np.vstack([cell[periodic], np.zeros((1, 3))]))[2][periodic.sum() :]
    places = structure.positions @ across.T
    cell[~periodic] = (np.ptp(places, axis=0) + 1.0)[:, None] * across
    return cell, structure.origin + (places.min(axis=0) - 0.5 - across @ structure.origin) @ across


def _lammps_cell(cell: NDArray) -> tuple[list[float], NDArray[np.float64]]:
    """Edges and tilts (lx, ly, lz, xy, xz, yz) of LAMMPS's triangular cell, and the rotation (3, 3) that takes
    vectors, as rows, to its axes."""
    lower, rotation = triangular(cell)
    xx, yy, zz = np.diag(lower).tolist()
    return [xx, yy, zz, float(lower[1, 0]), float(lower[2, 0]), float(lower[2, 1])], rotation


@dataclass(frozen=True)
class Units:
    """Units in which saddles are searched, in those of the material.

    The distance of neighbours is that of Cu-Zr in them, and k_B times the glass temperature, too. So lengths and
    energies that were chosen for Cu-Zr, in Å and eV, hold for any material.
    """

    length: float
    energy: float

    @classmethod
    def of(cls, material: Material) -> Units:
        """Those of a material, 1 for Cu-Zr.

        Raises
        ------
        SimulationError
            If the material does not say its distance of neighbours or glass temperature.
        """
        if np.isnan(material.nearest_neighbour_distance) or np.isnan(material.glass_temperature):
            raise SimulationError(
                f"The material {material.name} lacks a nearest_neighbour_distance or glass_temperature, the units of "
                "searches; let 'glassml material check' measure them."
            )
        energy = material.boltzmann * material.glass_temperature
        return cls(material.nearest_neighbour_distance / NEIGHBOURS, energy / GLASS_ENERGY)


class WholeCell:
    """A periodic glass of any force field, of which some atoms move and all others stand still.

    Nothing is cut out, so that charges and forces of any range are right; every evaluation costs that of the whole.

    Attributes
    ----------
    positions : (N, 3) array, lengths : (3,) array
        Of the atoms and of the rectangular cell, in `units`.
    """

    def __init__(self, forces: LammpsForces, units: Units, positions: NDArray, lengths: NDArray) -> None:
        self.forces, self.units = forces, units
        self.positions, self.lengths = positions, lengths

    def moved(self, positions: NDArray) -> WholeCell:
        """The same atoms at other positions."""
        return WholeCell(self.forces, self.units, positions, self.lengths)

    def shortest(self, vectors: NDArray) -> NDArray[np.float64]:
        """Vectors between atoms (…, 3) to the nearest periodic image."""
        return vectors - self.lengths * np.round(vectors / self.lengths)

    def around(self, atom: int, radius: float) -> tuple[NDArray[np.int64], CellForces]:
        """Indices of the atoms within `radius` of an atom, itself first, and the forces on them."""
        distances = np.linalg.norm(self.shortest(self.positions - self.positions[atom]), axis=1)
        order = np.argsort(distances, kind="stable")
        mobile = order[distances[order] <= radius]
        return mobile, CellForces(self, mobile)

    def of(self, mobile: NDArray, near: NDArray) -> CellForces:
        """Forces on the atoms `mobile`."""
        return CellForces(self, mobile)


@dataclass(frozen=True)
class CellForces:
    """Forces on some atoms of a `WholeCell`."""

    cell: WholeCell
    mobile: NDArray[np.int64]

    def __call__(self, positions: NDArray) -> tuple[float, NDArray[np.float64]]:
        """Energy of the whole, and forces (m, 3), with the mobile atoms at positions (m, 3)."""
        units, everything = self.cell.units, self.cell.positions.copy()
        everything[self.mobile] = positions
        energy, forces = self.cell.forces(everything * units.length)
        return energy / units.energy, forces[self.mobile] * (units.length / units.energy)


#: Also any other function of that kind.
Field = LocalForces | Callable[[NDArray], tuple[float, NDArray[np.float64]]]
Glass = Surroundings | WholeCell


def evaluated(field: Field, positions: NDArray) -> tuple[float, NDArray[np.float64]]:
    """Energy, up to a constant of the region, and forces (m, 3) on its mobile atoms at `positions`."""
    if isinstance(field, LocalForces):
        forces = np.empty_like(positions)
        return energy_and_forces(field, positions, forces), forces
    return field(positions)


def surroundings(material: Material, structure: Structure) -> Glass:
    """A glass for saddle searches, in the `Units` of its material: the fast one for embedded atoms.

    Raises
    ------
    SimulationError
        If the structure is of other species, in no rectangular periodic cell or too small a one, or a chain.
    """
    types = lammps_types(structure, material)
    _check_cell(structure)
    units = Units.of(material)
    positions, lengths = structure.positions / units.length, np.diag(np.asarray(structure.cell)) / units.length
    if is_embedded_atom(material):
        return Surroundings(read_tables(material, units.length, units.energy), positions, types - 1, lengths)
    return WholeCell(LammpsForces(structure, material), units, positions, lengths)


def _check_cell(structure: Structure) -> None:
    if structure.cell is None or not all(structure.pbc):
        raise SimulationError("The structure needs a cell that is periodic in all directions.")
    if np.abs(structure.cell - np.diag(np.diag(structure.cell))).max() > 1e-9:
        raise SimulationError("The cell is not orthogonal; give a structure in a rectangular cell.")
