"""Melt and cool a glass; the result is an inherent structure at the pressure or density of the material."""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.atoms import molten
from ovito_glassml.simulate.checkpoints import (
    claim_intermediate,
    clear_intermediate,
    intermediate,
    load_checkpoint,
    save_atomically,
    writes_alone,
)
from ovito_glassml.simulate.crystals import check_glassy, mixing
from ovito_glassml.simulate.engine import (
    CHECKPOINT_ATOM_STEPS,
    Progress,
    Stage,
    cell_of,
    energy_per_atom,
    gather,
    restart_of,
    resume,
    run_stages,
)
from ovito_glassml.simulate.material import Material
from ovito_glassml.simulate.melt import Melt
from ovito_glassml.simulate.minima import (
    FIELDS,
    Configuration,
    configuration_of,
    minimise,
    minimise_at_pressure,
    save_configurations,
    saved_configurations,
)
from ovito_glassml.simulate.settings import FROM_MATERIAL, check_atoms, filled_in, given, rounded
from ovito_glassml.simulate.snapshots import Snapshot, provenance, write_curve, write_frames, write_snapshot
from ovito_glassml.structure import Structure

__all__ = ["QuenchSettings", "quench"]

#: Steps between two points of the cooling curve.
CURVE_STEPS = 500
#: Force evaluations of the minimisations at one temperature, for the expected duration only.
PATH_EVALUATIONS = 600
#: The slow window and the end, in units of the glass temperature: a glass falls out of equilibrium within the window.
SLOW_FROM, SLOW_TO, FINAL = 10 / 7, 5 / 7, 1 / 14
#: Atoms of the start are not put closer than this, in nearest-neighbour distances.
OVERLAP = 2 / 3


