"""Bessel and orientation parameters of every atom, averaged over shells: the input of the SCNN."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.compile import inner, kernel, unowned
from ovito_glassml.descriptors.blocks import assemble, check_dtype, species_columns
from ovito_glassml.descriptors.density import (
    collect_neighbours,
    evaluate_harmonics,
    evaluate_radial,
    expand_density,
    make_expansion,
    make_workspace,
)
from ovito_glassml.descriptors.radial import RadialTable, bessel_functions, tabulate
from ovito_glassml.descriptors.shells import Averaged, iterate_averages
from ovito_glassml.descriptors.vectors import lanes, load, magnitude, spread, store
from ovito_glassml.neighbours import CellList, Progress, sort_in_space
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.threads import run_tasks

__all__ = ["NORMALIZATIONS", "BesselDescriptors"]

#: What the orientation parameters are divided by.
NORMALIZATIONS = ("absolute", "published")


@dataclass(frozen=True)
class BesselDescriptors:
    """Radial sums B and orientation parameters Q with spherical Bessel functions, and their shell averages.

    With R_n(r) = √(2/r_c) sin(nπr/r_c) / r and neighbours j nearer than r_c::

        B_tn = Σ_j δ(t, t_j) R_n(r_ij)
        q_nlm = (1/C_n) Σ_j R_n(r_ij) Y_lm(r̂_ij)
        Q_nl = √(4π/(2l+1) Σ_m |q_nlm|²)
        X^(k)_i = Σ_j exp(−r_ij/r_c) X^(k−1)_j / Σ_j exp(−r_ij/r_c)

    A row is B⁰ B¹ … Q⁰ Q¹ …; B is ordered by species, then n; Q by n, then l.

    Parameters
    ----------
    species : tuple of str
        Names of the neighbour species t, in this order. Two give the 264 published numbers.
    cutoff : float
        r_c in the structure's length unit, by default 5 Å: the first two shells of a metallic glass.
    n_max, l_max : int
        Number of radial functions, and highest degree; degrees begin at 1, since l = 0 is constant.
    shells : int
        Number of averages k.
    normalization : {'absolute', 'published'}
        C_n = Σ_j |R_n(r_ij)|, or the published Σ_j R_n(r_ij), which changes sign with the
        environment and makes Q diverge where it passes through zero.
    dtype : {'float32', 'float64'}
        Precision of the computation and of the result.

    Raises
    ------
    StructureError
        For settings out of range, and, when computing, as `build_cell_list` and for atoms of other species.

    Notes
    -----
    An atom without neighbours has B = 0, Q = NaN (0/0) and NaN averages.

    Examples
    --------
    A crystal has the same row for every atom; with two species it would have 264 columns:

    >>> from ovito_glassml.descriptors.bessel import BesselDescriptors
    >>> rows = BesselDescriptors(species=("Cu",)).compute(crystal)
    >>> rows.shape, bool(np.allclose(rows, rows[0], atol=1e-5))
    ((27, 240), True)
    """

    species: tuple[str, ...]
    cutoff: float = 5.0
    n_max: int = 8
    l_max: int = 9
    shells: int = 2
    normalization: str = "absolute"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "species", tuple(self.species))
        check_dtype(self.dtype)
        if not self.species or len(set(self.species)) < len(self.species):
            raise StructureError(f"The species {self.species} are none or repeated; name every species once.")
        if not (np.isfinite(self.cutoff) and self.cutoff > 0):
            raise StructureError(f"The cutoff is {self.cutoff}; give a positive length.")
        for name, value, lowest, highest in (
            ("n_max", self.n_max, 1, 64),
            ("l_max", self.l_max, 1, 30),
            ("shells", self.shells, 0, 20),
        ):
            if not lowest <= value <= highest:
                raise StructureError(f"{name} is {value}; choose {lowest} to {highest}.")
        if self.normalization not in NORMALIZATIONS:
            raise StructureError(
                f"The normalization '{self.normalization}' does not exist; choose 'absolute' or 'published'."
            )

    @property
    def radial_count(self) -> int:
        """Number of B parameters of one shell."""
        return len(self.species) * self.n_max

    @property
    def orientation_count(self) -> int:
        """Number of Q parameters of one shell."""
        return self.n_max * self.l_max

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per column, such as `B0_Cu_n1` and `Q2_n8_l9`; the digit counts the averages."""
        n_range, l_range = range(1, self.n_max + 1), range(1, self.l_max + 1)
        shells = range(self.shells + 1)
        radial = [f"B{k}_{name}_n{n}" for k in shells for name in self.species for n in n_range]
        orientation = [f"Q{k}_n{n}_l{degree}" for k in shells for n in n_range for degree in l_range]
        return tuple(radial + orientation)

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
        """
        blocks = self.iterate_blocks(structure, progress)
        return assemble(structure, len(self.feature_names), self.dtype, blocks, out=out)

    def iterate_blocks(
        self, structure: Structure, progress: Progress | None = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray]]:
        """Yield (atom indices, rows) for blocks of selected atoms in space order.

        Beside one block of rows this holds the parameters and averages of a layer of atoms, see `iterate_averages`.

        Parameters
        ----------
        structure : Structure
        progress : callable, optional
            Called with the fraction done; may raise to stop.
        """
        if not len(structure):
            return
        ordered, order, cells = sort_in_space(structure, self.cutoff)
        width = self.radial_count + self.orientation_count
        parameters = Averaged(self.parameters_of(ordered, cells), width, self.shells)
        averages = iterate_averages(cells, self.cutoff, [parameters], ordered.mask, self.dtype, progress)
        for indices, (levels,) in averages:
            parts = [rows[:, : self.radial_count] for rows in levels] + [
                rows[:, self.radial_count :] for rows in levels
            ]
            yield order[indices], np.hstack(parts)

    def parameters_of(self, structure: Structure, cells: CellList) -> Callable[[NDArray[np.int64]], NDArray]:
        """What gives B and Q before averaging for a block of entries of a cell list that reaches as far."""
        table = _table(self.cutoff, self.n_max, self.dtype)
        columns = species_columns(structure, self.species)
        expansion = make_expansion(table, self.l_max, columns, len(self.species), self.cutoff)
        factor = np.sqrt(4 * np.pi / (2 * np.arange(1, self.l_max + 1) + 1)).astype(self.dtype)

        def parameters(block: NDArray[np.int64]) -> NDArray:
            radial = np.empty((len(block), len(self.species), self.n_max), dtype=self.dtype)
            absolute = np.empty((len(block), self.n_max), dtype=self.dtype)
            power = np.empty((len(block), self.n_max, self.l_max), dtype=self.dtype)
            results = (radial, absolute, power)
            run_tasks(_expand_block, len(block), cells.grid, block, expansion, self.n_max, *results)
            divisor = absolute if self.normalization == "absolute" else np.abs(radial.sum(axis=1))
            np.sqrt(power, out=power)
            power *= factor
            with np.errstate(divide="ignore", invalid="ignore"):
                power /= divisor[:, :, None]
            return np.hstack([radial.reshape(len(block), -1), power.reshape(len(block), -1)])

        return parameters


@lru_cache(maxsize=8)
def _table(cutoff: float, n_max: int, dtype: str) -> RadialTable:
    return tabulate(bessel_functions(cutoff, n_max), cutoff, dtype)


@kernel
def _expand_block(begin, end, grid, block, expansion, n_max, radial, absolute, power):
    """Sums of R_n by species and of |R_n|, and Σ_m of the squared expansion coefficients of all species together."""
    grid, block, expansion, radial = unowned((grid, block, expansion, radial))
    absolute, power = unowned((absolute, power))
    space = make_workspace(grid, block, begin, end, expansion)
    work = unowned(space)
    for t in range(begin, end):
        count = collect_neighbours(grid, block[t], expansion, space)  # which keeps `space` alive
        evaluate_radial(expansion, work, count)
        evaluate_harmonics(expansion, work, count)
        expand_density(expansion, work)
        _sum_radial(expansion, work, n_max, radial[t], absolute[t])
        _sum_squares(expansion, work, n_max, power[t])


@inner
def _sum_radial(expansion, work, n_max, radial, absolute):
    """Σ_j of R_n by species, and of |R_n|."""
    size = lanes(work.x)
    for n in range(0, n_max, size):
        sizes = spread(work.x.dtype.type(0), work.x)
        for column in range(expansion.densities):
            value = spread(work.x.dtype.type(0), work.x)
            for j in range(work.first[column], work.last[column]):
                function = load(work.radial, j * expansion.row + n, work.x)
                value += function
                sizes += magnitude(function)
            _store_some(radial[column], n, value, work.weights[0])
        _store_some(absolute, n, sizes, work.weights[0])


@inner
def _store_some(target, at, value, room):
    """Write as many numbers of a vector as there is space for."""
    store(room, 0, value)
    for k in range(min(lanes(room), len(target) - at)):
        target[at + k] = room[k]


@inner
def _sum_squares(expansion, work, n_max, power):
    """Σ_m of the squared coefficients of all species together, [n, l − 1]."""
    width, size = expansion.width, lanes(work.x)
    terms = (expansion.l_max + 1) * (expansion.l_max + 1)
    for n in range(0, n_max, size):
        for degree in range(1, expansion.l_max + 1):
            value = spread(work.x.dtype.type(0), work.x)
            for term in range(degree * degree, (degree + 1) * (degree + 1)):
                total = load(work.density, term * width + n, work.x)
                for column in range(1, expansion.densities):
                    total += load(work.density, (column * terms + term) * width + n, work.x)
                value += total * total
            _store_some(power[:, degree - 1], n, value, work.weights[0])
