"""Inherent structures: the energy minimum below a configuration, at fixed cell or pressure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.simulate.checkpoints import load_checkpoint, save_atomically
from ovito_glassml.simulate.crystals import order_header
from ovito_glassml.simulate.descent import descend
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


def minimise(lammps: Any, force_tolerance: float, progress: Callable[[], None] = lambda: None) -> float:
    """Minimum of the energy at fixed cell, see `descend`; returns the largest force component that is left.

    For any instance without fixes that move atoms. `progress` is called before each evaluation and may raise to stop.
    """
    lammps.command("reset_timestep 0")
    return descend(_Atoms(lammps), 3 * lammps.extract_setting("nlocal"), force_tolerance, progress)


def minimise_at_pressure(lammps: Any, force_tolerance: float, wanted: float = 0.0) -> None:
    """Minimum of positions and of the cell's size, which is one more coordinate.

    Forces and the slope along the cell's size, see `_AtomsAndCell`, end below the tolerance.
    """
    lammps.command("velocity all set 0 0 0")  # or their pressure would count
    lammps.command("reset_timestep 0")
    descend(_AtomsAndCell(lammps, wanted), 3 * lammps.extract_setting("nlocal") + 1, force_tolerance)


class _Atoms:
    """Moves the atoms of an instance, in the order of their ids, and evaluates energy and gradient."""

    def __init__(self, lammps: Any) -> None:
        self.lammps, self.count, self.run = lammps, lammps.extract_setting("nlocal"), "run 0 post no"

    def __call__(self, step: NDArray) -> tuple[float, NDArray[np.float64]]:
        if step.any():
            # By steps: where it renews neighbours, LAMMPS moves atoms to other images and places in its arrays.
            self._array("x")[:] += step.reshape(-1, 3)[self._order()]
        # Without fixes that integrate, a step of LAMMPS only evaluates, and renews neighbours where needed.
        self.lammps.command(self.run)
        self.run = "run 1 pre no post no"
        gradient = np.empty((self.count, 3))
        gradient[self._order()] = -self._array("f")
        return float(self.lammps.extract_compute("thermo_pe", 0, 0)), gradient.ravel()

    def _array(self, name: str) -> NDArray:
        return self.lammps.numpy.extract_atom(name)[: self.count]

    def _order(self) -> NDArray:
        return self._array("id") - 1


class _AtomsAndCell:
    """As `_Atoms` with the cell's size as last coordinate, at constant pressure: the energy is the enthalpy.

    That coordinate is the linear strain times `length`, the distance of atoms times the root of their number: so, by
    estimate, it is about as stiff as those of the atoms.
    """

    def __init__(self, lammps: Any, pressure: float) -> None:
        self.lammps, self.atoms, self.size = lammps, _Atoms(lammps), 1.0
        self.pressure, self.unit = pressure, lammps.extract_global("nktv2p")
        self.length = self._volume() ** (1 / 3) * self.atoms.count ** (1 / 6)

    def _volume(self) -> float:
        return float(np.linalg.det(cell_of(self.lammps)[0]))

    def __call__(self, step: NDArray) -> tuple[float, NDArray[np.float64]]:
        factor = math.exp(step[-1] / self.length)
        if factor != 1:
            scale_cell(self.lammps, factor)
            self.size *= factor
        self.atoms.run = "run 0 post no"  # neighbours and ghosts belong to a cell
        energy, gradient = self.atoms(self.size * step[:-1])
        volume = self._volume()
        along = -3 * volume * (self.lammps.get_thermo("press") - self.pressure) / self.unit / self.length
        return energy + self.pressure * volume / self.unit, np.append(self.size * gradient, along)


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
