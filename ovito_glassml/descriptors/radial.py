"""Radial functions: their definitions, in extended precision where double precision fails, and their tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np
import scipy
from numpy.typing import DTypeLike, NDArray

from ovito_glassml.descriptors.products import padded
from ovito_glassml.descriptors.vectors import VECTOR_BYTES
from ovito_glassml.structure import StructureError

__all__ = [
    "ACE_STEEPNESS",
    "GTO_DECAY",
    "RadialTable",
    "ace_transform",
    "bessel_functions",
    "gto_exponents",
    "gto_matrix",
    "gto_soap_functions",
    "jacobi_basis",
    "polynomial_matrix",
    "polynomial_rotation",
    "polynomial_soap_functions",
    "tabulate",
]

RadialFunctions = Callable[[NDArray], NDArray[np.float64]]
Matrix = list[list[Decimal]]

#: Points of the interpolating polynomial.
STENCIL = 6

#: Tables worse than this are refused.
MAX_TABLE_ERROR = 1e-6

#: Value to which a Gaussian-type orbital has decayed at its own radius (DScribe's choice).
GTO_DECAY = 1e-3

# Decimal digits for orthonormalisation; the overlap of eleven polynomials loses 22 of them.
_DIGITS = 70


@dataclass(frozen=True, eq=False)
class RadialTable:
    """Radial functions on equidistant knots, for interpolation by polynomials through six of them.

    Attributes
    ----------
    values : (K, C) array
        Row k: all functions at r = k / knots_per_length; for each of L groups (degrees l, or one
        group that serves all degrees) `functions` numbers, and zeros at the end, so that
        `width` numbers can be read from the beginning of any group, and whole vectors from any place.
    knots_per_length : float
    functions, groups, width : int
    error : float
        Largest interpolation error found between the knots, relative to the function's largest value.
    """

    values: NDArray
    knots_per_length: float
    functions: int
    groups: int
    width: int
    error: float


def tabulate(functions: RadialFunctions, r_max: float, dtype: DTypeLike = np.float64) -> RadialTable:
    """Tabulate radial functions so finely that interpolation does not limit the precision of `dtype`.

    Parameters
    ----------
    functions : callable
        Maps distances (K,) to values (K, L, n), smooth also slightly beyond `r_max`.
    r_max : float
        Largest distance that will be looked up.
    dtype : float32 or float64
        The error aimed at is 1e-9 of each function's maximum in float64 and 1e-7 in float32.

    Returns
    -------
    RadialTable
        Its `error` says what was reached, measured half-way between knots where it is largest.

    Raises
    ------
    StructureError
        For functions whose values are dominated by rounding, as of more than 16 Gaussian-type orbitals.
    """
    kind = np.dtype(dtype)
    tolerance = 1e-9 if kind == np.float64 else 1e-7
    intervals = 128
    while True:
        spacing = r_max / intervals
        knots = np.arange(intervals + STENCIL) * spacing
        values = functions(knots)
        between = (np.arange(2, intervals) + 0.5) * spacing
        exact = functions(between)
        scale = np.abs(values[: intervals + 1]).max(axis=0)
        guess = _between_knots(values)[: len(between)]
        with np.errstate(invalid="ignore", divide="ignore"):
            error = float(np.nanmax(np.abs(guess - exact) / scale))
        if error < tolerance or intervals >= 2048:
            break
        # The error falls with the sixth power of the spacing; a short table stays in the cache.
        intervals = min(2048, int(intervals * np.clip((2 * error / tolerance) ** (1 / STENCIL), 1.1, 4)) + 1)
    if error > MAX_TABLE_ERROR:
        raise StructureError(
            f"Double precision gives these radial functions only to {error:.0e} of their size; lower n_max or choose "
            "another radial basis."
        )
    groups, count = values.shape[1:]
    width = padded(count, kind.itemsize)
    lanes = VECTOR_BYTES // kind.itemsize
    rows = np.zeros((len(knots), -(-((groups - 1) * count + width) // lanes) * lanes), dtype=kind)
    rows[:, : groups * count] = values.reshape(len(knots), -1)
    return RadialTable(rows, intervals / r_max, count, groups, width, error)


def _between_knots(values: NDArray) -> NDArray:
    """Interpolate half-way between the middle two of every six consecutive knots."""
    weights = np.array([3, -25, 150, 150, -25, 3]) / 256
    count = len(values) - STENCIL + 1
    return sum(weight * values[k : k + count] for k, weight in enumerate(weights))


def bessel_functions(cutoff: float, n_max: int) -> RadialFunctions:
    """√(2/r_c) sin(nπr/r_c) / r for n = 1 … n_max: spherical Bessel functions of degree 0 that vanish at r_c."""
    wave_numbers = np.pi * np.arange(1, n_max + 1) / cutoff

    def functions(r: NDArray[np.float64]) -> NDArray[np.float64]:
        phase = np.multiply.outer(r, wave_numbers)
        return (np.sqrt(2 / cutoff) * wave_numbers * np.sinc(phase / np.pi))[:, None, :]

    return functions


def polynomial_matrix(cutoff: float, n_max: int) -> Matrix:
    """B = S^(-1/2), which makes (r_c − r)^(n+2), n = 1 … n_max, orthonormal on 0 … r_c with weight r².

    At n_max 11 the condition number of the overlap S is 3·10²¹, so neither S^(-1/2) nor sums with
    it mean anything in double precision. This is exact to more digits than float64 has.

    Returns
    -------
    n_max lists of n_max Decimal
        Row n holds the coefficients of g_n.
    """
    with localcontext() as context:
        context.prec = _DIGITS
        rotation, triangle = _lowdin(_polynomial_overlap(cutoff, n_max))
        return _product(rotation, _inverse(triangle))


def polynomial_rotation(cutoff: float, n_max: int) -> NDArray[np.float64]:
    """The matrix of `polynomial_matrix` in a basis in which double precision can hold it.

    g_n = Σ_k U[n, k] φ_k with φ_k the orthonormal Jacobi polynomials of `jacobi_basis`, which span the
    same functions. U is orthogonal: it is what is stored with a model.

    Returns
    -------
    (n_max, n_max) float64 array
    """
    with localcontext() as context:
        context.prec = _DIGITS
        rotation, _ = _lowdin(_polynomial_overlap(cutoff, n_max))
        return np.array(rotation, dtype=np.float64)


def jacobi_basis(r: NDArray[np.float64], cutoff: float, n_max: int) -> NDArray[np.float64]:
    """Polynomials (r_c − r)³ · (degree k) that are orthonormal on 0 … r_c with weight r²; zero beyond r_c.

    Returns
    -------
    (n_max, K) array for K distances
    """
    t = np.clip(1 - np.asarray(r) / cutoff, 0, None)
    k = np.arange(n_max)[:, None]
    norm = np.sqrt((k + 1) * (k + 2) / ((2 * k + 9) * (k + 7) * (k + 8)) * cutoff**3)
    return t**3 * scipy.special.eval_jacobi(k, 2, 6, 2 * t - 1) / norm


def polynomial_soap_functions(
    cutoff: float, sigma: float, l_max: int, rotation: NDArray[np.float64]
) -> RadialFunctions:
    """R_nl(r) = 4π ∫ s² g_n(s) exp(−(s−r)²/2σ²) e^(−x) i_l(x) ds, x = s r/σ², over 0 … r_c.

    The projection of a Gaussian of width σ (height 1) at distance r on g_n Y_lm; i_l is the modified
    spherical Bessel function of the first kind.

    Parameters
    ----------
    cutoff, sigma : float
    l_max : int
    rotation : (n_max, n_max) array
        From `polynomial_rotation`.
    """
    nodes, weights = np.polynomial.legendre.leggauss(max(100, int(16 * cutoff / sigma)))
    s = cutoff / 2 * (nodes + 1)
    basis = rotation @ jacobi_basis(s, cutoff, len(rotation)) * (cutoff / 2 * weights * s**2)

    def functions(r: NDArray[np.float64]) -> NDArray[np.float64]:
        gaussian = np.exp(-((s - r[:, None]) ** 2) / (2 * sigma**2))
        x = s * r[:, None] / sigma**2
        values = np.empty((len(r), l_max + 1, len(rotation)))
        for degree, bessel in _scaled_bessel(l_max, x):
            values[:, degree] = 4 * np.pi * (gaussian * bessel) @ basis.T
        return values

    return functions


def _scaled_bessel(l_max: int, x: NDArray[np.float64]) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield (l, e^(−x) i_l(x)) from l_max down to 0, the direction in which the recurrence is stable."""
    positive = np.where(x > 0, x, 1.0)
    scale = np.sqrt(np.pi / (2 * positive))
    above, current = (scale * scipy.special.ive(degree + 0.5, positive) for degree in (l_max + 1, l_max))
    for degree in range(l_max, -1, -1):
        yield degree, np.where(x > 0, current, float(degree == 0))
        above, current = current, above + (2 * degree + 1) / positive * current


