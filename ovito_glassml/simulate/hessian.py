"""Second derivatives of the energy: analytic for embedded-atom potentials, by differences of forces for all others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, diags_array

from ovito_glassml.errors import SimulationError
from ovito_glassml.neighbours import neighbour_lists
from ovito_glassml.simulate.local_forces import Functions, coefficients, lammps_knots, read_functions
from ovito_glassml.simulate.material import Material
from ovito_glassml.structure import Structure
from ovito_glassml.threads import Progress

__all__ = ["embedded_atom_hessian", "hessian_by_differences"]

#: In nearest-neighbour distances: displacement of the differences. The error from the fourth derivative is below 10⁻⁴
#: of a curvature, that of rounding 10⁻⁹.
STEP = 0.002


def hessian_by_differences(
    forces: Callable[[NDArray], tuple[float, NDArray]],
    positions: NDArray,
    step: float,
    dtype: type = np.float64,
    progress: Progress | None = None,
) -> NDArray:
    """Hessian (3N, 3N) by central differences of forces, two evaluations for each coordinate, then symmetrised.

    Parameters
    ----------
    forces : callable
        Takes positions (N, 3) to energy and forces (N, 3).
    positions : (N, 3) array
    step : float
        Displacement in the length unit.
    dtype : type
        Of the result: float32 takes half of the memory.
    progress : callable, optional
        Called with the fraction done after each coordinate; may raise to stop.
    """
    size = positions.size
    matrix: NDArray = np.empty((size, size), dtype=dtype)
    moved = positions.copy()
    for k in range(size):
        atom, axis = divmod(k, 3)
        rows = []
        for side in (step, -step):
            moved[atom, axis] = positions[atom, axis] + side
            rows.append(forces(moved)[1].ravel())
        moved[atom, axis] = positions[atom, axis]
        matrix[k] = (rows[1] - rows[0]) / (2 * step)
        if progress is not None:
            progress((k + 1) / size)
    symmetrise(matrix)
    return matrix


def symmetrise(matrix: NDArray, tile: int = 512) -> None:
    """Mean of a matrix and its transpose, in place."""
    for first in range(0, len(matrix), tile):
        for second in range(first, len(matrix), tile):
            rows, columns = slice(first, first + tile), slice(second, second + tile)
            mean = (matrix[rows, columns] + matrix[columns, rows].T) / 2
            matrix[rows, columns], matrix[columns, rows] = mean, mean.T


def embedded_atom_hessian(structure: Structure, material: Material) -> csr_array:
    """Hessian (3N, 3N) of an embedded-atom potential.

    With the energy ½ Σ φ_ij + Σ F_i(ρ_i), ρ_i = Σ_j f_ij, it is that of pairs with the energy φ + F'_i f_ij + F'_j f_ji
    and the term Σ_i F''_i ∇ρ_i ∇ρ_iᵀ, which reaches twice as far. Values and slopes are LAMMPS's; the second derivative
    of its interpolation jumps at every point of a table, here it goes evenly from one to the next.

    Raises
    ------
    SimulationError
        If the material is of another kind or does not describe a species.
    """
    functions, kinds = _functions_of(structure, material)
    pairs = _Pairs.of(structure, functions.cutoff)
    count = len(structure)
    a, b = kinds[pairs.first], kinds[pairs.second]
    own, own_slope, own_curvature = _by_kind(lambda p, q: functions.density[q][p], a, b, pairs.lengths, functions.step)
    _, other_slope, other_curvature = _by_kind(
        lambda p, q: functions.density[p][q], a, b, pairs.lengths, functions.step
    )
    density = np.bincount(pairs.first, own, count)
    slope, curvature = _embedding(functions, kinds, density)
    pair_slope, pair_curvature = _pair(functions, a, b, pairs.lengths)
    pair_slope += slope[pairs.first] * own_slope + slope[pairs.second] * other_slope
    pair_curvature += slope[pairs.first] * own_curvature + slope[pairs.second] * other_curvature
    gradient = _gradient(pairs, own_slope, count)
    return _springs(pairs, pair_slope, pair_curvature, count) + csr_array(
        gradient.T @ diags_array(curvature) @ gradient
    )


class _Pairs:
    """Every pair of neighbours, both ways: indices (P,), unit vectors (P, 3) and lengths (P,)."""

    def __init__(self, first: NDArray, second: NDArray, vectors: NDArray) -> None:
        self.first, self.second = first, second
        self.lengths = np.linalg.norm(vectors, axis=1)
        self.directions = vectors / self.lengths[:, None]

    @classmethod
    def of(cls, structure: Structure, cutoff: float) -> _Pairs:
        lists = neighbour_lists(structure, cutoff, vectors=True)
        first = np.repeat(np.arange(len(structure)), np.diff(lists.offsets))
        vectors = structure.positions[lists.indices] - structure.positions[first]
        if structure.cell is not None:  # in double precision, which the lists are not
            turns = np.round((np.asarray(lists.vectors) - vectors) @ np.linalg.inv(structure.cell))
            vectors += turns @ structure.cell
        return cls(first, lists.indices.astype(np.int64), vectors)


def _functions_of(structure: Structure, material: Material) -> tuple[Functions, NDArray[np.int64]]:
    """The tables of a potential, and which of their species every atom is."""
    functions = read_functions(material)
    missing = set(structure.species_names) - set(functions.species)
    if missing:
        raise SimulationError(f"The potential does not describe {', '.join(sorted(missing))}; give another one.")
    number = np.array([functions.species.index(name) for name in structure.species_names])
    return functions, number[structure.species]


def _tabulated(values: NDArray, step: float, at: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """A function as LAMMPS interpolates it, its slope, and its second derivative, linear between the points."""
    knots, slopes = lammps_knots(values)
    polynomials = coefficients(knots, slopes)
    interval = np.minimum((at / step).astype(int), len(polynomials) - 1)
    t = np.minimum(at / step - interval, 1.0)
    c = polynomials[interval].T
    value = c[0] + t * (c[1] + t * (c[2] + t * c[3]))
    bends = np.gradient(slopes)
    bend = (1 - t) * bends[interval] + t * bends[interval + 1]
    return value, (c[1] + t * (2 * c[2] + 3 * t * c[3])) / step, bend / step**2


def _by_kind(
    table: Callable[[int, int], NDArray], a: NDArray, b: NDArray, radii: NDArray, step: float
) -> tuple[NDArray, NDArray, NDArray]:
    """`_tabulated` of pairs of species a and b, each pair with its table."""
    result = np.zeros((3, len(radii)))
    for p in np.unique(a):
        for q in np.unique(b):
            chosen = (a == p) & (b == q)
            result[:, chosen] = _tabulated(table(p, q), step, radii[chosen])
    return result[0], result[1], result[2]


def _pair(functions: Functions, a: NDArray, b: NDArray, radii: NDArray) -> tuple[NDArray, NDArray]:
    """Slope and second derivative of the pair energy, of which r times it is tabulated."""
    product, slope, curvature = _by_kind(lambda p, q: functions.pair[p, q], a, b, radii, functions.step)
    energy = product / radii
    first = (slope - energy) / radii
    return first, (curvature - 2 * first) / radii


def _embedding(functions: Functions, kinds: NDArray, density: NDArray) -> tuple[NDArray, NDArray]:
    """Slope and second derivative of the embedding energy of every atom."""
    slope, curvature = np.empty(len(kinds)), np.empty(len(kinds))
    for kind in np.unique(kinds):
        chosen = kinds == kind
        found = _tabulated(functions.embedding[kind], functions.density_step, density[chosen])
        slope[chosen], curvature[chosen] = found[1:]
    return slope, curvature


def _gradient(pairs: _Pairs, slope: NDArray, count: int) -> csr_array:
    """Derivatives (N, 3N) of the densities by all coordinates."""
    values = slope[:, None] * pairs.directions
    axes = np.arange(3)
    rows = np.repeat(pairs.first, 3)
    shape = (count, 3 * count)
    ahead = coo_array((values.ravel(), (rows, (3 * pairs.second[:, None] + axes).ravel())), shape=shape)
    behind = coo_array((-values.ravel(), (rows, (3 * pairs.first[:, None] + axes).ravel())), shape=shape)
    gradient = (ahead + behind).tocsr()
    gradient.eliminate_zeros()
    return gradient


def _springs(pairs: _Pairs, slope: NDArray, curvature: NDArray, count: int) -> csr_array:
    """Hessian of pairs with these first and second derivatives of their energy."""
    across = slope / pairs.lengths
    along = curvature - across
    blocks = along[:, None, None] * pairs.directions[:, :, None] * pairs.directions[:, None, :]
    blocks += across[:, None, None] * np.eye(3)
    axes = np.arange(3)
    shape = (3 * count, 3 * count)

    def placed(values: NDArray, first: NDArray, second: NDArray) -> coo_array:
        rows = np.broadcast_to(3 * first[:, None, None] + axes[:, None], values.shape)
        columns = np.broadcast_to(3 * second[:, None, None] + axes, values.shape)
        return coo_array((values.ravel(), (rows.ravel(), columns.ravel())), shape=shape)

    own = np.stack(
        [np.bincount(pairs.first, blocks[:, i, j], count) for i in range(3) for j in range(3)], axis=-1
    ).reshape(-1, 3, 3)
    atoms = np.arange(count)
    return (placed(own, atoms, atoms) - placed(blocks, pairs.first, pairs.second)).tocsr()
