"""Errors to expect, found on samples that were left out."""

import numpy as np
import pytest

from ovito_glassml.learn.expected_error import COVERED, coverage_table, expected_error, stated_by_others


def test_stated_errors_are_those_of_atoms_predicted_alike():
    random = np.random.default_rng(0)
    predicted = [random.uniform(1, 2, 4000) for _ in range(6)]
    targets = [p + 0.1 * p * random.normal(size=len(p)) for p in predicted]
    error = expected_error(predicted, targets)
    np.testing.assert_allclose(error.of(np.array([1.1, 1.9])), [0.11, 0.19], rtol=0.06)  # 68 % of a normal distribution
    assert error.within == pytest.approx(0.1 * np.sqrt(7 / 3), rel=0.03)
    assert error.mean < 0.01
    assert error.correlation(np.full(5, 1.5)) == 0.0
    assert np.isnan(error.correlation(np.array([1.5])))
    spread = predicted[0]
    assert error.correlation(spread) == pytest.approx(np.corrcoef(spread, targets[0])[0, 1], abs=0.03)


def test_errors_of_what_all_atoms_of_a_sample_share_count(random_samples):
    predicted, targets = random_samples
    shifts = np.linspace(-0.3, 0.3, len(predicted))
    shifted = [target + shift for target, shift in zip(targets, shifts, strict=True)]
    error = expected_error(predicted, shifted)
    assert error.mean == pytest.approx(shifts.std(ddof=1), rel=0.05)
    assert (error.size > expected_error(predicted, targets).size).all()


@pytest.fixture(scope="module")
def random_samples():
    random = np.random.default_rng(3)
    predicted = [random.uniform(1, 3, 3000) for _ in range(12)]
    return predicted, [p + 0.05 * p**2 * random.normal(size=len(p)) for p in predicted]


def test_stated_errors_cover_their_share_in_every_fifth_and_a_constant_does_not(random_samples):
    predicted, targets = random_samples
    wrong = [np.abs(p - t) for p, t in zip(predicted, targets, strict=True)]
    table = coverage_table(stated_by_others(predicted, targets), wrong, "value")
    (stated, covered, least, most, least_fifth, most_fifth, loss), constant = table.rows
    assert stated == "by value"
    assert covered == pytest.approx(COVERED, abs=0.01)
    assert COVERED - 0.03 < least < most < COVERED + 0.03
    assert COVERED - 0.07 < least_fifth < most_fifth < COVERED + 0.07  # as asked of models
    assert constant[1] == pytest.approx(COVERED, abs=0.01)
    assert constant[4] < 0.5 < 0.9 < constant[5]
    assert loss < constant[6]
