"""Structures with how far their atoms moved: from runs of supercooled liquids, or from files of the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.adapter.files import read_columns
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.propensity.data import PropensitySample, propensity_sample
from ovito_glassml.simulate.snapshots import Snapshot, read_frames, write_snapshot
from ovito_glassml.structure import Structure

__all__ = ["how_far", "how_settled", "most_frequent", "own_propensities", "samples_of_runs", "write_propensity"]

#: Shares of atoms that have left their places, below and above which a user is told so.
FEW, MOST = 0.02, 0.8
#: So much slower than the others, a liquid that was cooled more slowly shows that those are not in equilibrium; four
#: liquids of 600 atoms differ by 0.07.
SLOWER = 0.2


def samples_of_runs(file: Path, name: str) -> list[PropensitySample]:
    """The inherent structure that runs began with, to judge by, and those below their ends, to learn from as well.

    With reversed velocities a run leads from its end to its beginning, and that is as likely: its displacements belong
    to both.

    Parameters
    ----------
    file : Path
        Of the protocol `isoconfigurational`.
    name : str
        Of the configuration.
    """
    start, *ends = read_frames(file)
    moved = [np.linalg.norm(end.structure.positions - start.structure.positions, axis=1) for end in ends]
    if not moved:
        raise TrainingError(f"{file} holds no run; simulate at least one")
    samples = [propensity_sample(_at_rest(start), np.column_stack(moved), name)]
    return samples + [
        propensity_sample(_at_rest(end), distances, name, judged=False)
        for end, distances in zip(ends, moved, strict=True)
    ]


def _at_rest(frame: Snapshot) -> Structure:
    """Inherent structure with all atoms in the cell, where pictures want them."""
    structure = frame.structure
    cell = np.asarray(structure.cell)
    fractional = (frame.columns["Inherent_Position"] - structure.origin) @ np.linalg.inv(cell)
    return structure.moved((fractional - np.floor(fractional)) @ cell + structure.origin)


def own_propensities(files: Sequence[Path], label: str, species: str) -> list[PropensitySample]:
    """Samples of the user's files, one for each: displacements in one column, or one component for each run."""
    samples = []
    for file in files:
        *_, (structure, columns) = read_columns(file, (label,), species=species)
        samples.append(propensity_sample(structure, columns[label], file.name.split(".")[0]))
    return samples


def most_frequent(samples: Sequence[PropensitySample]) -> str:
    """The species with most atoms, of two the first in order."""
    counts: Counter[str] = Counter()
    for sample in samples:
        for name, share in sample.structure.shares.items():
            counts[name] += round(share * len(sample.structure))
    return max(sorted(counts), key=lambda name: counts[name])


def write_propensity(file: Path, sample: PropensitySample) -> None:
    """The structure with what was measured, in the column ``Propensity``."""
    write_snapshot(file, sample.structure, {"Propensity": sample.propensity}, {})


def how_far(samples: Sequence[PropensitySample], active: str, nearest: float, conditions: str) -> str:
    """How many atoms have left their places, and what it means where these are nearly none or nearly all.

    Parameters
    ----------
    samples : sequence of PropensitySample
    active : str
        Species whose atoms are counted.
    nearest : float
        Nearest-neighbour distance, of which half is the way out of a place.
    conditions : str
        Temperature and time, with a blank before; "" where they are not known.
    """
    moved: NDArray = np.concatenate([one.displacement[one.structure.of_species(active)].ravel() for one in samples])
    share = float((moved > nearest / 2).mean())
    said = f"Of the {active} atoms {share:.0%} moved by more than half a nearest-neighbour distance{conditions}."
    if FEW <= share <= MOST:
        return said
    if share < FEW:
        meaning, hotter, longer = "mostly, atoms swing in their places: for who leaves, take", "higher", "longer"
    else:
        meaning, hotter, longer = "who left first is forgotten by then: take", "lower", "shorter"
    return (
        f"{said} So {meaning} a {hotter} temperature (supercooled_temperature in the material's file) or a {longer} "
        "time."
    )


def how_settled(samples: Sequence[PropensitySample], slowly: Sequence[PropensitySample], active: str) -> str:
    """What it means where liquids that were cooled more slowly move less than the others; "" where they do not."""
    usual, slow = (
        float(np.mean([one.propensity[one.structure.of_species(active)].mean() for one in part]))
        for part in (samples, slowly)
    )
    if slow > (1 - SLOWER) * usual:
        return ""
    return (
        f" Cooled more slowly it moves {1 - slow / usual:.0%} less than the others, so these were not in equilibrium "
        "yet: choose a larger size, or a higher supercooled_temperature in the material's file."
    )
