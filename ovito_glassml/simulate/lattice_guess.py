"""First guesses for a material that says nothing but its interactions, from the energy of a close-packed lattice."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.atoms import create_atoms
from ovito_glassml.simulate.engine import energy_per_atom, open_lammps, scale_cell
from ovito_glassml.simulate.material import Material
from ovito_glassml.structure import Structure

__all__ = ["guessed"]

#: Cells of the lattice in each direction; 108 atoms.
CELLS = 3
#: Nearest-neighbour distances that are tried, from long to short, each so many times the last.
LONGEST, SHORTEST, SHRINKING = {"lj": 2.0, "metal": 5.0, "real": 5.0}, {"lj": 0.5, "metal": 1.2, "real": 1.2}, 0.98
#: k_B T_m over bulk modulus times volume of an atom: 0.010 to 0.013 for argon, aluminium, copper, iron, tantalum.
MELTING = 0.0115
#: A liquid within picoseconds is so much hotter than the melting point, and so much less dense than the lattice.
HOT, LOOSE = 1.7, 0.86
#: Time step in units of a √(m / BΩ), with which those of Cu-Zr and Kob-Andersen come out as they are used.
STEP = 1 / 22
#: Time steps that people choose.
STEPS = np.outer(10.0 ** np.arange(-5, 3), [1, 2, 3, 4, 5]).ravel()


def guessed(material: Material, seed: int) -> Material:
    """The material with guesses for all that its file leaves out, good enough to begin with.

    Raises
    ------
    SimulationError
        If LAMMPS does not understand the interactions, or they do not hold a lattice.
    """
    if material.chain_length > 1:
        return material.check_complete()
    wanted = ("melt_temperature", "liquid_density", "nearest_neighbour_distance", "time_step")
    lammps = open_lammps()
    try:
        create_atoms(lammps, _lattice(material, seed), material)
        if not any(math.isnan(getattr(material, name)) for name in wanted):
            lammps.command("run 0 post no")  # whether LAMMPS understands it
            return material
        distance, stiffness = _minimum(lammps, material)
    finally:
        lammps.close()
    units, density = material.unit_system, math.sqrt(2) / distance**3
    if material.fixed_density:
        density, distance = material.number_density, (math.sqrt(2) / material.number_density) ** (1 / 3)
    period = units.inertia * distance * math.sqrt(min(material.masses) / stiffness)
    values = {
        "nearest_neighbour_distance": distance,
        "liquid_density": density if material.fixed_density else LOOSE * density,
        "melt_temperature": float(f"{HOT * MELTING * stiffness / units.boltzmann:.2g}"),
        "time_step": float(STEPS[1.02 * STEP * period >= STEPS].max()),
    }
    return material.completed_with(values)


def _lattice(material: Material, seed: int) -> Structure:
    """An fcc lattice with the species at random, as wide as it is tried first."""
    corners = np.stack(np.meshgrid(*[np.arange(CELLS)] * 3), axis=-1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    edge = math.sqrt(2) * LONGEST[material.units]
    positions = edge * (corners + basis).reshape(-1, 3)
    counts = np.diff(np.round(np.cumsum([0.0, *material.fractions]) * len(positions))).astype(int)
    kinds = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    return Structure(positions, kinds, material.species, CELLS * edge * np.eye(3), pbc=(True, True, True))


def _minimum(lammps: Any, material: Material) -> tuple[float, float]:
    """Nearest-neighbour distance of the first minimum on compression, and bulk modulus times volume of an atom."""
    distances, energies = [LONGEST[material.units]], []
    while True:
        lammps.command("run 0 post no")
        energies.append(energy_per_atom(lammps, material))
        lowest = int(np.argmin(energies))
        if len(energies) - lowest > 3 and lowest > 1:
            return _parabola(np.array(distances)[lowest - 2 : lowest + 3], np.array(energies)[lowest - 2 : lowest + 3])
        if distances[-1] < SHORTEST[material.units]:
            raise SimulationError(
                f"The atoms of material {material.name} do not hold each other at any distance between "
                f"{SHORTEST[material.units]} and {LONGEST[material.units]} {material.unit_system.length}; give "
                "number_density with fixed_density, and melt_temperature, time_step and nearest_neighbour_distance."
            )
        scale_cell(lammps, SHRINKING)
        distances.append(distances[-1] * SHRINKING)


def _parabola(distances: NDArray, energies: NDArray) -> tuple[float, float]:
    # With x = ln r, volume goes as e³ˣ, and BΩ = d²E/d(ln V)² = (d²E/dx²) / 9 at the minimum.
    x = np.log(distances)
    curvature, slope, _ = np.polyfit(x - x.mean(), energies, 2)
    return float(np.exp(x.mean() - slope / (2 * curvature))), float(2 * curvature / 9)
