"""Rotation- and reflection-invariant correlations of up to three neighbours, as polynomials in the density.

A correlation sums products φ_1(j_1) φ_2(j_2) φ_3(j_3) of one-neighbour functions φ_t = R_nt Y_ltmt
over *distinct* neighbours, coupled over m to an invariant. In terms of the density
A_t = Σ_j φ_t(j) the distinctness is a subtraction (purification)::

    A_1 A_2 − S_12
    A_1 A_2 A_3 − S_12 A_3 − S_13 A_2 − S_23 A_1 + 2 S_123,    S = Σ_j of the product

Under the coupling, a product of two harmonics in S becomes one harmonic, so S_12 is a density too, with
the radial function R_n1 R_n2; and S_123 one with R_n1 R_n2 R_n3. What is left is a list of terms: coefficient times at
most three numbers of an extended density.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
from numpy.typing import NDArray

__all__ = ["Polynomials", "Slot", "correlation_labels", "coupling", "invariant_polynomials"]

#: One function of a correlation: species index, radial index n from 1, degree l.
Slot = tuple[int, int, int]

#: Entries of an extended density: species, degree, m, and the sorted radial indices whose product is expanded.
Entry = tuple[int, int, int, tuple[int, ...]]


def correlation_labels(
    species: int, order: int, n_max: int, degree: float, degree_weight: float
) -> tuple[tuple[Slot, ...], ...]:
    """All correlations of 1 … `order` neighbours that have an invariant, each once.

    Parameters
    ----------
    species : int
        Number of species.
    order : int
        1, 2 or 3.
    n_max : int
        Number of radial functions.
    degree, degree_weight : float
        Correlations of two and three neighbours are kept if Σ (n + `degree_weight` l) <= `degree`.

    Returns
    -------
    tuple of tuples of (species, n, l)
        By order; within an order those of the first species alone first, then by species, n and l.

    Notes
    -----
    To an invariant couple one function with l = 0, two with equal l, and three whose degrees fulfil the
    triangle rule and have an even sum (the others change sign under reflection). Each choice of
    functions couples in exactly one way, and that is symmetric in equal functions, so no
    invariant is zero or a combination of others.
    """
    found: list[tuple[Slot, ...]] = [((z, n, 0),) for z in range(species) for n in range(1, n_max + 1)]
    slots = [
        (z, n, angular)
        for z in range(species)
        for n in range(1, n_max + 1)
        for angular in range(int(max(degree - n, 0) / degree_weight) + 1)
    ]
    for count in range(2, order + 1):
        for chosen in _multisets(slots, count, degree, degree_weight):
            if _couples([slot[2] for slot in chosen]):
                found.append(chosen)
    return tuple(sorted(found, key=lambda c: (len(c), any(slot[0] for slot in c), [slot[0] for slot in c], c)))


def _multisets(slots: list[Slot], count: int, degree: float, weight: float) -> Iterator[tuple[Slot, ...]]:
    """Sorted choices of `count` slots, repetition allowed, whose total degree stays within `degree`."""
    if count == 0:
        yield ()
        return
    for place, slot in enumerate(slots):
        left = degree - slot[1] - weight * slot[2]
        if left >= count - 1:  # every further slot has n of at least 1
            for rest in _multisets(slots[place:], count - 1, left, weight):
                yield (slot, *rest)


def _couples(degrees: list[int]) -> bool:
    if len(degrees) == 2:
        return degrees[0] == degrees[1]
    a, b, c = degrees
    return abs(a - b) <= c <= a + b and (a + b + c) % 2 == 0


@lru_cache(maxsize=256)
def coupling(first: int, second: int, third: int) -> tuple[NDArray[np.float64], float]:
    """∫ Y_1 Y_2 Y_3 over the sphere for real harmonics, divided by its norm over all m, and that norm.

    Returns
    -------
    (2 l_1 + 1, 2 l_2 + 1, 2 l_3 + 1) array, float
    """
    nodes = first + second + third + 1
    cosine, weights = np.polynomial.legendre.leggauss(nodes)
    azimuth = 2 * np.pi * np.arange(2 * nodes) / (2 * nodes)
    theta, phi = (grid.ravel() for grid in np.meshgrid(np.arccos(cosine), azimuth, indexing="ij"))
    measure = np.repeat(weights, 2 * nodes) * np.pi / nodes
    a, b, c = (_real_harmonics(angular, theta, phi) for angular in (first, second, third))
    integral = np.einsum("ap,bp,cp,p->abc", a, b, c, measure, optimize=True)
    norm = float(np.linalg.norm(integral))
    return np.where(np.abs(integral) > 1e-12 * norm, integral / norm, 0.0), norm


def _real_harmonics(angular: int, theta: NDArray, phi: NDArray) -> NDArray[np.float64]:
    """Real orthonormal harmonics of one degree in the convention of the density kernel, m from −l to l."""
    rows = []
    for m in range(-angular, angular + 1):
        value = scipy.special.sph_harm_y(angular, abs(m), theta, phi) * (-1) ** m
        rows.append(value.real if m == 0 else np.sqrt(2) * (value.real if m > 0 else value.imag))
    return np.array(rows)


@dataclass(frozen=True, eq=False)
class Polynomials:
    """Many polynomials of degree at most three in the entries of an extended density.

    Attributes
    ----------
    entries : tuple of (species, l, m, radial indices)
        Numbers of the density that occur.
    starts : (F + 1,) int64 array
        First term of every polynomial.
    coefficients : (T,) float64 array
    factors : (T, 3) int32 array
        Entries that a term multiplies; ``len(entries)`` stands for the number one.
    """

    entries: tuple[Entry, ...]
    starts: NDArray[np.int64]
    coefficients: NDArray[np.float64]
    factors: NDArray[np.int32]


def invariant_polynomials(correlations: tuple[tuple[Slot, ...], ...], purified: bool) -> Polynomials:
    """Write correlations out in terms of the density.

    Parameters
    ----------
    correlations : tuple of tuples of (species, n, l)
        From `correlation_labels`.
    purified : bool
        Subtract the terms in which a neighbour occurs more than once.
    """
    numbering: dict[Entry, int] = {}
    starts, coefficients, factors = [0], [], []
    for slots in correlations:
        terms: dict[tuple[Entry, ...], float] = {}
        for value, product in _terms(slots, purified):
            key = tuple(sorted(product))
            terms[key] = terms.get(key, 0.0) + value
        for key, value in terms.items():
            coefficients.append(value)
            factors.append([numbering.setdefault(entry, len(numbering)) for entry in key] + [-1] * (3 - len(key)))
        starts.append(len(coefficients))
    places = np.array(factors, dtype=np.int32)
    places[places < 0] = len(numbering)
    return Polynomials(tuple(numbering), np.array(starts), np.array(coefficients), places)


def _terms(slots: tuple[Slot, ...], purified: bool) -> Iterator[tuple[float, list[Entry]]]:
    """Terms (coefficient, factors) of one correlation."""
    degrees = [slot[2] for slot in slots]
    tensor, norm = coupling(*degrees, *[0] * (3 - len(slots)))
    # Coupling with l = 0 multiplies by Y_00 = 1/√(4π) only in the norm, never in the tensor.
    norm *= np.sqrt(4 * np.pi) ** (3 - len(slots))
    for place in np.argwhere(tensor):
        entries: list[Entry] = [
            (z, angular, int(m) - angular, (n,)) for (z, n, angular), m in zip(slots, place, strict=False)
        ]
        yield float(tensor[tuple(place)]), entries
    if not purified or len(slots) == 1:
        return
    if len(slots) == 2:
        yield from _merged_pair(slots[0], slots[1], norm)
        return
    for a, b, c in ((0, 1, 2), (0, 2, 1), (1, 2, 0)):
        yield from _merged_pair_with_third(slots[a], slots[b], slots[c], norm)
    yield from _merged_triple(slots, norm)


def _merged_pair(first: Slot, second: Slot, norm: float) -> Iterator[tuple[float, list[Entry]]]:
    """−S_12 of a pair correlation: Σ_j R R' Σ_m Y_lm² / √(2l+1), by the entry with l = 0."""
    if first[0] == second[0]:
        yield -norm * _ONE_OVER_Y00 / (4 * np.pi), [_merged(first[0], 0, 0, first, second)]


def _merged_pair_with_third(first: Slot, second: Slot, third: Slot, norm: float) -> Iterator[tuple[float, list[Entry]]]:
    """−S_12 A_3: two coupled harmonics of one neighbour are norm / (2 l_3 + 1) times the third's."""
    z, n, angular = third
    if first[0] == second[0]:
        for m in range(-angular, angular + 1):
            merged = _merged(first[0], angular, m, first, second)
            yield -norm / (2 * angular + 1), [merged, (z, angular, m, (n,))]


def _merged_triple(slots: tuple[Slot, ...], norm: float) -> Iterator[tuple[float, list[Entry]]]:
    """+2 S_123: three coupled harmonics of one neighbour are norm / 4π."""
    if len({slot[0] for slot in slots}) == 1:
        yield 2 * norm * _ONE_OVER_Y00 / (4 * np.pi), [_merged(slots[0][0], 0, 0, *slots)]


_ONE_OVER_Y00 = np.sqrt(4 * np.pi)


def _merged(species: int, angular: int, m: int, *slots: Slot) -> Entry:
    return (species, angular, m, tuple(sorted(slot[1] for slot in slots)))
