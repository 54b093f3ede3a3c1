"""Scores against scikit-learn, brute force and known distributions; intervals against many worlds."""

import numpy as np
import pytest
import scipy.stats
import sklearn.calibration
import sklearn.metrics

from ovito_glassml.learn import evaluation
from ovito_glassml.learn.evaluation import (
    CLASSIFICATION,
    REGRESSION,
    EvaluationError,
    area_under_roc,
    average_precision,
    calibration_curve,
    chance,
    class_labels,
    classification_scores,
    evaluate,
    expected_calibration_error,
    matthews_at_true_rate,
    parity,
    pearson,
    precision_at_true_rate,
    precision_recall_curve,
    regression_scores,
    roc_curve,
    spatial_groups,
    spearman,
    top_overlap,
)
from ovito_glassml.neighbours import neighbour_lists
from ovito_glassml.structure import Structure

DENSITY = 0.058


def gas(count, seed=1):
    """Points at random in a periodic cube, half of each species."""
    edge = (count / DENSITY) ** (1 / 3)
    positions = np.random.default_rng(seed).uniform(0, edge, (count, 3))
    return Structure(positions, np.arange(count) % 2, ("Cu", "Zr"), np.eye(3) * edge, pbc=(True,) * 3)


@pytest.fixture(scope="module")
def labelled():
    """Probabilities and outcomes with ties, and groups."""
    rng = np.random.default_rng(1)
    probability = np.round(rng.beta(1, 4, 3000), 2)
    return probability, rng.uniform(size=3000) < probability, rng.integers(0, 60, 3000)


# --- scores ---------------------------------------------------------------------------------------


def test_correlations_are_those_of_scipy():
    rng = np.random.default_rng(1)
    first = rng.normal(size=500)
    second = np.round(first + rng.normal(size=500), 1)
    assert pearson(first, second) == pytest.approx(scipy.stats.pearsonr(first, second).statistic)
    assert spearman(first, second) == pytest.approx(scipy.stats.spearmanr(first, second).statistic)


def test_correlation_with_a_constant_is_undefined():
    assert np.isnan(pearson(np.full(5, 0.1), np.arange(5.0)))
    assert np.isnan(spearman(np.arange(5.0), np.full(5, 0.1)))
    assert np.isnan(pearson(np.empty(0), np.empty(0)))


