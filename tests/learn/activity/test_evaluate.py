"""Scores of activity classifiers: what each number means."""

import numpy as np
import pytest
import sklearn.metrics
from activity_mixtures import crowded_sample

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.learn.activity.evaluate import (
    FeatureTrial,
    accuracies_by_glass,
    cross_validation_table,
    mean_and_error,
    score_samples,
    score_table,
    simplest_as_good,
    trial_table,
    try_features,
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


def test_events_are_counted_among_all_atoms_of_the_species(samples):
    """Those that are neither included, those of the other species not: independent sums over the predictions."""
    model = train_activity(samples[:2], ActivityDesign("", "", DESCRIPTOR, "A", "thermal", length_unit="sigma"))
    (score,) = score_samples(model, samples[2:])
    probability = model.predict(samples[2].structure).probability
    everyone = np.isfinite(probability)
    assert everyone.sum() > samples[2].labelled.sum()
    event = (samples[2].activity == 1)[everyone]
    called = probability[everyone] >= np.sort(probability[everyone])[-event.sum()]
    assert score.rate == pytest.approx(event.mean())
    assert score.precision == pytest.approx(sklearn.metrics.precision_score(event, called))
    assert score.mcc == pytest.approx(sklearn.metrics.matthews_corrcoef(event, called))
    wanted = sklearn.metrics.average_precision_score(event, probability[everyone])
    assert score.average_precision == pytest.approx(wanted)
    assert score.rate < score.precision <= score.accuracy


def test_atoms_whose_displacement_is_unknown_are_no_negatives(samples):
    model = train_activity(samples[:2], ActivityDesign("", "", DESCRIPTOR, "A", "thermal", length_unit="sigma"))
    known = np.arange(len(samples[2].structure)) % 2 == 0
    moved = np.where(known, 1.0, np.nan)
    (score,) = score_samples(model, [samples[2]._replace(displacement=moved)])
    counted = np.isfinite(model.predict(samples[2].structure).probability) & (known | samples[2].labelled)
    assert score.rate == pytest.approx((samples[2].activity == 1).sum() / counted.sum())


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


def trial(name, count, *by_glass):
    return FeatureTrial(name, count, 0.5, np.array(by_glass), np.full(4, 0.5))


def test_fewer_features_are_chosen_where_they_lose_less_than_chance_glass_by_glass():
    """The glasses differ by far more than the sets, which an unpaired error could not see through."""
    many = trial("many", 100, 0.9, 0.6, 0.75, 0.5)
    as_good = trial("as good", 10, 0.91, 0.58, 0.76, 0.48)
    always_worse = trial("always worse", 10, 0.88, 0.58, 0.72, 0.48)
    assert simplest_as_good([many, as_good]) is as_good
    assert simplest_as_good([many, always_worse]) is many
    assert simplest_as_good([many, always_worse, as_good]) is as_good
    behind, error = always_worse.behind(many)
    assert behind == pytest.approx(0.0225)
    assert error == pytest.approx(np.std([0.02, 0.02, 0.03, 0.02], ddof=1) / 2)
    table = trial_table("x", [many, always_worse])
    assert [row[3] for row in table.rows] == pytest.approx([0, 0.0225])


def test_every_glass_with_enough_atoms_is_judged_alone(samples):
    data = describe(samples, DESCRIPTOR)
    tried = try_features("real", data, (1e-3,))
    assert tried.count == data.rows.shape[1]
    assert len(tried.by_glass) == 3
    assert tried.by_glass.min() > 0.9
    fewest = min((data.configuration == 0).sum(), 10**6)
    assert len(accuracies_by_glass(data, data.labels - 0.5, fewest)) == 0