def gto_exponents(cutoff: float, n_max: int, l_max: int) -> NDArray[np.float64]:
    """α_nl of the orbitals r^l exp(−α r²), which decay to `GTO_DECAY` at radii from 1 to r_c, (l_max + 1, n_max)."""
    radii = np.linspace(1, cutoff, n_max)
    return np.array([-np.log(GTO_DECAY / radii**degree) / radii**2 for degree in range(l_max + 1)])


def gto_matrix(cutoff: float, n_max: int, l_max: int) -> NDArray[np.float64]:
    """β = S^(-1/2) for every degree, which makes the orbitals of `gto_exponents` orthonormal on 0 … ∞ with weight r².

    Returns
    -------
    (l_max + 1, n_max, n_max) float64 array
    """
    result = np.empty((l_max + 1, n_max, n_max))
    with localcontext() as context:
        context.prec = _DIGITS
        for degree, exponents in enumerate(gto_exponents(cutoff, n_max, l_max)):
            alphas = [Decimal(float(alpha)) for alpha in exponents]
            power = -(degree + Decimal("1.5"))
            overlap = [[(a + b) ** power for b in alphas] for a in alphas]
            rotation, triangle = _lowdin(overlap)
            inverse_root = np.array(_product(rotation, _inverse(triangle)), dtype=np.float64)
            result[degree] = inverse_root / np.sqrt(0.5 * scipy.special.gamma(degree + 1.5))
    return result


