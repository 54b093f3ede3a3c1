"""Whether a material is what its file says: a minute of small simulations that also measure what the file left out."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.atoms import fill
from ovito_glassml.simulate.crystals import check_glassy, crystalline_shares
from ovito_glassml.simulate.engine import (
    Progress,
    energy_per_atom,
    gather,
    open_lammps,
    restart_of,
    resume,
    unwrapped_positions,
)
from ovito_glassml.simulate.lattice_guess import guessed
from ovito_glassml.simulate.material import MEASURED, Material
from ovito_glassml.simulate.melt import MELTING, density_of, evaporates, evaporating, moved, moves_little, solid
from ovito_glassml.simulate.minima import (
    configuration_of,
    inherent_structure,
    minimise,
    minimise_at_pressure,
)
from ovito_glassml.structure import Structure
from ovito_glassml.topology.length_scale import first_peak
from ovito_glassml.topology.short_range_order import warren_cowley

__all__ = ["Kink", "MaterialReport", "check_material", "kink"]

#: Temperatures between melt and cold glass, steps from one to the next, and the end in units of the melt temperature.
TEMPERATURES, STEPS, COLDEST = 26, 600, 0.05
#: Tries of a melt temperature, each so many times the last.
TRIES, HOTTER = 5, 1.3
#: A kink is looked for up to this share of the melt temperature, twice a usual glass temperature.
WARM = 0.65
#: Density of a glass is reported at this share of its transition, in the middle of what protocols look at.
GLASSY = 0.85
#: Force components compared with finite differences, and the displacement in nearest-neighbour distances.
COMPONENTS, SHIFT = 12, 1e-4
#: Largest relative error of forces that tabulated potentials have.
FORCE_ERROR = 1e-2


@dataclass(frozen=True)
class Kink:
    """Where the energy of inherent structures begins to follow the temperature, and its standard error."""

    temperature: float
    error: float


@dataclass(frozen=True)
class MaterialReport:
    """What a check found.

    Attributes
    ----------
    material : Material
        With what its file left out.
    filled : tuple of str
        The names of that.
    atoms : int
        Of the sample.
    force_error : float
        Largest difference of a force from the slope of the energy, in units of a usual force.
    liquid_density, glass_density : float
        At the melt temperature, and at rest.
    liquid_peak, glass_peak : float
        First peaks of g(r), both of inherent structures.
    transition : Kink
        An estimate of T_g for this rate, which is far above that of any laboratory.
    cooling_rate : float
        In kelvin per second, or reduced.
    crystalline : dict
        Share of atoms in each crystal.
    melt_order, glass_order : (K, K) arrays
        Warren-Cowley parameters of the species in `species`.
    species : tuple of str
    largest_force : float
        After minimising, on any atom.
    speed : float
        Atoms times steps in a second of one processor core.
    path : pair of (P,) arrays
        Temperatures on the way down, and energies per atom of the inherent structures there.
    """

    material: Material
    filled: tuple[str, ...]
    atoms: int
    force_error: float
    liquid_density: float
    glass_density: float
    liquid_peak: float
    glass_peak: float
    transition: Kink
    cooling_rate: float
    crystalline: dict[str, float]
    melt_order: NDArray
    glass_order: NDArray
    species: tuple[str, ...]
    largest_force: float
    speed: float
    path: tuple[NDArray, NDArray]


def check_material(material: Material, progress: Progress, atoms: int = 500, seed: int = 1) -> MaterialReport:
    """Melt, cool and measure a small sample of a material.

    Parameters
    ----------
    material : Material
        Complete or not.
    progress : callable
        Fraction and text.
    atoms : int
    seed : int

    Raises
    ------
    SimulationError
        If LAMMPS does not understand the potential, forces are not the slope of the energy, or the material does not
        melt, evaporates, or crystallises.
    """
    atoms = -(-atoms // material.chain_length) * material.chain_length
    progress(0.0, "trying the potential")
    working = guessed(material, seed)
    progress(0.05, "melting")
    lammps, working = _molten(material, working, atoms, seed)
    try:
        liquid_density = density_of(lammps)
        melt = _at_rest(working, lammps)
        cooled = _cooled(lammps, working, progress)
        progress(0.95, "looking at the glass")
        _to_rest(lammps, working)
        glass = configuration_of(lammps)
        largest = _largest_force(lammps)
        force_error = _force_error(lammps, working, seed)
    finally:
        lammps.close()
    structure = glass.structure(working.species)
    check_glassy(structure, material)
    transition = kink(cooled.temperatures, cooled.energies)
    return MaterialReport(
        material=(complete := _filled(material, working, structure, liquid_density, transition, cooled)),
        filled=tuple(name for name in MEASURED if math.isnan(getattr(material, name))),
        atoms=atoms,
        force_error=force_error,
        liquid_density=liquid_density,
        glass_density=structure.number_density,
        liquid_peak=_peak(melt),
        glass_peak=_peak(structure),
        transition=transition,
        cooling_rate=cooled.rate,
        crystalline=crystalline_shares(structure),
        melt_order=warren_cowley(melt),
        glass_order=warren_cowley(structure),
        species=complete.species,
        largest_force=largest,
        speed=cooled.speed,
        path=(cooled.temperatures, cooled.energies),
    )


# ---------------------------------------------------------------------- melt


def _molten(material: Material, working: Material, atoms: int, seed: int) -> tuple[Any, Material]:
    """A liquid of the material, at its melt temperature or one that is found here."""
    given = not math.isnan(material.melt_temperature)
    for _ in range(1 if given else TRIES):
        lammps = open_lammps()
        try:
            distance, expanded = _melted(lammps, working, atoms, seed)
        except BaseException:
            lammps.close()
            raise
        if not moves_little(distance) and not evaporates(expanded):
            return lammps, working
        lammps.close()
        factor = 1 / HOTTER if evaporates(expanded) else HOTTER
        tried, working = working, replace(working, melt_temperature=_round(working.melt_temperature * factor, 2))
    if evaporates(expanded):
        raise evaporating(material, tried.melt_temperature, expanded)
    raise solid(material, tried.melt_temperature, distance)


def _melted(lammps: Any, working: Material, atoms: int, seed: int) -> tuple[float, float]:
    """How far atoms move, in nearest-neighbour distances, and how much the volume has grown."""
    fill(lammps, working, atoms, seed, working.liquid_density)
    before = density_of(lammps)
    hot = working.melt_temperature
    lammps.command(f"velocity all create {hot} {seed} mom yes rot no dist gaussian")
    _run(lammps, working, hot, hot, MELTING)
    start = unwrapped_positions(lammps)
    _run(lammps, working, hot, hot, MELTING)
    return moved(start, unwrapped_positions(lammps), working), before / density_of(lammps)


def _run(lammps: Any, material: Material, start: float, stop: float, steps: int) -> None:
    step = material.time_step
    thermostat = f"temp {start} {stop} {50 * step}"
    if material.barostat is None:
        lammps.command(f"fix integrate all nvt {thermostat}")
    else:
        lammps.command(f"fix integrate all npt {thermostat} iso {material.pressure} {material.pressure} {500 * step}")
    lammps.command(f"timestep {step}")
    lammps.command(f"run {steps} post no")
    lammps.command("unfix integrate")


# ---------------------------------------------------------------------- cooling


@dataclass(frozen=True)
class _Cooled:
    """What was seen on the way down, and how fast: per second (or reduced), and in atom-steps a core second."""

    temperatures: NDArray
    energies: NDArray
    densities: NDArray
    rate: float
    speed: float


def _cooled(lammps: Any, material: Material, progress: Progress) -> _Cooled:
    hot = material.melt_temperature
    temperatures = np.linspace(hot, COLDEST * hot, TEMPERATURES)
    energies, densities, spent = [], [], 0.0
    for number, temperature in enumerate(temperatures):
        begun = time.process_time()
        above = temperatures[max(0, number - 1)]
        _run(lammps, material, float(above), float(temperature), STEPS)
        spent += time.process_time() - begun
        densities.append(density_of(lammps))
        energies.append(_minimum_energy(lammps, material))
        progress(0.15 + 0.8 * (number + 1) / TEMPERATURES, f"cooling, {temperature:.3g}")
    taken = (TEMPERATURES - 1) * STEPS * material.time_step / material.unit_system.times
    rate = (hot - temperatures[-1]) / taken * material.unit_system.rates
    speed = lammps.get_natoms() * STEPS * TEMPERATURES / max(spent, 1e-9)
    return _Cooled(temperatures, np.array(energies), np.array(densities), rate, speed)


def _minimum_energy(lammps: Any, material: Material) -> float:
    """Energy per atom of the minimum below a state, in the cell it has."""
    copy = resume(material, restart_of(lammps))
    try:
        minimise(copy, 10 * material.loose_tolerance)
        return energy_per_atom(copy, material)
    finally:
        copy.close()


def kink(temperatures: NDArray, energies: NDArray, samples: int = 200) -> Kink:
    """Where two straight lines through the energies of inherent structures meet.

    Below it, a fast quench is stuck in one basin and its energy hardly changes; above it, the liquid finds higher ones
    the hotter it is. Far above, the energies level off, so that temperatures above `WARM` of the highest are left out.
    In the cell of the moment, whose strain belongs to it, the energies bend once: in a quench of 2 000 Cu-Zr atoms the
    kink stays at 790-860 K for half or all of the range; with cells relaxed to no pressure it moves by 230 K.

    Parameters
    ----------
    temperatures, energies : (P,) arrays
    samples : int
        Of the bootstrap that gives the error.
    """
    order = np.argsort(temperatures)
    x, y = np.asarray(temperatures)[order], np.asarray(energies)[order]
    warm = x <= WARM * x[-1]
    x, y = x[warm], y[warm]
    rng, found = np.random.default_rng(0), []
    for _ in range(samples):
        chosen = np.sort(rng.integers(0, len(x), len(x)))
        if len(np.unique(chosen)) > 6:
            found.append(_two_lines(x[chosen], y[chosen]))
    return Kink(_two_lines(x, y), float(np.std(found)))


def _two_lines(x: NDArray, y: NDArray) -> float:
    """Kink of the broken line that fits best."""
    best, least = float(x[len(x) // 2]), math.inf
    for place in np.linspace(x[2], x[-3], 60):
        columns = np.stack([np.ones_like(x), x, np.maximum(x - place, 0)], axis=1)
        solution, *_ = np.linalg.lstsq(columns, y, rcond=None)
        deviation = float(((columns @ solution - y) ** 2).sum())
        if solution[2] > 0 and deviation < least:
            best, least = float(place), deviation
    return best


# ---------------------------------------------------------------------- glass


def _at_rest(material: Material, lammps: Any) -> Structure:
    return inherent_structure(material, restart_of(lammps), material.loose_tolerance).structure(material.species)


def _to_rest(lammps: Any, material: Material) -> None:
    if material.fixed_density:
        minimise(lammps, material.force_tolerance)
    else:
        minimise_at_pressure(lammps, material.force_tolerance, material.pressure)


def _largest_force(lammps: Any) -> float:
    lammps.command("run 0 post no")
    return float(np.linalg.norm(gather(lammps, "f"), axis=1).max())


def _force_error(lammps: Any, material: Material, seed: int) -> float:
    """Largest difference between a force and the slope of the energy, in units of a usual force of a shaken glass."""
    rng = np.random.default_rng(seed)
    distance = material.nearest_neighbour_distance
    count = lammps.extract_setting("nlocal")
    positions = lammps.numpy.extract_atom("x")
    positions[:count] += rng.normal(scale=0.03 * distance, size=(count, 3))
    lammps.command("run 0 post no")
    forces = np.array(lammps.numpy.extract_atom("f")[:count])
    ids = np.array(lammps.numpy.extract_atom("id")[:count])
    usual, shift, worst = math.sqrt((forces**2).mean()), SHIFT * distance, 0.0
    for atom, axis in zip(rng.integers(count, size=COMPONENTS), rng.integers(3, size=COMPONENTS), strict=True):
        energies = []
        for sign in (1, -2):
            _move(lammps, int(ids[atom]), int(axis), sign * shift)
            lammps.command("run 0 post no")
            energies.append(energy_per_atom(lammps, material) * count)
        _move(lammps, int(ids[atom]), int(axis), shift)
        worst = max(worst, abs((energies[1] - energies[0]) / (2 * shift) - forces[atom, axis]))
    error = worst / usual
    if error > FORCE_ERROR:
        raise SimulationError(
            f"Forces of material {material.name} are not the slope of its energy, they differ by {error:.1%} of a "
            "usual force; a pair style with a step at its cutoff needs pair_modify shift yes, or lj/smooth."
        )
    return error


def _move(lammps: Any, identifier: int, axis: int, shift: float) -> None:
    count = lammps.extract_setting("nlocal")
    place = int(np.flatnonzero(lammps.numpy.extract_atom("id")[:count] == identifier)[0])
    lammps.numpy.extract_atom("x")[place, axis] += shift


def _peak(structure: Structure) -> float:
    return first_peak(structure) or math.nan


def _filled(
    material: Material, working: Material, glass: Structure, liquid_density: float, transition: Kink, cooled: _Cooled
) -> Material:
    """The material with what its file left out."""
    glassy = int(np.argmin(np.abs(cooled.temperatures - GLASSY * transition.temperature)))
    measured = {
        "melt_temperature": working.melt_temperature,
        "glass_temperature": _round(transition.temperature, 2),
        "liquid_density": _round(liquid_density, 4),
        "number_density": _round(float(cooled.densities[glassy]), 4),
        "nearest_neighbour_distance": _round(_peak(glass), 3),
        "time_step": working.time_step,
    }
    return material.completed_with(measured)


def _round(value: float, digits: int) -> float:
    return float(f"{value:.{digits}g}")
