"""Isoconfigurational ensemble: one supercooled liquid, many runs from it with new velocities."""

from __future__ import annotations

import math
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
    unwrapped_positions,
)
from ovito_glassml.simulate.material import Material
from ovito_glassml.simulate.melt import melting
from ovito_glassml.simulate.minima import configuration_of, minimise
from ovito_glassml.simulate.observers import AverageCell
from ovito_glassml.simulate.settings import FROM_MATERIAL, check_atoms, filled_in
from ovito_glassml.simulate.snapshots import Snapshot, provenance, write_frames
from ovito_glassml.structure import Structure

__all__ = ["IsoconfigurationalSettings", "isoconfigurational"]


@dataclass(frozen=True)
class IsoconfigurationalSettings:
    """How a liquid is prepared and how often it is run.

    Attributes
    ----------
    atoms : int
        Number of atoms; whole chains of a polymer.
    seed : int
        Starts positions and velocities.
    melt_time : float
        τ (or ps) in the melt.
    cooling_time : float
        τ (or ps) from the melt's temperature to the studied one.
    equilibration : float
        τ (or ps) at that temperature before the first run.
    duration : float
        τ (or ps) of every run, at constant energy; about the time in which half of the atoms leave their places.
        Who moves first is forgotten soon after: of 8 runs of a Wahnström liquid, two halves agree on the atoms
        with a correlation of 0.59 after 300 τ and of 0.28 after 1000 τ.
    replicas : int
        Number of runs.
    temperature : float
        K (or reduced) that is studied; by default the material's `supercooled_temperature`.
    checkpoint_atom_steps : int
        Number of atoms times number of steps between two checkpoints.
    """

    atoms: int = 1000
    seed: int = 1
    melt_time: float = 100.0
    cooling_time: float = 2000.0
    equilibration: float = 1000.0
    duration: float = 300.0
    replicas: int = 8
    temperature: float = FROM_MATERIAL
    checkpoint_atom_steps: int = CHECKPOINT_ATOM_STEPS

    def __post_init__(self) -> None:
        check_atoms(self.atoms)
        if self.replicas < 1:
            raise SimulationError(f"{self.replicas} replicas are no ensemble; give at least 1, better 8.")
        if min(self.melt_time, self.cooling_time, self.equilibration, self.duration) <= 0:
            raise SimulationError("All times must be positive.")
        if self.temperature <= 0:
            raise SimulationError(f"The temperature {self.temperature:g} is not positive; give one such as 850 (K).")

    def filled_in(self, material: Material) -> IsoconfigurationalSettings:
        return filled_in(self, {"temperature": material.studied_temperature})

    def durations(self, material: Material) -> list[float]:
        """Steps of the preparation and of every replica."""
        preparation = material.steps(self.melt_time + self.cooling_time + self.equilibration)
        return [float(preparation)] + [float(material.steps(self.duration))] * self.replicas

    def atom_steps(self, atoms: int, material: Material) -> float:
        """Cost: number of atoms times number of steps."""
        return atoms * sum(self.durations(material))


@writes_alone
def isoconfigurational(
    material: Material, settings: IsoconfigurationalSettings, output: Path, progress: Progress
) -> None:
    """Equilibrate, run all replicas and write start and ends to `output` (``.xyz.gz``).

    Frame 0 is the start, every further frame the end of one replica, with unwrapped positions, so
    that positions in a later frame minus those in frame 0 are the displacements. The column
    ``Inherent_Position`` holds each frame's inherent structure in the same way, ``Potential_Energy``
    its energies. All runs have one cell: that of the material's `supercooled_density` if its temperature is studied, of
    its fixed density, or the mean one at its pressure while the liquid equilibrates. The state is saved at least twice
    a minute beside the output; calling the function again continues.

    Raises
    ------
    SimulationError
        If the material lacks what the protocol needs, does not melt, evaporates, or crystallises.
    """
    settings = settings.filled_in(material.check_complete())
    claim_intermediate(output, asdict(settings), material, added={"temperature": material.studied_temperature})
    report = progress_parts(progress, settings.durations(material))
    start = made_once(intermediate(output, "start"), lambda: _prepared(settings, material, output, report(0)))
    ends = []
    for replica in range(1, settings.replicas + 1):
        file = intermediate(output, f"replica{replica}")
        checkpoint = intermediate(output, f"replica{replica}-checkpoint")
        run = _Replica(settings, material, start["restart"], replica, checkpoint, report(replica))
        ends.append(made_once(file, run))
        checkpoint.unlink(missing_ok=True)
    write_frames(output, [_frame(settings, material, start, end, number) for number, end in enumerate([start, *ends])])
    clear_intermediate(output)


