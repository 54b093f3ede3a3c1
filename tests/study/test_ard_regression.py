"""Automatic relevance determination against scikit-learn and against what is relevant."""

import numpy as np
import pytest

from ovito_glassml.study.ard_regression import fit_ard


@pytest.fixture(scope="module")
def problem():
    """400 rows of 25 features of which three matter, two of them alike."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(400, 25))
    rows[:, 7] = rows[:, 3] + 0.5 * rng.normal(size=400)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    target = 2.0 * rows[:, 3] - 1.0 * rows[:, 7] + 0.5 * rows[:, 20] + rng.normal(size=400) + 5.0
    return rows, target


def test_weights_are_those_of_scikit_learn(problem):
    linear_model = pytest.importorskip("sklearn.linear_model")
    rows, target = problem
    reference = linear_model.ARDRegression().fit(rows, target)
    np.testing.assert_allclose(fit_ard(rows, target), reference.coef_, atol=2e-3)


def test_irrelevant_features_are_switched_off(problem):
    weights = fit_ard(*problem)
    assert weights[[3, 7, 20]] == pytest.approx([2.0, -1.0, 0.5], abs=0.15)
    others = np.delete(weights, [3, 7, 20])
    assert np.count_nonzero(others) < len(others) / 2
    assert np.abs(others).max() < 0.15


def test_a_target_that_nothing_explains_or_that_is_constant(problem):
    rows, _ = problem
    noise = np.random.default_rng(5).normal(size=len(rows))
    assert np.abs(fit_ard(rows, noise)).max() < 0.15
    assert np.abs(fit_ard(rows, np.full(len(rows), 3.0))).max() < 1e-6
