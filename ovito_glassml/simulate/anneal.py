"""Inherent structures of a glass annealed at several temperatures at fixed density."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
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
    Interaction,
    Progress,
    Stage,
    load_restart,
    progress_parts,
    restart_of,
    run_stages,
)
from ovito_glassml.simulate.minima import Configuration, InherentStructures, saved_configurations
from ovito_glassml.simulate.quench import TIMESTEP, parse_composition
from ovito_glassml.simulate.shards import Shard, provenance, write_frames
from ovito_glassml.simulate.systems import System, molten, system

__all__ = ["AnnealSettings", "anneal", "annealed_frame", "glass_former"]

#: K; thermostats do not accept zero, and a solid at 1 K lies within 0.1 meV/atom of its minimum.
COLDEST = 1.0
#: eV/Å, largest force component in an inherent structure; its energy is then exact to 10⁻⁷ eV/atom.
FORCE_TOLERANCE = 1e-4
#: Cost of one minimisation in steps of molecular dynamics, for the progress only.
MINIMISATION_STEPS = 300


@dataclass(frozen=True)
class AnnealSettings:
    """How a glass is quenched and annealed, all of it in one fixed cell.

    Attributes
    ----------
    composition : str
        Such as ``Zr44Cu56``, in atomic percent.
    atoms : int
        Number of atoms.
    seed : int
        Starts positions and velocities.
    number_density : float
        Atoms per Å³. The default is Zr44Cu56 at zero pressure and 600 K, in the middle of the anneals.
    melt_temperature, melt_time : float
        K, ps.
    quench_time : float
        ps from the melt temperature to 0 K.
    temperatures : tuple of float
        K; every anneal starts from the same quenched glass.
    anneal_time : float
        ps at each temperature.
    structures : int
        Snapshots along each anneal, evenly spaced.
    checkpoint_atom_steps : int
        Number of atoms times number of steps between two checkpoints.
    """

    composition: str = "Zr44Cu56"
    atoms: int = 2000
    seed: int = 1
    number_density: float = 0.0576
    melt_temperature: float = 2000.0
    melt_time: float = 20.0
    quench_time: float = 200.0
    temperatures: tuple[float, ...] = (500.0, 550.0, 600.0, 650.0, 700.0)
    anneal_time: float = 180.0
    structures: int = 60
    checkpoint_atom_steps: int = CHECKPOINT_ATOM_STEPS // 2  # minimisations come on top

    def __post_init__(self) -> None:
        if self.atoms < 100:
            raise SimulationError(f"A glass of {self.atoms} atoms is smaller than twice the cutoff; give at least 100.")
        if not self.temperatures or min(self.temperatures) <= 0:
            raise SimulationError("Temperatures must be positive; give at least one in K, such as 600.")
        if self.structures < 1 or self.anneal_time / self.structures < TIMESTEP:
            raise SimulationError(f"{self.structures} structures do not fit into {self.anneal_time:g} ps; give fewer.")
        if not 0.03 < self.number_density < 0.09:
            raise SimulationError(f"{self.number_density:g} atoms per Å³ is no Cu-Zr glass; give about 0.058.")
        parse_composition(self.composition)

    @property
    def stride(self) -> int:
        """Steps from one snapshot to the next."""
        return max(1, round(self.anneal_time / self.structures / TIMESTEP))

    @property
    def durations(self) -> list[float]:
        """Steps of the quench and of every anneal, its minimisations included."""
        quenching = (self.melt_time + self.quench_time) / TIMESTEP
        return [quenching] + [self.structures * (self.stride + MINIMISATION_STEPS)] * len(self.temperatures)

    def atom_steps(self, atoms: int) -> float:
        """Cost: number of atoms times number of force evaluations."""
        return atoms * sum(self.durations)


@writes_alone
def anneal(settings: AnnealSettings, output: Path, progress: Progress) -> None:
    """Run the protocol and write all inherent structures as the frames of `output` (``.xyz.gz``).

    Every frame has ``Potential_Energy`` (eV) per atom and says in its header ``anneal_temperature``
    (K), ``time`` since the anneal began (ps) and ``energy_per_atom`` (eV). The state is saved twice
    a minute beside the output; calling the function again continues.
    """
    matter = glass_former(settings)
    claim_intermediate(output, asdict(settings))
    report = progress_parts(progress, settings.durations)
    quenched = made_once(intermediate(output, "quenched"), lambda: _quenched(settings, matter, output, report(0)))
    frames: list[Shard] = []
    for number, temperature in enumerate(settings.temperatures, start=1):
        minima = intermediate(output, f"{temperature:g}K")
        if not minima.exists():
            _anneal_at(settings, matter, temperature, quenched["restart"], minima, report(number))
        frames += _frames(settings, matter, temperature, minima)
    write_frames(output, frames)
    clear_intermediate(output)


def glass_former(settings: AnnealSettings) -> System:
    """Cu-Zr of the composition and density of the settings."""
    matter = system("cu50zr50")
    shares = parse_composition(settings.composition)
    if set(shares) - set(matter.interaction.species):
        raise SimulationError(f"{settings.composition} has no potential here; use the species Cu and Zr.")
    fractions = tuple(shares.get(name, 0.0) for name in matter.interaction.species)
    return replace(
        matter,
        fractions=fractions,
        number_density=settings.number_density,
        melt_temperature=settings.melt_temperature,
    )


def _quenched(settings: AnnealSettings, matter: System, output: Path, progress: Progress) -> dict[str, NDArray]:
    hot = settings.melt_temperature
    melting, cooling = (max(1, round(time / TIMESTEP)) for time in (settings.melt_time, settings.quench_time))
    stages = [
        Stage("melting", melting, hot, hot, TIMESTEP),
        Stage("cooling at fixed density", cooling, hot, COLDEST, TIMESTEP),
    ]

    start = molten(matter, settings.atoms, settings.seed)

    def finish(lammps: Any) -> dict[str, NDArray]:
        return {"restart": restart_of(lammps)}

    checkpoint = intermediate(output, "quench")
    return run_stages(matter.interaction, stages, checkpoint, start, progress, finish, settings.checkpoint_atom_steps)


def _anneal_at(
    settings: AnnealSettings, matter: System, temperature: float, restart: NDArray, minima: Path, progress: Progress
) -> None:
    """Heat the quenched glass at once, hold it, and save minima found on the way."""
    interaction = matter.interaction
    every = settings.stride
    observer = InherentStructures(interaction, FORCE_TOLERANCE, minima)
    text = f"annealing at {temperature:g} K"
    hold = Stage(text, settings.structures * every, temperature, temperature, TIMESTEP, None, every, observer)

    def start(lammps: Any) -> None:
        load_restart(lammps, interaction, restart)
        # Equipartition takes half of the kinetic energy that a minimum starts with.
        seed = settings.seed + round(temperature)
        lammps.command(f"velocity all create {2 * temperature} {seed} mom yes rot no dist gaussian")

    checkpoint = minima.with_suffix(".checkpoint.npz")
    run_stages(interaction, [hold], checkpoint, start, progress, lambda lammps: {}, settings.checkpoint_atom_steps)


def _frames(settings: AnnealSettings, matter: System, temperature: float, minima: Path) -> Iterator[Shard]:
    for number, configuration in enumerate(saved_configurations(minima), start=1):
        yield annealed_frame(settings, temperature, number, configuration, matter.interaction)


def annealed_frame(
    settings: AnnealSettings,
    temperature: float,
    number: int,
    configuration: Configuration,
    interaction: Interaction,
    header: Mapping[str, object] | None = None,
) -> Shard:
    """The inherent structure below snapshot `number`, counted from 1, of the anneal at `temperature`."""
    entries = {
        **provenance("anneal", asdict(settings)),
        **(header or {}),
        "anneal_temperature": f"{temperature:g}",
        "time": f"{number * settings.stride * TIMESTEP:g}",
        "energy_per_atom": f"{configuration.energies.mean():.8f}",
    }
    structure = configuration.structure(interaction.species)
    return Shard(structure, {"Potential_Energy": configuration.energies}, entries)
