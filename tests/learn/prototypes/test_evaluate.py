"""Evaluation of prototype networks: what the scores mean."""

import numpy as np
import pytest

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.evaluation import balanced_brier
from ovito_glassml.learn.prototypes.data import PUBLISHED, describe_samples
from ovito_glassml.learn.prototypes.evaluate import (
    FoldScore,
    area_of_highest,
    area_on_atoms,
    balanced_calibration,
    compare_quadruples,
    fold_tables,
    leave_one_out,
    seed_table,
    shares,
)
from ovito_glassml.learn.prototypes.network import Pass, TrainingSettings

QUICK = TrainingSettings(starts=1, first=Pass(2, 3e-3), cycle=Pass(3, 1e-3), most_cycles=1)


def test_area_of_the_highest_fifth_is_one_for_the_labels_themselves():
    barrier = np.random.default_rng(1).normal(size=500)
    assert area_of_highest(barrier, barrier) == 1.0
    assert area_of_highest(barrier, -barrier) == 0.0
    missing = np.where(np.arange(500) % 7 == 0, np.nan, barrier)
    assert area_of_highest(missing, barrier) == 1.0


def test_equal_barriers_have_no_highest_fifth():
    with pytest.raises(TrainingError, match="all equal"):
        area_of_highest(np.ones(10), np.arange(10.0))


def test_shares_leave_out_atoms_without_a_prototype():
    np.testing.assert_allclose(shares(np.array([0, 0, 3, -1, 2], dtype=np.int32)), [0.5, 0, 0.25, 0.25])


def test_calibrated_probabilities_lie_on_the_diagonal_at_equal_prevalence():
    """Atoms drawn with their own probabilities, then most of the high ones lost: the weights undo the loss."""
    rng = np.random.default_rng(1)
    probability = rng.uniform(size=200_000)
    high = rng.uniform(size=len(probability)) < probability
    kept = ~high | (rng.uniform(size=len(high)) < 0.1)
    predicted, observed = balanced_calibration(probability[kept], high[kept])
    np.testing.assert_allclose(predicted, observed, atol=0.03)


def test_brier_of_ignorance_is_a_quarter_whatever_the_prevalence():
    high = np.arange(100) < 7
    assert balanced_brier(np.full(100, 0.5), high) == pytest.approx(0.25)
    assert balanced_brier(high.astype(float), high) == 0.0


def clouds(rng, count):
    """Two directions in eight dimensions, one for each class, with noise."""
    high = rng.uniform(size=count) < 0.3
    rows = rng.normal(size=(count, 8))
    rows[:, 0] += np.where(high, 2.0, -2.0)
    return rows, high


def test_prototypes_on_the_axis_beat_random_atoms_and_those_off_it_do_not():
    rng = np.random.default_rng(1)
    rows, high = clouds(rng, 600)
    tested, tested_high = clouds(rng, 600)
    axis = np.zeros((4, 8))
    axis[:, 0] = [-9, -8, 8, 9]
    off = np.zeros((4, 8))
    off[:, 0], off[:, 1] = rows[:, 0].mean(), [-9, -8, 8, 9]
    area, random = compare_quadruples(rows, high, tested, tested_high, axis, quadruples=60)
    assert area > np.quantile(random, 0.95)
    assert (np.diff(random) >= 0).all()
    area, random = compare_quadruples(rows, high, tested, tested_high, off, quadruples=60)
    assert area < np.quantile(random, 0.95)


def test_means_of_samples_alone_correlate_with_pooled_barriers():
    """The baseline beside pooled figures: two samples one apart, a regressor that knows nothing but that."""
    rng = np.random.default_rng(1)
    scores = []
    for number in (0, 1):
        barrier = rng.normal(number, 0.5, 1000)
        predicted = np.full(1000, float(number)) + rng.normal(0, 1e-6, 1000)
        scores.append(
            FoldScore(f"{number}", 0.5, 0.5, 0.25, 0.2, 0.0, 0.0, np.full(4, 0.25), np.eye(4), barrier, predicted)
        )
    table = {row[0]: row[1] for row in fold_tables(scores, "x")[1].rows}
    assert table["regressor"] == pytest.approx(0.707, abs=0.03)
    assert table["mean of the sample"] == pytest.approx(0.707, abs=0.03)


def test_every_sample_is_left_out_once(barrier_glasses):
    scores = leave_one_out(barrier_glasses, PUBLISHED, QUICK, regression=False)
    assert [score.name for score in scores] == [sample.name for sample in barrier_glasses]
    mean = fold_tables(scores, "x")[0].rows[-1]
    assert mean[0] == "mean"
    assert mean[1] == pytest.approx(np.mean([score.prototypes for score in scores]))
    with pytest.raises(TrainingError, match="needs two"):
        leave_one_out(barrier_glasses[:1], PUBLISHED, QUICK)


def test_seeds_give_different_prototypes_and_division_by_atom_is_possible(barrier_glasses):
    data = describe_samples(barrier_glasses, PUBLISHED)
    parts = [data.of_samples([number]) for number in range(3)]
    table, fits = seed_table(data, *parts, design=PUBLISHED, settings=QUICK, seeds=(1, 2))
    assert len(table.rows) == len(fits) == 2
    assert not np.array_equal(fits[0].places, fits[1].places)
    for area in area_on_atoms(data, PUBLISHED, QUICK):
        assert 0 <= area <= 1
