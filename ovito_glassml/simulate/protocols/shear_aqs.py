"""Athermal quasi-static shear: a glass at T = 0 strained step by step, its plastic events labelled."""

from __future__ import annotations

from dataclasses import asdict, dataclass
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
    made_once,
    save_atomically,
    writes_alone,
)
from ovito_glassml.simulate.crystals import check_glassy, order_header
from ovito_glassml.simulate.engine import (
    CHECKPOINT_ATOM_STEPS,
    Progress,
    Stage,
    progress_parts,
    restart_of,
    resume,
    run_stages,
)
from ovito_glassml.simulate.material import Material
from ovito_glassml.simulate.melt import melting
from ovito_glassml.simulate.minima import Configuration, configuration_of, minimise
from ovito_glassml.simulate.settings import check_atoms
from ovito_glassml.simulate.snapshots import Snapshot, provenance, write_curve, write_frames

__all__ = ["ShearAQSSettings", "label_events", "shear_aqs"]

#: Lowest thermostat temperature as a share of the melt's; thermostats do not accept zero.
COLDEST = 1e-3
#: Radius of the neighbourhoods of D²min, in nearest-neighbour distances.
NEIGHBOURHOOD = 2.5
#: Force evaluations in one strain step on average, for the expected duration only.
EVALUATIONS = 500.0


@dataclass(frozen=True)
class ShearAQSSettings:
    """How a glass is made and sheared.

    Attributes
    ----------
    atoms : int
        Number of atoms; whole chains of a polymer.
    seed : int
        Starts positions and velocities, and picks the events at which inactive atoms are taken.
    melt_time : float
        ps (or reduced) in the melt.
    quench_time : float
        ps (or reduced) from the melt's temperature to zero.
    discarded_strain : float
        Strain up to the steady state.
    discarded_step : float
        Its steps. They may be large: no event of it is used.
    strain : float
        Strain in which events are labelled. A sample of 1000 atoms has about one event a percent,
        so this is ten times the percent that larger samples need.
    step : float
        Strain between the two minima of an event.
    search_step : float
        Steps in which events are looked for; one that finds an event is taken back and repeated in
        steps of `step`. Between events the response is elastic and does not depend on the steps.
    block : float
        Strain over which atoms are compared to find the inactive ones.
    threshold : float
        D²min above which an atom is active, in squared nearest-neighbour distances.
    avalanche_share : float
        Events in which a larger share of all atoms of the active species is active span the sample
        and get no labels.
    steps_per_checkpoint : int
        Search steps between two checkpoints; each begins from the file, so this number belongs to
        the settings that make a run reproducible.
    checkpoint_atom_steps : int
        The same for the molecular dynamics: number of atoms times number of steps.
    """

    atoms: int = 1000
    seed: int = 1
    melt_time: float = 100.0
    quench_time: float = 500.0
    discarded_strain: float = 0.1
    discarded_step: float = 1e-3
    strain: float = 0.1
    step: float = 5e-5
    search_step: float = 4e-4
    block: float = 0.01
    threshold: float = 0.6
    avalanche_share: float = 0.1
    steps_per_checkpoint: int = 10
    checkpoint_atom_steps: int = CHECKPOINT_ATOM_STEPS

    def __post_init__(self) -> None:
        check_atoms(self.atoms)
        if not 0 < self.step <= self.search_step <= self.block <= self.strain or not self.discarded_step > 0:
            raise SimulationError("Strains must be positive and grow: step <= search_step <= block <= strain.")
        if self.discarded_strain < 0 or self.discarded_strain + self.strain > 0.5:
            raise SimulationError(
                f"The total strain {self.discarded_strain + self.strain:g} must lie between 0 and 0.5."
            )
        if not 0 < self.avalanche_share <= 1:
            raise SimulationError(f"The avalanche share {self.avalanche_share:g} is not between 0 and 1.")

    @property
    def first_used(self) -> int:
        """Number of discarded steps."""
        return round(self.discarded_strain / self.discarded_step)

    @property
    def increments(self) -> NDArray:
        """Strain of every step before any is refined."""
        return np.repeat(
            [self.discarded_step, self.search_step], [self.first_used, round(self.strain / self.search_step)]
        )

    def filled_in(self, material: Material) -> ShearAQSSettings:
        return self

    def durations(self, material: Material) -> list[float]:
        """Force evaluations of the quench and of the shear, the latter from experience."""
        return [material.steps(self.melt_time + self.quench_time), EVALUATIONS * len(self.increments)]

    def atom_steps(self, atoms: int, material: Material) -> float:
        """Cost: number of atoms times number of force evaluations."""
        return atoms * sum(self.durations(material))


