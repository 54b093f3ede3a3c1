"""Isoconfigurational ensemble: one supercooled liquid, many runs from it with new velocities."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.checkpoints import (
    claim_intermediate,
    clear_intermediate,
    intermediate,
    made_once,
    writes_alone,
)
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
from ovito_glassml.simulate.minima import configuration_of, minimise
from ovito_glassml.simulate.shards import Shard, provenance, write_frames
from ovito_glassml.simulate.systems import System, molten, system
from ovito_glassml.structure import Structure

__all__ = ["IsoconfigurationalSettings", "isoconfigurational"]


@dataclass(frozen=True)
class IsoconfigurationalSettings:
    """How a liquid is prepared and how often it is run. Times are in the unit of the system, τ.

    Attributes
    ----------
    system : str
        ``kob-andersen``, ``wahnstrom`` or ``polymer``; temperature and density follow from it.
    atoms : int
        Number of atoms; a multiple of 20 for the polymer.
    seed : int
        Starts positions and velocities.
    melt_time, cooling_time, equilibration : float
        In the melt, from its temperature to the studied one, and there before the first run.
    duration : float
        Of every run, at constant energy; about the time in which half of the atoms leave their places.
        Who moves first is forgotten soon after: of 8 runs of a Wahnström liquid, two halves agree on the atoms
        with a correlation of 0.59 after 300 τ and of 0.28 after 1000 τ.
    replicas : int
        Number of runs.
    checkpoint_atom_steps : int
        Number of atoms times number of steps between two checkpoints.
    """

    system: str = "wahnstrom"
    atoms: int = 1000
    seed: int = 1
    melt_time: float = 100.0
    cooling_time: float = 2000.0
    equilibration: float = 1000.0
    duration: float = 300.0
    replicas: int = 8
    checkpoint_atom_steps: int = CHECKPOINT_ATOM_STEPS

    def __post_init__(self) -> None:
        if self.atoms < 100:
            raise SimulationError(f"A glass of {self.atoms} atoms is smaller than twice the cutoff; give at least 100.")
        if self.replicas < 1:
            raise SimulationError(f"{self.replicas} replicas are no ensemble; give at least 1, better 8.")
        if min(self.melt_time, self.cooling_time, self.equilibration, self.duration) <= 0:
            raise SimulationError("All times must be positive.")

    def durations(self, timestep: float) -> list[float]:
        """Steps of the preparation and of every replica."""
        preparation = (self.melt_time + self.cooling_time + self.equilibration) / timestep
        return [preparation] + [self.duration / timestep] * self.replicas

    def atom_steps(self, atoms: int) -> float:
        """Cost: number of atoms times number of steps."""
        return atoms * sum(self.durations(system(self.system).timestep))


@writes_alone
def isoconfigurational(settings: IsoconfigurationalSettings, output: Path, progress: Progress) -> None:
    """Equilibrate, run all replicas and write start and ends to `output` (``.xyz.gz``).

    Frame 0 is the start, every further frame the end of one replica, with unwrapped positions, so
    that positions in a later frame minus those in frame 0 are the displacements. The column
    ``Inherent_Position`` holds each frame's inherent structure in the same way, ``Potential_Energy``
    its energies. Everything happens at the density of the system: the polymer's is the one it has at
    pressure 1. The state is saved at least twice a minute beside the output; calling the function
    again continues.
    """
    matter = system(settings.system)
    claim_intermediate(output, asdict(settings))
    report = progress_parts(progress, settings.durations(matter.timestep))
    start = made_once(intermediate(output, "start"), lambda: _prepared(settings, matter, output, report(0)))
    ends = []
    for replica in range(1, settings.replicas + 1):
        file = intermediate(output, f"replica{replica}")
        checkpoint = intermediate(output, f"replica{replica}-checkpoint")
        run = _Replica(settings, matter, start["restart"], replica, checkpoint, report(replica))
        ends.append(made_once(file, run))
        checkpoint.unlink(missing_ok=True)
    write_frames(output, [_frame(settings, matter, start, end, number) for number, end in enumerate([start, *ends])])
    clear_intermediate(output)


def _prepared(
    settings: IsoconfigurationalSettings, matter: System, output: Path, progress: Progress
) -> dict[str, NDArray]:
    hot, cold, step = matter.melt_temperature, matter.temperature, matter.timestep
    times = settings.melt_time, settings.cooling_time, settings.equilibration
    melting, cooling, holding = (max(1, round(time / step)) for time in times)
    stages = [
        Stage("melting", melting, hot, hot, step),
        Stage("cooling the melt", cooling, hot, cold, step),
        Stage("equilibrating", holding, cold, cold, step),
    ]

    start = molten(matter, settings.atoms, settings.seed)

    def finish(lammps: Any) -> dict[str, NDArray]:
        lammps.command("set group all image 0 0 0")
        return {"restart": restart_of(lammps), **_state_and_minimum(lammps, matter)}

    checkpoint = intermediate(output, "preparation")
    return run_stages(matter.interaction, stages, checkpoint, start, progress, finish, settings.checkpoint_atom_steps)


class _Replica:
    """One run from the common start; called, it returns where the atoms went."""

    def __init__(
        self,
        settings: IsoconfigurationalSettings,
        matter: System,
        restart: NDArray,
        number: int,
        checkpoint: Path,
        progress: Progress,
    ) -> None:
        self.settings, self.matter, self.restart, self.number = settings, matter, restart, number
        self.checkpoint, self.progress = checkpoint, progress

    def __call__(self) -> dict[str, NDArray]:
        matter, settings = self.matter, self.settings
        steps = round(settings.duration / matter.timestep)
        cold = matter.temperature
        text = f"replica {self.number} of {settings.replicas}"
        run = Stage(text, steps, cold, cold, matter.timestep, integrator=("fix integrate all nve",))

        def start(lammps: Any) -> None:
            load_restart(lammps, matter.interaction, self.restart)
            seed = settings.seed * 1000 + self.number
            lammps.command(f"velocity all create {cold} {seed} mom yes rot no dist gaussian")

        def finish(lammps: Any) -> dict[str, NDArray]:
            return _state_and_minimum(lammps, matter)

        size = settings.checkpoint_atom_steps
        return run_stages(matter.interaction, [run], self.checkpoint, start, self.progress, finish, size)


def _state_and_minimum(lammps: Any, matter: System) -> dict[str, NDArray]:
    """Unwrapped positions, and the minimum below them."""
    positions = unwrapped_positions(lammps)
    minimise(lammps, matter.force_tolerance)
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
    matter: System,
    start: dict[str, NDArray],
    state: dict[str, NDArray],
    replica: int,
) -> Shard:
    header = {
        **provenance("isoconfigurational", asdict(settings)),
        "replica": replica,
        "temperature": f"{matter.temperature:g}",
        "time": "0" if replica == 0 else f"{settings.duration:g}",
        "energy_per_atom": f"{state['energies'].mean():.8f}",
    }
    corner = start["origin"]
    structure = Structure(
        state["positions"] - corner, start["kinds"], matter.interaction.species, start["cell"], pbc=(True, True, True)
    )
    columns = {"Inherent_Position": state["inherent_positions"] - corner, "Potential_Energy": state["energies"]}
    return Shard(structure, columns, header)