def test_area_under_the_curve_counts_pairs():
    assert area_under_roc(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1.0
    assert area_under_roc(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 0.0
    assert area_under_roc(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 0.5
    rng = np.random.default_rng(1)
    negative, positive = rng.integers(0, 9, 50), rng.integers(2, 12, 70)
    pairs = positive[:, None] - negative
    assert area_under_roc(negative, positive) == pytest.approx(np.mean((pairs > 0) + 0.5 * (pairs == 0)))
    assert np.isnan(area_under_roc(np.empty(0), positive))


def test_area_of_two_gaussians_is_known():
    """Two unit Gaussians a distance d apart: Φ(d/√2)."""
    rng = np.random.default_rng(1)
    area = area_under_roc(rng.normal(size=200_000), rng.normal(1.3, size=200_000))
    assert area == pytest.approx(scipy.stats.norm.cdf(1.3 / np.sqrt(2)), abs=0.002)


def test_scores_of_classes_are_those_of_scikit_learn(labelled):
    probability, positive, groups = labelled
    scores = classification_scores(probability, positive, groups)
    assert scores["auc"].value == pytest.approx(sklearn.metrics.roc_auc_score(positive, probability))
    wanted = sklearn.metrics.average_precision_score(positive, probability)
    assert scores["average_precision"].value == pytest.approx(wanted)
    assert scores["brier"].value == pytest.approx(sklearn.metrics.brier_score_loss(positive, probability))


def test_scores_of_numbers_are_those_of_scikit_learn():
    rng = np.random.default_rng(1)
    true = rng.normal(3, 1, 400)
    predicted = true + rng.normal(0.2, 0.5, 400)
    scores = regression_scores(predicted, true, np.arange(400) % 20)
    assert scores["rmse"].value == pytest.approx(sklearn.metrics.root_mean_squared_error(true, predicted))
    assert scores["bias"].value == pytest.approx(predicted.mean() - true.mean())


def test_guessing_has_the_precision_of_the_prevalence():
    rng = np.random.default_rng(1)
    positive = rng.uniform(size=100_000) < 0.2
    assert average_precision(positive, rng.uniform(size=100_000)) == pytest.approx(0.2, abs=0.005)
    assert average_precision(positive, positive.astype(float)) == 1.0
    assert average_precision(positive, np.zeros(100_000)) == pytest.approx(positive.mean())


def test_as_many_are_called_positive_as_there_are():
    """Three of ten are positive; the three largest values hold two of them: counts 2, 1, 1, 6."""
    positive = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 1], dtype=bool)
    values = np.arange(10.0)[::-1]
    assert precision_at_true_rate(positive, values) == pytest.approx(2 / 3)
    assert matthews_at_true_rate(positive, values) == pytest.approx((2 * 6 - 1 * 1) / (3 * 7))
    assert precision_at_true_rate(positive, -values) == pytest.approx(1 / 3)


@pytest.mark.parametrize("rate", [0.3, 0.02])
def test_precision_and_matthews_at_the_true_rate_are_those_of_scikit_learn(rate):
    rng = np.random.default_rng(1)
    positive = rng.uniform(size=4000) < rate
    predicted = rng.normal(size=4000) + positive
    called = predicted >= np.sort(predicted)[-positive.sum()]
    precision, recall = (f(positive, called) for f in (sklearn.metrics.precision_score, sklearn.metrics.recall_score))
    assert precision_at_true_rate(positive, predicted) == pytest.approx(precision)
    assert precision == recall
    wanted = sklearn.metrics.matthews_corrcoef(positive, called)
    assert matthews_at_true_rate(positive, predicted) == pytest.approx(wanted)
    scores = classification_scores(predicted, positive, np.zeros(4000, dtype=int))
    assert (scores["precision"].value, scores["mcc"].value) == (pytest.approx(precision), pytest.approx(wanted))


def test_equal_values_at_the_threshold_count_as_if_drawn_at_random():
    rng = np.random.default_rng(1)
    positive = rng.uniform(size=200) < 0.2
    predicted = rng.integers(0, 4, 200) + positive.astype(float)
    drawn = [precision_at_true_rate(positive, predicted + 1e-3 * rng.uniform(size=200)) for _ in range(2000)]
    assert precision_at_true_rate(positive, predicted) == pytest.approx(np.mean(drawn), abs=3e-3)
    assert precision_at_true_rate(positive, np.zeros(200)) == pytest.approx(positive.mean())
    assert matthews_at_true_rate(positive, np.zeros(200)) == pytest.approx(0, abs=1e-12)


def test_overlap_counts_the_atoms_that_are_largest_in_both():
    true = np.arange(100.0)
    predicted = true.copy()
    predicted[[99, 98, 0, 1]] = predicted[[0, 1, 99, 98]]
    assert top_overlap(predicted, true, 0.05) == pytest.approx(3 / 5)
    assert top_overlap(true, true, 0.05) == 1
    assert top_overlap(-true, true, 0.05) == 0
    assert top_overlap(true // 10, true, 0.05) == pytest.approx(0.5)  # five of ten equal ones
    assert np.isnan(top_overlap(np.zeros(100), true, 0.05))


@pytest.mark.parametrize("values", [np.arange(7.0), np.arange(50) % 2, np.arange(50) // 20])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.3])
def test_a_perfect_prediction_overlaps_wholly_and_a_repeated_cell_as_the_cell(values, share):
    assert top_overlap(values, values, share) == pytest.approx(1)
    other = np.random.default_rng(1).permutation(values)
    repeated = top_overlap(np.tile(other, 8), np.tile(values, 8), share)
    assert repeated == pytest.approx(top_overlap(other, values, share))


def test_overlap_with_the_largest_is_precision_at_their_rate():
    rng = np.random.default_rng(1)
    true = rng.normal(size=2000)
    predicted = true + rng.normal(size=2000)
    positive = class_labels(true, 0.1) == 1
    assert top_overlap(predicted, true, 0.1) == pytest.approx(precision_at_true_rate(positive, predicted))


@pytest.mark.parametrize("rate", [0.5, 0.03])
def test_guessing_gets_what_is_called_chance(rate):
    rng = np.random.default_rng(1)
    worlds = []
    for _ in range(50):
        predicted, true = rng.uniform(size=(2, 4000))
        positive = class_labels(true, rate) == 1
        scores = classification_scores(predicted, positive, np.zeros(4000, dtype=int))
        worlds.append([scores[name].value for name in evaluation.CURVE_SCORES] + [top_overlap(predicted, true, rate)])
    wanted = [chance(name, rate) for name in (*evaluation.CURVE_SCORES, "top_overlap")]
    np.testing.assert_allclose(np.mean(worlds, axis=0), wanted, atol=0.01)
    assert np.isnan([chance("auc", 0.0), chance("mcc", 1.0), chance("brier", 0.3)]).all()


def test_calibration_error_is_the_mean_distance_of_the_curve(labelled):
    probability, positive, _ = labelled
    curve = calibration_curve(positive, probability)
    observed, predicted = sklearn.calibration.calibration_curve(positive, probability, n_bins=10)
    np.testing.assert_allclose(curve["observed"], observed)
    np.testing.assert_allclose(curve["predicted"], predicted)
    wanted = np.average(np.abs(observed - predicted), weights=curve["atoms"])
    assert expected_calibration_error(positive, probability) == pytest.approx(wanted)


def test_calibration_error_of_a_constant_probability():
    positive = np.arange(100) < 30
    assert expected_calibration_error(positive, np.full(100, 0.3)) == pytest.approx(0, abs=1e-12)
    assert expected_calibration_error(positive, np.full(100, 0.7)) == pytest.approx(0.4)


def test_other_values_than_probabilities_have_no_calibration(labelled):
    probability, positive, groups = labelled
    scores = classification_scores(probability * 1.2, positive, groups)
    assert np.isnan(scores["brier"]).all()
    assert np.isnan(scores["calibration_error"]).all()
    assert np.isfinite(scores["auc"]).all()


# --- curves ---------------------------------------------------------------------------------------


def test_curves_are_those_of_scikit_learn(labelled):
    probability, positive, _ = labelled
    curve = roc_curve(positive, probability)
    wrong, found, _ = sklearn.metrics.roc_curve(positive, probability, drop_intermediate=False)
    np.testing.assert_allclose(curve["false_positive_rate"], wrong)
    np.testing.assert_allclose(curve["true_positive_rate"], found)
    curve = precision_recall_curve(positive, probability)
    precision, recall, _ = sklearn.metrics.precision_recall_curve(positive, probability)
    np.testing.assert_allclose(curve["recall"], recall[-2::-1])
    np.testing.assert_allclose(curve["precision"], precision[-2::-1])


def test_long_curves_are_thinned_without_bending_them():
    rng = np.random.default_rng(1)
    positive = rng.uniform(size=50_000) < 0.1
    predicted = positive + rng.normal(size=50_000)
    curve = roc_curve(positive, predicted)
    assert len(curve["true_positive_rate"]) <= evaluation.CURVE_POINTS
    assert (curve["true_positive_rate"][0], curve["true_positive_rate"][-1]) == (0, 1)
    area = np.trapezoid(curve["true_positive_rate"], curve["false_positive_rate"])
    assert area == pytest.approx(area_under_roc(predicted[~positive], predicted[positive]), abs=1e-4)


def test_parity_bins_hold_a_hundred_atoms_each_in_order():
    predicted = np.random.default_rng(1).permutation(1050).astype(float)
    bins = parity(predicted, 2 * predicted)
    np.testing.assert_allclose(bins["predicted"], 49.5 + 100 * np.arange(10))
    np.testing.assert_allclose(bins["measured"], 2 * bins["predicted"])
    np.testing.assert_allclose(bins["standard_error"], 2 * np.std(np.arange(100), ddof=1) / 10)


# --- labels ---------------------------------------------------------------------------------------


def test_labels_are_taken_as_they_are_or_made_from_the_largest_values():
    np.testing.assert_array_equal(class_labels([1, 0, -1, np.nan]), [1, 0, -1, -1])
    values = [5.0, 1.0, np.nan, 4.0, 2.0, 3.0]
    np.testing.assert_array_equal(class_labels(values, 0.4), [1, 0, -1, 1, 0, 0])
    np.testing.assert_array_equal(class_labels([7.0, 7.0, 7.0, 1.0, 0.0], 0.2), [1, 1, 1, 0, 0])
    np.testing.assert_array_equal(class_labels([np.nan], 0.2), [-1])


def test_numbers_are_no_labels():
    with pytest.raises(EvaluationError, match=r"2 atoms .* such as 0\.7, .* positive_share"):
        class_labels([1, 0, 0.7, 2.0])


# --- boxes ----------------------------------------------------------------------------------------


def test_boxes_are_compact_and_large_enough():
    structure = gas(20_000)
    groups = spatial_groups(structure, np.ones(20_000, dtype=bool))
    counts = np.bincount(groups)
    counts = counts[counts > 0]
    assert counts.mean() >= evaluation.ATOMS_PER_GROUP
    assert len(counts) > 150
    for group in np.unique(groups)[:20]:
        assert np.ptp(structure.positions[groups == group], axis=0).max() < 1.5 * (counts.mean() / DENSITY) ** (1 / 3)


def test_flat_and_long_samples_are_divided_along_their_length():
    positions = np.random.default_rng(1).uniform(0, (2.0, 2.0, 5000.0), (5000, 3))
    groups = spatial_groups(Structure(positions), np.ones(5000, dtype=bool))
    np.testing.assert_array_equal(np.argsort(groups, kind="stable"), np.lexsort((np.arange(5000), groups)))
    assert len(np.unique(groups)) == 50
    extents = [np.ptp(positions[groups == group, 2]) for group in np.unique(groups)]
    assert max(extents) <= 100.0 + 1e-9


def test_boxes_follow_the_cell_and_not_the_order_or_orientation(transformed):
    structure = gas(4000)
    everyone = np.ones(4000, dtype=bool)
    order = np.random.default_rng(2).permutation(4000)
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    groups = spatial_groups(structure, everyone)
    other = spatial_groups(transformed(structure, rotation=turn, permutation=order), everyone)
    assert (other != groups[order]).mean() < 1e-3


def test_boxes_are_cubes_in_a_sheared_cell_too():
    """Its heights are all about 10 Å; its third vector is not."""
    cell = np.array([[30.0, 0, 0], [0, 10, 0], [25, 0, 10]])
    fractions = np.random.default_rng(1).uniform(size=(800, 3))
    origin = np.array([7.0, -2.0, 1.0])
    images = fractions + np.random.default_rng(2).integers(-2, 3, (800, 3))
    structure = Structure(images @ cell + origin, np.zeros(800, int), ("Cu",), cell, origin, (True,) * 3)
    expected = np.ravel_multi_index(tuple((fractions * 2).astype(int).T), (2, 2, 2))
    assert (spatial_groups(structure, np.ones(800, dtype=bool)) != expected).mean() < 0.02  # boxes end at outer atoms


# --- intervals ------------------------------------------------------------------------------------


def brute_force(function, groups, resamples=400):
    """Percentiles of scores of resamples that are really drawn, atom by atom."""
    rng = np.random.default_rng(5)
    members = [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]
    values = []
    for _ in range(resamples):
        drawn = rng.integers(0, len(members), len(members))
        values.append(function(np.concatenate([members[group] for group in drawn])))
    return np.quantile(values, (0.025, 0.975))


def assert_limits(score, wanted, atol=0.0):
    """Equal but for the noise of the resampling, a few percent of the width, and Student's t."""
    low, high = wanted
    np.testing.assert_allclose([score.low, score.high], wanted, atol=0.15 * (high - low) + atol)


def test_limits_of_numbers_are_those_of_drawn_resamples():
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 80, 3000)
    true = rng.normal(size=80)[groups] + rng.normal(size=3000)
    predicted = true + rng.exponential(size=80)[groups] * rng.normal(size=3000)
    scores = regression_scores(predicted, true, groups)
    assert_limits(scores["pearson"], brute_force(lambda atoms: pearson(predicted[atoms], true[atoms]), groups))
    assert_limits(scores["spearman"], brute_force(lambda atoms: spearman(predicted[atoms], true[atoms]), groups))
    assert_limits(
        scores["top_overlap"], brute_force(lambda atoms: top_overlap(predicted[atoms], true[atoms]), groups), 0.01
    )
    difference = predicted - true
    assert_limits(scores["bias"], brute_force(lambda atoms: difference[atoms].mean(), groups))
    assert_limits(scores["rmse"], brute_force(lambda atoms: np.sqrt((difference[atoms] ** 2).mean()), groups))


def test_sums_and_histograms_give_the_exact_scores_where_there_is_nothing_to_bin():
    """The limits are corrected for binning, which would hide a wrong formula."""
    rng = np.random.default_rng(1)
    first = rng.integers(0, 6, 500).astype(float)
    second = np.minimum(first + rng.integers(0, 4, 500), 7)
    columns = np.stack([np.ones(500), first, second, first**2, second**2, first * second, first - second])
    sums = np.concatenate([columns.sum(axis=1), [((first - second) ** 2).sum()]])[None]
    wanted = [pearson(first, second), np.sqrt(((first - second) ** 2).mean()), (first - second).mean()]
    np.testing.assert_allclose(evaluation._moment_scores(sums)[:, 0], wanted)
    joint = (first * evaluation.JOINT_BINS + second).astype(int)
    counts = np.bincount(joint, minlength=evaluation.JOINT_BINS**2)[None].astype(float)
    assert evaluation._rank_correlation(counts)[0] == pytest.approx(spearman(first, second))
    positive = rng.uniform(size=500) < first / 10
    kinds = [np.bincount(first[positive == kind].astype(int), minlength=evaluation.RANK_BINS) for kind in (False, True)]
    wanted = [area_under_roc(first[~positive], first[positive])]
    wanted += [score(positive, first) for score in (average_precision, precision_at_true_rate, matthews_at_true_rate)]
    np.testing.assert_allclose(evaluation._curve_scores(np.concatenate(kinds)[None])[:, 0], wanted)


@pytest.mark.parametrize("scale", [1.0, 0.15])
def test_limits_of_classes_are_those_of_drawn_resamples(labelled, scale):
    """Also where positives are rare."""
    probability, _, groups = labelled
    positive = np.random.default_rng(2).uniform(size=3000) < scale * probability
    scores = classification_scores(probability, positive, groups)

    def area(atoms):
        labels, values = positive[atoms], probability[atoms]
        return area_under_roc(values[~labels], values[labels])

    def precision(atoms):
        return average_precision(positive[atoms], probability[atoms])

    assert_limits(scores["auc"], brute_force(area, groups))
    assert_limits(scores["average_precision"], brute_force(precision, groups))
    for name, score in (("precision", precision_at_true_rate), ("mcc", matthews_at_true_rate)):
        limits = brute_force(lambda atoms, score=score: score(positive[atoms], probability[atoms]), groups)
        assert_limits(scores[name], limits, 0.01)
    brier = (probability - positive) ** 2
    assert_limits(scores["brier"], brute_force(lambda atoms: brier[atoms].mean(), groups))


def smooth_noise(structure, radius):
    """Function of a random generator: fields of unit variance that atoms within a radius share."""
    lists = neighbour_lists(structure, radius)
    owners = np.repeat(np.arange(len(structure)), np.diff(lists.offsets))
    neighbours = 1 + np.diff(lists.offsets)

    def field(rng):
        white = rng.normal(size=len(structure))
        sums = white + np.bincount(owners, white[lists.indices], minlength=len(structure))
        return sums / np.sqrt(neighbours)

    return field


def test_intervals_hold_the_truth_as_often_as_they_say():
    """A hundred worlds in which atoms within 3 Å share noise; textbook limits for independent atoms fail there."""
    structure = gas(4000)
    field = smooth_noise(structure, 3.0)
    boxes = spatial_groups(structure, np.ones(4000, dtype=bool))
    truth = {"pearson": 0.7, "spearman": 6 / np.pi * np.arcsin(0.35), "rmse": np.sqrt(0.6), "bias": 0.0}
    least = scipy.stats.norm.ppf(evaluation.TOP_SHARE)
    both = scipy.stats.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]]).cdf([least, least])
    truth["top_overlap"] = both / evaluation.TOP_SHARE
    held, textbook = [], []
    for world in range(100):
        rng = np.random.default_rng(world)
        true, noise = field(rng), field(rng)
        predicted = 0.7 * true + np.sqrt(1 - 0.7**2) * noise
        scores = regression_scores(predicted, true, boxes, resamples=300)
        held.append([scores[name].low <= truth[name] <= scores[name].high for name in REGRESSION])
        off = np.arctanh([scores["pearson"].value, 0.7]) @ (1, -1), scores["bias"].value / np.std(predicted - true)
        textbook.append(np.abs(off) * np.sqrt(4000) < 1.96)
    pearson_holds, spearman_holds, top_holds, rmse_holds, bias_holds = np.mean(held, axis=0)
    assert min(pearson_holds, spearman_holds, top_holds, rmse_holds) >= 0.88
    assert bias_holds >= 0.82  # a mean feels correlations beyond the edge of a box most
    assert (np.mean(textbook, axis=0) < 0.75).all()


