"""Is a melt a liquid? Its atoms leave their places, and its volume stays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import UnfitMaterialError
from ovito_glassml.simulate.engine import Observer, Stage, cell_of, unwrapped_positions
from ovito_glassml.simulate.material import Material

__all__ = ["MELTING", "Melt", "density_of", "evaporates", "evaporating", "melting", "moved", "moves_little", "solid"]

#: Steps over which the atoms of a melt are watched: 3 ps of Cu-Zr.
MELTING = 1000
#: A liquid's atoms move further than this in `MELTING` steps, root mean square, in nearest-neighbour distances.
LIQUID_MOVES = 0.45
#: A melt that takes so many times the volume it began with evaporates.
EVAPORATED = 2.0
#: Steps between two looks at a melt, as many as `run_stages` takes at once without.
LOOKS = 500


def evaporates(expanded: float) -> bool:
    """Whether a melt whose volume has grown so many times is none."""
    return expanded >= EVAPORATED


def moves_little(distance: float) -> bool:
    """Whether atoms that move so far, in nearest-neighbour distances, stay at their places."""
    return distance <= LIQUID_MOVES


def density_of(lammps: Any) -> float:
    """Atoms a volume."""
    return float(lammps.get_natoms() / np.linalg.det(cell_of(lammps)[0]))


def moved(before: NDArray, after: NDArray, material: Material) -> float:
    """Root mean square displacement, without that of the whole, in nearest-neighbour distances."""
    moves = after - before
    moves -= moves.mean(axis=0)
    return math.sqrt((moves**2).sum(axis=1).mean()) / material.nearest_neighbour_distance


def melting(material: Material, time: float, temperature: float, pressure: float | None) -> Stage:
    """The stage that melts a material, watched: see `Melt`."""
    steps = material.steps(time)
    watch = Melt(material, temperature, steps)
    return Stage("melting", steps, temperature, temperature, material.time_step, pressure, LOOKS, watch)


class Melt:
    """Watches a stage at the melt temperature, and stops where the material does not melt, or evaporates.

    Whether atoms leave their places is judged over the second half of the stage, if that is at least `MELTING` steps.

    Parameters
    ----------
    material : Material
    temperature : float
        Of the stage.
    steps : int
        Of the stage, looked at every `LOOKS`.
    along : Observer, optional
        Looks as well, before this one.

    Raises
    ------
    UnfitMaterialError
        While the stage runs.
    """

    def __init__(self, material: Material, temperature: float, steps: int, along: Observer | None = None) -> None:
        self.material, self.temperature, self.along = material, temperature, along
        self.half = steps // LOOKS // 2 if steps // 2 >= MELTING + LOOKS else 0
        self.looks, self.density, self.positions = 0, 0.0, np.empty((0, 3))

    def begin(self, lammps: Any) -> None:
        self.looks, self.density, self.positions = 0, density_of(lammps), np.empty((0, 3))
        if self.along is not None:
            self.along.begin(lammps)

    def sample(self, lammps: Any) -> None:
        if self.along is not None:
            self.along.sample(lammps)
        self.looks += 1
        if self.density and evaporates(expanded := self.density / density_of(lammps)):
            raise evaporating(self.material, self.temperature, expanded)
        if self.looks == self.half:
            self.positions = unwrapped_positions(lammps)

    def finish(self, lammps: Any) -> None:
        if len(self.positions):
            distance = moved(self.positions, unwrapped_positions(lammps), self.material)
            if moves_little(distance):
                raise solid(self.material, self.temperature, distance)
        if self.along is not None:
            self.along.finish(lammps)

    def state(self) -> dict[str, NDArray]:
        seen = {"looks": np.array(self.looks), "density": np.array(self.density), "positions": self.positions}
        return seen | (self.along.state() if self.along is not None else {})

    def restore(self, state: dict[str, NDArray]) -> None:
        # Checkpoints of earlier versions hold none of this: such a melt is not judged.
        self.looks, self.density = int(state.get("looks", 0)), float(state.get("density", 0.0))
        self.positions = state.get("positions", np.empty((0, 3)))
        if "looks" not in state:
            self.half = 0
        if self.along is not None:
            self.along.restore(state)


def evaporating(material: Material, temperature: float, expanded: float) -> UnfitMaterialError:
    return UnfitMaterialError(
        f"Material {material.name} evaporates at {temperature:g} {material.unit_system.temperature}: its volume grows "
        f"{expanded:.1f}-fold; lower melt_temperature, raise pressure, or fix the density."
    )


def solid(material: Material, temperature: float, distance: float) -> UnfitMaterialError:
    return UnfitMaterialError(
        f"Material {material.name} does not melt at {temperature:g} {material.unit_system.temperature}: atoms move by "
        f"{distance:.2f} nearest-neighbour distances only while those of a liquid leave their places; raise "
        "melt_temperature."
    )