@writes_alone
def shear_aqs(material: Material, settings: ShearAQSSettings, output: Path, progress: Progress) -> None:
    """Quench, shear and label; write one frame for each plastic event to `output` (``.xyz.gz``).

    A frame is the minimum *before* its event with the columns ``Activity``,
    ``Nonaffine_Squared_Displacement`` (of this event) and
    ``Largest_Nonaffine_Squared_Displacement`` (of any step of the block of strain around it); its
    header tells strain, shear stress and what the event released. Frames of avalanches, marked
    ``avalanche=1``, have no labels. Beside it, ``.curve.csv`` holds strain, shear
    stress and energy per atom of all steps. The state is saved at least twice a minute; calling the
    function again continues.
    """
    claim_intermediate(output, asdict(settings), material.check_complete())
    report = progress_parts(progress, settings.durations(material))
    quenched = made_once(intermediate(output, "quenched"), lambda: _quenched(settings, material, output, report(0)))
    state = _sheared(settings, material, quenched["restart"], intermediate(output, "shear"), report(1))
    curve = {"strain": state["strain"], "stress": state["stress"], "energy_per_atom": state["energy"]}
    write_curve(output, curve, ("%.6f", "%.8g", "%.9f"))
    write_frames(output, _frames(settings, material, state))
    clear_intermediate(output)


def _quenched(settings: ShearAQSSettings, material: Material, output: Path, progress: Progress) -> dict[str, NDArray]:
    hot, step, pressure = material.melt_temperature, material.time_step, material.barostat
    stages = [
        melting(material, settings.melt_time, hot, pressure),
        Stage("cooling the melt", material.steps(settings.quench_time), hot, COLDEST * hot, step, pressure),
    ]
    start = molten(material, settings.atoms, settings.seed, hot, material.start_density)

    def finish(lammps: Any) -> dict[str, NDArray]:
        minimise(lammps, material.force_tolerance)
        lammps.command("change_box all triclinic")
        restart = restart_of(lammps)
        check_glassy(configuration_of(lammps).structure(material.species), material)
        return {"restart": restart}

    checkpoint = intermediate(output, "quench")
    return run_stages(material, stages, checkpoint, start, progress, finish, settings.checkpoint_atom_steps)


def _sheared(
    settings: ShearAQSSettings, material: Material, restart: NDArray, checkpoint: Path, progress: Progress
) -> dict[str, NDArray]:
    """All strain steps, from the last checkpoint on."""
    increments = settings.increments
    if not checkpoint.exists():
        save_atomically(checkpoint, _unstrained(settings, material, restart))
    state = load_checkpoint(checkpoint)
    while (done := int(state["done"])) < len(increments):
        batch = range(done, min(done + settings.steps_per_checkpoint, len(increments)))
        save_atomically(checkpoint, _strained(settings, material, state, batch))
        state = load_checkpoint(checkpoint)
        progress(int(state["done"]) / len(increments), f"straining, {state['strain'][-1]:.1%}")
    return state


def _unstrained(settings: ShearAQSSettings, material: Material, restart: NDArray) -> dict[str, NDArray]:
    lammps = resume(material, restart)
    try:
        start = _with_stress(lammps)
        atoms = settings.atoms
        return {
            "restart": restart,
            "done": np.array(0),
            "kinds": start.kinds,
            "strain": np.zeros(1),
            "energy": np.array([start.energies.mean()]),
            "stress": np.array([_stress(lammps, material)]),
            "largest": np.zeros((_block(settings, settings.strain) + 1, atoms)),
            "event_step": np.zeros(0, np.int64),
            "event_block": np.zeros(0, np.int64),
            "event_displacement": np.zeros((0, atoms)),
            "event_positions": np.zeros((0, atoms, 3)),
            "event_cell": np.zeros((0, 3, 3)),
            "event_energies": np.zeros((0, atoms)),
        }
    finally:
        lammps.close()


#: What grows with steps and events; the rest of the state is replaced.
GROWING = (
    "strain",
    "energy",
    "stress",
    "event_step",
    "event_block",
    "event_displacement",
    "event_positions",
    "event_cell",
    "event_energies",
)


