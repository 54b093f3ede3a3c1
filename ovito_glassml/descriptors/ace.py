"""ACE: purified correlations of one, two and three neighbours of every atom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.compile import empty, inlined, inner, kernel, unowned
from ovito_glassml.descriptors.blocks import Fill, check_dtype, fill_rows, separate_blocks, species_columns
from ovito_glassml.descriptors.density import (
    Expansion,
    collect_neighbours,
    evaluate_harmonics,
    make_expansion,
    make_workspace,
)
from ovito_glassml.descriptors.invariants import Polynomials, Slot, correlation_labels, invariant_polynomials
from ovito_glassml.descriptors.products import block_sums
from ovito_glassml.descriptors.radial import ACE_STEEPNESS, STENCIL, RadialTable
from ovito_glassml.descriptors.vectors import lanes, load, narrowed, spread, store
from ovito_glassml.neighbours import Progress, build_cell_list
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.threads import run_tasks

__all__ = ["ACEDescriptors"]


#: Highest degree of harmonics that settings may allow: correlations are counted before anything else is done.
MOST_ANGULAR = 48


@dataclass(frozen=True)
class ACEDescriptors:
    """Invariant correlations of one, two and three distinct neighbours (2-, 3- and 4-body terms).

    ::

        φ_nlm(r) = R_n(r) Y_lm(r̂),  R_n = (x − 1) P_(n−1)(x)
        feature = Σ C_m1m2m3 φ_1(r_j1) φ_2(r_j2) φ_3(r_j3) over neighbours j1 ≠ j2 ≠ j3 of the species wanted

    with Legendre polynomials P orthonormal on the range 0 … 1 of the transformed distance x (see
    `ace_transform`), real orthonormal harmonics, and coefficients C with Σ C² = 1 that make the sum invariant
    under rotation and reflection.

    Parameters
    ----------
    species : tuple of str
        Names of the neighbour species, in this order.
    cutoff : float
        Range in the structure's length unit. The default, 10.8 Å, is four times `nearest`, as published
        for Lennard-Jones mixtures (4 with `nearest` 1).
    nearest : float
        r_0, the nearest-neighbour distance, where distances are resolved best: by default 2.7 Å (Cu-Zr).
    order : int
        Largest number of neighbours in a correlation, 1 to 3.
    n_max : int
        Number of radial functions.
    degree, degree_weight : float
        Correlations of two and three neighbours are kept if Σ (n + `degree_weight` l) <= `degree`.
    purified : bool
        Leave out the sums' terms in which a neighbour occurs twice. Off gives plain products of densities.
    dtype : {'float32', 'float64'}
        Precision of the computation and of the result.

    Raises
    ------
    StructureError
        For settings out of range, and, when computing, as `build_cell_list` and for atoms of other species.

    Examples
    --------
    The neighbours of one atom, and pairs of them:

    >>> from ovito_glassml.descriptors.ace import ACEDescriptors
    >>> descriptor = ACEDescriptors(species=("Cu",), cutoff=5.4, order=2)
    >>> descriptor.compute(crystal).shape, descriptor.feature_names[0], descriptor.feature_names[10]
    ((27, 51), 'Cu_n1', 'Cu_n1_l0_Cu_n1_l0')
    """

    species: tuple[str, ...]
    cutoff: float = 10.8
    nearest: float = 2.7
    order: int = 3
    n_max: int = 10
    degree: float = 10
    degree_weight: float = 1.5
    purified: bool = True
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "species", tuple(self.species))
        check_dtype(self.dtype)
        if not self.species or len(set(self.species)) < len(self.species):
            raise StructureError(f"The species {self.species} are none or repeated; name every species once.")
        for name in ("cutoff", "nearest", "degree_weight"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise StructureError(f"{name} is {value}; give a positive number.")
        if self.order not in (1, 2, 3):
            raise StructureError(f"The correlation order is {self.order}; choose 1, 2 or 3.")
        if not 1 <= self.n_max <= 40:
            raise StructureError(f"n_max is {self.n_max}; choose 1 to 40.")
        if not 1 <= self.degree <= 24:
            raise StructureError(f"The total degree is {self.degree}; choose 1 to 24.")
        if self.nearest > self.cutoff:
            raise StructureError(f"nearest is {self.nearest} and the cutoff {self.cutoff}; choose a larger cutoff.")
        if self.degree > MOST_ANGULAR * self.degree_weight:
            raise StructureError(
                f"degree_weight is {self.degree_weight}, which allows harmonics of degree "
                f"{self.degree / self.degree_weight:g}; choose at least {self.degree / MOST_ANGULAR:g}."
            )

    @classmethod
    def binary_mixture(cls, species: tuple[str, ...], cutoff: float = 4.0, nearest: float = 1.0) -> ACEDescriptors:
        """Settings published for binary Lennard-Jones mixtures: n_max 10, total degree 10."""
        return cls(species, cutoff, nearest, n_max=10, degree=10)

    @classmethod
    def polymer(cls, species: tuple[str, ...], cutoff: float = 4.0, nearest: float = 1.0) -> ACEDescriptors:
        """Settings published for the model polymer: n_max 20, total degree 18."""
        return cls(species, cutoff, nearest, n_max=20, degree=18)

    @property
    def labels(self) -> tuple[tuple[tuple[str, int, int], ...], ...]:
        """The functions (species, n, l) that each column correlates.

        Columns are sorted by the number of neighbours; within it those of the first species alone come first.
        """
        return tuple(tuple((self.species[z], n, angular) for z, n, angular in slots) for slots in self._correlations)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per column, such as `Cu_n1` or `Cu_n1_l1_Zr_n2_l1`."""
        return tuple(
            "_".join(f"{name}_n{n}" + (f"_l{angular}" if len(label) > 1 else "") for name, n, angular in label)
            for label in self.labels
        )

    @property
    def _correlations(self) -> tuple[tuple[Slot, ...], ...]:
        return _labels(len(self.species), self.order, self.n_max, self.degree, self.degree_weight)

    def compute(self, structure: Structure, progress: Progress | None = None, out: NDArray | None = None) -> NDArray:
        """Rows for the selected atoms of a structure, in their order.

        Parameters
        ----------
        structure : Structure
        progress : callable, optional
            Called with the fraction done between blocks; may raise to stop.
        out : (N, F) array, optional
            Of the descriptor's `dtype`, with a row for every atom: where to write those of the selected ones, each at
            its atom's index.

        Returns
        -------
        (M, F) array
            Zeros for an atom without neighbours.
        """
        return fill_rows(structure, len(self._correlations), self.dtype, self._blocks(structure), progress, out)

    def iterate_blocks(self, structure: Structure) -> Iterator[tuple[NDArray[np.int64], NDArray]]:
        """Yield (atom indices, rows) for blocks of selected atoms in space order."""
        yield from separate_blocks(len(self._correlations), self.dtype, self._blocks(structure))

    def _blocks(self, structure: Structure) -> Iterator[tuple[NDArray[np.int64], Fill]]:
        """Yield (atom indices, function that writes their rows)."""
        if not len(structure):
            return
        columns = species_columns(structure, self.species)
        polynomials = _polynomials(
            len(self.species), self.order, self.n_max, self.degree, self.degree_weight, self.purified
        )
        expansion, counts, factors, entries = _extended_expansion(
            polynomials, columns, len(self.species), self.cutoff, self.n_max, self.dtype
        )
        radial = Radial(self.cutoff, self.nearest, _legendre(self.n_max, self.dtype), factors)
        cells = build_cell_list(structure, self.cutoff)
        coefficients = polynomials.coefficients.astype(self.dtype)
        for block in cells.blocks(structure.mask):
            fill = partial(
                run_tasks, _correlate, len(block), cells.grid, block, expansion, radial, counts, entries,
                polynomials.starts, coefficients, polynomials.factors.ravel(),
            )  # fmt: skip
            yield cells.grid.atom[block].astype(np.int64), fill


