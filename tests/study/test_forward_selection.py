"""Forward selection against scikit-learn and against trying everything."""

import numpy as np
import pytest

from ovito_glassml.study.forward_selection import RIDGE, class_weights, fit_logistic, forward_selection


def noisy_labels(rows, weights, seed=3, offset=-0.7):
    chance = 1 / (1 + np.exp(-(rows @ weights + offset)))
    return (np.random.default_rng(seed).random(len(rows)) < chance).astype(int)


@pytest.fixture(scope="module")
def rows():
    """600 standardised rows of 8 features, some of them alike."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(600, 8))
    rows[:, 5] = rows[:, 0] + 0.3 * rng.normal(size=600)
    rows[:, 6] = rows[:, 1] - rows[:, 2] + 0.1 * rng.normal(size=600)
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


@pytest.fixture(scope="module")
def labels(rows):
    return noisy_labels(rows, np.array([0.5, 1.5, 0, -1.0, 0, 0, 0, 0]))


def fitted(rows, labels, chosen):
    columns = np.column_stack([np.ones(len(rows)), rows[:, chosen]])
    return fit_logistic(columns, labels, class_weights(labels), np.zeros(columns.shape[1]))


def test_newton_finds_what_scikit_learn_finds(rows, labels):
    linear_model = pytest.importorskip("sklearn.linear_model")
    coefficients, _ = fitted(rows, labels, list(range(8)))
    reference = linear_model.LogisticRegression(
        C=1 / (RIDGE * len(rows)), class_weight="balanced", max_iter=5000, tol=1e-9
    ).fit(rows, labels)
    np.testing.assert_allclose(coefficients, [reference.intercept_[0], *reference.coef_[0]], atol=1e-4)


def test_separable_classes_have_a_finite_answer(rows):
    coefficients, loss = fitted(rows, (rows[:, 0] > 0).astype(int), [0])
    assert np.isfinite(coefficients).all()
    assert 0 < loss < 0.15


def test_every_step_takes_the_feature_that_lowers_the_loss_most(rows, labels):
    chosen: list[int] = []
    for selected, coefficients in forward_selection(rows, labels, 4):
        losses = {k: fitted(rows, labels, [*chosen, k])[1] for k in range(8) if k not in chosen}
        chosen.append(min(losses, key=losses.get))
        assert selected == chosen
        np.testing.assert_allclose(coefficients, fitted(rows, labels, chosen)[0], atol=1e-4)
    assert set(chosen[:2]) == {1, 3}


def test_among_many_features_the_score_test_keeps_the_right_ones(rows):
    many = np.random.default_rng(1).normal(size=(600, 200))
    many[:, 120], many[:, 60] = rows[:, 0], rows[:, 3]
    labels = noisy_labels(many[:, [120, 60]], np.array([2.0, 1.0]))
    *_, (chosen, _) = forward_selection(many, labels, 2)
    assert chosen == [120, 60]


def test_no_more_features_than_there_are(rows, labels):
    *_, (chosen, _) = forward_selection(rows, labels, 30)
    assert sorted(chosen) == list(range(8))