@dataclass(frozen=True)
class QuenchSettings:
    """How a glass is made. Temperatures and rates that are not given follow from the material.

    Attributes
    ----------
    atoms : int
        Number of atoms; whole chains of a polymer.
    cooling_rate : float
        K/s (or reduced) through the glass transition, between slow_from and slow_to.
    seed : int
        Starts positions and velocities.
    melt_temperature : float
        K (or reduced), of the melt.
    final_temperature : float
        K (or reduced), at which cooling ends.
    slow_from : float
        K (or reduced); above it, the liquid is cooled with fast_rate.
    slow_to : float
        K (or reduced); below it, the glass is cooled with fast_rate.
    fast_rate : float
        K/s (or reduced); the slow rate is used throughout if it is larger.
    melt_time : float
        ps (or reduced) at the melt temperature.
    structures_every : float
        K (or reduced) between inherent structures along the way, from the melt down; 0 keeps the glass alone.
    checkpoint_atom_steps : int
        Number of atoms times number of steps between two checkpoints.
    """

    atoms: int = 4000
    cooling_rate: float = FROM_MATERIAL
    seed: int = 1
    melt_temperature: float = FROM_MATERIAL
    final_temperature: float = FROM_MATERIAL
    slow_from: float = FROM_MATERIAL
    slow_to: float = FROM_MATERIAL
    fast_rate: float = FROM_MATERIAL
    melt_time: float = 20.0
    structures_every: float = 0.0
    checkpoint_atom_steps: int = CHECKPOINT_ATOM_STEPS

    def __post_init__(self) -> None:
        check_atoms(self.atoms)
        for rate in (self.cooling_rate, self.fast_rate):
            if rate <= 0:
                raise SimulationError(f"The cooling rate {rate:g} is not positive; give one such as 1e12 (K/s).")
        temperatures = (self.melt_temperature, self.slow_from, self.slow_to, self.final_temperature)
        known = [*filter(given, temperatures), 0.0]
        if any(above <= below for above, below in itertools.pairwise(known)):
            shown = " > ".join(f"{temperature:g}" for temperature in known)
            raise SimulationError(f"Temperatures must fall: melt > slow_from > slow_to > final > 0, not {shown}.")
        if self.structures_every < 0 or self.structures_every >= self.melt_temperature:
            raise SimulationError(
                f"Inherent structures every {self.structures_every:g} K are none, or too many; give some 50 K, or 0."
            )

    def filled_in(self, material: Material) -> QuenchSettings:
        units, glassy = material.unit_system, material.glass_temperature
        values = {
            "cooling_rate": units.cooling_rate,
            "fast_rate": units.fast_rate,
            "melt_temperature": material.melt_temperature,
            "slow_from": rounded(min(SLOW_FROM * glassy, (glassy + material.melt_temperature) / 2)),
            "slow_to": rounded(SLOW_TO * glassy),
            "final_temperature": rounded(FINAL * glassy),
        }
        chosen = filled_in(self, values)
        if chosen.structures_every and chosen.melt_temperature / chosen.structures_every > 2000:
            raise SimulationError(
                f"Inherent structures every {chosen.structures_every:g} are too many; give some "
                f"{rounded(glassy / 14):g}, or 0 for none."
            )
        return chosen

    def stages(self, material: Material) -> list[Stage]:
        """Melt, fast, slow, fast: each at the material's pressure, and ending wherever a structure is wanted."""
        fast = max(self.fast_rate, self.cooling_rate)
        ramps = [
            ("melting", self.melt_temperature, self.melt_temperature, None),
            ("cooling the liquid", self.melt_temperature, self.slow_from, fast),
            ("cooling through the glass transition", self.slow_from, self.slow_to, self.cooling_rate),
            ("cooling the glass", self.slow_to, self.final_temperature, fast),
        ]
        stages = []
        for name, start, stop, rate in ramps:
            for above, below in itertools.pairwise(self._divided(start, stop)):
                time = self.melt_time if rate is None else (above - below) / rate * material.unit_system.rates
                steps = material.steps(time)
                stages.append(Stage(name, steps, above, below, material.time_step, material.barostat))
        return stages

    def _divided(self, start: float, stop: float) -> list[float]:
        """A ramp's ends, and the temperatures between them at which the melt is looked at, downwards."""
        if not self.structures_every:
            return [start, stop]
        steps = range(1, math.ceil(self.melt_temperature / self.structures_every))
        looked_at = (self.melt_temperature - step * self.structures_every for step in steps)
        return [start, *(temperature for temperature in looked_at if stop < temperature < start), stop]

    def atom_steps(self, atoms: int, material: Material) -> float:
        """Cost: number of atoms times number of force evaluations."""
        stages = self.filled_in(material).stages(material)
        minimisations = PATH_EVALUATIONS * len(stages) if self.structures_every else 0
        return float(atoms * (sum(stage.steps for stage in stages) + minimisations))


@writes_alone
def quench(material: Material, settings: QuenchSettings, output: Path, progress: Progress) -> None:
    """Run the protocol and write the inherent structure to `output` (``.xyz.gz``).

    Beside it, ``.curve.csv`` holds temperature, atoms a volume and potential energy per atom from the melt to
    the cold glass, in which the glass transition shows as a change of slope; with `structures_every` also
    ``NAME.structures.xyz.gz``: the inherent structures below the melt, the liquid and the glass on the way, each in the
    cell it had then (header ``cell=held``) and in one relaxed to the material's pressure (``cell=relaxed``). The state
    is saved twice a minute beside the output; calling the function again continues.

    Raises
    ------
    SimulationError
        If the material lacks what the protocol needs, does not melt, evaporates, or crystallises.
    """
    settings = settings.filled_in(material.check_complete())
    claim_intermediate(output, asdict(settings), material, added={"structures_every": 0.0})
    start = molten(material, settings.atoms, settings.seed, settings.melt_temperature, material.liquid_density, OVERLAP)
    stages = settings.stages(material)
    curves = [intermediate(output, f"curve-{number}") for number in range(len(stages))]
    minima = [intermediate(output, f"minima-{number}") for number in range(len(stages))]
    observed = [
        replace(
            stage,
            sample_every=CURVE_STEPS,
            observer=_CoolingPath(material, curve, found)
            if settings.structures_every
            else _CoolingCurve(material, curve),
        )
        for stage, curve, found in zip(stages, curves, minima, strict=True)
    ]

    first = observed[0]
    watch = Melt(material, settings.melt_temperature, first.steps, first.observer)
    observed[0] = replace(first, observer=watch)

    def finish(lammps: Any) -> dict[str, NDArray]:
        return _inherent_structure(lammps, material)

    checkpoint = intermediate(output, "checkpoint")
    final = run_stages(material, observed, checkpoint, start, progress, finish, settings.checkpoint_atom_steps)
    glass = Configuration(**final)
    check_glassy(glass.structure(material.species), material)
    _write_curve(output, curves, material)
    header = provenance("quench", asdict(settings), material, composition=True)
    if settings.structures_every:
        _write_path(output, stages, minima, material.species, header)
    header |= glass.header(material.species) | _melt_header(curves[0])
    write_snapshot(output, glass.structure(material.species), {"Potential_Energy": glass.energies}, header)
    clear_intermediate(output)


