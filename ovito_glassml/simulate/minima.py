"""Inherent structures: the energy minimum below a configuration, at fixed cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.simulate.checkpoints import load_checkpoint, save_atomically
from ovito_glassml.simulate.crystals import order_header
from ovito_glassml.simulate.engine import cell_of, gather, restart_of, resume, scale_cell
from ovito_glassml.simulate.material import Material
from ovito_glassml.structure import Structure

__all__ = [
    "Configuration",
    "InherentStructures",
    "configuration_of",
    "inherent_structure",
    "minimise",
    "minimise_at_pressure",
    "save_configurations",
    "saved_configurations",
]

#: Linear strain of the first step to zero pressure, the largest of any, and that below which the energy is exact to
#: 10⁻⁹ of a bond.
TRIAL_STRAIN, MOST_STRAIN, STRAIN_TOLERANCE = -1e-3, 0.02, 1e-6
MOST_SECANTS = 12
#: Steps of a round of minimising, of all, and the share of the energy that a round must gain to be followed by another.
ROUND, MOST_STEPS, STALLED = 1000, 20_000, 1e-11


@dataclass(frozen=True)
class Configuration:
    """What LAMMPS holds, in the order of the atom ids.

    `cell` has the cell vectors as rows, `energies` are the atoms' shares of the potential energy, `largest_force` that
    on any atom; NaN where an earlier version saved the state.
    """

    positions: NDArray
    kinds: NDArray
    cell: NDArray
    origin: NDArray
    energies: NDArray
    largest_force: float | NDArray = math.nan

    def structure(self, species: tuple[str, ...]) -> Structure:
        """With all atoms wrapped into the cell."""
        fractional = (self.positions - self.origin) @ np.linalg.inv(self.cell)
        positions = (fractional - np.floor(fractional)) @ self.cell
        return Structure(positions, self.kinds, species, self.cell, pbc=(True, True, True))

    def header(self, species: tuple[str, ...]) -> dict[str, str]:
        """Header entries of a snapshot: how well it is minimised, and its order."""
        return {"largest_force": f"{self.largest_force:.2g}", **order_header(self.structure(species))}


FIELDS = tuple(field.name for field in fields(Configuration))


def configuration_of(lammps: Any) -> Configuration:
    """Positions, species, cell and energies of an instance; sets its forces up anew."""
    lammps.command("compute atom_energies all pe/atom")
    lammps.command("run 0 post no")
    cell, origin = cell_of(lammps)
    count = lammps.extract_setting("nlocal")
    order = np.argsort(lammps.numpy.extract_atom("id")[:count])
    energies = np.array(lammps.numpy.extract_compute("atom_energies", 1, 1)[:count][order])
    lammps.command("uncompute atom_energies")
    largest = np.linalg.norm(gather(lammps, "f"), axis=1).max()
    return Configuration(gather(lammps, "x"), gather(lammps, "type") - 1, cell, origin, energies, float(largest))


def minimise(lammps: Any, force_tolerance: float) -> None:
    """Conjugate gradients at fixed cell until no force component exceeds `force_tolerance`.

    Or until the energy no longer falls: at a kink of a tabulated potential the forces of a minimum do not vanish.
    """
    lammps.command("reset_timestep 0")
    lammps.command("min_style cg")
    lammps.command("min_modify norm max")
    before = math.inf
    for done in range(ROUND, MOST_STEPS + 1, ROUND):
        lammps.command(f"minimize 0 {force_tolerance} {ROUND} {5 * ROUND}")
        energy = lammps.get_thermo("pe")
        if lammps.extract_global("ntimestep") < done or before - energy < STALLED * abs(energy):
            return
        before = energy


def minimise_at_pressure(lammps: Any, force_tolerance: float, wanted: float = 0.0) -> None:
    """Minimum of positions and of the cell's size, by secants of the pressure of minima at fixed cell.

    LAMMPS's own ``fix box/relax`` needs ten times as many steps for thousands of atoms, since the cell is one stiff
    coordinate among many soft ones.
    """
    lammps.command("velocity all set 0 0 0")  # or their pressure would count
    minimise(lammps, force_tolerance)
    pressure, step, slope = _excess(lammps, wanted), TRIAL_STRAIN, 0.0
    for _ in range(MOST_SECANTS):
        scale_cell(lammps, 1 + step)
        minimise(lammps, force_tolerance)
        before, pressure = pressure, _excess(lammps, wanted)
        seen = (pressure - before) / step
        # Where atoms rearrange on the way the secant is none of an elastic solid; the last one that was is kept.
        if seen < 0 and (not slope or 0.5 < seen / slope < 2):
            slope = seen
        step = float(np.clip(-pressure / slope, -MOST_STRAIN, MOST_STRAIN)) if slope else TRIAL_STRAIN
        if abs(step) < STRAIN_TOLERANCE:
            return


def _excess(lammps: Any, wanted: float) -> float:
    lammps.command("run 0 post no")
    return lammps.get_thermo("press") - wanted


def inherent_structure(material: Material, restart: NDArray, force_tolerance: float) -> Configuration:
    """Minimum below the state `restart`, found in an instance of its own."""
    lammps = resume(material, restart)
    try:
        minimise(lammps, force_tolerance)
        return configuration_of(lammps)
    finally:
        lammps.close()


class InherentStructures:
    """Observer that minimises a copy of every sampled state; the molecular dynamics goes on undisturbed.

    At the end of its stage it saves what it found as `result`; `saved_configurations` reads that.
    """

    def __init__(self, material: Material, force_tolerance: float, result: Path) -> None:
        self.material, self.force_tolerance, self.result = material, force_tolerance, result
        self.found: list[Configuration] = []

    def begin(self, lammps: Any) -> None:
        self.found = []

    def sample(self, lammps: Any) -> None:
        self.found.append(inherent_structure(self.material, restart_of(lammps), self.force_tolerance))

    def finish(self, lammps: Any) -> None:
        save_configurations(self.result, self.found)

    def state(self) -> dict[str, NDArray]:
        return _arrays(self.found)

    def restore(self, state: dict[str, NDArray]) -> None:
        self.found = _configurations(state)


def save_configurations(result: Path, found: Sequence[Configuration]) -> None:
    """File configurations of equal size for `saved_configurations`."""
    save_atomically(result, _arrays(found))


def saved_configurations(result: Path) -> list[Configuration]:
    """What `save_configurations` or an `InherentStructures` observer filed."""
    return _configurations(load_checkpoint(result))


def _arrays(found: Sequence[Configuration]) -> dict[str, NDArray]:
    return {name: np.stack([getattr(one, name) for one in found]) for name in FIELDS} if found else {}


def _configurations(state: dict[str, NDArray]) -> list[Configuration]:
    count = len(state["cell"]) if state else 0
    return [Configuration(**{name: state[name][k] for name in FIELDS if name in state}) for k in range(count)]
