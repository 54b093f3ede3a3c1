"""Radial functions are what their formulas say, and their tables as precise as promised."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from scipy import integrate, special

from ovito_glassml.descriptors.radial import (
    bessel_functions,
    gto_exponents,
    gto_matrix,
    gto_soap_functions,
    jacobi_basis,
    polynomial_matrix,
    polynomial_rotation,
    polynomial_soap_functions,
    tabulate,
)

NODES, WEIGHTS = np.polynomial.legendre.leggauss(400)


@pytest.mark.parametrize("n_max", [1, 5, 11, 16])
def test_orthonormalisation_of_polynomials_in_extended_precision(n_max):
    matrix = polynomial_matrix(5.0, n_max)
    with localcontext() as context:
        context.prec = 60
        r_c, span = Decimal(5), range(n_max)
        overlap = [[2 * r_c ** (9 + i + j) / ((7 + i + j) * (8 + i + j) * (9 + i + j)) for j in span] for i in span]
        left = [[sum(matrix[i][k] * overlap[k][j] for k in span) for j in span] for i in span]
        product = [[sum(left[i][k] * matrix[j][k] for k in span) for j in span] for i in span]
        worst = max(abs(product[i][j] - (i == j)) for i in span for j in span)
        asymmetry = max(abs(matrix[i][j] - matrix[j][i]) for i in span for j in span)
    assert worst < Decimal("1e-10")
    assert asymmetry < Decimal("1e-10")  # Löwdin's choice among all orthonormal sets


@pytest.mark.parametrize("n_max", [1, 5, 11, 16])
def test_polynomials_in_double_precision_are_orthonormal(n_max):
    r = 2.5 * (NODES + 1)
    rotation = polynomial_rotation(5.0, n_max)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(n_max), atol=1e-14)
    functions = rotation @ jacobi_basis(r, 5.0, n_max)
    np.testing.assert_allclose((functions * r**2 * WEIGHTS * 2.5) @ functions.T, np.eye(n_max), atol=1e-10)


def test_rotated_jacobi_polynomials_are_the_orthonormalised_powers():
    r = np.linspace(0, 6, 50)
    powers = np.array([np.clip(5 - r, 0, None) ** (n + 2) for n in range(1, 6)])
    expected = np.array(polynomial_matrix(5.0, 5), dtype=float) @ powers
    np.testing.assert_allclose(polynomial_rotation(5.0, 5) @ jacobi_basis(r, 5.0, 5), expected, atol=1e-11)


def test_gaussian_type_orbitals_are_orthonormal():
    matrix, exponents = gto_matrix(5.0, 8, 3), gto_exponents(5.0, 8, 3)
    r = 10 * (NODES + 1)
    for degree in range(4):
        orbitals = matrix[degree] @ (r**degree * np.exp(-np.outer(exponents[degree], r**2)))
        np.testing.assert_allclose((orbitals * r**2 * WEIGHTS * 10) @ orbitals.T, np.eye(8), atol=1e-7)
        np.testing.assert_allclose(matrix[degree], matrix[degree].T, rtol=1e-10)


@pytest.mark.parametrize("degree", [0, 1, 5, 12])
def test_projection_of_a_gaussian(degree):
    """Both bases against adaptive integration of the definition."""
    sigma, distance, r_c = 0.5, 2.7, 5.0

    def projected(basis, r_max):
        def integrand(s):
            x = s * distance / sigma**2
            bessel = special.ive(degree + 0.5, x) * np.sqrt(np.pi / (2 * x))
            return 4 * np.pi * s**2 * basis(s) * np.exp(-((s - distance) ** 2) / (2 * sigma**2)) * bessel

        return integrate.quad(integrand, 1e-12, r_max, points=[distance], epsabs=1e-13, limit=400)[0]

    rotation = polynomial_rotation(r_c, 4)
    values = polynomial_soap_functions(r_c, sigma, degree, rotation)(np.array([distance]))[0, degree]
    expected = [projected(lambda s, n=n: (rotation[n] @ jacobi_basis(np.array([s]), r_c, 4))[0], r_c) for n in range(4)]
    np.testing.assert_allclose(values, expected, atol=1e-10)

    matrix, alphas = gto_matrix(r_c, 4, degree), gto_exponents(r_c, 4, degree)[degree]
    values = gto_soap_functions(r_c, sigma, degree, matrix)(np.array([distance]))[0, degree]
    expected = [
        projected(lambda s, n=n: matrix[degree, n] @ (s**degree * np.exp(-alphas * s**2)), 12.0) for n in range(4)
    ]
    np.testing.assert_allclose(values, expected, atol=1e-9)


def test_on_top_of_the_centre_only_degree_zero_remains():
    for functions in (
        polynomial_soap_functions(5.0, 0.5, 4, polynomial_rotation(5.0, 3)),
        gto_soap_functions(5.0, 0.5, 4, gto_matrix(5.0, 3, 4)),
    ):
        values = functions(np.array([0.0]))[0]
        assert np.abs(values[0]).min() > 1e-3
        np.testing.assert_array_equal(values[1:], 0)


@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 1e-9), (np.float32, 1e-7)])
def test_tables_state_their_error(dtype, bound):
    functions = bessel_functions(5.0, 8)
    table = tabulate(functions, 5.0, dtype)
    assert table.error < bound
    assert table.values.dtype == dtype
    # The statement is checked at other places than those where it was measured.
    r = np.random.default_rng(0).uniform(2 / table.knots_per_length, 5, 5000)
    k = (r * table.knots_per_length).astype(int) - 2
    u = r * table.knots_per_length - k
    guess = np.zeros((len(r), 8))
    for a in range(6):
        weight = np.prod([(u - b) / (a - b) for b in range(6) if b != a], axis=0)
        guess += weight[:, None] * table.values[k + a][:, :8].astype(np.float64)
    exact = functions(r)[:, 0]
    rounding = 4 * np.finfo(dtype).eps
    assert (np.abs(guess - exact) / np.abs(exact).max(axis=0)).max() < 1.5 * table.error + rounding