def test_perfect_probabilities_are_not_called_uncalibrated():
    """The error of a finite sample is above 0 although the true one is 0, which the interval must hold."""
    held = 0
    for world in range(60):
        rng = np.random.default_rng(world)
        probability = rng.beta(1, 4, 2000)
        positive = rng.uniform(size=2000) < probability
        score = classification_scores(probability, positive, np.arange(2000) % 50, resamples=300)["calibration_error"]
        assert score.value > 0
        held += score.low == 0
    assert held >= 54
    wrong = classification_scores(np.sqrt(probability), positive, np.arange(2000) % 50)["calibration_error"]
    assert wrong.low > 0


def test_few_boxes_have_scores_but_no_limits():
    structure = gas(900)
    rng = np.random.default_rng(1)
    true = rng.normal(size=900)
    score = evaluate(structure, true + rng.normal(size=900), true).scores["pearson"]
    assert 0.5 < score.value < 0.9
    assert np.isnan([score.low, score.high]).all()


def test_no_resamples_means_no_limits(labelled):
    probability, positive, groups = labelled
    scores = classification_scores(probability, positive, groups, resamples=0)
    assert all(np.isfinite(score.value) and np.isnan(score.low) for score in scores.values())


# --- all together ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared():
    """A structure with predictions and truths that are better for zirconium."""
    structure = gas(4000)
    rng = np.random.default_rng(1)
    true = rng.normal(size=4000)
    predicted = true + np.where(structure.species == 1, 0.5, 1.5) * rng.normal(size=4000)
    return structure, predicted, true


