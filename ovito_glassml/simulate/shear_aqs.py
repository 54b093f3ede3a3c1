"""Athermal quasi-static shear: a glass at T = 0 strained step by step, its plastic events labelled."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.simulate.engine import (
    CHECKPOINT_ATOM_STEPS,
    Progress,
    SimulationError,
    Stage,
    clear_intermediate,
    intermediate,
    load_checkpoint,
    made_once,
    progress_parts,
    restart_of,
    resume,
    run_stages,
    save_atomically,
    write_atomically,
)
from ovito_glassml.simulate.minima import Configuration, configuration_of, minimise
from ovito_glassml.simulate.shards import Shard, provenance, write_frames
from ovito_glassml.simulate.systems import System, fill, system

__all__ = ["Labels", "ShearAQSSettings", "label_events", "shear_aqs"]

#: Lowest thermostat temperature as a share of the melt's; thermostats do not accept zero.
COLDEST = 1e-3
#: Radius of the neighbourhoods of D²min, in nearest-neighbour distances.
NEIGHBOURHOOD = 2.5
#: Unit system → LAMMPS pressures in the unit of stress written (reduced; GPa), and that unit times
#: volume in units of energy.
STRESS_UNITS = {"lj": (1.0, 1.0), "metal": (1e-4, 6.241509e-3)}


@dataclass(frozen=True)
class ShearAQSSettings:
    """How a glass is made and sheared. Times are in the unit of the system: τ, or ps for Cu-Zr.

    Attributes
    ----------
    system : str
        ``kob-andersen``, ``wahnstrom``, ``polymer`` or ``cu50zr50``.
    atoms : int
        Number of atoms; a multiple of 20 for the polymer.
    seed : int
        Starts positions and velocities, and picks the events at which inactive atoms are taken.
    melt_time, quench_time : float
        Time in the melt, and from the melt's temperature to zero.
    discarded_strain, discarded_step : float
        Strain up to the steady state and its steps. They may be larger: no event of it is used.
    strain, step : float
        Strain in which events are labelled, and its steps.
    threshold : float
        D²min above which an atom is active, in squared nearest-neighbour distances.
    avalanche_share : float
        Events in which a larger share of all atoms of the active species is active span the sample
        and are removed.
    steps_per_checkpoint : int
        Strain steps between two checkpoints; each begins from the file, so this number belongs to
        the settings that make a run reproducible.
    checkpoint_atom_steps : int
        The same for the molecular dynamics: number of atoms times number of steps.
    """

    system: str = "kob-andersen"
    atoms: int = 1000
    seed: int = 1
    melt_time: float = 100.0
    quench_time: float = 500.0
    discarded_strain: float = 0.1
    discarded_step: float = 5e-4
    strain: float = 0.01
    step: float = 5e-5
    threshold: float = 0.6
    avalanche_share: float = 0.1
    steps_per_checkpoint: int = 10
    checkpoint_atom_steps: int = CHECKPOINT_ATOM_STEPS

    def __post_init__(self) -> None:
        if self.atoms < 100:
            raise SimulationError(f"A glass of {self.atoms} atoms is smaller than twice the cutoff; give at least 100.")
        if not 0 < self.step <= self.strain or not self.discarded_step > 0:
            raise SimulationError(f"A strain of {self.strain:g} cannot be reached in steps of {self.step:g}.")
        if self.discarded_strain < 0 or self.discarded_strain + self.strain > 0.5:
            raise SimulationError(
                f"The total strain {self.discarded_strain + self.strain:g} must lie between 0 and 0.5."
            )
        if not 0 < self.avalanche_share <= 1:
            raise SimulationError(f"The avalanche share {self.avalanche_share:g} is not between 0 and 1.")

    @property
    def increments(self) -> NDArray:
        """Strain of every step."""
        coarse = round(self.discarded_strain / self.discarded_step)
        return np.repeat([self.discarded_step, self.step], [coarse, round(self.strain / self.step)])

    @property
    def first_used(self) -> int:
        """Number of discarded steps."""
        return round(self.discarded_strain / self.discarded_step)

    def durations(self, timestep: float) -> list[float]:
        """Force evaluations of the quench and of the shear, the latter from experience."""
        fine = len(self.increments) - self.first_used
        return [(self.melt_time + self.quench_time) / timestep, 700.0 * self.first_used + 400.0 * fine]

    def atom_steps(self, atoms: int) -> float:
        """Cost: number of atoms times number of force evaluations."""
        return atoms * sum(self.durations(system(self.system).timestep))


@dataclass(frozen=True)
class Labels:
    """Which atoms were active at which event.

    `kept` are the indices of the events that are no avalanches; `activity` (events kept, N) is 1
    active, 0 inactive, −1 neither.
    """

    kept: NDArray[np.int64]
    activity: NDArray[np.int64]


def shear_aqs(settings: ShearAQSSettings, output: Path, progress: Progress) -> None:
    """Quench, shear and label; write one frame for each plastic event to `output` (``.xyz.gz``).

    A frame is the minimum *before* its event with the columns ``Activity``,
    ``Nonaffine_Squared_Displacement`` (of this event) and
    ``Largest_Nonaffine_Squared_Displacement`` (of any single step of the labelled strain); its
    header tells strain, shear stress and what the event released. Beside it, ``.curve.csv`` holds strain, shear
    stress and energy per atom of all steps. The state is saved at least twice a minute; calling the
    function again continues.
    """
    matter = system(settings.system)
    report = progress_parts(progress, settings.durations(matter.timestep))
    quenched = made_once(intermediate(output, "quenched"), lambda: _quenched(settings, matter, output, report(0)))
    state = _sheared(settings, matter, quenched["restart"], intermediate(output, "shear"), report(1))
    write_atomically(output.with_name(output.name.removesuffix(".xyz.gz") + ".curve.csv"), _curve(settings, state))
    write_frames(output, _frames(settings, matter, state))
    clear_intermediate(output)


def _quenched(settings: ShearAQSSettings, matter: System, output: Path, progress: Progress) -> dict[str, NDArray]:
    hot = matter.melt_temperature
    melting, cooling = (max(1, round(time / matter.timestep)) for time in (settings.melt_time, settings.quench_time))
    stages = [
        Stage("melting", melting, hot, hot, matter.timestep, matter.pressure),
        Stage("cooling the melt", cooling, hot, COLDEST * hot, matter.timestep, matter.pressure),
    ]

    def start(lammps: Any) -> None:
        fill(lammps, matter, settings.atoms, settings.seed)
        lammps.command(f"velocity all create {hot} {settings.seed} mom yes rot no dist gaussian")

    def finish(lammps: Any) -> dict[str, NDArray]:
        minimise(lammps, matter.force_tolerance)
        lammps.command("change_box all triclinic")
        return {"restart": restart_of(lammps)}

    checkpoint = intermediate(output, "quench")
    return run_stages(matter.interaction, stages, checkpoint, start, progress, finish, settings.checkpoint_atom_steps)


def _sheared(
    settings: ShearAQSSettings, matter: System, restart: NDArray, checkpoint: Path, progress: Progress
) -> dict[str, NDArray]:
    """All strain steps, from the last checkpoint on."""
    increments = settings.increments
    if not checkpoint.exists():
        save_atomically(checkpoint, _unstrained(settings, matter, restart))
    state = load_checkpoint(checkpoint)
    while (done := len(state["energy"]) - 1) < len(increments):
        batch = increments[done : done + settings.steps_per_checkpoint]
        save_atomically(checkpoint, _strained(settings, matter, state, batch))
        state = load_checkpoint(checkpoint)
        progress((len(state["energy"]) - 1) / len(increments), f"straining, {state['strain'][-1]:.2%}")
    return state


def _unstrained(settings: ShearAQSSettings, matter: System, restart: NDArray) -> dict[str, NDArray]:
    lammps = resume(matter.interaction, restart)
    try:
        configuration = _with_stress(lammps)
        nothing = np.zeros((0, settings.atoms))
        return {
            "restart": restart,
            "kinds": configuration.kinds,
            "strain": np.zeros(1),
            "energy": np.array([configuration.energies.mean()]),
            "stress": np.array([_stress(lammps, matter)]),
            "largest": np.zeros(settings.atoms),
            "event_step": np.zeros(0, np.int64),
            "event_displacement": nothing,
            "event_positions": np.zeros((0, settings.atoms, 3)),
            "event_cell": np.zeros((0, 3, 3)),
            "event_energies": nothing,
        }
    finally:
        lammps.close()


def _with_stress(lammps: Any) -> Configuration:
    lammps.command("thermo_style custom step pe pxy")
    return configuration_of(lammps)


def _stress(lammps: Any, matter: System) -> float:
    return -lammps.get_thermo("pxy") * STRESS_UNITS[matter.interaction.units][0]


def _strained(
    settings: ShearAQSSettings, matter: System, state: dict[str, NDArray], increments: NDArray
) -> dict[str, NDArray]:
    """The state after a few more strain steps."""
    history: dict[str, list] = {name: list(values) for name, values in state.items() if name not in UNLISTED}
    largest = state["largest"].copy()
    lammps = resume(matter.interaction, state["restart"])
    try:
        before = _with_stress(lammps)
        for increment in increments:
            strain = history["strain"][-1] + increment
            height = before.cell[1, 1]
            lammps.command(f"change_box all xy final {strain * height:.12g} remap units box")
            minimise(lammps, matter.force_tolerance)
            after = _with_stress(lammps)
            if len(history["energy"]) > settings.first_used:
                moved = _nonaffine(before, after, matter)
                largest = np.fmax(largest, moved)
                if _is_event(settings, matter, before, moved):
                    _note(history, before, moved)
            history["strain"].append(strain)
            history["energy"].append(after.energies.mean())
            history["stress"].append(_stress(lammps, matter))
            before = after
        arrays = {name: np.array(values).reshape(-1, *state[name].shape[1:]) for name, values in history.items()}
        return {**arrays, "restart": restart_of(lammps), "kinds": state["kinds"], "largest": largest}
    finally:
        lammps.close()


UNLISTED = ("restart", "kinds", "largest")


def _nonaffine(before: Configuration, after: Configuration, matter: System) -> NDArray:
    """D²min of every atom between two minima, in squared nearest-neighbour distances."""
    # Imported here, because Numba takes a second that other protocols need not spend.
    from ovito_glassml.labels.nonaffine import nonaffine_squared_displacement

    earlier = (before.positions - before.origin) @ np.linalg.inv(before.cell)
    later = (after.positions - after.origin) @ np.linalg.inv(after.cell)
    shift = later - earlier
    displacements = (shift - np.round(shift)) @ after.cell
    reference = before.structure(matter.interaction.species)
    reach = NEIGHBOURHOOD * matter.length
    return nonaffine_squared_displacement(reference, displacements, reach) / matter.length**2


def _of_active_species(matter: System, kinds: NDArray) -> NDArray[np.bool_]:
    return kinds == matter.interaction.species.index(matter.active_species)


def _is_event(settings: ShearAQSSettings, matter: System, before: Configuration, moved: NDArray) -> bool:
    return bool((moved[_of_active_species(matter, before.kinds)] > settings.threshold).any())


def _note(history: dict[str, list], before: Configuration, moved: NDArray) -> None:
    history["event_step"].append(len(history["energy"]))
    history["event_displacement"].append(moved)
    history["event_positions"].append(before.positions - before.origin)
    history["event_cell"].append(before.cell)
    history["event_energies"].append(before.energies)


def label_events(
    displacements: NDArray, largest: NDArray, eligible: NDArray, threshold: float, avalanche_share: float, seed: int
) -> Labels:
    """Active and equally many inactive atoms.

    Active at an event: eligible atoms with D²min above the threshold. Events that move more than
    `avalanche_share` of the eligible atoms so far are dropped: they span the sample, and tell
    nothing about where it was weak. Inactive: of the atoms that no event moved, those with the lowest
    `largest` D²min, as many as there are active ones (or as exist); each is given to one event, at
    random, so that every frame has as many inactive as active atoms.

    Parameters
    ----------
    displacements : (events, N) array
        D²min of every event.
    largest : (N,) array
        Largest D²min of each atom over all steps.
    eligible : (N,) bool array
        Atoms of the labelled species.
    threshold, avalanche_share, seed
        As in `ShearAQSSettings`.
    """
    active = (displacements > threshold) & eligible
    sizes = active.sum(axis=1)
    kept = np.flatnonzero((sizes > 0) & (sizes <= avalanche_share * eligible.sum()))
    quiet = np.flatnonzero(eligible & ~(largest > threshold))
    quiet = quiet[np.argsort(largest[quiet], kind="stable")][: sizes[kept].sum()]
    quiet = np.random.default_rng(seed).permutation(quiet)
    activity = np.full((len(kept), len(eligible)), -1)
    first = 0
    for row, event in enumerate(kept):
        activity[row, active[event]] = 1
        activity[row, quiet[first : first + sizes[event]]] = 0
        first += sizes[event]
    return Labels(kept, activity)


def _frames(settings: ShearAQSSettings, matter: System, state: dict[str, NDArray]) -> list[Shard]:
    """One frame for each event kept; if there is none, the last state without labels."""
    eligible = _of_active_species(matter, state["kinds"])
    moved, largest = state["event_displacement"], state["largest"]
    labels = label_events(moved, largest, eligible, settings.threshold, settings.avalanche_share, settings.seed)
    area = matter.length**2
    made_by = {**provenance("shear-aqs", asdict(settings)), "events_removed": len(moved) - len(labels.kept)}
    species = matter.interaction.species
    if not len(labels.kept):
        last = _configuration(matter, state["restart"])
        nothing = np.zeros(settings.atoms)
        columns = _columns(np.full(settings.atoms, -1), nothing, largest * area, last.energies)
        header = {**made_by, "event": -1, "strain": f"{state['strain'][-1]:.6f}"}
        return [Shard(last.structure(species), columns, header)]
    frames = []
    for event, activity in zip(labels.kept, labels.activity, strict=True):
        cell, energies = state["event_cell"][event], state["event_energies"][event]
        before = Configuration(state["event_positions"][event], state["kinds"], cell, np.zeros(3), energies)
        columns = _columns(activity, moved[event] * area, largest * area, energies)
        header = {**made_by, **_described(matter, state, int(event))}
        frames.append(Shard(before.structure(species), columns, header))
    return frames


def _configuration(matter: System, restart: NDArray) -> Configuration:
    lammps = resume(matter.interaction, restart)
    try:
        return configuration_of(lammps)
    finally:
        lammps.close()


def _columns(activity: NDArray, moved: NDArray, largest: NDArray, energies: NDArray) -> dict[str, NDArray]:
    return {
        "Activity": activity,
        "Nonaffine_Squared_Displacement": moved,
        "Largest_Nonaffine_Squared_Displacement": largest,
        "Potential_Energy": energies,
    }


def _described(matter: System, state: dict[str, NDArray], event: int) -> dict[str, object]:
    """Header entries: where the event lies on the stress-strain curve, and what it released."""
    after = int(state["event_step"][event])
    before = after - 1
    strain, stress, energy = state["strain"], state["stress"], state["energy"] * len(state["kinds"])
    volume = np.linalg.det(state["event_cell"][event]) * STRESS_UNITS[matter.interaction.units][1]
    work = volume * stress[before] * (strain[after] - strain[before])
    return {
        "event": event,
        "strain": f"{strain[before]:.6f}",
        "stress": f"{stress[before]:.6g}",
        "energy_released": f"{energy[before] + work - energy[after]:.6g}",
        "stress_drop": f"{stress[before] - stress[after]:.6g}",
    }


def _curve(settings: ShearAQSSettings, state: dict[str, NDArray]) -> bytes:
    text = io.StringIO()
    table = np.stack([state["strain"], state["stress"], state["energy"]], axis=1)
    np.savetxt(text, table, fmt=("%.6f", "%.8g", "%.9f"), delimiter=",", header="strain,stress,energy_per_atom")
    return text.getvalue().encode()
