"""SOAP: power spectrum of the Gaussian-smeared neighbour density, in DScribe's conventions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.compile import empty, inner, kernel, unowned
from ovito_glassml.descriptors.blocks import Fill, check_dtype, fill_rows, separate_blocks, species_columns
from ovito_glassml.descriptors.density import (
    Expansion,
    collect_neighbours,
    evaluate_harmonics,
    evaluate_radial,
    expand_density,
    make_expansion,
    make_workspace,
)
from ovito_glassml.descriptors.products import row_product
from ovito_glassml.descriptors.radial import (
    RadialTable,
    gto_matrix,
    gto_soap_functions,
    polynomial_rotation,
    polynomial_soap_functions,
    tabulate,
)
from ovito_glassml.descriptors.vectors import lanes, load, store
from ovito_glassml.neighbours import CellGrid, CellList, Progress, build_cell_list
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.threads import one_blas_thread, run_tasks

__all__ = ["RADIAL_BASES", "SOAPDescriptors"]

#: Radial basis functions to choose from.
RADIAL_BASES = ("polynomial", "gto")

#: Height to which the Gaussian of a neighbour has fallen at the cutoff where it is left out.
NEGLIGIBLE = 1e-3
#: Rows multiplied at a time: BLAS rearranges the matrix anew for each product, and more would leave the cache.
PRODUCT_ROWS = 128


@dataclass(frozen=True)
class SOAPDescriptors:
    """Power spectrum p of the density of Gaussians on the neighbours and on the atom itself.

    ::

        c_znlm = ∫ g_nl(r) Y_lm(r̂) Σ_j δ(z, z_j) exp(−|r − r_ij|² / 2σ²) d³r
        p_zz'nn'l = π √(8 / (2l + 1)) Σ_m c_znlm c_z'n'lm

    Conventions, order of features and numbers are those of DScribe: for species z ≤ z', for l, for
    n, for n' (n' >= n where z = z'). Two differences, both for the polynomial basis: DScribe 2.1.2
    orthonormalises in double precision, which fails above n_max of about 7, and leaves out some
    harmonics of l >= 10, so that its values are not invariant under rotation there.

    Parameters
    ----------
    species : tuple of str
        Names of the species z, in this order (DScribe sorts by atomic number).
    cutoff : float
        Range of the radial functions in the structure's length unit, by default 5 Å. Neighbours count
        up to ``cutoff + sigma √(−2 ln 0.001)``, where their Gaussian no longer reaches into it.
    n_max, l_max : int
        Number of radial functions and highest degree; 11 and 12 as published with the ULE barcode.
    sigma : float
        Width σ of the Gaussians, by default 0.5 Å.
    rbf : {'polynomial', 'gto'}
        Radial basis: (r_c − r)^(n+2), or Gaussian-type orbitals r^l exp(−α_nl r²), which need a cutoff
        above 1 Å.
    dtype : {'float32', 'float64'}
        Precision of the computation and of the result.
    radial_matrix : array, optional
        Orthonormalisation to use instead of computing it: for 'polynomial' an (n_max, n_max) matrix that
        multiplies the orthonormal Jacobi polynomials of `jacobi_basis`, for 'gto' an (l_max + 1, n_max,
        n_max) matrix that multiplies the orbitals. What a model was trained with is stored with it.

    Raises
    ------
    StructureError
        For settings out of range, and, when computing, as `build_cell_list` and for atoms of other species.

    Examples
    --------
    >>> from ovito_glassml.descriptors.soap import SOAPDescriptors
    >>> descriptor = SOAPDescriptors(species=("Cu",), n_max=4, l_max=3)
    >>> descriptor.compute(crystal).shape, descriptor.feature_names[:2]
    ((27, 40), ('Cu_n1_Cu_n1_l0', 'Cu_n1_Cu_n2_l0'))
    """

    species: tuple[str, ...]
    cutoff: float = 5.0
    n_max: int = 11
    l_max: int = 12
    sigma: float = 0.5
    rbf: str = "polynomial"
    dtype: str = "float32"
    radial_matrix: NDArray[np.float64] | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "species", tuple(self.species))
        check_dtype(self.dtype)
        if not self.species or len(set(self.species)) < len(self.species):
            raise StructureError(f"The species {self.species} are none or repeated; name every species once.")
        if self.rbf not in RADIAL_BASES:
            raise StructureError(f"The radial basis '{self.rbf}' does not exist; choose 'polynomial' or 'gto'.")
        for name, value in (("cutoff", self.cutoff), ("sigma", self.sigma)):
            if not (np.isfinite(value) and value > 0):
                raise StructureError(f"{name} is {value}; give a positive length.")
        if self.rbf == "gto" and self.cutoff <= 1:
            raise StructureError(f"The cutoff is {self.cutoff}; the 'gto' basis needs more than 1.")
        for name, value, lowest, highest in (("n_max", self.n_max, 1, 20), ("l_max", self.l_max, 0, 20)):
            if not lowest <= value <= highest:
                raise StructureError(f"{name} is {value}; choose {lowest} to {highest}.")
        if self.radial_matrix is not None and np.shape(self.radial_matrix) != self._matrix_shape:
            raise StructureError(
                f"radial_matrix has shape {np.shape(self.radial_matrix)}; "
                f"this basis needs {self._matrix_shape} numbers."
            )

    @property
    def _matrix_shape(self) -> tuple[int, ...]:
        square = (self.n_max, self.n_max)
        return square if self.rbf == "polynomial" else (self.l_max + 1, *square)

    @property
    def reach(self) -> float:
        """Distance up to which neighbours count."""
        return self.cutoff + self.sigma * np.sqrt(-2 * np.log(NEGLIGIBLE))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per column, such as `Cu_n1_Zr_n2_l3`."""
        n_range = range(1, self.n_max + 1)
        return tuple(
            f"{first}_n{n}_{second}_n{k}_l{degree}"
            for a, first in enumerate(self.species)
            for second in self.species[a:]
            for degree in range(self.l_max + 1)
            for n in n_range
            for k in n_range
            if first != second or k >= n
        )

    @property
    def feature_count(self) -> int:
        """Number of columns."""
        values = len(self.species) * self.n_max
        # Products of a density with itself are symmetric in n, n'; every pair of densities counts once.
        own = len(self.species) * self.n_max * (self.n_max + 1) // 2
        crossed = (values * values - len(self.species) * self.n_max**2) // 2
        return (own + crossed) * (self.l_max + 1)

    def orthonormalization(self) -> NDArray[np.float64]:
        """The matrix to store with a model and to pass as `radial_matrix` again."""
        if self.radial_matrix is not None:
            return np.asarray(self.radial_matrix, dtype=np.float64)
        if self.rbf == "polynomial":
            return polynomial_rotation(self.cutoff, self.n_max)
        return gto_matrix(self.cutoff, self.n_max, self.l_max)

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
        return fill_rows(structure, self.feature_count, self.dtype, self._blocks(structure), progress, out)

    def iterate_blocks(self, structure: Structure) -> Iterator[tuple[NDArray[np.int64], NDArray]]:
        """Yield (atom indices, rows) for blocks of selected atoms in space order.

        Nothing else of the size of the result is ever held: reduce each block before the next.
        """
        yield from separate_blocks(self.feature_count, self.dtype, self._blocks(structure))

    def iterate_products(self, structure: Structure, matrix: NDArray) -> Iterator[tuple[NDArray[np.int64], NDArray]]:
        """Yield (atom indices, products of their rows, scaled to length one, with the columns of a matrix).

        As `iterate_blocks` and a multiplication, but rows never leave the processor's cache.

        Parameters
        ----------
        structure : Structure
        matrix : (F, C) array
        """
        columns = np.ascontiguousarray(matrix, dtype=self.dtype)
        for grid, block, expansion, prefactors in self._expansions(structure):
            products = np.empty((len(block), columns.shape[1]), dtype=self.dtype)
            arguments = (grid, block, expansion, self.n_max, prefactors, columns, products)
            run_tasks(_multiply_spectra, len(block), *arguments, around=one_blas_thread)
            yield grid.atom[block].astype(np.int64), products

    def _blocks(self, structure: Structure) -> Iterator[tuple[NDArray[np.int64], Fill]]:
        """Yield (atom indices, function that writes their rows)."""
        for grid, block, expansion, prefactors in self._expansions(structure):
            fill = partial(run_tasks, _power_spectra, len(block), grid, block, expansion, self.n_max, prefactors)
            yield grid.atom[block].astype(np.int64), fill

    def _expansions(self, structure: Structure) -> Iterator[tuple[CellGrid, NDArray[np.int64], Expansion, NDArray]]:
        """Yield what the kernels need for each block of atoms."""
        if not len(structure):
            return
        settings = self._settings(structure)
        cells = build_cell_list(structure, self.reach)
        for block in cells.blocks(structure.mask):
            yield cells.grid, block, *settings

    def _settings(self, structure: Structure) -> tuple[Expansion, NDArray]:
        columns = species_columns(structure, self.species)
        matrix = None if self.radial_matrix is None else np.asarray(self.radial_matrix, dtype=np.float64).tobytes()
        table = _table(self.cutoff, self.n_max, self.l_max, self.sigma, self.rbf, self.dtype, matrix)
        expansion = make_expansion(table, self.l_max, columns, len(self.species), self.reach)
        return expansion, np.pi * np.sqrt(8 / (2 * np.arange(self.l_max + 1) + 1)).astype(self.dtype)

    def components_of(
        self, structure: Structure, cells: CellList, mean: NDArray, matrix: NDArray
    ) -> Callable[[NDArray[np.int64]], NDArray]:
        """What gives products of rows, less a mean, with a matrix, for a block of entries of a cell list.

        Parameters
        ----------
        structure : Structure
        cells : CellList
            That reaches at least as far.
        mean, matrix : (F,), (F, C) arrays
            Of the descriptor's `dtype`.
        """
        expansion, prefactors = self._settings(structure)

        def fill(begin: int, end: int, block: NDArray[np.int64], products: NDArray) -> None:
            rows, atoms = np.empty((end - begin, len(matrix)), dtype=self.dtype), block[begin:end]
            places = np.arange(len(rows))
            _power_spectra(0, len(rows), cells.grid, atoms, expansion, self.n_max, prefactors, places, rows)
            rows -= mean
            np.dot(rows, matrix, out=products[begin:end])

        def components(block: NDArray[np.int64]) -> NDArray:
            products = np.empty((len(block), matrix.shape[1]), dtype=self.dtype)
            run_tasks(fill, len(block), block, products, around=one_blas_thread)
            return products

        return components


