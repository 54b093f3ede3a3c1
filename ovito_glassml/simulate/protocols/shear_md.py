"""Shear of a glass by molecular dynamics, with inherent structures along the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.atoms import check_structure, create_atoms, lammps_frame
from ovito_glassml.simulate.checkpoints import claim_intermediate, clear_intermediate, intermediate, writes_alone
from ovito_glassml.simulate.engine import CHECKPOINT_ATOM_STEPS, Progress, Stage, run_stages
from ovito_glassml.simulate.material import Material
from ovito_glassml.simulate.minima import InherentStructures, saved_configurations
from ovito_glassml.simulate.settings import FROM_MATERIAL, filled_in, rounded
from ovito_glassml.simulate.snapshots import Snapshot, provenance, write_frames
from ovito_glassml.structure import Structure

__all__ = ["ShearMDSettings", "shear_md"]

#: Default temperature, in units of the glass temperature.
TEMPERATURE = 3 / 7
#: Cost of one minimisation in steps of molecular dynamics, for the expected duration only.
MINIMISATION_STEPS = 300


@dataclass(frozen=True)
class ShearMDSettings:
    """How a glass is sheared.

    Attributes
    ----------
    temperature : float
        K (or reduced); by default 3/7 of the glass temperature.
    shear_rate : float
        1/s (or reduced); simple shear of the xy plane at constant volume.
    strain : float
        Engineering shear strain at the end.
    structures : int
        Inherent structures along the way, evenly spaced.
    equilibration : float
        ps (or reduced) at the temperature before the shear.
    seed : int
        Starts the velocities.
    frame : int
        Frame of the input file to start from; −1 is the last.
    checkpoint_atom_steps : int
        Number of atoms times number of steps between two checkpoints.
    """

    temperature: float = FROM_MATERIAL
    shear_rate: float = FROM_MATERIAL
    strain: float = 0.2
    structures: int = 40
    equilibration: float = 20.0
    seed: int = 1
    frame: int = -1
    checkpoint_atom_steps: int = CHECKPOINT_ATOM_STEPS // 2  # minimisations come on top

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise SimulationError(f"The temperature {self.temperature:g} is not positive; give one such as 300 (K).")
        if not 0 < self.strain <= 0.45:
            raise SimulationError(f"The strain {self.strain:g} must lie between 0 and 0.45.")
        if self.shear_rate <= 0 or self.structures < 1:
            raise self._too_fast()

    def _too_fast(self) -> SimulationError:
        return SimulationError(
            f"{self.structures} structures do not fit into a strain of {self.strain:g} "
            f"at a rate of {self.shear_rate:g}; shear more slowly."
        )

    def filled_in(self, material: Material) -> ShearMDSettings:
        warm = rounded(TEMPERATURE * material.glass_temperature)
        chosen = filled_in(self, {"temperature": warm, "shear_rate": material.unit_system.shear_rate})
        if chosen.stride(material) < 1:
            raise chosen._too_fast()
        return chosen

    def stride(self, material: Material) -> int:
        """Steps from one inherent structure to the next."""
        units = material.unit_system
        time = self.strain / (self.shear_rate / units.rates) * units.times
        return round(time / material.time_step / self.structures)

    def atom_steps(self, atoms: int, material: Material) -> float:
        """Cost: number of atoms times number of force evaluations."""
        chosen = self.filled_in(material)
        stride = chosen.stride(material) + MINIMISATION_STEPS
        return atoms * (material.steps(self.equilibration) + self.structures * stride)


@writes_alone
def shear_md(
    material: Material,
    structure: Structure,
    settings: ShearMDSettings,
    output: Path,
    progress: Progress,
    *,
    origin: Mapping[str, object] | None = None,
) -> None:
    """Heat, shear, and write the inherent structures as the frames of `output` (``.xyz.gz``).

    Frame 0 is unstrained. Every frame has ``Potential_Energy`` per atom and says in its header
    ``strain``, ``temperature`` and ``energy_per_atom``. The state is saved twice a minute
    beside the output; calling the function again continues.

    Parameters
    ----------
    material : Material
    structure : Structure
        In a periodic cell, whose density is kept.
    settings : ShearMDSettings
        Temperature, rate and strain.
    output : Path
        File to write.
    progress : callable
        Fraction and text.
    origin : mapping, optional
        Header entries that say how the structure itself was made.
    """
    check_structure(structure, material.check_complete())
    settings = settings.filled_in(material)
    claim_intermediate(output, asdict(settings), material, structure)
    # The first is sampled once, at its end.
    unstrained, strained = (
        InherentStructures(material, material.loose_tolerance, intermediate(output, name))
        for name in ("unstrained", "strained")
    )
    cell, _ = lammps_frame(structure)

    def start(lammps: Any) -> None:
        create_atoms(lammps, structure, material)
        if not np.any(cell != np.diag(np.diag(cell))):
            lammps.command("change_box all triclinic")
        # Equipartition takes half of the kinetic energy that a minimum starts with.
        warm = 2 * settings.temperature
        lammps.command(f"velocity all create {warm} {settings.seed} mom yes rot no dist gaussian")

    checkpoint, size = intermediate(output, "checkpoint"), settings.checkpoint_atom_steps
    stages = _stages(material, settings, unstrained, strained)
    run_stages(material, stages, checkpoint, start, progress, lambda lammps: {}, size)
    made_by = {**provenance("shear-md", asdict(settings), material), **(origin or {})}
    frames = []
    for configuration in (*saved_configurations(unstrained.result), *saved_configurations(strained.result)):
        header = {
            **made_by,
            "strain": f"{(configuration.cell[1, 0] - cell[1, 0]) / configuration.cell[1, 1]:.6f}",
            "temperature": f"{settings.temperature:g}",
            "energy_per_atom": f"{configuration.energies.mean():.8f}",
        }
        columns = {"Potential_Energy": configuration.energies}
        frames.append(Snapshot(configuration.structure(material.species), columns, header))
    write_frames(output, frames)
    clear_intermediate(output)


def _stages(
    material: Material, settings: ShearMDSettings, unstrained: InherentStructures, strained: InherentStructures
) -> list[Stage]:
    warm, step, every = settings.temperature, material.time_step, settings.stride(material)
    holding = material.steps(settings.equilibration)
    rate = settings.strain / (settings.structures * every * step)
    shear = (
        f"fix integrate all nvt/sllod temp {warm} {warm} {50 * step}",
        f"fix deform all deform 1 xy erate {rate} remap v flip no",
    )
    return [
        Stage("heating", holding, warm, warm, step, None, holding, unstrained),
        Stage("shearing", settings.structures * every, warm, warm, step, None, every, strained, shear),
    ]
