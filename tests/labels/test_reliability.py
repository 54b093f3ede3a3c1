"""Reliability of noisy labels against the known share of noise, and the ceiling that follows."""

import numpy as np
import pytest

from ovito_glassml.errors import GlassMLError
from ovito_glassml.labels.reliability import auc_ceiling, split_half_reliability


def measurements(atoms, repeats, noise, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(atoms, 1)) + noise * rng.normal(size=(atoms, repeats))


@pytest.mark.parametrize(("repeats", "noise"), [(10, 1.0), (10, 3.0), (30, 5.0)])
def test_it_is_the_share_of_the_true_variance(repeats, noise):
    expected = 1 / (1 + noise**2 / repeats)
    assert split_half_reliability(measurements(20_000, repeats, noise), 5) == pytest.approx(expected, abs=0.02)


def test_it_is_the_squared_correlation_with_the_truth():
    rng = np.random.default_rng(3)
    truth = rng.normal(size=20_000)
    labels = truth[:, None] + 2 * rng.normal(size=(20_000, 8))
    squared = np.corrcoef(truth, labels.mean(axis=1))[0, 1] ** 2
    assert split_half_reliability(labels, 5) == pytest.approx(squared, abs=0.02)


def test_noise_alone_has_none():
    assert abs(split_half_reliability(np.random.default_rng(5).normal(size=(20_000, 10)), 5)) < 0.05


def test_missing_measurements_are_left_out():
    table = measurements(20_000, 11, 2.0)
    ragged = table.copy()
    ragged[:, 8:] = np.nan
    np.testing.assert_allclose(split_half_reliability(ragged, 5), split_half_reliability(table[:, :8], 5), atol=0.01)
    ragged[::2, 1:] = np.nan  # atoms with a single one say nothing
    assert split_half_reliability(ragged, 5) == pytest.approx(1 / (1 + 4 / 8), abs=0.02)


def test_it_does_not_matter_which_measurements_are_missing():
    """Of eleven measurements, all equally noisy, each atom lacks another three."""
    table = measurements(20_000, 11, 2.0)
    for row, lacking in zip(table, np.random.default_rng(2).random(table.shape).argsort(axis=1)[:, :3], strict=True):
        row[lacking] = np.nan
    assert split_half_reliability(table, 5) == pytest.approx(1 / (1 + 4 / 8), abs=0.01)


def test_halves_of_an_odd_number_use_every_measurement():
    """Either half has one or two of three, by chance: noise of variance 4 adds 4 or 2, so 3, to both."""
    table = measurements(200_000, 3, noise=2.0)
    correlation = 1 / (1 + 3)
    assert split_half_reliability(table, 3) == pytest.approx(2 * correlation / (1 + correlation), abs=0.005)


def test_three_atoms_are_enough_and_the_seed_decides():
    table = np.random.default_rng(1).normal(size=(3, 4))
    assert (
        split_half_reliability(table) == split_half_reliability(table, 200, 0) != split_half_reliability(table, seed=1)
    )


@pytest.mark.parametrize(("reliability", "known"), [(0.4, 0.82), (0.5, 0.85), (0.7, 0.92), (0.8, 0.95)])
def test_the_ceiling_is_what_a_perfect_predictor_reaches(reliability, known):
    rng = np.random.default_rng(7)
    truth = rng.normal(size=400_000)
    labels = np.sqrt(reliability) * truth + np.sqrt(1 - reliability) * rng.normal(size=truth.size)
    high = labels > np.quantile(labels, 0.8)
    ranks = truth.argsort().argsort()
    count = high.sum()
    area = (ranks[high].sum() - count * (count - 1) / 2) / (count * (truth.size - count))
    assert auc_ceiling(reliability) == pytest.approx(area, abs=0.003)
    assert auc_ceiling(reliability) == pytest.approx(known, abs=0.006)


def test_the_ceiling_at_the_ends():
    assert auc_ceiling(0.0) == pytest.approx(0.5)
    assert auc_ceiling(1.0) == 1.0
    assert auc_ceiling(0.9999) > 0.99


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: split_half_reliability([[1.0, 2.0], [1.0, np.nan], [2.0, 3.0]]), "Only 2 atoms"),
        (lambda: split_half_reliability([1.0, 2.0]), "one row"),
        (lambda: auc_ceiling(1.2), "not between 0 and 1"),
        (lambda: auc_ceiling(0.5, top=0.0), "share 0"),
    ],
)
def test_what_cannot_be_judged_is_refused(call, message):
    with pytest.raises(GlassMLError, match=message):
        call()