def test_species_are_scored_alone(compared):
    structure, predicted, true = compared
    result = evaluate(structure, predicted, true)
    for number, name in enumerate(("Cu", "Zr")):
        atoms = structure.species == number
        assert result.by_species[name]["pearson"].value == pytest.approx(pearson(predicted[atoms], true[atoms]))
        assert result.by_species[name]["pearson"].low < result.by_species[name]["pearson"].value
    assert result.by_species["Cu"]["pearson"].high < result.by_species["Zr"]["pearson"].low


def test_classes_are_scored_by_the_labels_that_are_returned(compared):
    structure, predicted, true = compared
    result = evaluate(structure, predicted, true, task="classification", positive_share=0.2, resamples=0)
    np.testing.assert_array_equal(result.labels, true >= np.sort(true)[-800])
    for scores, atoms in ((result.scores, slice(None)), (result.by_species["Cu"], structure.species == 0)):
        area = sklearn.metrics.roc_auc_score(result.labels[atoms], predicted[atoms])
        assert scores["auc"].value == pytest.approx(area)
        assert np.isnan(scores["auc"].low)


def test_without_a_word_labels_are_taken_as_they_are_and_numbers_are_compared(compared):
    structure, predicted, true = compared
    assert evaluate(structure, predicted, true, resamples=0).labels is None
    labels = evaluate(structure, predicted, true > 1, task="classification", resamples=0).labels
    np.testing.assert_array_equal(labels, true > 1)
    scores = evaluate(structure, predicted, true, resamples=0).scores
    assert np.isnan([score.low for score in scores.values()]).all()