@lru_cache(maxsize=4)
def _table(
    cutoff: float, n_max: int, l_max: int, sigma: float, rbf: str, dtype: str, matrix: bytes | None
) -> RadialTable:
    settings = SOAPDescriptors(("X",), cutoff, n_max, l_max, sigma, rbf, dtype)
    values = settings.orthonormalization()
    if matrix is not None:
        values = np.frombuffer(matrix, dtype=np.float64).reshape(values.shape)
    family = polynomial_soap_functions if rbf == "polynomial" else gto_soap_functions
    return tabulate(family(cutoff, sigma, l_max, values), settings.reach, dtype)


@kernel
def _power_spectra(begin, end, grid, block, expansion, n_max, prefactors, places, rows):
    """Expand the densities of some atoms of the block and contract them over m."""
    grid, block, expansion, prefactors = unowned((grid, block, expansion, prefactors))
    places, rows = unowned((places, rows))
    work = make_workspace(grid, block, begin, end, expansion)
    products = empty((expansion.l_max + 1) * n_max * expansion.width + lanes(rows), rows.dtype)
    for t in range(begin, end):
        _power_spectrum(grid, block[t], expansion, n_max, prefactors, work, products, rows[places[t]])


def _multiply_spectra(
    begin: int,
    end: int,
    grid: CellGrid,
    block: NDArray[np.int64],
    expansion: Expansion,
    n_max: int,
    prefactors: NDArray,
    matrix: NDArray,
    results: NDArray,
) -> None:
    """Rows as `_power_spectra` computes them, scaled to length one and multiplied by a matrix."""
    for first in range(begin, end, PRODUCT_ROWS):
        part = slice(first, min(first + PRODUCT_ROWS, end))
        atoms = block[part]
        rows = np.empty((len(atoms), len(matrix)), dtype=matrix.dtype)
        squares = np.empty((len(atoms), 1))
        places = np.arange(len(atoms))
        _power_spectra(0, len(atoms), grid, atoms, expansion, n_max, prefactors, places, rows)
        _square(0, len(atoms), rows, squares)
        np.dot(rows, matrix, out=results[part])
        np.divide(results[part], np.sqrt(squares), out=results[part], casting="same_kind")


