"""What a stiffness model learns from: labelled structures, the inputs of their atoms, and parts that are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.rdf import RDFDescriptors
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.lengths import nearest_neighbours
from ovito_glassml.learn.model import ANY_SPECIES
from ovito_glassml.learn.stiffness.angles import AngularSums
from ovito_glassml.learn.stiffness.model import LocalFeatures
from ovito_glassml.learn.stiffness.shells import gaussians
from ovito_glassml.learn.units import UNSTATED, Units
from ovito_glassml.progress import Report
from ovito_glassml.structure import Structure, combined_species

__all__ = [
    "BY_SPECIES",
    "CAGE_LABEL",
    "FOLDS",
    "PUBLISHED",
    "RADIAL_POINTS",
    "STIFFNESS_LABEL",
    "DescribedSamples",
    "LabelledSample",
    "ModelDesign",
    "describe_samples",
    "features_of",
]

RADIAL_POINTS = 1601
#: Radial functions of the angular sums, as fractions of their cutoff: 2.6 and 3.2 Å for 4.5 Å in Cu-Zr.
ANGULAR_CENTRES = np.array([0.58, 0.71])
ANGULAR_WIDTH = 0.078
#: Number of cross-validation folds, as published.
FOLDS = 5
#: The two labels, by their names in `LabelledSample`.
STIFFNESS_LABEL, CAGE_LABEL = "stiffness", "cage"


class LabelledSample(NamedTuple):
    """A structure, the measured stiffness of its atoms (energy/length², NaN where unknown) and a name.

    `cage` is the stiffness relative to the first shell; None where it is not known. A sample may lack either.
    """

    structure: Structure
    stiffness: NDArray[np.float64]
    name: str
    cage: NDArray[np.float64] | None = None

    def known(self, label: str) -> NDArray[np.bool_]:
        """Which atoms have a label, ``stiffness`` or ``cage``."""
        values = getattr(self, label)
        return np.zeros(len(self.structure), dtype=np.bool_) if values is None else np.isfinite(values)


@dataclass(frozen=True)
class ModelDesign:
    """What a model looks at and how large it is.

    Attributes
    ----------
    title, summary : str
        For the card.
    length : float or None
        What all lengths here are multiples of, in the unit of the structures: 1 for published lengths in Å; None for
        the distance of nearest neighbours in the training samples.
    r_min, r_max, bin_width : float
        Range and bins of the radial histogram.
    by_species : bool
        Partial histograms and one head for each species; otherwise all atoms are alike.
    first, spacing, width : float or None
        Centre of the first, distance between, and standard deviation of the smooth functions that gather the fine
        bins; None keeps the bins.
    angular_cutoff : float or None
        Up to which the angles between bonds are inputs; None leaves them out.
    neighbour_cutoff : float or None
        Up to which the bare stiffness of neighbours is an input; None leaves it out.
    neighbour_functions : int
        Number of radial functions that weight the neighbours' bare stiffness.
    hidden : int
        Width of the networks.
    linear : bool
        A linear part under the networks, which then learn what is left.
    extrapolation_radius : float
        Over which the extrapolation score averages: some 120 atoms.
    units : Units
        Of structures and labels, for the card.
    """

    title: str
    summary: str
    length: float | None
    r_min: float
    r_max: float
    bin_width: float
    by_species: bool
    first: float | None
    spacing: float | None
    width: float | None
    angular_cutoff: float | None
    neighbour_cutoff: float | None
    neighbour_functions: int
    hidden: int
    linear: bool
    extrapolation_radius: float
    units: Units = UNSTATED

    def scaled(self, spacing: float) -> ModelDesign:
        """The same design with all lengths in the unit of this distance of nearest neighbours."""
        length = self.length or spacing
        lengths = {name: getattr(self, name) * length for name in LENGTHS if getattr(self, name) is not None}
        return replace(self, length=1.0, **lengths)


#: Attributes of a design that are lengths.
LENGTHS = (
    "r_min",
    "r_max",
    "bin_width",
    "first",
    "spacing",
    "width",
    "angular_cutoff",
    "neighbour_cutoff",
    "extrapolation_radius",
)


#: The published network: 40 species-blind values, 200 hidden units.
PUBLISHED = ModelDesign(
    title="vibrational stiffness from the radial distribution function",
    summary=(
        "Predicts the vibrational stiffness of every atom from its radial distribution function alone, "
        "40 values blind to species, with a network of one hidden layer. Kept for comparison with the "
        "literature; the model that sees species is much better."
    ),
    length=1.0,
    r_min=2.0,
    r_max=10.0,
    bin_width=0.2,
    by_species=False,
    first=None,
    spacing=None,
    width=None,
    angular_cutoff=None,
    neighbour_cutoff=None,
    neighbour_functions=0,
    hidden=200,
    linear=False,
    extrapolation_radius=8.0,
)

#: The default: smooth partial radial functions, angles, the bare stiffness of the neighbours, a head for each species.
BY_SPECIES = ModelDesign(
    title="vibrational stiffness from structure and species",
    summary=(
        "Predicts the vibrational stiffness of every atom from its own species, smooth radial functions of its "
        "neighbours by species, the angles between its nearest bonds, and a first estimate of its neighbours' "
        "stiffness. A linear part and small networks for each species add up."
    ),
    length=None,
    r_min=0.56,
    r_max=3.5,
    bin_width=0.0175,
    by_species=True,
    first=0.7,
    spacing=0.07,
    width=0.053,
    angular_cutoff=1.58,
    neighbour_cutoff=2.1,
    neighbour_functions=4,
    hidden=32,
    linear=True,
    extrapolation_radius=2.8,
)


class DescribedSamples(NamedTuple):
    """Everything about the training samples that the steps of training share."""

    design: ModelDesign  # with all lengths in the unit of the samples
    spacing: float  # of nearest neighbours, in that unit
    samples: Sequence[LabelledSample]
    species: tuple[str, ...]
    rows: list[NDArray]  # local inputs of all atoms, one array a sample
    members: list[dict[str, NDArray]]  # atoms of every head, one dictionary a sample
    folds: dict[str, list[NDArray]]  # of every label, the cross-validation fold of every atom, -1 without it

    @property
    def sample_folds(self) -> list[NDArray]:
        """Folds of all labelled atoms, of whole samples where there are two: slabs of one glass are more alike."""
        if len(self.samples) < 2:
            return self.folds[STIFFNESS_LABEL]
        labelled = [np.logical_or.reduce([fold[k] >= 0 for fold in self.folds.values()]) for k in range(len(self.rows))]
        return [np.where(known, number % FOLDS, -1) for number, known in enumerate(labelled)]

    @property
    def labels(self) -> tuple[str, ...]:
        """What is there to learn: ``stiffness``, and ``cage`` where a sample has it."""
        return tuple(self.folds)

    def gathered(
        self, tables: Sequence[NDArray], name: str, label: str = STIFFNESS_LABEL
    ) -> tuple[NDArray, NDArray, NDArray]:
        """Inputs, labels and folds of all atoms of one head that have this label."""
        inputs, targets, folds = [], [], []
        for sample, table, members, fold in zip(self.samples, tables, self.members, self.folds[label], strict=True):
            chosen = members[name][fold[members[name]] >= 0]
            if len(chosen):
                inputs.append(table[chosen])
                targets.append(getattr(sample, label)[chosen])
                folds.append(fold[chosen])
        if not inputs:
            return np.empty((0, tables[0].shape[1])), np.empty(0), np.empty(0, dtype=np.int64)
        return np.concatenate(inputs), np.concatenate(targets), np.concatenate(folds)


def _checked(samples: Sequence[LabelledSample | tuple[Structure, NDArray, str]]) -> list[LabelledSample]:
    if not samples:
        raise TrainingError("There are no labelled structures to train on; give at least one file with labels.")
    checked = [_checked_sample(LabelledSample(*sample)) for sample in samples]
    if not any(sample.known(STIFFNESS_LABEL).any() for sample in checked):
        raise TrainingError(
            "No sample has a stiffness of its atoms, only cage stiffness, which comes beside it; "
            "give the stiffness of some samples, too."
        )
    return checked


def _checked_sample(sample: LabelledSample) -> LabelledSample:
    structure, stiffness, name, cage = sample
    columns = [np.asarray(column, dtype=np.float64) for column in (stiffness, cage) if column is not None]
    for labels in columns:
        if labels.shape != (len(structure),):
            raise TrainingError(
                f"{name} has labels of shape {labels.shape} for {len(structure)} atoms; give one stiffness per atom."
            )
    most = max(int(np.isfinite(labels).sum()) for labels in columns)
    if most < 100:
        raise TrainingError(
            f"{name} has {most} atoms with a finite stiffness; leave this sample out, or give one with at least 100."
        )
    return LabelledSample(replace(structure, mask=None), columns[0], name, *columns[1:])


def describe_samples(
    samples: Sequence[LabelledSample | tuple[Structure, NDArray, str]], design: ModelDesign, report: Report
) -> DescribedSamples:
    """Descriptor rows, heads and folds.

    Raises
    ------
    TrainingError
        For no samples, labels that do not fit, or too few labelled atoms of a species.
    """
    samples = _checked(samples)
    species = combined_species([sample.structure for sample in samples])
    spacing = nearest_neighbours([sample.structure for sample in samples])
    design = design.scaled(spacing)
    features = features_of(design, species)
    rows, members = [], []
    for number, sample in enumerate(samples):
        report(0.2 * number / len(samples), f"describing {sample.name}")
        table = np.empty((len(sample.structure), features.width))
        for indices, block in features.iterate_blocks(sample.structure):
            table[indices] = block
        rows.append(table)
        members.append(_members(sample.structure, species, design.by_species))
    folds = {label: _folds(samples, label) for label in (STIFFNESS_LABEL, CAGE_LABEL)}
    if all((fold < 0).all() for fold in folds[CAGE_LABEL]):
        del folds[CAGE_LABEL]
    data = DescribedSamples(design, spacing, samples, species, rows, members, folds)
    for name in members[0]:
        for label in data.labels:
            _, targets, parts = data.gathered(rows, name, label)
            counts = np.bincount(parts, minlength=FOLDS)
            if counts.min() < 20:
                raise TrainingError(
                    f"There are only {len(targets)} labelled atoms of species {name}; give at least 20 for each of "
                    f"the {FOLDS} parts of cross-validation."
                )
    return data


def features_of(design: ModelDesign, species: tuple[str, ...]) -> LocalFeatures:
    partial = species if design.by_species else None
    if design.first is None or design.spacing is None or design.width is None:
        return LocalFeatures(RDFDescriptors(design.r_min, design.r_max, design.bin_width, partial))
    # Numbers of neighbours do not depend on a density, so free surfaces need no extra care.
    descriptor = RDFDescriptors(design.r_min, design.r_max, design.bin_width, partial, number_density=1.0)
    radii = descriptor.radii
    centres = np.arange(design.first, design.r_max - 0.5 * design.spacing, design.spacing)
    neighbours_per_bin = 4 * np.pi * radii**2 * design.bin_width
    table = neighbours_per_bin[:, None] * gaussians(radii, centres, design.width, design.r_max)
    return LocalFeatures(descriptor, table, _angles(design, species))


def _angles(design: ModelDesign, species: tuple[str, ...]) -> AngularSums | None:
    """Angles between the bonds of the inner and the outer half of the first shell."""
    if design.angular_cutoff is None:
        return None
    centres = design.angular_cutoff * ANGULAR_CENTRES
    table = gaussians(
        np.linspace(0, design.angular_cutoff, RADIAL_POINTS),
        centres,
        design.angular_cutoff * ANGULAR_WIDTH,
        design.angular_cutoff,
    )
    return AngularSums(design.angular_cutoff, table, species)


def _members(structure: Structure, species: tuple[str, ...], by_species: bool) -> dict[str, NDArray]:
    if not by_species:
        return {ANY_SPECIES: np.arange(len(structure))}
    kind_of = {name: kind for kind, name in enumerate(structure.species_names)}
    return {name: np.flatnonzero(structure.species == kind_of.get(name, -1)) for name in species}


def _folds(samples: Sequence[LabelledSample], label: str) -> list[NDArray]:
    """Fold of every atom: whole samples if there are enough, otherwise slabs across the longest cell vector."""
    folds, known = [], [np.flatnonzero(sample.known(label)) for sample in samples]
    number, whole = 0, sum(len(labelled) > 0 for labelled in known) >= FOLDS
    for sample, labelled in zip(samples, known, strict=True):
        fold = np.full(len(sample.structure), -1)
        if not len(labelled):
            pass
        elif whole:
            fold[labelled] = number % FOLDS
            number += 1
        else:
            heights = sample.structure.positions[labelled] @ _longest_direction(sample.structure)
            order = labelled[np.argsort(heights, kind="stable")]
            fold[order] = np.arange(len(order)) * FOLDS // len(order)
        folds.append(fold)
    return folds


def _longest_direction(structure: Structure) -> NDArray:
    vectors = np.diag(np.ptp(structure.positions, axis=0)) if structure.cell is None else structure.cell
    lengths = np.linalg.norm(vectors, axis=1)
    return vectors[np.argmax(lengths)] / lengths.max()
