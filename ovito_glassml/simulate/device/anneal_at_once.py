"""Many anneals at once on a graphics processor: the protocol of `anneal` for a hundred glasses in minutes.

Arrangement, masses, potential, ramps and thermostat are those of `anneal`; random numbers, precision and the
minimiser that first comes down from a snapshot are not, so the glasses are others of the same kind. LAMMPS
has the last word: it relaxes every minimum again and gives the energies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.atoms import create_atoms, fill
from ovito_glassml.simulate.device.device import Device
from ovito_glassml.simulate.device.many_glasses import ManyGlasses
from ovito_glassml.simulate.engine import Progress, gather, open_lammps, progress_parts
from ovito_glassml.simulate.local_forces import PotentialTables, Surroundings, read_tables
from ovito_glassml.simulate.material import Material
from ovito_glassml.simulate.minima import Configuration, configuration_of, minimise
from ovito_glassml.simulate.protocols.anneal import COLDEST, AnnealSettings, annealed_frame
from ovito_glassml.simulate.protocols.barriers import minimised
from ovito_glassml.simulate.settings import seed_of
from ovito_glassml.simulate.snapshots import write_frames
from ovito_glassml.structure import Structure

__all__ = ["Arrangement", "anneal_at_once", "annealed_minima", "random_arrangement", "write_annealed"]

#: Steps between two reports of progress.
STEPS_PER_LAUNCH = 2000
#: eV/Å, largest force on the card, where single precision leaves 10⁻⁴; LAMMPS goes on from there.
CARD_FORCE_TOLERANCE = 1e-3


class Arrangement(NamedTuple):
    """Atoms before the melt: positions (N, 3) in Å, kinds (N,), and the edge of their cubic cell."""

    positions: NDArray[np.float64]
    kinds: NDArray[np.int64]
    edge: float


def anneal_at_once(
    material: Material,
    settings: Sequence[AnnealSettings],
    outputs: Sequence[Path],
    progress: Progress,
    device: Device | None = None,
) -> None:
    """Run several anneals that differ in their seeds only, and write what `anneal` writes.

    Parameters
    ----------
    material : Material
        With an ``eam/fs`` potential of two species.
    settings : sequence of AnnealSettings
    outputs : sequence of Path
        ``.xyz.gz``, one for each.
    progress : callable
        Fraction and text.
    device : Device, optional
        Default: the graphics processor.

    Raises
    ------
    SimulationError
        If the settings differ in more than their seeds, or there is no card.
    """
    settings = [one.filled_in(material.check_complete()) for one in settings]
    report = progress_parts(progress, (0.05, 0.75, 0.2))
    starts = []
    for number, one in enumerate(settings):
        report(0)(number / len(settings), "arranging atoms")
        starts.append(random_arrangement(material, one))
    found = list(annealed_minima(material, settings, starts, report(1), device))
    for number, (one, start, output) in enumerate(zip(settings, starts, outputs, strict=True)):
        report(2)(number / len(settings), f"relaxing and writing {output.name}")
        write_annealed(material, one, start, np.stack([minima[number] for minima in found]), output)


def random_arrangement(material: Material, settings: AnnealSettings) -> Arrangement:
    """The relaxed random arrangement that `anneal` melts."""
    lammps = open_lammps()
    try:
        fill(lammps, material, settings.atoms, settings.seed, settings.number_density)
        low, high = lammps.extract_box()[:2]
        return Arrangement(gather(lammps, "x") - np.asarray(low), gather(lammps, "type") - 1, high[0] - low[0])
    finally:
        lammps.close()


def annealed_minima(
    material: Material,
    settings: Sequence[AnnealSettings],
    starts: Sequence[Arrangement],
    progress: Progress,
    device: Device | None = None,
) -> Iterator[NDArray[np.float64]]:
    """Melt, quench and anneal; one snapshot after the other, each at its minimum.

    Yields
    ------
    (runs, temperatures, N, 3) array
        Å, for each of the snapshots along the anneals.
    """
    protocol = settings[0]
    if any(replace(one, seed=protocol.seed) != protocol for one in settings):
        raise SimulationError("Anneals on a graphics processor must differ in their seeds only; run them in groups.")
    kinds = np.array([start.kinds for start in starts])
    edges = np.array([start.edge for start in starts])
    seeds = np.array([one.seed for one in settings])
    durations = protocol.durations(material)
    report = progress_parts(progress, [durations[0], sum(durations[1:])])
    tables = read_tables(material)

    def glasses(positions: NDArray, repeats: int) -> ManyGlasses:
        repeated = np.repeat(kinds, repeats, axis=0), np.repeat(edges, repeats)
        return ManyGlasses(tables, material.masses, positions, *repeated, device)

    quenched = glasses(np.array([start.positions for start in starts]), 1)
    _quench(material, quenched, protocol, seeds, report(0))
    warmth = np.array(protocol.temperatures)
    every = len(warmth)
    annealed = glasses(np.repeat(quenched.positions, every, axis=0), every)
    minima = glasses(annealed.positions, every)
    temperatures = np.tile(warmth, len(settings))
    # Equipartition takes half of the kinetic energy that a minimum starts with.
    annealed.give_velocities(2 * temperatures, np.repeat(seeds, every) + [seed_of(one) for one in temperatures])
    for snapshot in range(protocol.structures):
        report(1)(snapshot / protocol.structures, f"annealing {annealed.count} glasses")
        annealed.run(protocol.stride(material), temperatures, temperatures, material.time_step)
        minima.positions = annealed.positions
        if (left := minima.relax(CARD_FORCE_TOLERANCE).max()) > CARD_FORCE_TOLERANCE:
            raise SimulationError(f"A glass does not come to rest on the card, a force of {left:.2g} eV/Å remains.")
        yield minima.positions.reshape(len(settings), every, -1, 3)


def _quench(
    material: Material, glasses: ManyGlasses, protocol: AnnealSettings, seeds: NDArray, progress: Progress
) -> None:
    hot = protocol.melt_temperature
    glasses.give_velocities(hot, seeds)
    melting, cooling = material.steps(protocol.melt_time), material.steps(protocol.quench_time)
    for steps, stop, text in ((melting, hot, "melting"), (cooling, COLDEST * hot, "cooling at fixed density")):
        for first in range(0, steps, STEPS_PER_LAUNCH):
            now = min(STEPS_PER_LAUNCH, steps - first)
            glasses.run(now, hot, stop, material.time_step, first, steps)
            progress((first + now + (melting if stop != hot else 0)) / (melting + cooling), text)


def write_annealed(
    material: Material, settings: AnnealSettings, start: Arrangement, minima: NDArray, output: Path
) -> None:
    """Relax the minima (snapshots, temperatures, N, 3) of one run in LAMMPS and write them as `anneal` does."""
    tables = read_tables(material)
    frames = []
    for place, temperature in enumerate(settings.temperatures):
        for snapshot in range(len(minima)):
            relaxed = _relaxed(minima[snapshot, place], start, material, tables)
            header = {"engine": "many_glasses"}
            frames.append(annealed_frame(material, settings, temperature, snapshot + 1, relaxed, header))
    write_frames(output, frames)


def _relaxed(positions: NDArray, start: Arrangement, material: Material, tables: PotentialTables) -> Configuration:
    """The minimum to the tolerance of `anneal` by L-BFGS, which is faster here; LAMMPS checks and gives energies."""
    inside = positions % start.edge
    glass, _ = minimised(Surroundings(tables, inside, start.kinds, np.full(3, start.edge)))
    cell = start.edge * np.eye(3)
    structure = Structure(glass.positions, start.kinds, material.species, cell, pbc=(True, True, True))
    lammps = open_lammps()
    try:
        create_atoms(lammps, structure, material)
        minimise(lammps, material.loose_tolerance)
        return configuration_of(lammps)
    finally:
        lammps.close()
