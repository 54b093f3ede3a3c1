"""Activation energy of every atom of a glass: the mean barrier of the events that it sets off."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.processes import LOOK, Call, on
from ovito_glassml.simulate.checkpoints import (
    claim_intermediate,
    clear_intermediate,
    intermediate,
    load_checkpoint,
    save_atomically,
    writes_alone,
)
from ovito_glassml.simulate.device.device import Device
from ovito_glassml.simulate.device.many_saddles import Found, Searcher
from ovito_glassml.simulate.engine import Progress
from ovito_glassml.simulate.forces import Glass, Units, evaluated, surroundings
from ovito_glassml.simulate.lammps_module import lammps_environment
from ovito_glassml.simulate.local_forces import MARGIN, NEIGHBOURS, Surroundings
from ovito_glassml.simulate.material import Material
from ovito_glassml.simulate.saddle_search import (
    CONNECTED,
    DISCONNECTED,
    FAILED,
    SAME,
    Search,
    SearchSettings,
    refined,
    relax,
    search,
)
from ovito_glassml.simulate.snapshots import provenance, write_snapshot
from ovito_glassml.structure import Structure

__all__ = ["DUPLICATE", "BarrierSettings", "barriers", "label_columns", "minimised", "search_atom", "search_atoms"]

#: A connected search that ended in a saddle which an earlier one of the same atom had found.
DUPLICATE = 4

#: Largest force in eV/Å on any atom of the minimised glass.
MINIMUM_FORCE = 1e-4

#: Seconds between two checkpoints.
CHECKPOINT_INTERVAL = 20.0

#: Force evaluations in the region that a connected event costs on average, the yielding of the
#: surroundings included, measured; for estimates of time only.
CALLS_PER_EVENT = 900

#: Atoms that a process searches around, within a minute or so: a start takes seconds, and a lost one loses them all.
ATOMS_OF_A_CALL = 8

#: eV; saddles that differ by more are different.
SAME_ENERGY = 1e-3


@dataclass(frozen=True)
class BarrierSettings:
    """How activation energies are measured.

    Attributes
    ----------
    events : int
        Connected events per atom after which no more are looked for.
    searches : int
        Searches per atom at most.
    seed : int
        Starts the random pushes. A search depends on it, the index of the atom and its own number only.
    region_reach : float
        Nearest-neighbour distances around the atom within which atoms move during a search; all others stand still.
        The default is 9 Å in Cu-Zr.
    yielding_reach : float
        The same, within which atoms then yield to the saddle: 20 Å in Cu-Zr. A rim 9 Å away makes barriers there
        0.3 eV too high on average, by an error that falls with the cube of the distance: 0.03 eV at 20 Å.
    push_reach : float
        The same, within which the first push acts: the first shell.
    labelled : int or None
        Label so many atoms, drawn at random; None: all.
    """

    events: int = 10
    searches: int = 60
    seed: int = 1
    region_reach: float = 9.0 / NEIGHBOURS
    yielding_reach: float = 20.0 / NEIGHBOURS
    push_reach: float = 3.6 / NEIGHBOURS
    labelled: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.events <= self.searches:
            raise SimulationError(
                f"{self.events} events do not fit into {self.searches} searches; allow more searches."
            )
        if not 0 < self.push_reach <= self.region_reach:
            raise SimulationError(
                f"Atoms within {self.push_reach:g} nearest-neighbour distances cannot be pushed where only those "
                f"within {self.region_reach:g} move; enlarge region_reach."
            )
        if self.yielding_reach < self.region_reach:
            raise SimulationError(
                f"A yielding_reach of {self.yielding_reach:g} nearest-neighbour distances is smaller than the region "
                f"of {self.region_reach:g}; enlarge it."
            )
        if self.labelled is not None and self.labelled < 1:
            raise SimulationError(f"{self.labelled} atoms cannot be labelled; give at least 1, or none for all.")

    @property
    def radii(self) -> tuple[float, float, float]:
        """Of the first push, of the moving atoms and of those that yield, in the `Units` of searches."""
        return self.push_reach * NEIGHBOURS, self.region_reach * NEIGHBOURS, self.yielding_reach * NEIGHBOURS

    def filled_in(self, material: Material) -> BarrierSettings:
        return self

    def atom_steps(self, atoms: int, material: Material) -> float:
        """Cost: number of moving atoms times number of force evaluations."""
        moving = 1.14 * 4.19 * self.region_reach**3
        return min(atoms, self.labelled or atoms) * self.events * CALLS_PER_EVENT * moving


@writes_alone
def barriers(
    material: Material,
    structure: Structure,
    settings: BarrierSettings,
    output: Path,
    progress: Progress,
    *,
    origin: Mapping[str, object] | None = None,
    processes: int = 1,
    scheduler: str | None = None,
    device: Device | None = None,
) -> None:
    """Search saddles around every atom and write the labels.

    The structure is minimised first, in its cell. Then, atom by atom, random pushes of the atom and its
    first shell start single-ended searches (see `saddle_search`) in a region of moving atoms; those whose
    saddle has the minimum itself on one side and another one on the other are its events. Their saddles
    are converged again with a much larger region free to yield, which gives the barriers.

    The label is the mean over all events, **duplicates included**: a saddle that is found twice counts
    twice, as in published labels, which average over searches. The mean then weighs each saddle with
    the width of the way to it and does not depend on when two saddles count as one. It is also the
    better label: for 48 atoms of a Cu50Zr50 glass with 20 events each its reliability (split half) is
    0.82, that of the mean over distinct saddles 0.75.

    Parameters
    ----------
    material : Material
        Whose force field it is. Embedded atoms (``eam/fs``, ``eam/alloy``) have a fast one of their own; for any other
        every evaluation costs that of LAMMPS for the whole glass.
    structure : Structure
        In an orthogonal periodic cell, best an inherent structure.
    settings : BarrierSettings
        How many events, and in what region.
    output : Path
        ``.xyz.gz`` with the minimised structure and the columns ``Activation_Energy`` (energy unit of the material, NaN
        without an event), ``Activation_Energy_Count`` (events in that mean), ``Barriers`` (one component
        an event in the order of the searches, then NaN), and the numbers of ``Searches``, of
        ``Converged_Searches`` (at a saddle), of ``Disconnected_Searches`` (at a saddle of other minima, or at
        one that becomes another when the surroundings yield) and of
        ``Duplicate_Searches`` (at a saddle found before). Their totals are in the header.
    progress : callable
        Fraction and text.
    origin : mapping, optional
        Header entries that say how the structure was made.
    processes : int
        Processes that share the atoms. The result does not depend on it.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers then share the atoms instead.
    device : Device, optional
        A graphics processor that does the searches instead. Rounding sends some of them to other saddles.

    Raises
    ------
    SimulationError
        If the structure is of other species, in another or too small a cell, or what an interrupted run
        left beside `output` belongs to other settings.
    BatchError
        If the scheduler does not answer or is lost, or Dask is missing.
    """
    units = Units.of(material.check_complete())
    start = surroundings(material, structure)
    claim_intermediate(output, {**_recorded(settings), "search": SearchSettings()}, material, structure)
    glass, drop = minimised(start)
    chosen = _chosen(len(structure), settings)
    found = _Findings(intermediate(output, "searches"), glass, settings)
    todo = [atom for atom in chosen if not found.done[atom]]
    searched: Iterable[tuple[int, tuple[NDArray, NDArray]]]
    if device is not None:
        if not isinstance(glass, Surroundings):
            raise SimulationError("A card searches embedded atoms only; use processes.")
        searched = zip(todo, search_atoms(glass, todo, settings, device), strict=True)
    elif scheduler is None and (processes == 1 or len(todo) < 2):
        searched = ((atom, search_atom(glass, atom, settings)) for atom in todo)
    else:
        searched = _searched(material, structure, glass, todo, settings, processes, scheduler)
    for atom, (outcomes, heights) in searched:
        found.add(atom, outcomes, heights)
        finished = int(found.done.sum())
        progress(finished / len(chosen), f"{finished} of {len(chosen)} atoms searched")
    columns = label_columns(found.outcomes, found.heights * units.energy, settings.events)
    lengths = np.diag(np.asarray(structure.cell))
    relaxed = structure.moved((glass.positions * units.length - structure.origin) % lengths + structure.origin)
    header = {
        **provenance("barriers", asdict(settings), material),
        "search": json.dumps(SearchSettings()._asdict(), sort_keys=True),
        "relaxation_energy": f"{drop * units.energy:.6f}",
        **_totals(columns),
        **({} if device is None else {"engine": "many_saddles"}),
        **(origin or {}),
    }
    write_snapshot(output, relaxed, columns, header)
    clear_intermediate(output)


def _recorded(settings: BarrierSettings) -> dict[str, object]:
    """As earlier versions recorded settings, in Å of Cu-Zr, so that runs which they left are continued."""
    told = asdict(settings)
    for name in ("push", "region", "yielding"):
        told[f"{name}_radius"] = round(told.pop(f"{name}_reach") * NEIGHBOURS, 6)
    return told


def minimised(glass: Glass) -> tuple[Glass, float]:
    """The glass at rest, and by how much its energy fell, in the `Units` of searches."""
    field = glass.of(np.arange(len(glass.positions)), np.arange(0))
    before, _ = evaluated(field, glass.positions)
    x, nowhere = glass.positions.ravel().copy(), np.full(glass.positions.size, np.inf)
    after, force = relax(field, x, MINIMUM_FORCE, 5000, nowhere, 0.0, np.zeros(1, dtype=np.int64))
    if not force < MINIMUM_FORCE:
        raise SimulationError(
            f"The structure does not come to rest, {force / MINIMUM_FORCE:.2g} times the allowed force remains; "
            "is it in the units of the material, and a solid?"
        )
    return glass.moved(x.reshape(-1, 3)), before - after


def _chosen(count: int, settings: BarrierSettings) -> NDArray[np.int64]:
    """Indices of the atoms to label, ascending."""
    if settings.labelled is None or settings.labelled >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(settings.seed).permutation(count)[: settings.labelled])


def search_atom(glass: Glass, atom: int, settings: BarrierSettings) -> tuple[NDArray, NDArray]:
    """All searches of one atom.

    Returns
    -------
    outcomes : (searches,) int8 array
        `FAILED`, `DISCONNECTED`, `CONNECTED`, `DUPLICATE`, or 0 where none was needed any more.
    heights : (searches,) array
        Barriers in the `Units` of searches; NaN without a saddle.
    """
    outcomes, heights = np.zeros(settings.searches, dtype=np.int8), np.full(settings.searches, np.nan)
    push, region, yielding = settings.radii
    mobile, field = glass.around(atom, region)
    start = glass.positions[mobile]
    offsets = glass.shortest(start - glass.positions[atom])
    pushed = np.linalg.norm(offsets, axis=1) <= push
    wide, wide_field = glass.around(atom, yielding)
    resting = glass.positions[wide]
    lowest, _ = evaluated(wide_field, resting)
    known: list[tuple[Search, Search]] = []
    count = 0
    for number in range(settings.searches):
        direction = np.zeros_like(start)
        direction[pushed] = _push(settings, atom, number, int(np.count_nonzero(pushed)))
        found = search(field, start, direction, SearchSettings())
        outcomes[number], heights[number] = found.outcome, found.barrier
        if found.outcome != CONNECTED:
            continue
        if np.linalg.norm(offsets + found.saddle - start, axis=1).max() > region + MARGIN:
            outcomes[number] = FAILED  # atoms met others that the region does not know
            continue
        event = next((wider for narrow, wider in known if _same(found, narrow)), None)
        duplicate = event is not None
        if event is None:
            event = refined(wide_field, resting, lowest, found, SearchSettings())
            known.append((found, event))
        heights[number], outcomes[number] = event.barrier, event.outcome
        if event.outcome == CONNECTED:
            outcomes[number] = DUPLICATE if duplicate else CONNECTED
            count += 1
            if count == settings.events:
                break
    return outcomes, heights


def _push(settings: BarrierSettings, atom: int, number: int, count: int) -> NDArray[np.float64]:
    """First push (count, 3) of a search."""
    return np.random.default_rng([settings.seed, atom, number]).normal(size=(count, 3))


def _same(one: Search, other: Search) -> bool:
    if abs(one.barrier - other.barrier) > SAME_ENERGY:
        return False
    return bool(np.linalg.norm(one.saddle - other.saddle, axis=1).max() < SAME)


#: Atoms that a card searches around together, and the share of searches that connect, for the number of a round.
AT_ONCE, CONNECTING = 512, 0.33


def search_atoms(
    glass: Surroundings, atoms: Sequence[int], settings: BarrierSettings, device: Device
) -> Iterator[tuple[NDArray, NDArray]]:
    """The results of `search_atom` for many atoms, from a graphics processor.

    Searches are done in rounds of as many as the atoms probably need; those beyond the last event count as
    not done.
    """
    for first in range(0, len(atoms), AT_ONCE):
        some = atoms[first : first + AT_ONCE]
        searcher = Searcher(glass, some, *settings.radii[:2], device)
        found: list[list[Found]] = [[] for _ in some]
        while True:
            missing = [settings.events - _connected(one) for one in found]
            wanted = [
                min(settings.searches - len(one), int(np.ceil(max(0, lack) / CONNECTING)))
                for one, lack in zip(found, missing, strict=True)
            ]
            if not sum(wanted):
                break
            centres = np.repeat(np.arange(len(some)), wanted)
            numbers = np.concatenate([len(one) + np.arange(count) for one, count in zip(found, wanted, strict=True)])
            directions = np.zeros((len(centres), int(searcher.pushed.max()), 3))
            for row, (centre, number) in enumerate(zip(centres.tolist(), numbers.tolist(), strict=True)):
                pushed = int(searcher.pushed[centre])
                directions[row, :pushed] = _push(settings, some[centre], number, pushed)
            for centre, one in zip(centres.tolist(), searcher.search(centres, directions), strict=True):
                found[centre].append(one)
        yield from (_outcomes(one, settings) for one in found)


def _connected(found: Sequence[Found]) -> int:
    return sum(one.outcome == CONNECTED for one in found)


def _outcomes(found: Sequence[Found], settings: BarrierSettings) -> tuple[NDArray, NDArray]:
    """Outcomes and heights of one atom up to its last event, duplicates marked."""
    outcomes, heights = np.zeros(settings.searches, dtype=np.int8), np.full(settings.searches, np.nan)
    events: list[Found] = []
    for number, one in enumerate(found):
        outcomes[number] = one.outcome
        if one.outcome != FAILED:
            heights[number] = one.barrier
        if one.outcome != CONNECTED:
            continue
        if any(one.resembles(other, SAME_ENERGY, SAME) for other in events):
            outcomes[number] = DUPLICATE
        events.append(one)
        if len(events) == settings.events:
            break
    return outcomes, heights


def label_columns(outcomes: NDArray, heights: NDArray, events: int) -> dict[str, NDArray]:
    """Columns of the labels from the outcomes and barriers (N, searches) of all searches."""
    connected = (outcomes == CONNECTED) | (outcomes == DUPLICATE)
    count = connected.sum(axis=1)
    listed = np.full((len(outcomes), events), np.nan)
    for atom in np.flatnonzero(count):
        listed[atom, : count[atom]] = heights[atom, connected[atom]]
    mean = np.where(connected, heights, 0.0).sum(axis=1) / np.where(count, count, np.nan)
    return {
        "Activation_Energy": mean,
        "Activation_Energy_Count": count,
        "Barriers": listed,
        "Searches": (outcomes > 0).sum(axis=1),
        "Converged_Searches": (outcomes > FAILED).sum(axis=1),
        "Disconnected_Searches": (outcomes == DISCONNECTED).sum(axis=1),
        "Duplicate_Searches": (outcomes == DUPLICATE).sum(axis=1),
    }


def _totals(columns: Mapping[str, NDArray]) -> dict[str, object]:
    names = ("Searches", "Converged_Searches", "Disconnected_Searches", "Duplicate_Searches")
    totals: dict[str, object] = {name.lower(): int(columns[name].sum()) for name in names}
    return {**totals, "connected_searches": int(columns["Activation_Energy_Count"].sum())}


class _Findings:
    """Outcomes and barriers (N, searches) of the atoms done so far, saved now and then."""

    def __init__(self, file: Path, glass: Glass, settings: BarrierSettings) -> None:
        self.file, self.saved_at = file, time.monotonic()
        shape = len(glass.positions), settings.searches
        self.outcomes, self.heights = np.zeros(shape, dtype=np.int8), np.full(shape, np.nan)
        if file.exists():
            saved = load_checkpoint(file)
            self.outcomes, self.heights = saved["outcomes"], saved["heights"]

    @property
    def done(self) -> NDArray[np.bool_]:
        return self.outcomes[:, 0] > 0

    def add(self, atom: int, outcomes: NDArray, heights: NDArray) -> None:
        self.outcomes[atom], self.heights[atom] = outcomes, heights
        if time.monotonic() - self.saved_at > CHECKPOINT_INTERVAL:
            self.saved_at = time.monotonic()
            save_atomically(self.file, {"outcomes": self.outcomes, "heights": self.heights})


def _searched(
    material: Material,
    structure: Structure,
    glass: Glass,
    atoms: Sequence[int],
    settings: BarrierSettings,
    processes: int,
    scheduler: str | None,
) -> Iterator[tuple[int, tuple[NDArray, NDArray]]]:
    """Atoms and what `search_atom` finds around them, in the order in which they are done."""
    if not atoms:
        return
    with on(scheduler, processes) as submit:
        size = min(ATOMS_OF_A_CALL, -(-len(atoms) // submit.places))
        waiting = []
        for first in range(0, len(atoms), size):
            some = list(atoms[first : first + size])
            arguments = material, structure, glass.positions, some, settings
            name = f"atoms {some[0]} to {some[-1]}"
            waiting.append(
                (some, submit(Call.of(name, _called, *arguments, threads=1, environment=lammps_environment())))
            )
        while waiting:
            done = [item for item in waiting if item[1].done()]
            waiting = [item for item in waiting if item not in done]
            for some, answer in done:
                yield from zip(some, answer.result(), strict=True)
            time.sleep(0.0 if done else LOOK)


def _called(
    report: Callable[[object], None],
    material: Material,
    structure: Structure,
    positions: NDArray,
    atoms: Sequence[int],
    settings: BarrierSettings,
) -> list[tuple[NDArray, NDArray]]:
    """Search around some atoms of a minimised glass in a process of its own, which reads the potential there."""
    glass = surroundings(material, structure).moved(positions)
    return [search_atom(glass, atom, settings) for atom in atoms]
