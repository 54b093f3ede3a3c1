"""Atoms for an empty LAMMPS instance: a random melt, chains, or a structure from a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.engine import apply_interaction
from ovito_glassml.simulate.material import Material
from ovito_glassml.structure import Structure

__all__ = ["OVERLAP", "check_structure", "create_atoms", "fill", "lammps_frame", "lammps_types", "molten", "triangular"]

#: Atoms of a random arrangement are not put closer than this, in nearest-neighbour distances.
OVERLAP = 0.65


def molten(
    material: Material, atoms: int, seed: int, temperature: float, density: float, overlap: float = OVERLAP
) -> Callable[[Any], None]:
    """Start of a protocol: a random arrangement with the velocities of the melt."""

    def start(lammps: Any) -> None:
        fill(lammps, material, atoms, seed, density, overlap)
        lammps.command(f"velocity all create {temperature} {seed} mom yes rot no dist gaussian")

    return start


def fill(
    lammps: Any, material: Material, atoms: int, seed: int, density: float | None = None, overlap: float = OVERLAP
) -> None:
    """Put a relaxed random arrangement into an empty LAMMPS instance: atoms, or chains for a polymer.

    Atoms of one chain have consecutive ids.

    Parameters
    ----------
    lammps
    material : Material
    atoms : int
    seed : int
    density : float, optional
        Atoms a volume; default: of the glass.
    overlap : float
        Smallest distance, in nearest-neighbour distances.

    Raises
    ------
    SimulationError
        If the atoms do not fit.
    """
    edge = (atoms / (density or material.number_density)) ** (1 / 3)
    if material.chain_length > 1:
        _fill_with_chains(lammps, material, atoms, edge, seed)
        return
    _open_box(lammps, material, f"block 0 {edge} 0 {edge} 0 {edge}")
    counts = np.diff(np.round(np.cumsum([0.0, *material.fractions]) * atoms)).astype(int)
    shortest = overlap * material.nearest_neighbour_distance
    for kind, count in enumerate(counts, start=1):
        if count:
            placing = f"{count} {seed + 7919 * (kind - 1)} box overlap {shortest} maxtry 10000"
            lammps.command(f"create_atoms {kind} random {placing}")
    if lammps.get_natoms() != atoms:
        raise SimulationError(f"Only {lammps.get_natoms()} of {atoms} atoms fit; choose another seed.")
    _charge(lammps, material)
    apply_interaction(lammps, material)
    lammps.command("minimize 0 1e-2 300 3000")


def _open_box(lammps: Any, material: Material, box: str, options: str = "") -> None:
    lammps.commands_string(f"""
        units {material.units}
        atom_style {material.atom_style}
        boundary p p p
        region box {box}
        create_box {len(material.species)} box {options}
    """)


def _charge(lammps: Any, material: Material) -> None:
    for kind, charge in enumerate(material.charges, start=1):
        lammps.command(f"set type {kind} charge {charge}")


def _fill_with_chains(lammps: Any, material: Material, atoms: int, edge: float, seed: int) -> None:
    """Random walks that may overlap, pushed apart by a soft repulsion before the real one acts."""
    length = material.chain_length
    if atoms % length:
        raise SimulationError(f"{atoms} beads are not whole chains of {length}; give a multiple of {length}.")
    bonds_of_a_bead = "bond/types 1 extra/bond/per/atom 2 extra/special/per/atom 8"
    _open_box(lammps, material, f"block 0 {edge} 0 {edge} 0 {edge}", bonds_of_a_bead)
    rng = np.random.default_rng(seed)
    positions = np.concatenate([_walk(rng, length, edge) for _ in range(atoms // length)]) % edge
    lammps.create_atoms(atoms, list(range(1, atoms + 1)), [1] * atoms, positions.ravel().tolist())
    for command in ("mass * 1", "pair_style soft 1.12", "pair_coeff * * 60", "bond_style harmonic"):
        lammps.command(command)
    for command in ("bond_coeff 1 500 0.97", "special_bonds fene", "neighbor 0.4 bin", "comm_modify cutoff 3.0"):
        lammps.command(command)
    bonds = [first for first in range(1, atoms) if first % length]
    for first in bonds:
        last = "yes" if first == bonds[-1] else "no"
        lammps.command(f"create_bonds single/bond 1 {first} {first + 1} special {last}")
    lammps.command("minimize 0 1e-3 500 5000")
    apply_interaction(lammps, material)
    lammps.command("minimize 0 1e-2 500 5000")


def _walk(rng: np.random.Generator, length: int, edge: float) -> NDArray:
    """A random walk with steps of one bond that does not fold back on itself."""
    bond = 0.97
    points = [rng.uniform(0.0, edge, 3)]
    while len(points) < length:
        step = rng.normal(size=3)
        candidate = points[-1] + bond * step / np.linalg.norm(step)
        if len(points) < 2 or np.linalg.norm(candidate - points[-2]) > 1.02:
            points.append(candidate)
    return np.array(points)


def create_atoms(lammps: Any, structure: Structure, material: Material) -> None:
    """Put the atoms of a periodic structure into an empty LAMMPS instance, turned into LAMMPS's frame."""
    cell, turn = lammps_frame(structure)
    box = f"block 0 {cell[0, 0]} 0 {cell[1, 1]} 0 {cell[2, 2]}"
    if np.any(cell != np.diag(np.diag(cell))):
        sides = " ".join(f"0 {side}" for side in np.diag(cell))
        box = f"prism {sides} {cell[1, 0]} {cell[2, 0]} {cell[2, 1]}"
    _open_box(lammps, material, box)
    positions = structure.positions - structure.origin
    if turn is None:
        positions = positions % np.diag(cell)
    else:
        fractional = (positions @ turn) @ np.linalg.inv(cell)
        positions = (fractional - np.floor(fractional)) @ cell
    types = lammps_types(structure, material).tolist()
    count = len(structure)
    lammps.create_atoms(count, list(range(1, count + 1)), types, positions.ravel().tolist())
    if lammps.get_natoms() != count:
        raise SimulationError(f"LAMMPS took over {lammps.get_natoms()} of {count} atoms; is the cell theirs?")
    _charge(lammps, material)
    apply_interaction(lammps, material)