def _melt_header(curve: Path) -> dict[str, str]:
    """How species mixed in the melt, against which the glass is judged; nothing if an earlier version melted it."""
    order = load_checkpoint(curve).get("order")
    return {} if order is None else {"melt_warren_cowley": str(order)}


def _write_curve(output: Path, curves: list[Path], material: Material) -> None:
    rows = np.concatenate([load_checkpoint(curve)["rows"] for curve in curves])
    names = ("temperature", "number_density", "energy_per_atom")
    temperature = "%.2f" if material.unit_system.temperature == "K" else "%.6f"
    write_curve(output, dict(zip(names, rows.T, strict=True)), (temperature, "%.6f", "%.6f"))


class _CoolingCurve:
    """Samples temperature, number density and energy of a stage, and files them at its end."""

    def __init__(self, material: Material, result: Path) -> None:
        self.material, self.result = material, result
        self.rows = np.empty((0, 3))

    def begin(self, lammps: Any) -> None:
        self.rows = np.empty((0, 3))

    def sample(self, lammps: Any) -> None:
        low, high = lammps.extract_box()[:2]
        count, volume = lammps.get_natoms(), np.prod(np.subtract(high, low))  # of a rectangular cell
        row = lammps.get_thermo("temp"), count / volume, energy_per_atom(lammps, self.material)
        self.rows = np.vstack([self.rows, row])

    def finish(self, lammps: Any) -> None:
        # Without a run of LAMMPS, which would change what follows in the last bits.
        now = Structure(
            gather(lammps, "x"), gather(lammps, "type") - 1, self.material.species, cell_of(lammps)[0], pbc=(True,) * 3
        )
        save_atomically(self.result, {"rows": self.rows, "order": np.array(mixing(now))})

    def state(self) -> dict[str, NDArray]:
        return {"rows": self.rows}

    def restore(self, state: dict[str, NDArray]) -> None:
        self.rows = state["rows"]


class _CoolingPath(_CoolingCurve):
    """Finds, at a stage's end, the minima below its last state: in the cell it has, and at the material's pressure."""

    def __init__(self, material: Material, curve: Path, minima: Path) -> None:
        super().__init__(material, curve)
        self.minima = minima

    def finish(self, lammps: Any) -> None:
        copy = resume(self.material, restart_of(lammps))
        try:
            minimise(copy, self.material.loose_tolerance)
            held = configuration_of(copy)
            if not self.material.fixed_density:
                minimise_at_pressure(copy, self.material.loose_tolerance, self.material.pressure)
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
                **found.header(species),
            }
            frames.append(Snapshot(found.structure(species), {}, {**header, **told}))
    write_frames(output.with_name(output.name.removesuffix(".xyz.gz") + ".structures.xyz.gz"), frames)


def _inherent_structure(lammps: Any, material: Material) -> dict[str, NDArray]:
    """Minimise positions and, where it follows the pressure, the cell's size."""
    tolerance = material.force_tolerance / 10
    if material.fixed_density:
        minimise(lammps, tolerance)
    else:
        minimise_at_pressure(lammps, tolerance, material.pressure)
    found = configuration_of(lammps)
    return {name: getattr(found, name) for name in FIELDS}
