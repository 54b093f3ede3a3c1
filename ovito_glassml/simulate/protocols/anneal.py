"""Inherent structures of a glass annealed at several temperatures at fixed density."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.atoms import molten
from ovito_glassml.simulate.checkpoints import (
    claim_intermediate,
    clear_intermediate,
    intermediate,
    made_once,
    writes_alone,
)
from ovito_glassml.simulate.crystals import check_glassy
from ovito_glassml.simulate.engine import (
    CHECKPOINT_ATOM_STEPS,
    Progress,
    Stage,
    load_restart,
    progress_parts,
    restart_of,
    run_stages,
)
from ovito_glassml.simulate.material import Material
from ovito_glassml.simulate.melt import melting
from ovito_glassml.simulate.minima import Configuration, InherentStructures, saved_configurations
from ovito_glassml.simulate.settings import FROM_MATERIAL, check_atoms, filled_in, rounded, seed_of
from ovito_glassml.simulate.snapshots import Snapshot, provenance, write_frames

__all__ = ["COLDEST", "AnnealSettings", "anneal", "annealed_frame"]

#: Lowest thermostat temperature as a share of the melt's: thermostats do not accept zero, and a solid at 1 K lies
#: within 0.1 meV/atom of its minimum.
COLDEST = 5e-4
#: Default temperatures, in units of the glass temperature.
TEMPERATURES = tuple(number / 14 for number in (10, 11, 12, 13, 14))
#: Cost of one minimisation in steps of molecular dynamics, for the progress only.
MINIMISATION_STEPS = 300


@dataclass(frozen=True)
class AnnealSettings:
    """How a glass is quenched and annealed, all of it in one fixed cell.

    Attributes
    ----------
    atoms : int
        Number of atoms; whole chains of a polymer.
    seed : int
        Starts positions and velocities.
    number_density : float
        Atoms per Å³ (or reduced), kept throughout; by default that of the material's glass.
    melt_temperature : float
        K (or reduced), of the melt.
    melt_time : float
        ps (or reduced) in the melt.
    quench_time : float
        ps (or reduced) from the melt's temperature to zero.
    temperatures : tuple of float
        K (or reduced), one anneal each; by default five from 5/7 of the glass temperature up to it.
    anneal_time : float
        ps (or reduced) at each temperature.
    structures : int
        Inherent structures along each anneal, evenly spaced.
    checkpoint_atom_steps : int
        Number of atoms times number of steps between two checkpoints.
    """

    atoms: int = 2000
    seed: int = 1
    number_density: float = FROM_MATERIAL
    melt_temperature: float = FROM_MATERIAL
    melt_time: float = 20.0
    quench_time: float = 200.0
    temperatures: tuple[float, ...] = ()
    anneal_time: float = 180.0
    structures: int = 60
    checkpoint_atom_steps: int = CHECKPOINT_ATOM_STEPS // 2  # minimisations come on top

    def __post_init__(self) -> None:
        check_atoms(self.atoms)
        if self.temperatures and min(self.temperatures) <= 0:
            raise SimulationError("Temperatures must be positive; give at least one, such as 600 (K).")
        if self.structures < 1:
            raise self._too_many()

    def _too_many(self) -> SimulationError:
        return SimulationError(f"{self.structures} structures do not fit into {self.anneal_time:g} ps; give fewer.")

    def filled_in(self, material: Material) -> AnnealSettings:
        values = {
            "number_density": material.number_density,
            "melt_temperature": material.melt_temperature,
            "temperatures": tuple(rounded(share * material.glass_temperature) for share in TEMPERATURES),
        }
        chosen = filled_in(self, values)
        if math.isnan(chosen.number_density):
            raise SimulationError(
                f"The density of {material.composition} is not known, only that of another composition of "
                f"{material.name}; give number_density."
            )
        known = material.number_density
        if not math.isnan(known) and not 0.5 < chosen.number_density / known < 1.6:
            raise SimulationError(
                f"A number_density of {chosen.number_density:g} is no glass of {material.name}; give about {known:g}."
            )
        if self.anneal_time / self.structures * material.unit_system.times < material.time_step:
            raise self._too_many()
        return chosen

    def stride(self, material: Material) -> int:
        """Steps from one snapshot to the next."""
        return material.steps(self.anneal_time / self.structures)

    def durations(self, material: Material) -> list[float]:
        """Steps of the quench and of every anneal, its minimisations included."""
        quenching = float(material.steps(self.melt_time + self.quench_time))
        annealing = float(self.structures * (self.stride(material) + MINIMISATION_STEPS))
        return [quenching] + [annealing] * (len(self.temperatures) or len(TEMPERATURES))

    def atom_steps(self, atoms: int, material: Material) -> float:
        """Cost: number of atoms times number of force evaluations."""
        return atoms * sum(self.durations(material))


@writes_alone
def anneal(material: Material, settings: AnnealSettings, output: Path, progress: Progress) -> None:
    """Run the protocol and write all inherent structures as the frames of `output` (``.xyz.gz``).

    Every frame has ``Potential_Energy`` per atom and says in its header ``anneal_temperature``,
    ``time`` since the anneal began and ``energy_per_atom``. The state is saved twice
    a minute beside the output; calling the function again continues.

    Raises
    ------
    SimulationError
        If the material lacks what the protocol needs, does not melt, or crystallises.
    """
    settings = settings.filled_in(material.check_complete())
    claim_intermediate(output, asdict(settings), material)
    report = progress_parts(progress, settings.durations(material))
    quenched = made_once(intermediate(output, "quenched"), lambda: _quenched(material, settings, output, report(0)))
    frames: list[Snapshot] = []
    for number, temperature in enumerate(settings.temperatures, start=1):
        minima = intermediate(output, f"{temperature:g}K")
        if not minima.exists():
            _anneal_at(material, settings, temperature, quenched["restart"], minima, report(number))
        frames += _frames(material, settings, temperature, minima)
        check_glassy(frames[-1].structure, material)
    write_frames(output, frames)
    clear_intermediate(output)


def _quenched(material: Material, settings: AnnealSettings, output: Path, progress: Progress) -> dict[str, NDArray]:
    hot, step = settings.melt_temperature, material.time_step
    stages = [
        melting(material, settings.melt_time, hot, None),
        Stage("cooling at fixed density", material.steps(settings.quench_time), hot, COLDEST * hot, step),
    ]
    start = molten(material, settings.atoms, settings.seed, hot, settings.number_density)

    def finish(lammps: Any) -> dict[str, NDArray]:
        return {"restart": restart_of(lammps)}

    checkpoint = intermediate(output, "quench")
    return run_stages(material, stages, checkpoint, start, progress, finish, settings.checkpoint_atom_steps)


def _anneal_at(
    material: Material,
    settings: AnnealSettings,
    temperature: float,
    restart: NDArray,
    minima: Path,
    progress: Progress,
) -> None:
    """Heat the quenched glass at once, hold it, and save minima found on the way."""
    every, step = settings.stride(material), material.time_step
    observer = InherentStructures(material, material.loose_tolerance, minima)
    text = f"annealing at {temperature:g}"
    hold = Stage(text, settings.structures * every, temperature, temperature, step, None, every, observer)

    def start(lammps: Any) -> None:
        load_restart(lammps, material, restart)
        # Equipartition takes half of the kinetic energy that a minimum starts with.
        seed = settings.seed + seed_of(temperature)
        lammps.command(f"velocity all create {2 * temperature} {seed} mom yes rot no dist gaussian")

    checkpoint = minima.with_suffix(".checkpoint.npz")
    run_stages(material, [hold], checkpoint, start, progress, lambda lammps: {}, settings.checkpoint_atom_steps)


def _frames(material: Material, settings: AnnealSettings, temperature: float, minima: Path) -> Iterator[Snapshot]:
    for number, configuration in enumerate(saved_configurations(minima), start=1):
        yield annealed_frame(material, settings, temperature, number, configuration)


def annealed_frame(
    material: Material,
    settings: AnnealSettings,
    temperature: float,
    number: int,
    configuration: Configuration,
    header: Mapping[str, object] | None = None,
) -> Snapshot:
    """The inherent structure below snapshot `number`, counted from 1, of the anneal at `temperature`."""
    time = number * settings.stride(material) * material.time_step / material.unit_system.times
    entries = {
        **provenance("anneal", asdict(settings), material, composition=True),
        **(header or {}),
        "anneal_temperature": f"{temperature:g}",
        "time": f"{time:g}",
        "energy_per_atom": f"{configuration.energies.mean():.8f}",
        **configuration.header(material.species),
    }
    structure = configuration.structure(material.species)
    return Snapshot(structure, {"Potential_Energy": configuration.energies}, entries)