def gto_soap_functions(cutoff: float, sigma: float, l_max: int, matrix: NDArray[np.float64]) -> RadialFunctions:
    """As `polynomial_soap_functions` for Gaussian-type orbitals, where the integral over 0 … ∞ is elementary.

    Parameters
    ----------
    cutoff, sigma : float
    l_max : int
    matrix : (l_max + 1, n_max, n_max) array
        From `gto_matrix`.
    """
    eta = 1 / (2 * sigma**2)
    alphas = gto_exponents(cutoff, matrix.shape[1], l_max)

    def functions(r: NDArray[np.float64]) -> NDArray[np.float64]:
        values = np.empty((len(r), l_max + 1, matrix.shape[1]))
        for degree in range(l_max + 1):
            total = alphas[degree] + eta
            height = np.pi**1.5 * eta**degree / total ** (degree + 1.5)
            primitives = height * np.exp(-np.multiply.outer(r**2, eta * alphas[degree] / total)) * r[:, None] ** degree
            values[:, degree] = primitives @ matrix[degree].T
        return values

    return functions


def _polynomial_overlap(cutoff: float, n_max: int) -> Matrix:
    """∫ r² (r_c − r)^(i+2) (r_c − r)^(j+2) dr."""
    r_c = Decimal(float(cutoff))
    indices = range(1, n_max + 1)
    return [[2 * r_c ** (7 + i + j) / ((5 + i + j) * (6 + i + j) * (7 + i + j)) for j in indices] for i in indices]