def _strained(
    settings: ShearAQSSettings, material: Material, state: dict[str, NDArray], batch: range
) -> dict[str, NDArray]:
    """The state after a few more steps."""
    history = {name: list(state[name]) for name in GROWING}
    largest = state["largest"].copy()
    run = _Straining(material, state["restart"])
    try:
        for number in batch:
            increment, used = settings.increments[number], number >= settings.first_used
            block = _block(settings, (number - settings.first_used + 0.5) * settings.search_step)
            steps = run.advance([increment])
            if used and _is_event(settings, material, steps[0]):
                run.take_back()
                steps = run.advance([settings.step] * round(increment / settings.step))
            for step in steps:
                if used:
                    largest[block] = np.fmax(largest[block], step.moved)
                if used and _is_event(settings, material, step):
                    _note(history, step, block)
                history["strain"].append(history["strain"][-1] + step.increment)
                history["energy"].append(step.energy)
                history["stress"].append(step.stress)
        arrays = {name: np.array(values).reshape(-1, *state[name].shape[1:]) for name, values in history.items()}
        done = np.array(batch.stop)
        return {**arrays, "restart": restart_of(run.lammps), "done": done, "kinds": state["kinds"], "largest": largest}
    finally:
        run.lammps.close()


@dataclass(frozen=True)
class _Step:
    """One minimised strain step: what was before, D²min of all atoms, energy per atom and stress after."""

    increment: float
    before: Configuration
    moved: NDArray
    energy: float
    stress: float


class _Straining:
    """A LAMMPS instance that is strained step by step and can go back to where it was before."""

    def __init__(self, material: Material, restart: NDArray) -> None:
        self.material = material
        self._open(restart)

    def _open(self, restart: NDArray) -> None:
        self.lammps = resume(self.material, restart)
        self.now = _with_stress(self.lammps)

    def advance(self, increments: list[float]) -> list[_Step]:
        """Strain by each increment and minimise."""
        self.saved = restart_of(self.lammps)
        steps = []
        for increment in increments:
            before = self.now
            tilt = before.cell[1, 0] + increment * before.cell[1, 1]
            self.lammps.command(f"change_box all xy final {tilt:.12g} remap units box")
            minimise(self.lammps, self.material.force_tolerance)
            self.now = _with_stress(self.lammps)
            moved = _nonaffine(before, self.now, self.material)
            stress = _stress(self.lammps, self.material)
            steps.append(_Step(increment, before, moved, float(self.now.energies.mean()), stress))
        return steps

    def take_back(self) -> None:
        """Return to the state before the last `advance`."""
        self.lammps.close()
        self._open(self.saved)


def _block(settings: ShearAQSSettings, strain: float) -> int:
    """Number of the block that contains a strain, counted from the end of the discarded part."""
    return int(strain / settings.block * (1 - 1e-9))


def _with_stress(lammps: Any) -> Configuration:
    lammps.command("thermo_style custom step pe pxy")
    return configuration_of(lammps)


def _stress(lammps: Any, material: Material) -> float:
    return -lammps.get_thermo("pxy") * material.unit_system.stress


def _nonaffine(before: Configuration, after: Configuration, material: Material) -> NDArray:
    """D²min of every atom between two minima, in squared nearest-neighbour distances."""
    # Imported here, because Numba takes a second that other protocols need not spend.
    from ovito_glassml.labels.nonaffine import nonaffine_squared_displacement

    earlier = (before.positions - before.origin) @ np.linalg.inv(before.cell)
    later = (after.positions - after.origin) @ np.linalg.inv(after.cell)
    shift = later - earlier
    displacements = (shift - np.round(shift)) @ after.cell
    reference = before.structure(material.species)
    reach = NEIGHBOURHOOD * material.nearest_neighbour_distance
    return nonaffine_squared_displacement(reference, displacements, reach) / material.nearest_neighbour_distance**2


def _of_active_species(material: Material, kinds: NDArray) -> NDArray[np.bool_]:
    return kinds == material.species.index(material.active_species)


def _is_event(settings: ShearAQSSettings, material: Material, step: _Step) -> bool:
    return bool((step.moved[_of_active_species(material, step.before.kinds)] > settings.threshold).any())


def _note(history: dict[str, list], step: _Step, block: int) -> None:
    history["event_step"].append(len(history["energy"]))
    history["event_block"].append(block)
    history["event_displacement"].append(step.moved)
    history["event_positions"].append(step.before.positions - step.before.origin)
    history["event_cell"].append(step.before.cell)
    history["event_energies"].append(step.before.energies)


