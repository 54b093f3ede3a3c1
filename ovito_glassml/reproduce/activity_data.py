"""Labelled atoms of the campaign's plastic events and isoconfigurational runs, as they are kept and read.

Two kinds of file, both gzipped extended XYZ. *Shear*: every frame is a structure just before
a plastic event, with the column ``Activity`` and perhaps ``Learned_Activity``. *Thermal*: one inherent
structure, with how far every atom's neighbourhood moved in each of several runs from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.labels.activity import NEITHER, label_by_quantile
from ovito_glassml.labels.nonaffine import nonaffine_squared_displacement
from ovito_glassml.learn.activity.data import EXTREME_SHARE, ActivitySample
from ovito_glassml.simulate.material import Material, load_material
from ovito_glassml.simulate.snapshots import Snapshot, provenance, read_frames, write_frames
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.learn.events import labels_of_larger_events

__all__ = [
    "compact_shear",
    "compact_thermal",
    "minimised",
    "read_shear",
    "read_thermal",
    "replica_displacements",
    "thermal_from_archive",
    "thermal_snapshot_of",
]

#: Radius of the neighbourhoods of D²min in nearest-neighbour distances, as published.
NEIGHBOURHOOD = 2.5

LEARNED = "Learned_Activity"
REPLICAS = "Replica_Nonaffine_Squared_Displacement"


def read_shear(path: Path) -> list[ActivitySample]:
    """Structures before the plastic events of one sheared glass, without events that have no labels."""
    name = Path(path).name.removesuffix(".xyz.gz")
    samples = []
    for frame in read_frames(path):
        judged = frame.columns["Activity"].astype(np.int8)
        learned = frame.columns.get(LEARNED, judged).astype(np.int8)
        if (learned != NEITHER).any():
            moved = frame.columns["Nonaffine_Squared_Displacement"]
            samples.append(ActivitySample(frame.structure, learned, moved, name, judged != NEITHER))
    return samples


def read_thermal(
    path: Path, active_species: str, *, share: float = EXTREME_SHARE, learned_share: float | None = None
) -> ActivitySample:
    """The start of an isoconfigurational ensemble with labels by its mean D²min.

    Parameters
    ----------
    path : Path
        As `compact_thermal` writes.
    active_species : str
        Atoms to label.
    share : float
        Shares of these atoms that are called active and inactive, to judge by.
    learned_share : float, optional
        The same for atoms to learn from, if more of them shall be used.
    """
    (frame,) = read_frames(path)
    moved = replica_displacements(frame).mean(axis=1)
    eligible = frame.structure.of_species(active_species)
    extreme = label_by_quantile(moved, share, share, eligible)
    labels = extreme if learned_share is None else label_by_quantile(moved, learned_share, learned_share, eligible)
    name = Path(path).name.removesuffix(".xyz.gz")
    return ActivitySample(frame.structure, labels, moved, name, extreme != NEITHER)


def replica_displacements(frame: Snapshot) -> NDArray[np.float64]:
    """(N, R) array of D²min in each of R runs."""
    return frame.columns[REPLICAS].reshape(len(frame.structure), -1)


def thermal_snapshot_of(path: Path) -> Structure:
    """The positions, at temperature, that the runs of a thermal file began with."""
    (frame,) = read_frames(path)
    return replace(frame.structure, positions=frame.columns["Thermal_Position"])


def compact_shear(source: Path, target: Path) -> None:
    """Keep of a finished `shear-aqs` job what training needs: labelled events, and larger ones to learn from.

    Most events of a small sample are larger than the protocol labels. Who moves in them is partly a
    consequence of what moved first, but they are many: those with up to `LEARNED_AVALANCHE_SHARE` of
    the atoms active have labels in the column ``Learned_Activity`` and none in ``Activity``.
    """
    frames = []
    events = read_frames(source)
    for frame, larger in zip(events, labels_of_larger_events(events), strict=True):
        judged = frame.columns["Activity"]
        learned = judged if (judged != NEITHER).any() else larger
        if (learned != NEITHER).any():
            moved = frame.columns["Nonaffine_Squared_Displacement"]
            columns = {"Activity": judged, LEARNED: learned, "Nonaffine_Squared_Displacement": moved}
            frames.append(Snapshot(frame.structure, columns, frame.header))
    write_frames(target, frames)


def compact_thermal(source: Path, target: Path, length: float = 1.0) -> None:
    """Keep of a finished `isoconfigurational` job the inherent structure and who moved in which run.

    Parameters
    ----------
    source, target : Path
    length : float
        Nearest-neighbour distance, the unit of the radius of D²min.
    """
    start, *ends = read_frames(source)
    moved = np.array([end.structure.positions - start.structure.positions for end in ends])
    inherent = _wrapped(replace(start.structure, positions=start.columns["Inherent_Position"]))
    write_frames(target, [_thermal_frame(start.structure, inherent, moved, length, start.header)])


def thermal_from_archive(source: Path, target: Path) -> None:
    """Inherent structure and D²min of a third party's Kob-Andersen ensemble.

    Parameters
    ----------
    source : Path
        NumPy archive with ``initial_positions`` (N, 3), ``final_positions`` (R, N, 3), ``types``
        (0 = A, 1 = B) and ``box_length`` of a cubic periodic cell.
    target : Path
        For use on this machine: the archive's licence decides about passing it on.
    """
    archive = np.load(source)
    edge = float(archive["box_length"])
    initial = archive["initial_positions"].astype(np.float64)
    moved = archive["final_positions"] - initial
    moved -= edge * np.round(moved / edge)
    material = load_material("kob-andersen")
    kinds = archive["types"].astype(np.int64)
    start = _wrapped(Structure(initial, kinds, material.species, np.eye(3) * edge, pbc=(True,) * 3))
    inherent = minimised(start, material, material.force_tolerance)
    length = material.nearest_neighbour_distance
    write_frames(target, [_thermal_frame(start, inherent, moved, length, provenance("archive", {}))])


def minimised(structure: Structure, material: Material, force_tolerance: float) -> Structure:
    """The inherent structure of a configuration: no force component is larger than the tolerance."""
    from ovito_glassml.simulate.atoms import create_atoms
    from ovito_glassml.simulate.engine import open_lammps
    from ovito_glassml.simulate.minima import configuration_of, minimise

    lammps = open_lammps()
    try:
        create_atoms(lammps, structure, material)
        minimise(lammps, force_tolerance)
        return configuration_of(lammps).structure(material.species)
    finally:
        lammps.close()


def _thermal_frame(
    start: Structure, inherent: Structure, moved: NDArray, length: float, header: Mapping[str, object]
) -> Snapshot:
    reference = _wrapped(start)
    displacements = [nonaffine_squared_displacement(reference, one, NEIGHBOURHOOD * length) for one in moved]
    columns = {
        REPLICAS: np.stack(displacements, axis=1),
        "Propensity": np.linalg.norm(moved, axis=2).mean(axis=0),
        "Thermal_Position": reference.positions,
    }
    return Snapshot(inherent, columns, header)


def _wrapped(structure: Structure) -> Structure:
    """The same with all atoms inside the cell."""
    cell = np.asarray(structure.cell)
    fractional = (structure.positions - structure.origin) @ np.linalg.inv(cell)
    return replace(structure, positions=(fractional - np.floor(fractional)) @ cell + structure.origin)