def _prepared(
    settings: IsoconfigurationalSettings, material: Material, output: Path, progress: Progress
) -> dict[str, NDArray]:
    density = material.number_density if material.fixed_density else math.nan
    if not material.fixed_density and settings.temperature == material.studied_temperature:
        density = material.supercooled_density
    follows = math.isnan(density)
    hot = material.melt_temperature
    start = molten(material, settings.atoms, settings.seed, hot, material.start_density if follows else density)
    stages = _preparation(settings, material, material.pressure if follows else None)

    def finish(lammps: Any) -> dict[str, NDArray]:
        lammps.command("set group all image 0 0 0")
        restart = restart_of(lammps)
        found = _state_and_minimum(lammps, material)
        check_glassy(configuration_of(lammps).structure(material.species), material)
        return {"restart": restart, **found}

    checkpoint = intermediate(output, "preparation")
    return run_stages(material, stages, checkpoint, start, progress, finish, settings.checkpoint_atom_steps)


def _preparation(settings: IsoconfigurationalSettings, material: Material, pressure: float | None) -> list[Stage]:
    """Melt, cool and hold; where the cell follows a pressure, the second half is held in the mean cell of the first."""
    hot, cold, step = material.melt_temperature, settings.temperature, material.time_step
    cooling, holding = material.steps(settings.cooling_time), material.steps(settings.equilibration)
    stages = [
        melting(material, settings.melt_time, hot, pressure),
        Stage("cooling the melt", cooling, hot, cold, step, pressure),
    ]
    if pressure is not None:
        finding = max(2, holding // 2)
        every = max(1, min(20, finding // 2))
        cell = AverageCell(finding, every)
        stages.append(Stage("finding the cell", finding, cold, cold, step, pressure, every, cell))
        holding = max(1, holding - finding)
    return [*stages, Stage("equilibrating", holding, cold, cold, step)]


class _Replica:
    """One run from the common start; called, it returns where the atoms went."""

    def __init__(
        self,
        settings: IsoconfigurationalSettings,
        material: Material,
        restart: NDArray,
        number: int,
        checkpoint: Path,
        progress: Progress,
    ) -> None:
        self.settings, self.material, self.restart, self.number = settings, material, restart, number
        self.checkpoint, self.progress = checkpoint, progress

    def __call__(self) -> dict[str, NDArray]:
        material, settings = self.material, self.settings
        steps = material.steps(settings.duration)
        cold = settings.temperature
        text = f"replica {self.number} of {settings.replicas}"
        run = Stage(text, steps, cold, cold, material.time_step, integrator=("fix integrate all nve",))

        def start(lammps: Any) -> None:
            load_restart(lammps, material, self.restart)
            seed = _velocity_seed(settings.seed, self.number)
            lammps.command(f"velocity all create {cold} {seed} mom yes rot no dist gaussian")

        def finish(lammps: Any) -> dict[str, NDArray]:
            return _state_and_minimum(lammps, material)

        size = settings.checkpoint_atom_steps
        return run_stages(material, [run], self.checkpoint, start, self.progress, finish, size)


def _velocity_seed(seed: int, number: int) -> int:
    """Of one run: a whole number that LAMMPS takes, which counts up to 2³¹ only."""
    return (1000 * seed + number - 1) % (2**31 - 2) + 1


def _state_and_minimum(lammps: Any, material: Material) -> dict[str, NDArray]:
    """Unwrapped positions, and the minimum below them."""
    positions = unwrapped_positions(lammps)
    minimise(lammps, material.force_tolerance)
    minimum = configuration_of(lammps)
    return {
        "positions": positions,
        "inherent_positions": unwrapped_positions(lammps),
        "energies": minimum.energies,
        "kinds": minimum.kinds,
        "cell": minimum.cell,
        "origin": minimum.origin,
    }


def _frame(
    settings: IsoconfigurationalSettings,
    material: Material,
    start: dict[str, NDArray],
    state: dict[str, NDArray],
    replica: int,
) -> Snapshot:
    header = {
        **provenance("isoconfigurational", asdict(settings), material, composition=True),
        "replica": replica,
        "temperature": f"{settings.temperature:g}",
        "time": "0" if replica == 0 else f"{settings.duration:g}",
        "energy_per_atom": f"{state['energies'].mean():.8f}",
    }
    corner = start["origin"]
    structure = Structure(
        state["positions"] - corner, start["kinds"], material.species, start["cell"], pbc=(True, True, True)
    )
    columns = {"Inherent_Position": state["inherent_positions"] - corner, "Potential_Energy": state["energies"]}
    return Snapshot(structure, columns, header)