def test_atoms_without_values_or_outside_the_mask_do_not_count(compared):
    structure, predicted, true = compared
    mask = np.arange(4000) < 3000
    predicted, true = predicted.copy(), true.copy()
    predicted[:100], true[100:200] = np.nan, np.nan
    masked = Structure(
        structure.positions, structure.species, structure.species_names, structure.cell, pbc=structure.pbc, mask=mask
    )
    result = evaluate(masked, predicted, true)
    np.testing.assert_array_equal(np.flatnonzero(result.compared), np.arange(200, 3000))
    assert result.scores["pearson"].value == pytest.approx(pearson(predicted[200:3000], true[200:3000]))


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_the_same_data_get_the_same_intervals(compared, task):
    first, second = (evaluate(*compared, task=task, positive_share=0.2) for _ in range(2))
    for name, score in first.scores.items():
        np.testing.assert_array_equal(score, second.scores[name])
        np.testing.assert_array_equal(first.by_species["Zr"][name], second.by_species["Zr"][name])


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_the_order_of_atoms_does_not_matter(compared, transformed, task):
    structure, predicted, true = compared
    order = np.random.default_rng(2).permutation(4000)
    plain = evaluate(structure, predicted, true, task=task, positive_share=0.2)
    mixed = evaluate(
        transformed(structure, permutation=order), predicted[order], true[order], task=task, positive_share=0.2
    )
    for name, score in plain.scores.items():
        np.testing.assert_allclose(mixed.scores[name], score, rtol=1e-9)