@kernel
def _square(begin, end, rows, squares):
    """Squared lengths, summed in double precision and in order: BLAS has another order on every processor."""
    for i in range(begin, end):
        total = 0.0
        for k in range(rows.shape[1]):
            total += rows[i, k] * rows[i, k]
        squares[i, 0] = total


@inner
def _power_spectrum(grid, i, expansion, n_max, prefactors, work, products, row):
    """The row of one atom."""
    count = collect_neighbours(grid, i, expansion, work)
    _add_centre(expansion.columns[grid.species[i]], work)
    evaluate_radial(expansion, work, count)
    evaluate_harmonics(expansion, work, count)
    expand_density(expansion, work)
    _contract(expansion, n_max, prefactors, work.density, products, row)


@inner
def _add_centre(column, work):
    """Add the atom itself as a neighbour at distance zero, where only l = 0 contributes, whatever the direction."""
    place = work.last[column]
    work.x[place], work.y[place], work.z[place], work.r[place] = 0, 0, 1, 0
    work.last[column] = place + 1


@inner
def _contract(expansion, n_max, prefactors, density, products, row):
    """Σ_m c c' for all pairs of densities, in the order of the features."""
    width = expansion.width
    terms = (expansion.l_max + 1) * (expansion.l_max + 1)
    feature = 0
    for first in range(expansion.densities):
        for second in range(first, expansion.densities):
            for degree in range(expansion.l_max + 1):
                row_product(
                    products,
                    degree * n_max * width,
                    width,
                    density,
                    (first * terms + degree * degree) * width,
                    width,
                    density,
                    (second * terms + degree * degree) * width,
                    width,
                    n_max,
                    2 * degree + 1,
                    width,
                )
            for degree in range(expansion.l_max + 1):
                for n in range(n_max):
                    begin = n if first == second else 0
                    source = (degree * n_max + n) * width + begin
                    _copy_scaled(prefactors[degree], products, source, row, feature, n_max - begin)
                    feature += n_max - begin


@inner
def _copy_scaled(factor, source, begin, target, at, count):
    """Copy numbers in whole vectors; what is too much is replaced by who writes the next ones."""
    size = lanes(source)
    while count > 0 and at + size <= len(target):
        store(target, at, factor * load(source, begin, source))
        begin, at, count = begin + size, at + size, count - size
    for k in range(count):
        target[at + k] = factor * source[begin + k]
