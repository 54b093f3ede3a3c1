"""Scores of activity classifiers: what each number means."""

import numpy as np
import pytest
from activity_mixtures import crowded_sample

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.learn.activity.evaluate import (
    cross_validation_table,
    mean_and_error,
    score_samples,
    score_table,
)
from ovito_glassml.learn.activity.train import ActivityDesign, LabelledRows, describe, train_activity

DESCRIPTOR = ACEDescriptors(("A", "B"), cutoff=3.0, nearest=1.0, order=1, n_max=6)


@pytest.fixture(scope="module")
def samples():
    return [crowded_sample(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def scores(samples):
    model = train_activity(samples[:2], ActivityDesign("", "", DESCRIPTOR, "A", "thermal", length_unit="sigma"))
    return score_samples(model, samples)


def test_a_rule_that_is_learned_scores_high_on_every_configuration(scores, samples):
    assert [score.name for score in scores] == [sample.configuration for sample in samples]
    for score, sample in zip(scores, samples, strict=True):
        assert (score.active, score.inactive) == ((sample.activity == 1).sum(), (sample.activity == 0).sum())
        assert score.accuracy > 0.95
        assert score.auc > 0.99
        assert score.brier < 0.05


def test_labels_turned_round_score_the_other_way(samples):
    model = train_activity(samples[:2], ActivityDesign("", "", DESCRIPTOR, "A", "thermal", length_unit="sigma"))
    right = score_samples(model, samples[2:])[0]
    turned = samples[2]._replace(activity=np.where(samples[2].activity >= 0, 1 - samples[2].activity, -1))
    wrong = score_samples(model, [turned])[0]
    assert wrong.auc == pytest.approx(1 - right.auc)
    assert wrong.accuracy == pytest.approx(1 - right.accuracy)


def test_the_table_ends_with_the_mean_over_configurations(scores):
    table = score_table("Scores", scores)
    assert table.rows[-1][0] == "mean"
    assert table.rows[-1][3] == pytest.approx(np.mean([score.accuracy for score in scores]))


def test_standard_error_is_that_of_equal_configurations():
    """Five configurations of ten atoms with 2, 4, 6, 8 and 10 right ones of either class."""
    right = np.array([1, 2, 3, 4, 5])
    labels = np.tile([1] * 5 + [0] * 5, 5)
    decisions = np.concatenate([np.r_[np.arange(5) < k, np.arange(5) >= k].astype(float) - 0.5 for k in right])
    everyone = np.ones(50, dtype=bool)
    data = LabelledRows(np.zeros((50, 1)), labels, np.ones(50), np.repeat(np.arange(5), 10), tuple("abcde"), everyone)
    accuracy, error = mean_and_error(data, decisions)
    assert accuracy == pytest.approx(0.6)
    assert error == pytest.approx((right / 5).std(ddof=1) / np.sqrt(5))


def test_features_that_do_not_matter_score_like_a_coin(samples):
    data = describe(samples, DESCRIPTOR)
    noise = data._replace(rows=np.random.default_rng(2).normal(size=data.rows.shape))
    table = cross_validation_table([("real", data, "logistic"), ("noise", noise, "logistic")], "Features")
    assert table.rows[0][2] > 0.95
    assert table.rows[1][2] < 0.65


def test_atoms_to_learn_from_that_are_not_judged_do_not_count(samples):
    """With the labels of every other atom turned round, only a score over the rest is still good."""
    data = describe(samples, DESCRIPTOR)
    odd = np.arange(len(data.labels)) % 2 == 1
    decisions = np.where(odd, 1 - data.labels, data.labels) - 0.5
    assert mean_and_error(data._replace(judged=~odd), decisions)[0] == 1.0
    assert mean_and_error(data, decisions)[0] < 0.6