def _cholesky(matrix: Matrix) -> Matrix:
    """Lower triangle L with L Lᵀ = matrix."""
    size = len(matrix)
    lower = [[Decimal(0)] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i][j] - sum((lower[i][k] * lower[j][k] for k in range(j)), Decimal(0))
            lower[i][j] = rest.sqrt() if i == j else rest / lower[j][j]
    return lower


#: Exponent factor of ACEpotentials' distance transform: its slope is steepest at r = r_0.
ACE_STEEPNESS = 3 / 11


def ace_transform(r: NDArray[np.float64], cutoff: float, nearest: float) -> NDArray[np.float64]:
    """Distance x from 0 at r = 0 to 1 at r_c, resolving best the distances around `nearest`.

    x = 1 − (y(s) − y(s_c)) / (y(0) − y(s_c)) · (1 − (r/r_c)⁴), y(s) = (1 + s³) / (1 + s³ + a s⁴),
    s = r/r_0, a = 3/11. Value and slope of 1 − x vanish at the cutoff.
    """

    def y(s):  # type: ignore[no-untyped-def]
        return (1 + s**3) / (1 + s**3 + ACE_STEEPNESS * s**4)

    end = y(cutoff / nearest)
    return 1 - (y(np.asarray(r) / nearest) - end) / (1 - end) * (1 - (np.asarray(r) / cutoff) ** 4)


def _lowdin(overlap: Matrix) -> tuple[Matrix, Matrix]:
    """U and L with S = L Lᵀ, U orthogonal and S^(-1/2) = U L^(-1), in the current decimal context.

    U is the orthogonal factor of the polar decomposition of L, found by Newton's iteration.
    """
    triangle = _cholesky(overlap)
    factor = triangle
    for _ in range(100):
        inverse = _transposed(_inverse(factor))
        # Scaled so that large and small singular values meet halfway: ten steps instead of forty.
        balance = (_norm(inverse) / _norm(factor)).sqrt()
        following = [
            [(balance * a + b / balance) / 2 for a, b in zip(p, q, strict=True)]
            for p, q in zip(factor, inverse, strict=True)
        ]
        change = max(abs(a - b) for p, q in zip(following, factor, strict=True) for a, b in zip(p, q, strict=True))
        factor = following
        if change < Decimal(10) ** -30:
            return factor, triangle
    raise ArithmeticError("The orthonormalisation of the radial basis did not converge.")


def _transposed(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def _norm(matrix: Matrix) -> Decimal:
    return sum((value * value for row in matrix for value in row), Decimal(0)).sqrt()


def _product(a: Matrix, b: Matrix) -> Matrix:
    columns = _transposed(b)
    return [[sum((x * y for x, y in zip(row, column, strict=True)), Decimal(0)) for column in columns] for row in a]


def _inverse(matrix: Matrix) -> Matrix:
    """Gauss-Jordan elimination with row pivoting."""
    size = len(matrix)
    unit_matrix = [[Decimal(int(i == j)) for j in range(size)] for i in range(size)]
    rows = [list(row) + unit for row, unit in zip(matrix, unit_matrix, strict=True)]
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(rows[row][column]))
        rows[column], rows[pivot] = rows[pivot], rows[column]
        divisor = rows[column][column]
        rows[column] = [value / divisor for value in rows[column]]
        for row in range(size):
            if row != column and rows[row][column]:
                factor = rows[row][column]
                rows[row] = [x - factor * y for x, y in zip(rows[row], rows[column], strict=True)]
    return [row[size:] for row in rows]
