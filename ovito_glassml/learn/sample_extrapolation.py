"""How far a sample as a whole is from the samples that a model has been trained on.

A state that shifts all atoms a little, such as a liquid's inherent structure where glasses were learned from, marks
hardly one of them: atoms of one glass differ by more than that. The mean over a sample does not. Means of N atoms of
the training kind scatter about their centre with the covariance

    Σ(N) = B + W / N,

W from blocks within samples, B from whole samples. A sample is scored by the Mahalanobis distance of its mean.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.learn.format import ModelError, ModelHeader, take_scale, take_tensor
from ovito_glassml.structure import Structure

__all__ = ["VARIANCE_FLOOR", "Blocks", "SampleScore", "fit_sample_score"]

#: Atoms of a block: the size of the regions that atoms are judged by.
BLOCK_ATOMS = 100
#: Directions in which the training data hardly vary are given this share of the mean variance.
VARIANCE_FLOOR = 1e-3
#: Shares of species that differ by less are the same.
SAME_COMPOSITION = 0.01
#: With fewer samples than this, how much they differ is not known.
FEWEST_SAMPLES = 3


@dataclass(frozen=True)
class SampleScore:
    """Distance of a sample's mean from the training samples; above 1 it is none of their kind.

    Attributes
    ----------
    centre : (W,) array
        Mean of the training samples in the coordinates of an `ExtrapolationScore`.
    axes : (W, W) array
        Turns deviations from it into uncorrelated ones, in which W is the unit matrix and B diagonal.
    between : (W,) array
        That diagonal: the variances between samples.
    unit : float
        What 99 % of the distances of training samples stay below, each measured by what was fitted without it.
    """

    centre: NDArray[np.float64]
    axes: NDArray[np.float64]
    between: NDArray[np.float64]
    unit: float = 1.0

    def evaluate(self, embedding: NDArray) -> float:
        """Score of the sample whose atoms have these coordinates (N, W), NaN without any; rows of NaN do not count."""
        known = embedding[np.isfinite(embedding[:, 0])]
        if not len(known):
            return float("nan")
        return self.distance(known.mean(axis=0, dtype=np.float64), len(known))

    def distance(self, mean: NDArray, atoms: float) -> float:
        """Score of a sample of so many atoms with this mean (W,)."""
        deviation = (mean - self.centre) @ self.axes
        return float(np.sqrt((deviation**2 / (self.between + 1 / atoms)).sum()) / self.unit)

    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""
        return {f"sample.{name}": np.asarray(value, dtype=np.float64) for name, value in vars(self).items()}

    @classmethod
    def from_tensors(cls, header: ModelHeader, tensors: Mapping[str, NDArray], width: int) -> SampleScore | None:
        """From the tensors of a model file, with all shapes checked; None for models that have none yet."""
        if not any(name.startswith("sample.") for name in tensors):
            return None
        centre = take_tensor(header, tensors, "sample.centre", (width,)).astype(np.float64)
        axes = take_tensor(header, tensors, "sample.axes", (width, width)).astype(np.float64)
        between = take_tensor(header, tensors, "sample.between", (width,)).astype(np.float64)
        unit = float(take_scale(header, tensors, "sample.unit", ()))
        if (between < 0).any():
            raise ModelError("The variances between samples are negative; train the model again.")
        return cls(centre, axes, between, unit)


@dataclass(frozen=True)
class Blocks:
    """Means of blocks of a sample, of about `BLOCK_ATOMS` atoms each, and numbers of atoms."""

    means: NDArray[np.float64]
    counts: NDArray[np.float64]

    @classmethod
    def of(cls, structure: Structure, coordinates: NDArray) -> Blocks:
        """From the coordinates of the atoms (N, W); atoms without (NaN) do not count."""
        blocks = _bisected(structure.positions, np.flatnonzero(np.isfinite(coordinates[:, 0])))
        means = [coordinates[block].mean(axis=0, dtype=np.float64) for block in blocks]
        return cls(np.array(means), np.array([float(len(block)) for block in blocks]))

    @property
    def total(self) -> float:
        return float(self.counts.sum())

    @property
    def mean(self) -> NDArray[np.float64]:
        return self.counts @ self.means / self.total


def _bisected(positions: NDArray, atoms: NDArray) -> list[NDArray]:
    """The atoms in compact blocks of equal size: halves, across the longest side, until they are small enough."""
    if len(atoms) < 2 * BLOCK_ATOMS:
        return [atoms]
    axis = int(np.argmax(np.ptp(positions[atoms], axis=0)))
    ordered = atoms[np.argsort(positions[atoms, axis], kind="stable")]
    half = len(ordered) // 2
    return _bisected(positions, ordered[:half]) + _bisected(positions, ordered[half:])


def fit_sample_score(samples: Sequence[Blocks], shares: slice = slice(0)) -> SampleScore:
    """Centre, W and B of some samples; the unit is left at 1.

    What composition explains of the differences between samples is kept apart: it is large, and says nothing of how
    much two samples of one composition differ. `shares` are the coordinates whose means are the shares of the heads.

    With fewer than three samples they are taken to differ as much as their blocks of a hundred atoms do, since nothing
    says how much they really do.
    """
    within = sum(
        np.einsum("b,bi,bj->ij", one.counts, one.means - one.mean, one.means - one.mean) for one in samples
    ) / max(sum(len(one.counts) - 1 for one in samples), 1)
    within = within + VARIANCE_FLOOR * max(np.trace(within), 1e-12) / len(within) * np.eye(len(within))
    variances, axes = np.linalg.eigh(within)
    whitening = axes / np.sqrt(variances)
    means = np.array([one.mean for one in samples])
    centre = means.mean(axis=0)
    if len(samples) < FEWEST_SAMPLES:
        between = np.full(len(centre), np.mean([1 / one.counts.mean() for one in samples]))
        return SampleScore(centre, whitening, between)
    noise = float(np.mean([1 / one.total for one in samples]))
    deviations = (means - centre) @ whitening
    composed, known = _explained(deviations, (means - centre)[:, shares])
    rest = deviations - composed
    free = max(len(samples) - 1 - known, 1)
    variances, axes = np.linalg.eigh(rest.T @ rest / free)
    own = np.maximum(variances - noise, 0.0)
    # Few samples do not tell directions apart: the mean of all counts as much as one sample for each direction.
    weight = free / (free + len(centre))
    scatter = (axes * (weight * own + (1 - weight) * own.mean())) @ axes.T
    between, axes = np.linalg.eigh(scatter + composed.T @ composed / (len(samples) - 1))
    return SampleScore(centre, whitening @ axes, np.maximum(between, 0.0))


def _explained(deviations: NDArray, composition: NDArray) -> tuple[NDArray[np.float64], int]:
    """What a linear function of the composition gives of deviations (M, W), and how many directions it has."""
    if not composition.size or np.abs(composition).max() < SAME_COMPOSITION:
        return np.zeros_like(deviations), 0
    slopes, _, known, _ = np.linalg.lstsq(composition, deviations, rcond=1e-3)
    return composition @ slopes, int(known)
