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
from ovito_glassml.simulate.atoms import check_structure, create_atoms
from ovito_glassml.simulate.checkpoints import (
    claim_intermediate,
    clear_intermediate,
    intermediate,
    load_checkpoint,
    save_atomically,
    writes_alone,
)
from ovito_glassml.simulate.engine import CHECKPOINT_ATOM_STEPS, Progress, Stage, run_stages, unwrapped_positions
from ovito_glassml.simulate.material import Material
from ovito_glassml.simulate.observers import AverageCell
from ovito_glassml.simulate.settings import filled_in, rounded, seed_of
from ovito_glassml.simulate.snapshots import provenance, write_snapshot
from ovito_glassml.structure import Structure

__all__ = ["VibrationSettings", "vibrations"]

#: Default temperatures, in units of the glass temperature.
TEMPERATURES = tuple(number / 14 for number in range(1, 7))
#: A block of time whose mean position lies further than this from its site, in nearest-neighbour distances, begins
#: another one: 0.6 Å in Cu-Zr, three times the vibration at 300 K.
HOP = 0.6 / 2.7


@dataclass(frozen=True)
class VibrationSettings:
    """How stiffness labels are measured.

    Attributes
    ----------
    temperatures : tuple of float
        K (or reduced); the label is the mean of K_i(T) over them. By default six up to 3/7 of the glass temperature.
    window : float
        ps (or reduced) of NVT over which u² is taken.
    sample_interval : float
        ps (or reduced) between sampled positions; shorter than a vibration period.
    equilibration : float
        ps (or reduced) at each temperature before the window: half at the material's pressure to find the cell,
        half in that cell.
    seed : int
        Starts the velocities.
    checkpoint_atom_steps : int
        Number of atoms times number of steps between two checkpoints.
    """

    temperatures: tuple[float, ...] = ()
    window: float = 100.0
    sample_interval: float = 0.1
    equilibration: float = 20.0
    seed: int = 1
    checkpoint_atom_steps: int = CHECKPOINT_ATOM_STEPS

    def __post_init__(self) -> None:
        if self.temperatures and min(self.temperatures) <= 0:
            raise SimulationError("Temperatures must be positive; give at least one, such as 300 (K).")
        if self.window < 2 * self.sample_interval:
            raise SimulationError(f"A window of {self.window} ps holds fewer than two samples; make it longer.")

    def filled_in(self, material: Material) -> VibrationSettings:
        default = tuple(rounded(share * material.glass_temperature) for share in TEMPERATURES)
        return filled_in(self, {"temperatures": default})

    def atom_steps(self, atoms: int, material: Material) -> float:
        """Cost: number of atoms times number of steps."""
        temperatures = len(self.temperatures) or len(TEMPERATURES)
        time = (self.window + self.equilibration) * material.unit_system.times
        return atoms * temperatures * time / material.cold_time_step


class _Displacements:
    """Feeds the unwrapped positions to a `VibrationAccumulator` and files its result."""

    def __init__(self, frames: int, hop: float, result: Path) -> None:
        self.frames, self.hop, self.result = frames, hop, result
        self.accumulator: VibrationAccumulator

    def begin(self, lammps: Any) -> None:
        self.accumulator = VibrationAccumulator(unwrapped_positions(lammps), self.frames, hop_distance=self.hop)

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
        self.accumulator = VibrationAccumulator(state["reference"], self.frames, hop_distance=self.hop)
        self.accumulator.restore(state)


@writes_alone
def vibrations(
    material: Material,
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
    material : Material
    structure : Structure
        Inherent structure at the material's pressure or density, in a periodic cell.
    settings : VibrationSettings
        Temperatures and times.
    output : Path
        ``.xyz.gz`` with the columns ``Stiffness`` (mean of K over temperatures; energy over squared length),
        ``Vibrational_MSD``, ``Hop_Corrected_MSD`` (squared length) and ``Hops``, one component a temperature.
    progress : callable
        Fraction and text.
    origin : mapping, optional
        Header entries that say how the structure itself was made.
    """
    check_structure(structure, material.check_complete())
    settings = settings.filled_in(material)
    claim_intermediate(output, asdict(settings), material, structure)
    temperatures = settings.temperatures
    results = []
    for number, temperature in enumerate(temperatures):
        result = intermediate(output, f"{temperature:g}K")

        def report(fraction: float, text: str, number: int = number, temperature: float = temperature) -> None:
            progress((number + fraction) / len(temperatures), f"{text} at {temperature:g} K")

        if not result.exists():
            _one_temperature(material, structure, settings, temperature, result, report)
        results.append(load_checkpoint(result))

    msd = np.stack([part["msd"] for part in results], axis=1)
    corrected = np.stack([part["hop_corrected_msd"] for part in results], axis=1)
    stiffness = stiffness_from_msd(msd, np.asarray(temperatures), material.boltzmann).mean(axis=1)
    columns = {
        "Stiffness": stiffness,
        "Vibrational_MSD": msd,
        "Hop_Corrected_MSD": corrected,
        "Hops": np.stack([part["hops"] for part in results], axis=1),
    }
    header = {**provenance("vibrations", asdict(settings), material), **(origin or {})}
    write_snapshot(output, structure, columns, header)
    clear_intermediate(output)


def _one_temperature(
    material: Material,
    structure: Structure,
    settings: VibrationSettings,
    temperature: float,
    result: Path,
    progress: Progress,
) -> None:
    step = material.cold_time_step
    half = material.steps(settings.equilibration / 2, step)
    every = material.steps(settings.sample_interval, step)
    frames = round(settings.window / settings.sample_interval)
    constant = (temperature, temperature, step)
    observer = _Displacements(frames, rounded(HOP * material.nearest_neighbour_distance), result)
    finding = [] if material.fixed_density else [_finding_the_cell(material, half, every, constant)]
    stages = [
        *finding,
        Stage("equilibrating", half, *constant),
        Stage("measuring vibrations", frames * every, *constant, None, every, observer),
    ]
    checkpoint = result.with_suffix(".checkpoint.npz")

    def start(lammps: Any) -> None:
        create_atoms(lammps, structure, material)
        # Equipartition takes half of the kinetic energy that a minimum starts with.
        seed = settings.seed + seed_of(temperature)
        lammps.command(f"velocity all create {2 * temperature} {seed} mom yes rot no dist gaussian")

    steps = settings.checkpoint_atom_steps
    run_stages(material, stages, checkpoint, start, progress, lambda lammps: {}, steps)
    checkpoint.unlink(missing_ok=True)


def _finding_the_cell(material: Material, steps: int, every: int, constant: tuple[float, float, float]) -> Stage:
    return Stage("finding the cell", steps, *constant, material.pressure, every, AverageCell(steps, every))