@lru_cache(maxsize=8)
def _labels(species: int, order: int, n_max: int, degree: float, degree_weight: float) -> tuple[tuple[Slot, ...], ...]:
    return correlation_labels(species, order, n_max, degree, degree_weight)


@lru_cache(maxsize=8)
def _polynomials(
    species: int, order: int, n_max: int, degree: float, degree_weight: float, purified: bool
) -> Polynomials:
    return invariant_polynomials(_labels(species, order, n_max, degree, degree_weight), purified)


class Radial(NamedTuple):
    """Settings of the radial functions, in a form that compiled code takes.

    Attributes
    ----------
    cutoff, nearest : float
    legendre : (3, n_max) array
        P_n = [0, n] (2x − 1) P_(n−1) − [1, n] P_(n−2) are Legendre's polynomials on 0 … 1; orthonormal times [2, n].
    factors : (C, 2) int64 array
        The two radial columns whose product is column ``n_max + c``.
    """

    cutoff: float
    nearest: float
    legendre: NDArray
    factors: NDArray[np.int64]


def _legendre(n_max: int, dtype: str) -> NDArray:
    n = np.arange(n_max)
    above = np.maximum(n, 1)
    return np.array([(2 * n - 1) / above, (n - 1) / above, np.sqrt(2 * n + 1)]).astype(dtype)


