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
from ovito_glassml.displacements import (
    closest_axes,
    crossings_in,
    displacements_between,
    fractions_of,
    product,
    reduced_axes,
)
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

#: Change of the cell's lengths up to which frames are taken for one cell that breathes.
LARGEST_BREATH = 0.2

#: Change of the cell's lengths over a window that moves sites by as much as a large cell's atoms vibrate.
LARGEST_DRIFT = 0.005


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
    _check_same_types(earlier, later, start_rows, end_rows)
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


def _check_same_types(before: Structure, now: Structure, rows_before: NDArray, rows_now: NDArray) -> None:
    """Refuse atoms that change types.

    Names that only one of the frames knows do not matter, since one of two files may have none.
    """
    first, second = before.species_names, now.species_names
    kinds = before.species[rows_before] * len(second) + now.species[rows_now]
    met = np.bincount(kinds, minlength=len(first) * len(second)).reshape(len(first), len(second)) > 0
    known = set(first) & set(second)
    renamed = any(known.issuperset({first[i], second[j]}) and first[i] != second[j] for i, j in np.argwhere(met))
    if renamed or met.sum() > max(met.any(axis=0).sum(), met.any(axis=1).sum()):
        raise StructureError(
            "Particles have other types than in the reference, so they are not the same; "
            "compare frames of one simulation and write particle identifiers to its files."
        )


class TrajectoryFollower:
    """Unwrapped positions of the atoms of a first frame in later frames, drift and breathing of the cell removed.

    Atoms are matched by identifier, so their order in a frame does not matter. Crossings of
    periodic boundaries are undone by taking the nearest image of the atom's place in the previous
    frame, which is right as long as no atom moves by half a cell relative to the others between frames.
    The property Periodic Image can only say the same, or it does not belong to the positions, as beside unwrapped
    coordinates; then it is wrong, and `contradicted` says where.

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
        Positions in the first frame.
    complete : (N,) bool array
        Atoms that were present in every frame so far.
    contradicted : (N,) bool array
        Atoms whose Periodic Image has told of another step than to the nearest image.

    Raises
    ------
    StructureError
        For a first frame without atoms, two-dimensional or non-finite ones, identifiers that occur
        twice, atoms without identifiers whose number changes, atoms that change types, and a cell that changes
        its boundary conditions or by more than `LARGEST_BREATH`.
    """

    def __init__(self, first: DataCollection) -> None:
        structure = structure_from_data(first, names_needed=False)
        if not len(structure):
            raise StructureError("The first frame has no atoms to follow; begin the window at a later frame.")
        self.ids = identifiers_of(first.particles)
        self.reference = structure.positions
        self.complete = np.ones(len(structure), dtype=np.bool_)
        self.contradicted = np.zeros(len(structure), dtype=np.bool_)
        self._first = structure
        self._axes, self._periodic = reduced_axes(structure)
        self._start = self._previous = fractions_of(structure.positions, structure, self._axes)
        self._flagged: NDArray[np.float64] | None = None
        self._lattices: list[NDArray[np.float64]] = []

    def follow(self, data: DataCollection) -> NDArray[np.float64]:
        """Positions in the next frame as they would be in the first cell, in the order of the first, without drift.

        Drift is the mean displacement of the atoms that are present in all frames. Atoms that
        are not stay at their place in the first frame; `complete` says which.
        """
        structure = structure_from_data(data, names_needed=False)
        index = self._match(data.particles)
        found = index >= 0
        self.complete &= found
        _check_same_types(self._first, structure, np.flatnonzero(found), index[found])
        axes = closest_axes(self._axes, self._periodic, structure, LARGEST_BREATH)
        self._lattices.append(axes[: self._periodic])
        if found.any():
            step = fractions_of(structure.positions, structure, axes)[index] - self._previous
            step[~found] = 0.0
            step[:, : self._periodic] -= crossings_in(step[:, : self._periodic])
            self._previous = self._previous + step
            self._compare_flags(structure, data.particles, axes, index, step)
        displacement = product(self._previous - self._start, self._axes)
        displacement[~self.complete] = 0.0
        displacement -= displacement.sum(axis=0) / max(self.complete.sum(), 1)
        displacement[~self.complete] = 0.0
        return displacement + self.reference

    def mean_scale(self) -> float:
        """Edge of the mean cell of the frames so far over that of the first.

        Raises
        ------
        StructureError
            If the cell drifts by more than `LARGEST_DRIFT` over these frames, by a straight line through them.
        """
        if not self._periodic:
            return 1.0
        cells, time = np.array(self._lattices), np.linspace(-0.5, 0.5, len(self._lattices))
        mean = cells.mean(axis=0)
        change = np.einsum("t,tij->ij", time, cells) / (time @ time)
        drift = np.linalg.norm(np.linalg.pinv(mean) @ change, 2)
        if drift > LARGEST_DRIFT:
            raise StructureError(
                f"The cell drifts by {100 * drift:.2g} % in the window, but atoms vibrate about fixed sites; "
                f"choose a window in which it drifts by less than {100 * LARGEST_DRIFT:g} %."
            )
        sizes = [np.linalg.det(lattice @ lattice.T) for lattice in (mean, self._axes[: self._periodic])]
        return float((sizes[0] / sizes[1]) ** (1 / 6))

    def _compare_flags(
        self, structure: Structure, particles: Particles, axes: NDArray, index: NDArray, step: NDArray
    ) -> None:
        """Note the atoms whose step by image flags, where this and the previous frame have some, is not `step`."""
        before, self._flagged = self._flagged, None
        if structure.cell is None or "Periodic Image" not in particles:
            return
        unwrapped = structure.positions + product(particles["Periodic Image"][...], structure.cell)
        self._flagged = fractions_of(unwrapped, structure, axes)[index]
        if before is not None:
            excess = np.rint(self._flagged - before - step)[:, : self._periodic]
            if excess.any():  # and not of all atoms, which is a matter of the corner of the cell
                self.contradicted |= self.complete & (excess != np.median(excess, axis=0)).any(axis=1)

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
