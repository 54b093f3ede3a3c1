"""Saddle searches around many atoms of a glass at once on a graphics processor.

The method is that of `saddle_search`, and the random pushes are those of `barriers`. The one difference: when the
surroundings yield to a saddle, these are the whole glass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate import saddle_search
from ovito_glassml.simulate.device.device import ROOM, SKIN, Device, Tables, packed, shared_bytes
from ovito_glassml.simulate.local_forces import Surroundings
from ovito_glassml.simulate.saddle_search import SearchSettings

__all__ = ["Found", "Searcher"]

#: Atoms around the centre whose places tell whether two saddles are the same.
NEAREST = 32
#: Vectors of all coordinates that a block keeps, in ``many_saddles.cu``.
VECTORS = 46

_SETTINGS = np.dtype(
    [
        (name, "f8")
        for name in (
            "push", "curvature", "stride", "force_tolerance", "relaxed",
            "compliance", "longest", "slide", "same", "probe", "yielded",
        )
    ]
    + [("yielding", "i4"), ("pushes", "i4"), ("strides", "i4")],
    align=True,
)  # fmt: skip
_INPUTS = ("positions", "kinds", "densities", "order", "moving", "directions", "centres")
_OUTPUTS = ("outcomes", "calls", "barriers", "displacements")
_WORK = ("vectors", "fixed_densities", "own_kinds", "listed_at", "neighbours", "counts", "next", "longest")
_SEARCHES = np.dtype(
    [(name, np.uint64) for name in _INPUTS + _OUTPUTS + _WORK]
    + [("length", "f8"), ("skin", "f8")]
    + [(name, "i4") for name in ("atoms", "room", "searches", "room_pushed")],
    align=True,
)


class Found(NamedTuple):
    """What one search found.

    Attributes
    ----------
    outcome, calls : int
        FAILED, DISCONNECTED or CONNECTED of `saddle_search`; force evaluations.
    barrier : float
        eV; without meaning where the search failed.
    displacements : (NEAREST, 3) array
        Å, from the minimum to the saddle, of the atoms nearest to the centre, itself first.
    """

    outcome: int
    calls: int
    barrier: float
    displacements: NDArray[np.float32]

    def resembles(self, other: Found, energy: float, distance: float) -> bool:
        """Whether two searches around one atom ended at the same saddle, within eV and Å."""
        if abs(self.barrier - other.barrier) > energy:
            return False
        return bool(np.linalg.norm(self.displacements - other.displacements, axis=1).max() < distance)


class Searcher:
    """Searches from one minimum.

    Parameters
    ----------
    glass : Surroundings
        At rest, in a cubic cell.
    atoms : sequence of int
        The centres.
    push_radius, region_radius : float
        Å around a centre within which the first push acts, and within which atoms move during a search.
    device : Device
    blocks : int, optional
        Searches side by side; default: two for each multiprocessor.

    Raises
    ------
    SimulationError
        If the cell is not cubic or what `Tables` raises.
    """

    def __init__(
        self,
        glass: Surroundings,
        atoms: Sequence[int],
        push_radius: float,
        region_radius: float,
        device: Device,
        blocks: int | None = None,
    ) -> None:
        if np.ptp(glass.lengths) > 1e-9 * glass.lengths[0]:
            raise SimulationError(f"Searches on a card need a cubic cell, not one of {glass.lengths} Å.")
        self.device, self.count = device, len(glass.positions)
        self.blocks = blocks or 2 * device.multiprocessors()
        self._length = float(glass.lengths[0])
        self._tables = Tables(glass.tables, device, self.count, glass.lengths)
        order, distances = _by_distance(glass, atoms)
        #: Number of atoms that are pushed, of every centre.
        self.pushed = (distances <= push_radius).sum(axis=1)
        self._inputs = {
            "positions": device.array(np.ascontiguousarray(glass.positions)),
            "kinds": device.array(glass.kinds.astype(np.uint8)),
            "densities": device.array(np.ascontiguousarray(glass.density)),
            "order": device.array(order),
            "moving": device.array((distances <= region_radius).sum(axis=1).astype(np.int32)),
        }
        shape = (self.blocks, self.count)
        self._work = {
            "vectors": device.array(np.zeros((self.blocks, VECTORS, 3 * self.count))),
            "fixed_densities": device.array(np.zeros(shape)),
            "own_kinds": device.array(np.zeros(shape, dtype=np.uint8)),
            "listed_at": device.array(np.zeros((*shape, 4))),
            "neighbours": device.array(np.zeros((self.blocks, ROOM, self.count), dtype=np.uint16)),
            "counts": device.array(np.zeros((*shape, 2), dtype=np.int32)),
        }
        self._settings = packed(device, _SETTINGS, {}, **_settings(SearchSettings()))

    def search(self, centres: NDArray, directions: NDArray) -> list[Found]:
        """Run searches.

        Parameters
        ----------
        centres : (S,) array of int
            Places in the list of atoms.
        directions : (S, P, 3) array
            First pushes of the P atoms nearest to the centre, itself first; their length does not matter.
        """
        total, make = len(centres), self.device.array
        unit = directions / np.linalg.norm(directions, axis=(1, 2), keepdims=True)
        tasks = {
            **self._inputs,
            "directions": make(np.ascontiguousarray(unit)),
            "centres": make(np.asarray(centres, dtype=np.int32)),
            "outcomes": make(np.zeros(total, dtype=np.int32)),
            "calls": make(np.zeros(total, dtype=np.int32)),
            "barriers": make(np.zeros(total)),
            "displacements": make(np.zeros((total, NEAREST, 3), dtype=np.float32)),
            **self._work,
            "next": make(np.zeros(1, dtype=np.int32)),
            "longest": make(np.zeros(1, dtype=np.int32)),
        }
        sizes = {"atoms": self.count, "room": ROOM, "searches": total, "room_pushed": directions.shape[1]}
        structure = packed(self.device, _SEARCHES, tasks, length=self._length, skin=SKIN, **sizes)
        shared = shared_bytes(self._tables, self.count, "many_saddles", "double")
        arguments = (structure, self._settings, self._tables.structure)
        self.device.launch("many_saddles", "double", "searches", min(self.blocks, total), shared, arguments)
        if (found := int(self.device.host(tasks["longest"])[0])) >= ROOM - 8:
            raise SimulationError(f"An atom has {found} neighbours or more; this is no glass, look at its density.")
        outcomes, calls, barriers, displacements = (self.device.host(tasks[name]) for name in _OUTPUTS)
        return [Found(int(outcomes[k]), int(calls[k]), float(barriers[k]), displacements[k]) for k in range(total)]


def _settings(settings: SearchSettings) -> dict[str, float]:
    constants = ("compliance", "longest", "slide", "same", "probe", "yielded", "yielding")
    return settings._asdict() | {name: getattr(saddle_search, name.upper()) for name in constants}


def _by_distance(glass: Surroundings, atoms: Sequence[int]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """All atoms in the order of their distances from every centre, and these distances, both (centres, N)."""
    distances = [np.linalg.norm(glass.shortest(glass.positions - glass.positions[atom]), axis=1) for atom in atoms]
    orders = [np.argsort(one, kind="stable") for one in distances]
    ordered = [one[order] for one, order in zip(distances, orders, strict=True)]
    return np.array(orders, dtype=np.int32), np.array(ordered)