def _extended_expansion(
    polynomials: Polynomials,
    columns: NDArray[np.int64],
    densities: int,
    cutoff: float,
    n_max: int,
    dtype: str,
) -> tuple[Expansion, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Expansion in the radial functions and the products of them that occur.

    Returns
    -------
    expansion : Expansion
        Its `width` is the number of these columns.
    counts : (l_max + 1,) int64 array
        As many of them as each degree needs.
    factors : (C, 2) int64 array
        The two radial columns whose product is column ``n_max + c``.
    places : (E,) int64 array
        Where each entry of the polynomials lies in the flat density of one atom.
    """
    l_max = max(entry[1] for entry in polynomials.entries)
    # Few columns serve high degrees: sorted by need, each degree expands only the first of them.
    need: dict[tuple[int, ...], int] = {(n,): l_max for n in range(1, n_max + 1)}
    for _, angular, _, product in polynomials.entries:
        if len(product) > 1:
            need[product] = max(need.get(product, 0), angular)
        if len(product) == 3:
            need.setdefault(product[:2], 0)
    order = sorted(need, key=lambda product: (len(product) > 1, -need[product], len(product), product))
    column = {product: place for place, product in enumerate(order)}
    factors = [(column[product[:-1]], column[product[-1:]]) for product in order[n_max:]]

    counts = np.array([sum(need[product] >= angular for product in order) for angular in range(l_max + 1)])
    width = len(order)
    nothing = RadialTable(np.empty((STENCIL, 0), dtype), 1.0, 0, 1, width, 0.0)  # functions are not looked up
    expansion = make_expansion(nothing, l_max, columns, densities, cutoff)
    terms = (l_max + 1) ** 2
    places = [
        (z * terms + angular * angular + angular + m) * width + column[product]
        for z, angular, m, product in polynomials.entries
    ]
    return expansion, counts, np.array(factors, dtype=np.int64).reshape(-1, 2), np.array(places, dtype=np.int64)


@kernel
def _correlate(
    begin, end, grid, block, expansion, radial, counts, entries, starts, coefficients, indices, places, rows
):  # fmt: skip
    """Expand the densities of as many atoms as a vector has lanes, then evaluate every polynomial for all of them."""
    grid, block, expansion, radial, counts = unowned((grid, block, expansion, radial, counts))
    entries, starts, coefficients, indices = unowned((entries, starts, coefficients, indices))
    places, rows = unowned((places, rows))
    size = lanes(coefficients)
    space = make_workspace(grid, block, begin, end, expansion)
    functions = empty(len(space.x) * expansion.width, rows.dtype)
    density = empty((len(entries) + 1) * size, rows.dtype)
    total = empty(size, rows.dtype)
    for k in range(len(density)):  # the last entry stays at one
        density[k] = 1
    work = unowned(space)
    for first in range(begin, end, size):
        last = min(first + size, end)
        for t in range(first, last):
            count = collect_neighbours(grid, block[t], expansion, space)  # which keeps `space` alive
            _evaluate_functions(expansion, radial, work, functions)
            evaluate_harmonics(expansion, work, count)
            _expand(expansion, work, counts, functions)
            for k in range(len(entries)):
                density[k * size + t - first] = work.density[entries[k]]
        for feature in range(len(starts) - 1):
            value = spread(rows.dtype.type(0), coefficients)
            for term in range(starts[feature], starts[feature + 1]):
                a = load(density, indices[3 * term] * size, coefficients)
                b = load(density, indices[3 * term + 1] * size, coefficients)
                c = load(density, indices[3 * term + 2] * size, coefficients)
                value += coefficients[term] * a * (b * c)
            store(total, 0, value)
            for t in range(first, last):
                rows[places[t], feature] = total[t - first]


@inner
def _evaluate_functions(expansion, radial, work, functions):
    """Radial functions of all neighbours and their products in blocks, zero where there is no neighbour."""
    x, width, size = work.x, expansion.width, lanes(work.x)
    ahead, back, norm = radial.legendre
    n_max = len(norm)
    end = _steep(spread(radial.cutoff / radial.nearest, x))
    for column in range(expansion.densities):
        first, last = work.first[column], work.last[column]
        for j in range(last, first + (last - first + size - 1) // size * size):
            work.r[j] = radial.cutoff  # where all functions vanish
        for j in range(first, last, size):
            r, at = load(work.r, j, x), j * width
            share = r * (1.0 / radial.cutoff)
            share *= share
            beyond = (_steep(r * (1.0 / radial.nearest)) - end) / (end - 1.0) * (1.0 - share * share)  # x − 1
            current = narrowed(beyond, x)
            argument = narrowed(1.0 + 2.0 * beyond, x)
            previous = spread(x.dtype.type(0), x)
            for n in range(n_max):
                if n > 0:
                    previous, current = current, ahead[n] * argument * current - back[n] * previous
                store(functions, at + n * size, norm[n] * current)
            for c in range(len(radial.factors)):
                product = load(functions, at + radial.factors[c, 0] * size, x)
                product *= load(functions, at + radial.factors[c, 1] * size, x)
                store(functions, at + (n_max + c) * size, product)


@inlined
def _steep(s):
    """y of `ace_transform`."""
    cube = s * s * s + 1.0
    return cube / (cube + (cube - 1.0) * s * ACE_STEEPNESS)


@inner
def _expand(expansion, work, counts, functions):
    """Sum products of radial functions and harmonics over the neighbours."""
    size, width = lanes(functions), expansion.width
    terms = (expansion.l_max + 1) * (expansion.l_max + 1)
    for column in range(expansion.densities):
        first = work.first[column]
        blocks = (work.last[column] - first + size - 1) // size
        for degree in range(expansion.l_max + 1):
            for term in range(degree * degree, (degree + 1) * (degree + 1)):
                block_sums(
                    work.density,
                    (column * terms + term) * width,
                    functions,
                    first * width,
                    width * size,
                    work.harmonics,
                    first * terms + term * size,
                    terms * size,
                    counts[degree],
                    blocks,
                )
