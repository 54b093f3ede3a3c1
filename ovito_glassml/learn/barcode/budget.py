"""Where a glass keeps its energy: an account by environment that adds up, and why one glass has less than another.

The atoms of environment k have a share f_k of a sample and the mean energy e_k above what is typical of their
species; atoms that are like none are an environment of their own. The energy per atom of the sample is then

    E = E_0 + Σ_k f_k e_k

where E_0 is that of typical atoms of its species. Nothing cancels as weights of a regression do: every f_k and e_k is
a mean over atoms that one can look at. The difference of two samples A and B is, exactly,

    E_A − E_B = (E_0A − E_0B) + Σ_k (f_kA − f_kB) (ē_k − ē) + Σ_k f̄_k (e_kA − e_kB)

with means over both, and ē = Σ_k f̄_k ē_k: other shares of environments, and other energies of atoms in the same one.
This is the symmetric decomposition of O. D. Duncan's and E. M. Kitagawa's kind (J. Am. Stat. Assoc. 50, 1168 (1955)).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import GlassMLError
from ovito_glassml.structure import Structure

__all__ = ["NONE", "BudgetError", "Difference", "EnergyBudget", "Estimate", "budget_in_boxes", "difference"]

#: Name of the atoms that are like no environment.
NONE = "none"
#: Edge of the boxes whose scatter gives the errors of a single sample, in cutoffs of the descriptor: atoms of different
#: boxes share few neighbours. Boxes along an edge, at least and at most: fewer say little, more cost and add nothing.
BOX, FEWEST, MOST = 1.5, 2, 6


class BudgetError(GlassMLError):
    """There is no account of the energy; the message says why."""


class Estimate(NamedTuple):
    """Numbers and their standard errors."""

    values: NDArray[np.float64]
    errors: NDArray[np.float64]


class _Sums(NamedTuple):
    """Over all atoms, or over those of some parts."""

    counts: NDArray[np.float64]
    sums: NDArray[np.float64]
    base: float

    @property
    def shares(self) -> NDArray[np.float64]:
        return self.counts / self.counts.sum()

    @property
    def energies(self) -> NDArray[np.float64]:
        return np.where(self.counts > 0, self.sums / np.maximum(self.counts, 1), np.nan)


@dataclass(frozen=True, eq=False)
class EnergyBudget:
    """Atoms and energies by environment, in parts whose scatter tells how far the numbers can be trusted.

    Attributes
    ----------
    names : tuple of str
        Of the K environments, and `NONE`.
    counts : (P, K + 1) array
        Atoms of each part: samples, or boxes of one sample.
    sums : (P, K + 1) array
        eV: their energies above what is typical of their species.
    bases : (P,) array
        eV: energies that typical atoms of the same species would have together.
    """

    names: tuple[str, ...]
    counts: NDArray[np.float64]
    sums: NDArray[np.float64]
    bases: NDArray[np.float64]

    def __add__(self, other: EnergyBudget) -> EnergyBudget:
        """Of two samples together, each with its parts."""
        if self.names != other.names:
            raise BudgetError("Two models gave these energies; use one for all samples.")
        return EnergyBudget(
            self.names,
            np.concatenate([self.counts, other.counts]),
            np.concatenate([self.sums, other.sums]),
            np.concatenate([self.bases, other.bases]),
        )

    def whole(self) -> EnergyBudget:
        """The same as a single part, for a sample among several."""
        counts, sums, base = self.sums_of_all()
        return EnergyBudget(self.names, counts[None], sums[None], np.array([base]))

    @property
    def shares(self) -> Estimate:
        """(K + 1,): of the atoms."""
        return self._estimate(lambda total: total.shares)

    @property
    def energies(self) -> Estimate:
        """(K + 1,): mean energy of the atoms of each environment, eV; NaN without any."""
        return self._estimate(lambda total: total.energies)

    @property
    def deposits(self) -> Estimate:
        """(K + 1,): share times mean energy, eV per atom of the sample. With `base` they add up to its energy."""
        return self._estimate(lambda total: total.sums / total.counts.sum())

    @property
    def base(self) -> float:
        """Energy of typical atoms of the same species, eV/atom."""
        return float(self.bases.sum() / self.counts.sum())

    @property
    def energy(self) -> Estimate:
        """Of the sample, eV/atom; arrays without dimensions. Its composition is not by chance and adds no error."""
        above = self._estimate(lambda total: total.sums.sum() / total.counts.sum())
        return Estimate(self.base + above.values, above.errors)

    def _estimate(self, number: Callable[[_Sums], NDArray]) -> Estimate:
        return Estimate(np.asarray(number(self.sums_of_all())), _jackknife([number(left) for left in self.left_out()]))

    def sums_of_all(self) -> _Sums:
        return _Sums(self.counts.sum(axis=0), self.sums.sum(axis=0), float(self.bases.sum()))

    def left_out(self) -> list[_Sums]:
        """Sums over all parts but one, for each; none for a single part."""
        counts, sums, base = self.sums_of_all()
        if len(self.counts) == 1:
            return []
        return [
            _Sums(np.maximum(counts - own, 0), np.where(counts > own, sums - energy, 0.0), base - typical)
            for own, energy, typical in zip(self.counts, self.sums, self.bases, strict=True)
        ]


def budget_in_boxes(
    structure: Structure,
    environment: NDArray[np.integer],
    contribution: NDArray,
    typical: NDArray,
    names: tuple[str, ...],
    cutoff: float,
) -> EnergyBudget:
    """Account of the atoms that have an energy, in boxes.

    Parameters
    ----------
    structure : Structure
    environment : (N,) int array
        Of every atom, −1 for none.
    contribution : (N,) array
        Energy above what is typical of the atom's species, eV; NaN for atoms that do not count.
    typical : (N,) array
        What is typical of it, eV.
    names : tuple of str
        Of the environments.
    cutoff : float
        How far atoms see, which decides how large boxes are.

    Raises
    ------
    BudgetError
        If no atom counts.
    """
    counted = np.isfinite(contribution)
    if not counted.any():
        raise BudgetError("No atom of the sample has neighbours, so there are no energies; check units and selection.")
    boxes, number = _boxes(structure, BOX * cutoff)
    box, row = boxes[counted], len(names) + 1
    place = box * row + np.where(environment < 0, len(names), environment)[counted]
    counts = np.bincount(place, minlength=number * row).reshape(number, row)
    sums: NDArray = np.bincount(place, contribution[counted], minlength=number * row).reshape(number, row)
    bases: NDArray = np.bincount(box, typical[counted], minlength=number)
    filled = counts.any(axis=1)
    return EnergyBudget((*names, NONE), counts[filled].astype(np.float64), sums[filled], bases[filled])


@dataclass(frozen=True, eq=False)
class Difference:
    """Why sample A has another energy than sample B; all in eV per atom.

    Attributes
    ----------
    names : tuple of str
        Of the K environments, and `NONE`.
    from_shares : Estimate of (K + 1,)
        What A has of an environment more than B, times its energy relative to the mean: (f_A − f_B) (ē_k − ē).
    from_energies : Estimate of (K + 1,)
        What atoms of the same environment have more in A: f̄_k (e_A − e_B).
    from_composition : float
        Difference of the energies of typical atoms; 0 for the same composition.
    total : Estimate
        E_A − E_B: the sum of all of them.
    """

    names: tuple[str, ...]
    from_shares: Estimate
    from_energies: Estimate
    from_composition: float
    total: Estimate

    @property
    def by_environment(self) -> NDArray[np.float64]:
        """(K + 1,): both parts together."""
        return self.from_shares.values + self.from_energies.values


def difference(first: EnergyBudget, second: EnergyBudget) -> Difference:
    """Account of E_A − E_B; errors are those of the means over samples, or boxes, of both.

    Raises
    ------
    BudgetError
        If two models gave the energies.
    """
    if first.names != second.names:
        raise BudgetError("Two models gave these energies; use one for both samples.")
    own, others = first.sums_of_all(), second.sums_of_all()
    values = _terms(own, others)
    left = [_terms(part, others) for part in first.left_out()], [_terms(own, part) for part in second.left_out()]
    errors = np.sqrt(sum(_jackknife(terms, len(values)) ** 2 for terms in left))
    shares, energies, total = (slice(len(first.names)), slice(len(first.names), -1), -1)
    composition = first.base - second.base
    return Difference(
        first.names,
        Estimate(values[shares], errors[shares]),
        Estimate(values[energies], errors[energies]),
        composition,
        Estimate(composition + values[total], errors[total]),
    )


def _terms(own: _Sums, others: _Sums) -> NDArray[np.float64]:
    """Parts from shares, parts from energies and the sum of all, one after the other."""
    energies = np.stack([own.energies, others.energies])
    # Where one sample has no such atom they have the energy of the other, and all is a matter of shares.
    energies = np.nan_to_num(np.where(np.isnan(energies), energies[::-1], energies))
    middle, both = energies.mean(axis=0), (own.shares + others.shares) / 2
    from_shares = (own.shares - others.shares) * (middle - both @ middle)
    from_energies = both * (energies[0] - energies[1])
    return np.concatenate([from_shares, from_energies, [from_shares.sum() + from_energies.sum()]])


def _jackknife(left: Sequence[NDArray], numbers: int | None = None) -> NDArray[np.float64]:
    """Standard error of a number from its values with one part left out in turn; NaN for a single part."""
    if not left:
        return np.full(() if numbers is None else numbers, np.nan)
    values = np.stack([np.asarray(value, dtype=np.float64) for value in left])
    spread = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
    return np.sqrt(spread * (len(values) - 1) / len(values))


def _boxes(structure: Structure, edge: float) -> tuple[NDArray[np.int64], int]:
    """Number of the box that each atom lies in, and of all boxes."""
    if structure.cell is None:
        low, high = structure.positions.min(axis=0), structure.positions.max(axis=0)
        heights, fractions = high - low, (structure.positions - low) / np.maximum(high - low, 1e-12)
    else:
        cell = np.asarray(structure.cell)
        heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
        fractions = np.linalg.solve(cell.T, (structure.positions - structure.origin).T).T % 1.0
    along = np.clip((heights / edge).astype(int), FEWEST, MOST)
    place = np.minimum((np.clip(fractions, 0, 1) * along).astype(np.int64), along - 1)
    return np.ravel_multi_index(tuple(place.T), tuple(along)), int(along.prod())
