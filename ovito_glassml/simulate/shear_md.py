"""Shear of a Cu-Zr glass by molecular dynamics, with inherent structures along the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.checkpoints import claim_intermediate, clear_intermediate, intermediate, writes_alone
from ovito_glassml.simulate.engine import CHECKPOINT_ATOM_STEPS, Progress, Stage, run_stages
from ovito_glassml.simulate.minima import InherentStructures, saved_configurations
from ovito_glassml.simulate.potentials import copper_zirconium
from ovito_glassml.simulate.shards import Shard, provenance, write_frames
from ovito_glassml.simulate.vibrations import check_structure, create_atoms
from ovito_glassml.structure import Structure

__all__ = ["ShearMDSettings", "shear_md"]

TIMESTEP = 0.003  # ps
#: eV/Å, largest force component in an inherent structure.
FORCE_TOLERANCE = 1e-4
#: Cost of one minimisation in steps of molecular dynamics, for the expected duration only.
MINIMISATION_STEPS = 300


@dataclass(frozen=True)
class ShearMDSettings:
    """How a glass is sheared.

    Attributes
    ----------
    temperature : float
        K.
    shear_rate : float
        1/s; simple shear of the xy plane at constant volume.
    strain : float
        Engineering shear strain at the end.
    structures : int
        Inherent structures along the way, evenly spaced.
    equilibration : float
        ps at the temperature before the shear.
    seed : int
        Starts the velocities.
    frame : int
        Frame of the input file to start from; −1 is the last.
    checkpoint_atom_steps : int
        Number of atoms times number of steps between two checkpoints.
    """

    temperature: float = 300.0
    shear_rate: float = 1e9
    strain: float = 0.2
    structures: int = 40
    equilibration: float = 20.0
    seed: int = 1
    frame: int = -1
    checkpoint_atom_steps: int = CHECKPOINT_ATOM_STEPS // 2  # minimisations come on top

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise SimulationError(f"The temperature {self.temperature:g} K is not positive; give one such as 300.")
        if not 0 < self.strain <= 0.45:
            raise SimulationError(f"The strain {self.strain:g} must lie between 0 and 0.45.")
        if self.shear_rate <= 0 or self.structures < 1 or self.stride < 1:
            raise SimulationError(
                f"{self.structures} structures do not fit into a strain of {self.strain:g} "
                f"at {self.shear_rate:g} per second; shear more slowly."
            )

    @property
    def stride(self) -> int:
        """Steps from one inherent structure to the next."""
        if self.shear_rate <= 0 or self.structures < 1:
            return 0
        return round(self.strain / (self.shear_rate * 1e-12) / TIMESTEP / self.structures)

    def atom_steps(self, atoms: int) -> float:
        """Cost: number of atoms times number of force evaluations."""
        return atoms * (self.equilibration / TIMESTEP + self.structures * (self.stride + MINIMISATION_STEPS))


@writes_alone
def shear_md(
    structure: Structure,
    settings: ShearMDSettings,
    output: Path,
    progress: Progress,
    *,
    origin: Mapping[str, object] | None = None,
) -> None:
    """Heat, shear, and write the inherent structures as the frames of `output` (``.xyz.gz``).

    Frame 0 is unstrained. Every frame has ``Potential_Energy`` (eV) per atom and says in its header
    ``strain``, ``temperature`` (K) and ``energy_per_atom`` (eV). The state is saved twice a minute
    beside the output; calling the function again continues.

    Parameters
    ----------
    structure : Structure
        Cu-Zr in an orthogonal periodic cell, whose density is kept.
    settings : ShearMDSettings
        Temperature, rate and strain.
    output : Path
        File to write.
    progress : callable
        Fraction and text.
    origin : mapping, optional
        Header entries that say how the structure itself was made.
    """
    interaction = copper_zirconium()
    check_structure(structure, interaction)
    claim_intermediate(output, asdict(settings), structure)
    warm = settings.temperature
    holding = max(1, round(settings.equilibration / TIMESTEP))
    # Sampled once, at its end.
    unstrained = InherentStructures(interaction, FORCE_TOLERANCE, intermediate(output, "unstrained"))
    strained = InherentStructures(interaction, FORCE_TOLERANCE, intermediate(output, "strained"))
    rate = settings.strain / (settings.structures * settings.stride * TIMESTEP)
    shear = (
        f"fix integrate all nvt/sllod temp {warm} {warm} {50 * TIMESTEP}",
        f"fix deform all deform 1 xy erate {rate} remap v flip no",
    )
    every = settings.stride
    stages = [
        Stage("heating", holding, warm, warm, TIMESTEP, None, holding, unstrained),
        Stage("shearing", settings.structures * every, warm, warm, TIMESTEP, None, every, strained, shear),
    ]

    def start(lammps: Any) -> None:
        create_atoms(lammps, structure, interaction)
        lammps.command("change_box all triclinic")
        # Equipartition takes half of the kinetic energy that a minimum starts with.
        lammps.command(f"velocity all create {2 * warm} {settings.seed} mom yes rot no dist gaussian")

    checkpoint = intermediate(output, "checkpoint")
    run_stages(interaction, stages, checkpoint, start, progress, lambda lammps: {}, settings.checkpoint_atom_steps)
    made_by = {**provenance("shear-md", asdict(settings)), **(origin or {})}
    found = [*saved_configurations(unstrained.result), *saved_configurations(strained.result)]
    frames = []
    for configuration in found:
        header = {
            **made_by,
            "strain": f"{configuration.cell[1, 0] / configuration.cell[1, 1]:.6f}",
            "temperature": f"{warm:g}",
            "energy_per_atom": f"{configuration.energies.mean():.8f}",
        }
        columns = {"Potential_Energy": configuration.energies}
        frames.append(Shard(configuration.structure(interaction.species), columns, header))
    write_frames(output, frames)
    clear_intermediate(output)
