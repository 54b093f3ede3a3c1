"""Vibrational mean-squared displacement of every atom of a glass at several temperatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.labels.vibrations import VibrationAccumulator, stiffness_from_msd
from ovito_glassml.simulate.checkpoints import (
    claim_intermediate,
    clear_intermediate,
    intermediate,
    load_checkpoint,
    save_atomically,
    writes_alone,
)
from ovito_glassml.simulate.engine import (
    CHECKPOINT_ATOM_STEPS,
    Interaction,
    Progress,
    Stage,
    apply_interaction,
    run_stages,
    unwrapped_positions,
)
from ovito_glassml.simulate.potentials import copper_zirconium
from ovito_glassml.simulate.shards import provenance, write_shard
from ovito_glassml.structure import Structure

__all__ = ["VibrationSettings", "check_structure", "create_atoms", "vibrations"]

TIMESTEP = 0.004  # ps; total energy drifts by under 10⁻⁴ eV/atom in 100 ps at 300 K


@dataclass(frozen=True)
class VibrationSettings:
    """How stiffness labels are measured.

    Attributes
    ----------
    temperatures : tuple of float
        K; the label is the mean of K_i(T) over them.
    window : float
        ps of NVT over which u² is taken.
    sample_interval : float
        ps between sampled positions; shorter than a vibration period.
    equilibration : float
        ps at each temperature before the window: half at zero pressure to find the cell,
        half in that cell.
    seed : int
        Starts the velocities.
    checkpoint_atom_steps : int
        Number of atoms times number of steps between two checkpoints.
    """

    temperatures: tuple[float, ...] = (50.0, 100.0, 150.0, 200.0, 250.0, 300.0)
    window: float = 100.0
    sample_interval: float = 0.1
    equilibration: float = 20.0
    seed: int = 1
    checkpoint_atom_steps: int = CHECKPOINT_ATOM_STEPS

    def __post_init__(self) -> None:
        if not self.temperatures or min(self.temperatures) <= 0:
            raise SimulationError("Temperatures must be positive; give at least one in K, such as 300.")
        if self.window < 2 * self.sample_interval:
            raise SimulationError(f"A window of {self.window} ps holds fewer than two samples; make it longer.")

    def atom_steps(self, atoms: int) -> float:
        """Cost: number of atoms times number of steps."""
        return atoms * len(self.temperatures) * (self.window + self.equilibration) / TIMESTEP


class _AverageCell:
    """Rescales the cell to its average over the second half of a zero-pressure stage."""

    def __init__(self, steps: int, sample_every: int) -> None:
        self.skip = steps // sample_every // 2
        self.seen, self.total = 0, 0.0

    def begin(self, lammps: Any) -> None:
        self.seen, self.total = 0, 0.0

    def sample(self, lammps: Any) -> None:
        self.seen += 1
        if self.seen > self.skip:
            low, high = lammps.extract_box()[:2]
            self.total += high[0] - low[0]

    def finish(self, lammps: Any) -> None:
        low, high = lammps.extract_box()[:2]
        factor = self.total / (self.seen - self.skip) / (high[0] - low[0])
        lammps.command(f"change_box all x scale {factor} y scale {factor} z scale {factor} remap")

    def state(self) -> dict[str, NDArray]:
        return {"seen": np.array(self.seen), "total": np.array(self.total)}

    def restore(self, state: dict[str, NDArray]) -> None:
        self.seen, self.total = int(state["seen"]), float(state["total"])


class _Displacements:
    """Feeds the unwrapped positions to a `VibrationAccumulator` and files its result."""

    def __init__(self, frames: int, result: Path) -> None:
        self.frames, self.result = frames, result
        self.accumulator: VibrationAccumulator

    def begin(self, lammps: Any) -> None:
        self.accumulator = VibrationAccumulator(unwrapped_positions(lammps), self.frames)

    def sample(self, lammps: Any) -> None:
        self.accumulator.add(unwrapped_positions(lammps))

    def finish(self, lammps: Any) -> None:
        measured = self.accumulator.result()
        save_atomically(
            self.result,
            {"msd": measured.msd, "hop_corrected_msd": measured.hop_corrected_msd, "hops": measured.hops},
        )

    def state(self) -> dict[str, NDArray]:
        return self.accumulator.state()

    def restore(self, state: dict[str, NDArray]) -> None:
        self.accumulator = VibrationAccumulator(state["reference"], self.frames)
        self.accumulator.restore(state)


@writes_alone
def vibrations(
    structure: Structure,
    settings: VibrationSettings,
    output: Path,
    progress: Progress,
    *,
    origin: Mapping[str, object] | None = None,
) -> None:
    """Measure u² at every temperature, each from the same inherent structure, and write the labels.

    Parameters
    ----------
    structure : Structure
        Inherent structure at zero pressure, Cu-Zr, in an orthogonal periodic cell.
    settings : VibrationSettings
        Temperatures and times.
    output : Path
        ``.xyz.gz`` with the columns ``Stiffness`` (mean of K over temperatures, eV/Å²),
        ``Vibrational_MSD``, ``Hop_Corrected_MSD`` (Å²) and ``Hops``, one component a temperature.
    progress : callable
        Fraction and text.
    origin : mapping, optional
        Header entries that say how the structure itself was made.
    """
    interaction = copper_zirconium()
    check_structure(structure, interaction)
    claim_intermediate(output, asdict(settings), structure)
    temperatures = settings.temperatures
    results = []
    for number, temperature in enumerate(temperatures):
        result = intermediate(output, f"{temperature:g}K")

        def report(fraction: float, text: str, number: int = number, temperature: float = temperature) -> None:
            progress((number + fraction) / len(temperatures), f"{text} at {temperature:g} K")

        if not result.exists():
            _one_temperature(structure, settings, temperature, interaction, result, report)
        results.append(load_checkpoint(result))

    msd = np.stack([part["msd"] for part in results], axis=1)
    corrected = np.stack([part["hop_corrected_msd"] for part in results], axis=1)
    stiffness = stiffness_from_msd(msd, np.asarray(temperatures)).mean(axis=1)
    columns = {
        "Stiffness": stiffness,
        "Vibrational_MSD": msd,
        "Hop_Corrected_MSD": corrected,
        "Hops": np.stack([part["hops"] for part in results], axis=1),
    }
    header = {**provenance("vibrations", asdict(settings)), **(origin or {})}
    write_shard(output, structure, columns, header)
    clear_intermediate(output)


def _one_temperature(
    structure: Structure,
    settings: VibrationSettings,
    temperature: float,
    interaction: Interaction,
    result: Path,
    progress: Progress,
) -> None:
    half = round(settings.equilibration / 2 / TIMESTEP)
    every = max(1, round(settings.sample_interval / TIMESTEP))
    frames = round(settings.window / settings.sample_interval)
    constant = (temperature, temperature, TIMESTEP)
    stages = [
        Stage("finding the cell", half, *constant, 0.0, every, _AverageCell(half, every)),
        Stage("equilibrating", half, *constant),
        Stage("measuring vibrations", frames * every, *constant, None, every, _Displacements(frames, result)),
    ]
    checkpoint = result.with_suffix(".checkpoint.npz")

    def start(lammps: Any) -> None:
        create_atoms(lammps, structure, interaction)
        # Equipartition takes half of the kinetic energy that a minimum starts with.
        seed = settings.seed + round(temperature)
        lammps.command(f"velocity all create {2 * temperature} {seed} mom yes rot no dist gaussian")

    steps = settings.checkpoint_atom_steps
    run_stages(interaction, stages, checkpoint, start, progress, lambda lammps: {}, steps)
    checkpoint.unlink(missing_ok=True)


def create_atoms(lammps: Any, structure: Structure, interaction: Interaction) -> None:
    """Put the atoms of an orthogonal periodic structure into an empty LAMMPS instance."""
    lengths = np.diag(np.asarray(structure.cell))
    lammps.command(f"units {interaction.units}")
    lammps.command(f"atom_style {interaction.atom_style}")
    lammps.command("boundary p p p")
    lammps.command(f"region box block 0 {lengths[0]} 0 {lengths[1]} 0 {lengths[2]}")
    lammps.command(f"create_box {len(interaction.species)} box")
    positions = (structure.positions - structure.origin) % lengths
    number = {name: index + 1 for index, name in enumerate(interaction.species)}
    types = [number[structure.species_names[kind]] for kind in structure.species]
    count = len(structure)
    lammps.create_atoms(count, list(range(1, count + 1)), types, positions.ravel().tolist())
    apply_interaction(lammps, interaction)


def check_structure(structure: Structure, interaction: Interaction) -> None:
    unknown = set(structure.species_names) - set(interaction.species)
    if unknown:
        raise SimulationError(
            f"No potential for {', '.join(sorted(unknown))}; the structure must consist of Cu and Zr."
        )
    if structure.cell is None or not all(structure.pbc):
        raise SimulationError("The structure needs a cell that is periodic in all directions.")
    if np.abs(structure.cell - np.diag(np.diag(structure.cell))).max() > 1e-9:
        raise SimulationError("The cell is not orthogonal; give a structure in a rectangular cell.")
