"""Activity classifiers: they find a rule that is known, judge by whole configurations, and tell odds honestly."""

from dataclasses import replace

import numpy as np
import pytest
from activity_mixtures import crowded_sample, crowding

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.errors import TrainingError
from ovito_glassml.labels.activity import label_by_quantile
from ovito_glassml.learn.activity.model import ActivityModel
from ovito_glassml.learn.activity.train import (
    METHODS,
    ActivityDesign,
    balanced_accuracy,
    cross_validate,
    describe,
    fit_line,
    fitting_radii,
    train_activity,
)
from ovito_glassml.learn.averaged_sum import averaged_features
from ovito_glassml.learn.format import save_model

DESCRIPTOR = ACEDescriptors(("A", "B"), cutoff=3.0, nearest=1.0, order=1, n_max=6)


@pytest.fixture(scope="module")
def samples():
    return [crowded_sample(seed) for seed in range(4)]


@pytest.fixture(scope="module")
def design():
    return ActivityDesign("crowding", "A rule made up for tests.", DESCRIPTOR, "A", "thermal", length_unit="sigma")


@pytest.fixture(scope="module")
def model(samples, design):
    return train_activity(samples[:3], design)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_the_rule_on_a_configuration_never_seen(samples, method):
    data = describe(samples, DESCRIPTOR)
    seen = data.configuration < 3
    line = fit_line(data.atoms(seen), method, 1e-3)
    assert balanced_accuracy(data.labels[~seen], line.decide(data.rows[~seen]) > 0) > 0.95


def test_probability_is_high_for_active_and_low_for_inactive_atoms(model, samples):
    held_out = samples[3]
    probability = model.predict(held_out.structure).probability
    assert np.isnan(probability[held_out.structure.species == 1]).all()
    assert np.nanmean(probability[held_out.activity == 1]) > 0.9
    assert np.nanmean(probability[held_out.activity == 0]) < 0.1


def test_probability_is_calibrated_where_labels_are_random(design):
    """A label drawn with a known probability is predicted with that probability."""
    rng = np.random.default_rng(5)

    def noisy(seed):
        plain = crowded_sample(seed)
        score = crowding(plain.structure)
        chance = 1 / (1 + np.exp((score - np.median(score)) / score.std()))
        labels = np.where(plain.structure.species == 0, rng.random(len(score)) < chance, -1).astype(np.int8)
        return plain._replace(activity=labels), chance

    pairs = [noisy(seed) for seed in range(12)]
    model = train_activity([one for one, _ in pairs[:10]], design)
    for one, chance in pairs[10:]:
        predicted = model.predict(one.structure).probability
        wanted = one.structure.species == 0
        assert np.corrcoef(predicted[wanted], chance[wanted])[0, 1] > 0.9
        assert np.abs(predicted[wanted] - chance[wanted]).mean() < 0.06


def test_decisions_in_cross_validation_have_not_seen_their_configuration(samples):
    """Labels that only the configuration can tell are not learned: accuracy stays at a coin's."""
    mixed = [one._replace(activity=np.where(one.activity >= 0, k % 2, -1)) for k, one in enumerate(samples)]
    data = describe(mixed, DESCRIPTOR)
    decisions = cross_validate(data, strengths=[1e-3]).decisions
    assert balanced_accuracy(data.labels, decisions > 0) < 0.6


def test_events_of_one_configuration_stay_together(samples):
    twice = [samples[0], samples[0]._replace(structure=samples[1].structure, activity=samples[1].activity)]
    with pytest.raises(TrainingError, match="two configurations"):
        describe(twice, DESCRIPTOR)


def test_one_class_alone_teaches_nothing(samples):
    lazy = [one._replace(activity=np.minimum(one.activity, 0)) for one in samples]
    with pytest.raises(TrainingError, match="0 active atoms"):
        describe(lazy, DESCRIPTOR)


def test_ard_needs_displacements(samples):
    unknown = [one._replace(displacement=np.full(len(one.structure), np.nan)) for one in samples]
    data = describe(unknown, DESCRIPTOR)
    with pytest.raises(TrainingError, match="no D²min"):
        fit_line(data, "ard", 0.0)


def test_training_repeats_itself_bit_for_bit(samples, design, model):
    again = train_activity(samples[:3], design)
    np.testing.assert_array_equal(again.linear.parts[0].own, model.linear.parts[0].own)


