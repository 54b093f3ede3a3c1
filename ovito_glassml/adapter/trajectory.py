"""Following atoms through the frames of a trajectory: windows, references, identifiers, unwrapping, drift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection, Particles
from ovito.pipeline import FileSource
from ovito.traits import OvitoObject

from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.adapter.input import particles_of, structure_from_data
from ovito_glassml.displacements import displacements_between
from ovito_glassml.structure import Structure, StructureError

__all__ = [
    "Motion",
    "TrajectoryFollower",
    "frame_window",
    "identifiers_of",
    "keep_per_atom",
    "match_ids",
    "motion_between",
    "recall_per_atom",
    "reference_file",
]


def frame_window(total: int, first: int = 0, count: int = 0, every: int = 1) -> range:
    """Frames of a time average.

    Parameters
    ----------
    total : int
        Frames of the trajectory.
    first : int
        First frame of the window, from 0.
    count : int
        Frames that the window spans; 0 means to the end of the trajectory.
    every : int
        Use every nth of them.

    Raises
    ------
    StructureError
        If fewer than two frames are left, or the window ends after the trajectory.
    """
    last = first + count if count else total
    if last > total:
        raise StructureError(
            f"The window of {count} frames from frame {first} ends after the trajectory, which has {total} frames; "
            "shorten the window or let it begin earlier."
        )
    window = range(first, last, every)
    if len(window) < 2:
        raise StructureError(
            f"The window holds {len(window)} of the trajectory's {total} frames but a time average needs at least 2; "
            "load a trajectory with more frames or widen the window."
        )
    return window


def match_ids(wanted: NDArray, available: NDArray) -> NDArray[np.int64]:
    """Index in `available` of every identifier in `wanted`, −1 for those that are missing."""
    if np.array_equal(wanted, available):
        return np.arange(len(wanted))
    if not len(available):
        return np.full(len(wanted), -1, dtype=np.int64)
    order = np.argsort(available, kind="stable")
    place = np.minimum(np.searchsorted(available, wanted, sorter=order), len(available) - 1)
    index = order[place]
    return np.where(available[index] == wanted, index, -1)


def reference_file(**metadata: str) -> Any:
    """Trait for a second input of a modifier: an OVITO `FileSource`, or the name of a file to load into one."""
    return _ReferenceFile(FileSource).clone(**metadata)


class _ReferenceFile(OvitoObject):
    def init_fast_validate(self, *arguments: object) -> None:
        """The compiled check of the type would keep `validate` from being called."""

    def validate(self, owner: object, name: str, value: Any) -> FileSource:
        if isinstance(value, str | Path):
            value = open_trajectory(Path(value)).source
        return super().validate(owner, name, value)  # type: ignore[misc]


@dataclass(frozen=True, eq=False)
class Motion:
    """How the particles that two frames have in common moved from one to the other.

    Attributes
    ----------
    start : Structure
        These M particles in the reference frame.
    start_rows, end_rows : (M,) int64 arrays
        Where they are in the reference frame and in the other one.
    displacements : (M, 3) array
        In the reference frame's cell: the homogeneous deformation of the cell is taken out.
    deformation : (3, 3) array
        Maps (column) vectors of the reference frame's cell to those of the other's cell.
    """

    start: Structure
    start_rows: NDArray[np.int64]
    end_rows: NDArray[np.int64]
    displacements: NDArray[np.float64]
    deformation: NDArray[np.float64]


def motion_between(reference: DataCollection, data: DataCollection, minimum_image: bool = True) -> Motion:
    """Match the particles of two frames, by identifier if both have them, and see how they moved.

    Parameters
    ----------
    reference, data : DataCollection
        The earlier and the later frame.
    minimum_image : bool
        Undo crossings of periodic boundaries: no particle moves by half a cell relative to the others.

    Raises
    ------
    StructureError
        For frames that do not match: none of the particles in common, other types, other numbers of
        particles without identifiers; and as `displacements_between`.
    """
    earlier = structure_from_data(reference, names_needed=False)
    later = structure_from_data(data, names_needed=False)
    index = _matched(reference.particles, data.particles)
    start_rows = np.flatnonzero(index >= 0)
    end_rows = index[start_rows]
    if len(later) and not len(start_rows):
        raise StructureError(
            f"None of the {len(later)} particles is in the reference, which has {len(earlier)}; "
            "compare frames with the same particle identifiers."
        )
    _check_same_types(earlier.species[start_rows], later.species[end_rows])
    start = replace(
        earlier,
        positions=earlier.positions[start_rows],
        species=earlier.species[start_rows],
        ids=earlier.ids[start_rows],
    )
    displacements, deformation = displacements_between(start, later, later.positions[end_rows], minimum_image)
    return Motion(start, start_rows, end_rows, displacements, deformation)


def _matched(first: Particles, second: Particles) -> NDArray[np.int64]:
    """Index in the second frame of every particle of the first, −1 if it is not there."""
    ids, others = identifiers_of(first), identifiers_of(second)
    if ids is not None and others is not None:
        return match_ids(ids, others)
    _check_same_count(first.count, second.count)
    return np.arange(first.count)


def _check_same_types(before: NDArray, now: NDArray) -> None:
    """Refuse particles that change types; names do not matter, since one of two files may have none."""
    width = now.max(initial=0) + 1
    met = np.bincount(before * width + now, minlength=(before.max(initial=0) + 1) * width).reshape(-1, width) > 0
    if met.sum() > max(met.any(axis=0).sum(), met.any(axis=1).sum()):
        raise StructureError(
            "Particles have other types than in the reference, so they are not the same; "
            "compare frames of one simulation and write particle identifiers to its files."
        )


class TrajectoryFollower:
    """Unwrapped positions of the atoms of a first frame in later frames, drift removed.

    Atoms are matched by identifier, so their order in a frame does not matter. Crossings of
    periodic boundaries are undone by the property Periodic Image where frames have it, else by
    taking the nearest image of the atom's place in the previous frame, which is right as long
    as no atom moves by half a cell between frames.

    Parameters
    ----------
    first : DataCollection
        The frame that displacements are counted from.

    Attributes
    ----------
    ids : (N,) array or None
        Identifiers of the first frame; None if it has none, then atoms are matched by position
        in the file.
    reference : (N, 3) array
        Unwrapped positions in the first frame.
    complete : (N,) bool array
        Atoms that were present in every frame so far.

    Raises
    ------
    StructureError
        For a first frame without atoms, two-dimensional or non-finite ones, identifiers that occur
        twice, or atoms without identifiers whose number changes.
    """

    def __init__(self, first: DataCollection) -> None:
        structure = structure_from_data(first, names_needed=False)
        if not len(structure):
            raise StructureError("The first frame has no atoms to follow; begin the window at a later frame.")
        self.ids = identifiers_of(first.particles)
        self.reference = _unwrapped_by_images(structure, first.particles)
        self.complete = np.ones(len(self.reference), dtype=np.bool_)
        self._previous = self.reference.copy()

    def follow(self, data: DataCollection) -> NDArray[np.float64]:
        """Positions in the next frame, in the order of the first, without drift.

        Drift is the mean displacement of the atoms that are present in all frames. Atoms that
        are not stay at their place in the first frame; `complete` says which.
        """
        structure = structure_from_data(data, names_needed=False)
        index = self._match(data.particles)
        missing = index < 0
        self.complete &= ~missing
        if len(structure):
            positions = _unwrapped_by_images(structure, data.particles)[index]
            if "Periodic Image" not in data.particles:
                positions = _nearest_image(positions, self._previous, structure)
            positions[missing] = self._previous[missing]
            self._previous = positions
        displacement = self._previous - self.reference
        displacement[~self.complete] = 0.0
        displacement -= displacement.sum(axis=0) / max(self.complete.sum(), 1)
        displacement[~self.complete] = 0.0
        return displacement + self.reference

    def _match(self, particles: Particles) -> NDArray[np.int64]:
        ids = identifiers_of(particles)
        if self.ids is not None and ids is not None:
            return match_ids(self.ids, ids)
        _check_same_count(len(self.reference), particles.count)
        return np.arange(particles.count)


def _check_same_count(before: int, now: int) -> None:
    if now != before:
        raise StructureError(
            f"The number of atoms changes from {before} to {now} and they have no identifiers to follow them by; "
            "write the trajectory with a column of particle identifiers."
        )


def identifiers_of(particles: Particles) -> NDArray | None:
    """Particle identifiers, None if there are none.

    Raises
    ------
    StructureError
        If some occur twice.
    """
    identifiers = particles.identifiers
    if identifiers is None:
        return None
    ids = np.array(identifiers[...])
    ordered = np.sort(ids)
    if (ordered[1:] == ordered[:-1]).any():
        raise StructureError(
            "Some particle identifiers occur twice, so atoms cannot be followed; "
            "number the atoms of the trajectory uniquely."
        )
    return ids


def _unwrapped_by_images(structure: Structure, particles: Particles) -> NDArray[np.float64]:
    """Positions with the recorded crossings of periodic boundaries undone; as they are if none are recorded."""
    if structure.cell is None or "Periodic Image" not in particles:
        return structure.positions
    return structure.positions + _combined(particles["Periodic Image"][...], structure.cell)


def _nearest_image(positions: NDArray, previous: NDArray, structure: Structure) -> NDArray[np.float64]:
    """The periodic image of every position that lies nearest to the previous one."""
    if structure.cell is None:
        return positions
    crossings = np.rint(_combined(positions - previous, np.linalg.inv(structure.cell)))
    return positions - _combined(crossings * structure.pbc, structure.cell)


def _combined(coefficients: NDArray, vectors: NDArray) -> NDArray[np.float64]:
    """Matrix product of (N, 3) and (3, 3); the threads of BLAS would cost more than they save here."""
    return np.einsum("ij,jk->ik", coefficients, vectors)


def keep_per_atom(cache: DataCollection, ids: NDArray | None, columns: Mapping[str, NDArray]) -> None:
    """Store per-atom arrays in a modifier's data cache, where they survive a change of frame.

    Parameters
    ----------
    cache : DataCollection
    ids : (N,) array or None
        Identifiers of the atoms, None if they have none.
    columns : mapping of str to (N,) array
    """
    count = len(next(iter(columns.values())))
    kept = cache.create_particles(count=count)
    if ids is not None:
        kept.create_property("Particle Identifier", data=ids)
    for name, values in columns.items():
        kept.create_property(name, dtype=values.dtype.type, data=values)


def recall_per_atom(cache: DataCollection, data: DataCollection) -> dict[str, NDArray]:
    """Arrays stored by `keep_per_atom`, in the order of the atoms of another frame.

    Atoms that were not stored get NaN, or −1 in integer columns.

    Raises
    ------
    StructureError
        If the number of atoms differs and they have no identifiers.
    """
    kept, ids = cache.particles, identifiers_of(particles_of(data))
    if ids is not None and kept.identifiers is not None:
        index = match_ids(ids, kept.identifiers[...])
    else:
        _check_same_count(kept.count, data.particles.count)
        index = np.arange(kept.count)
    found = index >= 0
    recalled = {}
    for name in kept.keys() - {"Particle Identifier"}:
        values = kept[name][...]
        recalled[name] = np.full(len(index), np.nan if values.dtype.kind == "f" else -1, dtype=values.dtype)
        recalled[name][found] = values[index[found]]
    return recalled
