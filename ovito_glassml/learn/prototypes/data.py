"""Structures with energy barriers and the rows that prototype networks learn from. Needs the extra `train`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.bessel import BesselDescriptors
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.lengths import two_shells
from ovito_glassml.learn.prototypes.descriptors import fit_environments
from ovito_glassml.learn.prototypes.model import RowDescriptors
from ovito_glassml.learn.units import UNSTATED, Units
from ovito_glassml.progress import Report, silent
from ovito_glassml.structure import Structure, combined_species

__all__ = ["ENVIRONMENT", "PUBLISHED", "BarrierSample", "ScnnDesign", "TrainingData", "describe_samples"]

#: Part of every sample that stops the training and calibrates the probability.
STOPPING_SHARE = 0.2


class BarrierSample(NamedTuple):
    """A structure, the mean activation energy of its atoms (eV, NaN where unknown) and a name."""

    structure: Structure
    barrier: NDArray[np.float64]
    name: str


@dataclass(frozen=True)
class ScnnDesign:
    """What a model looks at and how large it is.

    Attributes
    ----------
    title, summary : str
        For the card.
    descriptors : {'environment', 'bessel'}
        `EnvironmentDescriptors`, or the published 264 parameters.
    cutoff : float or None
        Of the descriptors, in the unit of the structures: the published 5 Å, or None for the first two shells of the
        training samples.
    hidden, embedding : int
        Widths of the two layers. The embedding is published, 32; the hidden layer is not.
    activation : {'tanh', 'relu'}
        tanh by default: embeddings without negative components have no negative cosines.
    units : Units
        Of structures and barriers, for the card.
    """

    title: str
    summary: str
    descriptors: str
    cutoff: float | None = None
    hidden: int = 128
    embedding: int = 32
    activation: str = "tanh"
    units: Units = UNSTATED


#: The default: descriptors with species-resolved angles, the own species and longer averages.
ENVIRONMENT = ScnnDesign(
    title="activation energy, explained by four atoms",
    summary=(
        "Tells atoms with a high mean activation energy from others by the similarity of their environment to those "
        "of four training atoms, two of each class. Sees the atom's own species, radial sums with four averages "
        "over shells, and components of the species-resolved angular power spectrum with two."
    ),
    descriptors="environment",
)

#: The published descriptors: 264 Bessel and orientation parameters.
PUBLISHED = ScnnDesign(
    title="activation energy, explained by four atoms, from 264 parameters",
    summary=(
        "Tells atoms with a high mean activation energy from others by the similarity of their environment to those "
        "of four training atoms, two of each class. Sees the published 264 Bessel and orientation parameters; kept "
        "for comparison with the literature."
    ),
    descriptors="bessel",
    cutoff=5.0,
)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Descriptor rows of the labelled atoms of all samples, for as many models as wanted.

    Attributes
    ----------
    samples : tuple of BarrierSample
    descriptor : BesselDescriptors or EnvironmentDescriptors
    rows : (M, F) float32 array
    barrier : (M,) array
        eV.
    sample, atom : (M,) int array
        Which atom of which sample a row is.
    left_out : int
        Atoms without a label or without a complete row.
    """

    samples: tuple[BarrierSample, ...]
    descriptor: RowDescriptors
    rows: NDArray[np.float32]
    barrier: NDArray[np.float64]
    sample: NDArray[np.int64]
    atom: NDArray[np.int64]
    left_out: int

    def of_samples(self, numbers: Sequence[int]) -> NDArray[np.int64]:
        """Rows of the samples with these numbers."""
        return np.flatnonzero(np.isin(self.sample, numbers))

    def divided(self, numbers: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of these samples to learn from, and rows to stop the training and to calibrate by.

        The latter are a slab of every sample, the fifth of its atoms that is last along the first cell
        vector, or along x without a cell. Few small samples are better used so than with a whole one
        that only stops. Atoms on the faces of a slab share neighbours with atoms that are learned from:
        judge by whole other samples.

        Parameters
        ----------
        numbers : sequence of int

        Returns
        -------
        learned, stopping : int arrays
        """
        parts = [self.of_samples([number]) for number in numbers]
        ordered = [
            rows[np.argsort(self._depth(number, rows), kind="stable")]
            for number, rows in zip(numbers, parts, strict=True)
        ]
        ends = [len(rows) - round(STOPPING_SHARE * len(rows)) for rows in ordered]
        learned = np.concatenate([rows[:end] for rows, end in zip(ordered, ends, strict=True)])
        stopping = np.concatenate([rows[end:] for rows, end in zip(ordered, ends, strict=True)])
        return np.sort(learned), np.sort(stopping)

    def _depth(self, number: int, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Places of the atoms of rows of a sample along its first cell vector, or along x."""
        structure = self.samples[number].structure
        if structure.cell is None:
            return structure.positions[self.atom[rows], 0]
        places = np.linalg.solve(structure.cell.T, (structure.positions[self.atom[rows]] - structure.origin).T)[0]
        return places % 1.0 if structure.pbc[0] else places


def describe_samples(
    samples: Sequence[BarrierSample | tuple[Structure, NDArray, str]],
    design: ScnnDesign = ENVIRONMENT,
    *,
    learned: Sequence[int] | None = None,
    progress: Report | None = None,
) -> TrainingData:
    """Compute the descriptor rows of labelled samples.

    Parameters
    ----------
    samples : sequence of (Structure, barrier, name)
        Mean activation energy of every atom, in any unit; NaN where unknown.
    design : ScnnDesign
    learned : sequence of int, optional
        Numbers of the samples that the components of the power spectrum may be fitted to: all by
        default, which is right for training. Leave out those that are kept for testing.
    progress : callable, optional
        Called with the fraction done and a text.

    Raises
    ------
    TrainingError
        For no samples, or labels that do not fit.
    """
    report = progress or silent
    checked = tuple(_checked(sample) for sample in samples)
    if not checked:
        raise TrainingError("There are no labelled structures to train on; give at least one file with labels.")
    species = combined_species([sample.structure for sample in checked])
    report(0.0, "fitting the descriptors")
    chosen = range(len(checked)) if learned is None else learned
    structures = [checked[number].structure for number in chosen]
    cutoff = design.cutoff or two_shells(structures)
    descriptor: RowDescriptors
    if design.descriptors == "bessel":
        descriptor = BesselDescriptors(species, cutoff)
    else:
        descriptor = fit_environments(structures, species, cutoff=cutoff)
    rows, atoms, barriers, left_out = [], [], [], 0
    for number, sample in enumerate(checked):
        report(0.4 + 0.6 * number / len(checked), f"describing {sample.name}")
        table = descriptor.compute(sample.structure)
        kept = np.flatnonzero(np.isfinite(sample.barrier) & np.isfinite(table).all(axis=1))
        left_out += len(table) - len(kept)
        rows.append(table[kept])
        atoms.append(kept)
        barriers.append(sample.barrier[kept])
    counts = [len(kept) for kept in atoms]
    report(1.0, "described")
    return TrainingData(
        checked,
        descriptor,
        np.concatenate(rows),
        np.concatenate(barriers),
        np.repeat(np.arange(len(checked)), counts),
        np.concatenate(atoms),
        left_out,
    )


def _checked(sample: BarrierSample | tuple[Structure, NDArray, str]) -> BarrierSample:
    structure, barrier, name = sample
    labels = np.asarray(barrier, dtype=np.float64)
    if labels.shape != (len(structure),):
        raise TrainingError(
            f"{name} has labels of shape {labels.shape} for {len(structure)} atoms; give one barrier per atom."
        )
    return BarrierSample(replace(structure, mask=None), labels, name)
