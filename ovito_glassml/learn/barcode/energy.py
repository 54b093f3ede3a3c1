"""Energies of atoms from their similarity to a few environments: a barcode with soft edges.

An atom of species s has the energy

    E_i = a_s + Σ_k w_k κ_ik,        κ_ik = p_i · q_k for environments k of its species, else 0

with normalised SOAP rows p, q. The mean of κ_ik over the atoms of a sample is its soft barcode. Where the
published barcode counts an atom as one of environment k or not at all, this one changes smoothly with
every atom, which is what the energy does.

This is sparse kernel regression with the linear SOAP kernel: A. P. Bartók, G. Csányi, Int. J. Quantum Chem. 115,
1051 (2015), with the environments as sparse points. Powers of the kernel (2, 4, 8) need more environments for the same
error: R² of runs left out with forty is 0.77, 0.74 and 0.66 instead of 0.83. Training needs only moments of κ, so
no table of all atoms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import TrainingError

__all__ = [
    "Moments",
    "SimilarityEnergy",
    "SoftBarcodes",
    "Strengths",
    "choose_by_energy",
    "fit_energy",
    "kernel",
    "moments_of",
]


def kernel(
    products: NDArray, species: NDArray[np.integer], environment_species: NDArray[np.integer]
) -> NDArray[np.float32]:
    """κ of atoms with environments.

    Parameters
    ----------
    products : (M, K) array
        p_i · q_k.
    species, environment_species : (M,), (K,) arrays of int

    Returns
    -------
    (M, K) float32 array
    """
    return products * (species[:, None] == environment_species)


@dataclass(frozen=True, eq=False)
class SimilarityEnergy:
    """Energies of atoms from their κ with K environments.

    Attributes
    ----------
    weights : (K,) array
        w, eV.
    species : (K,) int array
        Of the environments' own atoms, numbers in the model's species.
    offsets : (S,) array
        a, eV.
    means : (S, K) array
        Mean κ of the training atoms of each species.
    """

    weights: NDArray[np.float64]
    species: NDArray[np.int32]
    offsets: NDArray[np.float64]
    means: NDArray[np.float64]

    @property
    def typical(self) -> NDArray[np.float64]:
        """(S,) array: mean predicted energy of the training atoms of each species, eV."""
        return self.offsets + self.means @ self.weights

    def differences(self, kernels: NDArray, species: NDArray[np.integer]) -> NDArray[np.float64]:
        """Energies of atoms (eV) above what is typical of their species."""
        return kernels @ self.weights - (self.means @ self.weights)[species]

    def contributions(self, mean_kernels: NDArray, shares: NDArray) -> NDArray[np.float64]:
        """What each component of the soft barcode adds to the energy of a sample, eV/atom.

        For a linear model these are the SHAP values, with training samples of the same composition as background.

        Parameters
        ----------
        mean_kernels : (K,) array
            Mean κ over the sample.
        shares : (S,) array
            Of the species in the sample.
        """
        return self.weights * (mean_kernels - shares @ self.means)

    def base(self, shares: NDArray) -> float:
        """Energy of a typical sample with these shares of species, eV/atom."""
        return float(shares @ self.typical)

    def predict(self, mean_kernels: NDArray, shares: NDArray) -> NDArray[np.float64]:
        """Energies (eV/atom) of samples from their soft barcodes (…, K) and shares of species (…, S)."""
        return mean_kernels @ self.weights + shares @ self.offsets


class Moments(NamedTuple):
    """Sums over atoms of the products of z = (κ, indicators of the species, energy).

    Attributes
    ----------
    squares : (K + S + 1, K + S + 1) array
        Σ z zᵀ.
    atoms : float
        How many.
    """

    squares: NDArray[np.float64]
    atoms: float

    def __add__(self, other: Moments) -> Moments:  # type: ignore[override]
        return Moments(self.squares + other.squares, self.atoms + other.atoms)

    def of(self, chosen: NDArray, environments: int) -> Moments:
        """The same for some of the environments."""
        kept = np.concatenate([chosen, np.arange(environments, len(self.squares))])
        return Moments(self.squares[np.ix_(kept, kept)], self.atoms)


def moments_of(kernels: NDArray, species: NDArray[np.integer], energies: NDArray, kinds: int) -> Moments:
    """Moments of some atoms with known energies (eV)."""
    table = np.column_stack([kernels, np.eye(kinds)[species], energies])
    return Moments(table.T @ table, len(table))


class Strengths(NamedTuple):
    """What samples weigh against atoms, and ridge.

    Attributes
    ----------
    samples : float
        Weight of the mean squared error of sample energies, that of atomic energies being 1. Errors of a sample of
        N atoms are about √N times smaller.
    ridge : float
        Of the weights, in units of the mean variance of κ.
    """

    samples: float
    ridge: float


#: What `fit_energy` chooses from, the strongest ridge first.
CHOICES = tuple(
    Strengths(samples, 10.0**-exponent) for exponent in range(2, 9) for samples in (0.0, 1e2, 1e3, 1e4, 1e5, 1e6)
)
#: A stronger ridge is taken if it costs less than this share of the mean squared error: smaller weights, and a choice
#: that does not hang on rounding.
TOLERANCE = 0.03

#: Weight of samples against atoms and ridge in the choice of environments, see `Strengths`.
CHOOSING = Strengths(1e4, 1e-5)
#: How often the chosen ones are gone through for exchange; usually nothing changes after five times.
MOST_PASSES = 20


def choose_by_energy(
    moments: Moments, soft: tuple[NDArray, NDArray, NDArray], environments: int, count: int
) -> NDArray[np.int64]:
    """Environments that together explain most of the energies of atoms and samples.

    Forward selection, then exchange of single ones as long as this explains more.

    Parameters
    ----------
    moments : Moments
        Of the atoms to learn from.
    soft : (mean κ (n, K), shares of species (n, S), energies (n,))
        Samples to learn from.
    environments : int
        K, of which to choose.
    count : int
        How many to choose.

    Returns
    -------
    (count,) array
        Fewer if there are not so many; ordered by forward selection among them.
    """
    table = np.column_stack(soft)
    left = moments.squares / moments.atoms + CHOOSING.samples * table.T @ table / len(table)
    for column in range(environments, len(left) - 1):  # what species alone explain
        _sweep(left, column, 1.0)
    own = np.arange(environments)
    left[own, own] += CHOOSING.ridge * left[own, own].mean()
    chosen: list[int] = []
    start = left.copy()
    for _ in range(min(count, environments)):
        chosen.append(_most_explaining(left, np.delete(own, chosen)))
        _sweep(left, chosen[-1], 1.0)
    _exchange(left, chosen, own)
    order: list[int] = []
    for _ in chosen:
        order.append(_most_explaining(start, np.setdiff1d(chosen, order)))
        _sweep(start, order[-1], 1.0)
    return np.array(order, dtype=np.int64)


def _exchange(left: NDArray, chosen: list[int], own: NDArray) -> None:
    """Replace single chosen environments by better ones, in place."""
    for _ in range(MOST_PASSES):
        before = left[-1, -1]
        for place, old in enumerate(chosen):
            _sweep(left, old, -1.0)
            chosen[place] = _most_explaining(left, np.delete(own, chosen[:place] + chosen[place + 1 :]))
            _sweep(left, chosen[place], 1.0)
        if left[-1, -1] > before * (1 - 1e-5):
            return


def _most_explaining(left: NDArray, candidates: NDArray) -> int:
    """Whose column explains most of the energy, in squares of which chosen columns are swept out."""
    return int(candidates[(left[candidates, -1] ** 2 / np.diag(left)[candidates]).argmax()])


def _sweep(squares: NDArray, column: int, sign: float) -> None:
    """Let a column explain what it can of all others (1), or take that back (−1), in place: the sweep operator."""
    pivot, row = squares[column, column], squares[column].copy()
    squares -= np.outer(row, row) / pivot
    squares[column] = squares[:, column] = sign * row / pivot
    squares[column, column] = -1 / pivot


def fit_energy(
    folds: Sequence[Moments],
    soft: Sequence[tuple[NDArray, NDArray, NDArray]],
    environment_species: NDArray[np.integer],
) -> tuple[SimilarityEnergy, NDArray[np.float64], Strengths]:
    """Weights, with strengths chosen by leaving out folds of runs.

    Parameters
    ----------
    folds : sequence of Moments
        Of the atoms of each fold.
    soft : sequence of (mean κ (n, K), shares of species (n, S), energies (n,))
        Samples of each fold.
    environment_species : (K,) int array

    Returns
    -------
    energy : SimilarityEnergy
        From all folds.
    predicted : (samples,) array
        eV/atom, of the samples fold by fold, each by weights that have not seen its fold.
    strengths : Strengths
        The first of `CHOICES` that is as good as the best.

    Raises
    ------
    TrainingError
        For fewer than two folds.
    """
    if len(folds) < 2:
        raise TrainingError(f"{len(folds)} fold of runs cannot judge itself; give two or more.")
    measured = np.concatenate([energies for _, _, energies in soft])
    tried: list[tuple[float, NDArray]] = []
    for strengths in CHOICES:
        predicted = []
        for left_out in range(len(folds)):
            others = [number for number in range(len(folds)) if number != left_out]
            solution = _solved([folds[k] for k in others], [soft[k] for k in others], strengths)
            kernels, shares, _ = soft[left_out]
            predicted.append(np.column_stack([kernels, shares]) @ solution)
        joined = np.concatenate(predicted)
        tried.append((float(((joined - measured) ** 2).mean()), joined))
    errors = np.array([error for error, _ in tried])
    best = int((errors <= (1 + TOLERANCE) * errors.min()).argmax())
    solution = _solved(folds, soft, CHOICES[best])
    count = len(environment_species)
    total = total_moments(folds)
    sums = total.squares[count:-1, :count]
    atoms = np.diag(total.squares)[count:-1]
    energy = SimilarityEnergy(
        solution[:count],
        np.asarray(environment_species, dtype=np.int32),
        solution[count:],
        sums / np.maximum(atoms, 1)[:, None],
    )
    return energy, tried[best][1], CHOICES[best]


def total_moments(folds: Sequence[Moments]) -> Moments:
    """Moments of all folds together."""
    total = folds[0]
    for fold in folds[1:]:
        total = total + fold
    return total


def _solved(
    folds: Sequence[Moments], soft: Sequence[tuple[NDArray, NDArray, NDArray]], strengths: Strengths
) -> NDArray[np.float64]:
    """Weights and offsets that minimise mean squares of atoms and, more, of samples."""
    total = total_moments(folds)
    normal = total.squares[:-1, :-1] / total.atoms
    target = total.squares[:-1, -1] / total.atoms
    table = np.concatenate([np.column_stack([kernels, shares]) for kernels, shares, _ in soft])
    energies = np.concatenate([energies for _, _, energies in soft])
    normal = normal + strengths.samples * table.T @ table / len(table)
    target = target + strengths.samples * table.T @ energies / len(table)
    kinds = soft[0][1].shape[1]
    count = len(normal) - kinds
    within = total.squares[:count, :count] / total.atoms
    scale = float(np.trace(within - _explained_by_species(total, count, kinds))) / count
    penalty = np.zeros(len(normal))
    penalty[:count] = strengths.ridge * scale
    penalty[count:] = 1e-12
    return np.linalg.solve(normal + np.diag(penalty), target)


def _explained_by_species(total: Moments, count: int, kinds: int) -> NDArray[np.float64]:
    """Part of the mean squares of κ that are those of the means of species."""
    sums = total.squares[count : count + kinds, :count]
    atoms = np.maximum(np.diag(total.squares)[count : count + kinds], 1)
    return (sums / atoms[:, None]).T @ sums / total.atoms


class SoftBarcodes:
    """Mean κ of samples, and moments of their atoms by fold, filled in while their rows pass by.

    Parameters
    ----------
    rows : (K, F) float32 array
        Normalised rows of the environments.
    species : (K,) int array
        Of their own atoms.
    samples : int
        How many samples there are.
    kinds : int
        Number of species.
    every : int
        One atom in so many enters the moments; neighbours are alike, and all enter the means.

    Attributes
    ----------
    means : (samples, K) array
    shares : (samples, kinds) array
    moments : dict
        By number of the fold.
    """

    def __init__(self, rows: NDArray[np.float32], species: NDArray, samples: int, kinds: int, every: int = 4) -> None:
        self.transposed = np.ascontiguousarray(rows.T)
        self.species, self.kinds, self.every = species, kinds, every
        self.means = np.zeros((samples, len(rows)))
        self.shares = np.zeros((samples, kinds))
        self.moments: dict[int, Moments] = {}

    def add(
        self,
        sample: int,
        rows: NDArray[np.float32],
        species: NDArray[np.integer],
        atoms: int,
        fold: int | None = None,
        energies: NDArray | None = None,
    ) -> None:
        """Some atoms of a sample of so many atoms; with a fold and energies (eV) they are learned from."""
        kernels = kernel(rows @ self.transposed, species, self.species)
        self.means[sample] += kernels.sum(axis=0, dtype=np.float64) / atoms
        self.shares[sample] += np.bincount(species, minlength=self.kinds) / atoms
        if fold is not None and energies is not None:
            part = slice(sample % self.every, None, self.every)
            found = moments_of(kernels[part].astype(np.float64), species[part], energies[part], self.kinds)
            self.moments[fold] = self.moments[fold] + found if fold in self.moments else found