def test_ranks_do_not_change_when_values_are_stretched(compared):
    structure, predicted, true = compared
    plain = evaluate(structure, predicted, true, task="classification", positive_share=0.2)
    stretched = evaluate(structure, np.exp(3 * predicted), true, task="classification", positive_share=0.2)
    assert stretched.scores["auc"] == plain.scores["auc"]
    assert stretched.scores["average_precision"] == plain.scores["average_precision"]
    numbers = [evaluate(structure, values, true).scores["spearman"] for values in (predicted, np.exp(predicted))]
    assert numbers[0] == numbers[1]


@pytest.mark.parametrize(("task", "names"), [("regression", REGRESSION), ("classification", CLASSIFICATION)])
def test_nothing_to_compare_is_undefined(compared, task, names):
    structure, predicted, _ = compared
    result = evaluate(structure, predicted, np.full(4000, np.nan), task=task)
    assert tuple(result.scores) == names
    assert all(np.isnan(score).all() for score in result.scores.values())
    assert not result.compared.any()


def test_one_class_has_no_curve(compared):
    structure, _, _ = compared
    probability = np.random.default_rng(1).uniform(size=4000)
    result = evaluate(structure, probability, np.zeros(4000), task="classification")
    assert np.isnan(result.scores["auc"]).all()
    assert np.isnan(result.scores["average_precision"]).all()
    assert np.isfinite(result.scores["brier"]).all()
    assert len(roc_curve(np.zeros(4000, dtype=bool), probability)["true_positive_rate"]) == 0


def test_constant_predictions_have_an_error_but_no_correlation(compared):
    structure, _, true = compared
    scores = evaluate(structure, np.full(4000, 0.3), true).scores
    assert np.isnan(scores["pearson"]).all()
    assert np.isnan(scores["spearman"]).all()
    assert np.isfinite(scores["rmse"]).all()
    assert scores["bias"].low < 0.3 - true.mean() < scores["bias"].high


def test_progress_goes_from_nothing_to_all(compared):
    reports = []
    evaluate(*compared, progress=reports.append)
    assert reports == sorted(reports)
    assert reports[0] == 0
    assert len(set(reports)) > 10
    assert reports[-1] == pytest.approx(1)