def test_averages_tell_what_an_atom_cannot_see_itself(samples):
    """Active are those whose *neighbours* are least crowded: the own rows know little of it, averages do."""

    def by_neighbours(sample):
        crowd = crowding(sample.structure).astype(np.float32)[:, None]
        kind = np.zeros(len(crowd), dtype=int)
        around = averaged_features(sample.structure, crowd, kind, np.zeros((1, 1)), [2.5], kind == 0)[:, 1]
        moved = np.exp(-around.astype(float))
        return sample._replace(
            activity=label_by_quantile(moved, 0.2, 0.2, sample.structure.species == 0), displacement=moved
        )

    changed, near = [by_neighbours(one) for one in samples], replace(DESCRIPTOR, cutoff=1.6)
    accuracy = {}
    for radii in ((), (2.5,)):
        data = describe(changed, near, radii=radii)
        accuracy[radii] = data.accuracy(cross_validate(data, strengths=[1e-3]).decisions)
    assert accuracy[2.5,] > 0.97
    assert accuracy[()] < 0.93


@pytest.mark.parametrize("radii", [(), (1.5, 2.5)])
def test_streamed_decisions_are_those_of_the_rows_that_training_saw(samples, design, radii):
    model = train_activity(samples[:3], replace(design, radii=radii))
    data = describe(samples[:3], DESCRIPTOR, radii=radii)
    decisions = data.rows @ np.concatenate([model.linear.parts[0].own, model.linear.parts[0].averaged.ravel()])
    probability = 1 / (1 + np.exp(-model.slope * (decisions + model.linear.offset) - model.shift))
    predicted = [model.predict(one.structure).probability[one.labelled] for one in samples[:3]]
    np.testing.assert_allclose(np.concatenate(predicted), probability, atol=2e-5)


def test_averages_reach_as_far_as_the_card_says_and_selected_atoms_see_them_whole(samples, design):
    model = train_activity(samples[:3], replace(design, radii=(2.5,)))
    assert model.cutoff == pytest.approx(3.0 + 2.5)
    structure = samples[3].structure
    few = np.arange(len(structure)) % 37 == 0
    part = model.predict(replace(structure, mask=few)).probability
    wanted = few & (structure.species == 0)
    np.testing.assert_allclose(part[wanted], model.predict(structure).probability[wanted], rtol=1e-5)
    assert np.isnan(part[~wanted]).all()


def test_radii_fit_into_the_smallest_box(samples):
    assert fitting_radii(samples, 1.0) == (4.0,)
    assert fitting_radii(samples, 1.6) == (2.5,)
    assert fitting_radii(samples, 1.0, 0.0) == ()
    with pytest.raises(TrainingError, match="radius of averages is -1"):
        fitting_radii(samples, 1.0, -1.0)


def test_files_older_than_averages_decide_as_they_did(samples, model, tmp_path):
    """They hold a line in standardised rows."""
    rng = np.random.default_rng(3)
    data, inputs = describe(samples, DESCRIPTOR), len(DESCRIPTOR.feature_names)
    mean, scale, weights = rng.normal(size=inputs), rng.uniform(0.5, 2, inputs), rng.normal(size=inputs)
    old = {"mean": mean, "scale": scale, "weights": weights, "offset": np.array(0.3)}
    kept = {name: tensor for name, tensor in model.tensors().items() if not name.startswith("linear.")}
    path = tmp_path / "old.safetensors"
    save_model(path, model.header, kept | {f"classifier.{name}": tensor for name, tensor in old.items()})
    loaded = ActivityModel.load(path)
    decisions = (data.rows - mean) / scale @ weights + 0.3
    probability = 1 / (1 + np.exp(-loaded.slope * decisions - loaded.shift))
    predicted = [loaded.predict(one.structure).probability[one.labelled] for one in samples]
    np.testing.assert_allclose(np.concatenate(predicted), probability, atol=1e-4)


def test_a_saved_model_predicts_the_same(model, samples, tmp_path):
    path = tmp_path / "crowding.safetensors"
    save_model(path, model.header, model.tensors())
    loaded = ActivityModel.load(path)
    again, before = loaded.predict(samples[3].structure), model.predict(samples[3].structure)
    np.testing.assert_array_equal(again.probability, before.probability)
    np.testing.assert_allclose(again.extrapolation, before.extrapolation, rtol=1e-5)
    assert loaded.header.training["samples"] == ["configuration 0", "configuration 1", "configuration 2"]
    assert loaded.header.training["composition"]["A"] == pytest.approx(0.8, abs=0.05)