def label_events(
    displacements: NDArray,
    blocks: NDArray,
    largest: NDArray,
    eligible: NDArray,
    threshold: float,
    avalanche_share: float,
    seed: int,
) -> NDArray[np.int64]:
    """Active and equally many inactive atoms.

    Active at an event: eligible atoms with D²min above the threshold. Events in which more than
    `avalanche_share` of the eligible atoms are active get no labels: they span the sample, and tell
    nothing about where it was weak. Inactive: of the atoms that no event of the same block moved,
    those with the lowest `largest` D²min, as many as there are active ones (or as exist); each is
    given to one event of its block, at random, so that every event has as many inactive as active
    atoms.

    Parameters
    ----------
    displacements : (events, N) array
        D²min of every event.
    blocks : (events,) integer array
        Block of strain in which each event lies.
    largest : (blocks, N) array
        Largest D²min of each atom over all steps of a block.
    eligible : (N,) bool array
        Atoms of the labelled species.
    threshold, avalanche_share, seed
        As in `ShearAQSSettings`.

    Returns
    -------
    (events, N) array
        1 active, 0 inactive, −1 neither.
    """
    active = (displacements > threshold) & eligible
    sizes = active.sum(axis=1)
    local = sizes <= avalanche_share * eligible.sum()
    activity = np.full(displacements.shape, -1)
    activity[active & local[:, None]] = 1
    rng = np.random.default_rng(seed)
    for block in np.unique(blocks[local]):
        events = np.flatnonzero(local & (blocks == block))
        quiet = np.flatnonzero(eligible & ~(largest[block] > threshold))
        quiet = quiet[np.argsort(largest[block][quiet], kind="stable")][: sizes[events].sum()]
        shares = np.split(rng.permutation(quiet), np.cumsum(sizes[events])[:-1])
        for event, atoms in zip(events, shares, strict=True):
            activity[event, atoms] = 0
    return activity


def _frames(settings: ShearAQSSettings, material: Material, state: dict[str, NDArray]) -> list[Snapshot]:
    """One frame for each event; if there is none, the last state without labels."""
    species, area = material.species, material.nearest_neighbour_distance**2
    made_by = provenance("shear-aqs", asdict(settings), material, composition=True)
    moved, blocks, largest = state["event_displacement"], state["event_block"], state["largest"] * area
    if not len(moved):
        last = _configuration(material, state["restart"])
        columns = _columns(np.full(settings.atoms, -1), np.zeros(settings.atoms), largest[-1], last.energies)
        header = {**made_by, "event": -1, "strain": f"{state['strain'][-1]:.6f}"}
        return [Snapshot(last.structure(species), columns, header)]
    eligible = _of_active_species(material, state["kinds"])
    limits = settings.threshold, settings.avalanche_share
    labels = label_events(moved, blocks, state["largest"], eligible, *limits, settings.seed)
    frames = []
    for event, activity in enumerate(labels):
        cell, energies = state["event_cell"][event], state["event_energies"][event]
        before = Configuration(state["event_positions"][event], state["kinds"], cell, np.zeros(3), energies)
        columns = _columns(activity, moved[event] * area, largest[blocks[event]], energies)
        avalanche = {"avalanche": int(not (activity == 1).any())}
        structure = before.structure(species)
        header = {**made_by, **_described(material, state, event), **avalanche, **order_header(structure)}
        frames.append(Snapshot(structure, columns, header))
    return frames


def _configuration(material: Material, restart: NDArray) -> Configuration:
    lammps = resume(material, restart)
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


def _described(material: Material, state: dict[str, NDArray], event: int) -> dict[str, object]:
    """Header entries: where the event lies on the stress-strain curve, and what it released."""
    after = int(state["event_step"][event])
    before = after - 1
    strain, stress, energy = state["strain"], state["stress"], state["energy"] * len(state["kinds"])
    volume = np.linalg.det(state["event_cell"][event]) * material.unit_system.work
    work = volume * stress[before] * (strain[after] - strain[before])
    return {
        "event": event,
        "strain": f"{strain[before]:.6f}",
        "stress": f"{stress[before]:.6g}",
        "energy_released": f"{energy[before] + work - energy[after]:.6g}",
        "stress_drop": f"{stress[before] - stress[after]:.6g}",
    }
