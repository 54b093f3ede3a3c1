"""The list of correlations is complete, each is invariant, and none is zero or a combination of others."""

import numpy as np
import pytest

from ovito_glassml.descriptors.invariants import correlation_labels, coupling, invariant_polynomials


def invariants_by_character(species, order, n_max, degree, weight=1.5):
    """Number of O(3) invariants in the symmetric power of the one-neighbour functions, graded by total degree.

    The dimension of the invariant subspace is the mean of the character over the group. Grades are
    counted in half steps, as coefficients of polynomials in t.
    """
    nodes, weights = np.polynomial.legendre.leggauss(200)
    angle = np.pi / 2 * (nodes + 1)
    measure = weights * np.pi / 2 * 2 / np.pi * np.sin(angle / 2) ** 2  # Haar measure of the rotation angle
    grades = int(2 * degree) + 1
    total = 0.0
    for parity in (1, -1):

        def graded(power, parity=parity):
            """Character of g^power with every function's grade multiplied by `power`."""
            result = np.zeros((len(angle), grades))
            for n in range(1, n_max + 1):
                for angular in range(grades):
                    grade = round(2 * (n + weight * angular)) * power
                    if grade < grades:
                        m = np.arange(-angular, angular + 1)
                        character = np.cos(np.outer(angle * power, m)).sum(axis=1) * parity ** (angular * power)
                        result[:, grade] += species * character
            return result

        def times(a, b):
            return np.array([np.convolve(x, y)[:grades] for x, y in zip(a, b, strict=True)])

        one, two, three = graded(1), graded(2), graded(3)
        squared = times(one, one)
        symmetric = {
            1: one,
            2: (squared + two) / 2,
            3: (times(squared, one) + 3 * times(one, two) + 2 * three) / 6,
        }[order]
        total += (measure @ symmetric).sum() / 2
    return total


@pytest.mark.parametrize(("species", "n_max", "degree"), [(1, 10, 10), (2, 10, 10), (1, 20, 18), (3, 4, 8)])
def test_number_of_invariants_is_that_of_group_theory(species, n_max, degree):
    labels = correlation_labels(species, 3, n_max, degree, 1.5)
    assert len(set(labels)) == len(labels)
    assert sum(len(label) == 1 for label in labels) == species * n_max
    for order in (2, 3):
        expected = invariants_by_character(species, order, n_max, degree)
        assert sum(len(label) == order for label in labels) == pytest.approx(expected, abs=1e-6)


def test_sizes_of_the_published_presets():
    assert len(correlation_labels(2, 3, 10, 10, 1.5)) == 574
    assert len(correlation_labels(1, 3, 20, 18, 1.5)) == 1121


def test_sorted_by_order_and_first_species_first():
    labels = correlation_labels(2, 3, 10, 10, 1.5)
    orders = [len(label) for label in labels]
    assert orders == sorted(orders)
    for order in (1, 2, 3):
        mixed = [any(slot[0] for slot in label) for label in labels if len(label) == order]
        assert mixed == sorted(mixed)


def test_every_correlation_respects_the_degree_and_parity():
    for label in correlation_labels(2, 3, 10, 10, 1.5):
        if len(label) > 1:
            assert sum(n + 1.5 * angular for _, n, angular in label) <= 10
        assert sum(angular for _, _, angular in label) % 2 == 0


@pytest.mark.parametrize("degrees", [(0, 0, 0), (1, 1, 0), (2, 1, 1), (3, 2, 1), (4, 3, 3), (5, 5, 4)])
def test_coupling_is_normalised_and_has_the_norm_of_gaunt(degrees):
    sympy_free_norm = {(0, 0, 0): 1 / np.sqrt(4 * np.pi), (1, 1, 0): np.sqrt(3 / (4 * np.pi))}
    tensor, norm = coupling(*degrees)
    assert np.linalg.norm(tensor) == pytest.approx(1)
    if degrees in sympy_free_norm:
        assert norm == pytest.approx(sympy_free_norm[degrees])
    # Contracting two legs of a coupling gives the identity: the coupling is unique and irreducible.
    contracted = np.einsum("abc,abd->cd", tensor, tensor)
    np.testing.assert_allclose(contracted, np.eye(len(contracted)) / len(contracted), atol=1e-13)


def test_forbidden_couplings_are_left_out():
    labels = {tuple(slot[2] for slot in label) for label in correlation_labels(1, 3, 20, 18, 1.5)}
    assert (1, 1, 1) not in labels
    assert not any(len(angular) == 3 and max(angular) > sum(angular) / 2 for angular in labels)


def test_invariants_are_linearly_independent():
    """Random densities: as many independent columns as polynomials."""
    labels = correlation_labels(2, 3, 4, 7, 1.5)
    polynomials = invariant_polynomials(labels, purified=False)
    rng = np.random.default_rng(0)
    values = np.concatenate(
        [rng.normal(size=(len(polynomials.entries), 3 * len(labels))), np.ones((1, 3 * len(labels)))]
    )
    rows = np.array(
        [
            polynomials.coefficients[a:b] @ values[polynomials.factors[a:b]].prod(axis=1)
            for a, b in zip(polynomials.starts[:-1], polynomials.starts[1:], strict=True)
        ]
    )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.linalg.svd(rows, compute_uv=False).min() > 1e-3