def lammps_types(structure: Structure, material: Material) -> NDArray[np.int64]:
    """LAMMPS types, from 1 in the order of the material's species."""
    unknown = {structure.species_names[kind] for kind in np.unique(structure.species)} - set(material.species)
    if unknown:
        raise SimulationError(
            f"The force field does not describe {', '.join(sorted(unknown))}, but {', '.join(material.species)}; "
            "give another one, or name the species."
        )
    number = {name: index + 1 for index, name in enumerate(material.species)}
    return np.array([number.get(name, 0) for name in structure.species_names])[structure.species]


def lammps_frame(structure: Structure) -> tuple[NDArray, NDArray | None]:
    """The cell as LAMMPS wants it, and the turn of positions into that frame.

    Returns
    -------
    cell : (3, 3) array
        Vectors as rows, lower triangular with a positive diagonal, tilted as little as the same lattice can be.
    turn : (3, 3) array or None
        Positions (rows) times it are in LAMMPS's frame; None for a rectangular cell along the axes.
    """
    cell = np.asarray(structure.cell)
    if not np.any(np.abs(cell - np.diag(np.diag(cell))) > 1e-9) and np.all(np.diag(cell) > 0):
        return np.diag(np.diag(cell)), None
    lower, turn = triangular(cell)
    lower[1] -= np.round(lower[1, 0] / lower[0, 0]) * lower[0]
    lower[2] -= np.round(lower[2, 1] / lower[1, 1]) * lower[1]
    lower[2] -= np.round(lower[2, 0] / lower[0, 0]) * lower[0]
    return lower, turn


def triangular(cell: NDArray) -> tuple[NDArray, NDArray]:
    """The same vectors, as rows, turned so that they are lower triangular with a positive diagonal; and the turn."""
    # cell = lower @ turnᵀ: the transpose of the usual factorisation.
    turn, upper = np.linalg.qr(cell.T)
    signs = np.sign(np.diag(upper))
    return (upper * signs[:, None]).T, turn * signs


def check_structure(structure: Structure, material: Material) -> None:
    """Refuse a structure that the material cannot be simulated from.

    Raises
    ------
    SimulationError
        For other species, a cell that is not periodic, or chains, whose bonds a structure does not hold.
    """
    if unknown := set(structure.species_names) - set(material.species):
        raise SimulationError(
            f"The material {material.name} has no {', '.join(sorted(unknown))}; the structure must consist of "
            f"{' and '.join(material.species)}."
        )
    if structure.cell is None or not all(structure.pbc):
        raise SimulationError("The structure needs a cell that is periodic in all directions.")
    if material.chain_length > 1:
        raise SimulationError(
            f"{material.name} consists of chains, and a structure does not hold their bonds; use a protocol that makes "
            "its own glass."
        )
