"""Errors to expect of stiffness: from whole glasses left out, by species and predicted value."""

from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.learn.expected_error import COVERED
from ovito_glassml.learn.format import save_model
from ovito_glassml.learn.stiffness import train as training
from ovito_glassml.learn.stiffness.data import LabelledSample
from ovito_glassml.learn.stiffness.model import StiffnessModel, StiffnessPrediction
from ovito_glassml.learn.stiffness.train import ENOUGH_SAMPLES, with_expected_errors

#: All atoms of a sample share an error of this size, and each has one of its own that grows with its stiffness.
SHARED, OWN = 0.1, 0.05


def predicted(structure, values):
    nothing = np.full(len(structure), np.nan)
    return StiffnessPrediction(
        stiffness=values, coarse=nothing, negative=0, extrapolation=nothing, sample_extrapolation=np.nan
    )


@pytest.fixture(scope="module")
def known(published_model, spring_glasses):
    """A model whose errors are known beforehand, on twelve samples of one structure."""
    random = np.random.default_rng(4)
    structure = spring_glasses[0].structure
    samples, left_out = [], []
    for number in range(12):
        values = random.uniform(1, 3, len(structure))
        wrong = random.normal(SHARED * (-1) ** number, OWN * values)
        samples.append(LabelledSample(structure, values + wrong, f"glass-{number}"))
        left_out.append(predicted(structure, values))
    return with_expected_errors(published_model, samples, left_out), samples, left_out


def test_a_model_says_how_wrong_it_is_to_be_expected(known, spring_glasses, published_model):
    (model, tables), samples, left_out = known
    prediction = model.predict(spring_glasses[0].structure)
    assert prediction.mean_error == pytest.approx(SHARED, rel=0.1)
    np.testing.assert_array_equal(prediction.stiffness, published_model.predict(spring_glasses[0].structure).stiffness)
    covered = [
        np.abs(given.stiffness - sample.stiffness) <= model.errors["any"].of(given.stiffness)
        for given, sample in zip(left_out, samples, strict=True)
    ]
    assert np.mean(covered) == pytest.approx(COVERED, abs=0.02)
    soft, stiff = model.errors["any"].of(np.array([1.1, 2.9]))
    assert stiff > 1.2 * soft > 1.2 * SHARED
    assert [table.title for table in tables] == ["Do stated errors of the predicted stiffness hold?"]
    assert prediction.cage_error is None


def test_errors_come_with_the_file(known, spring_glasses, tmp_path):
    (model, _), _, _ = known
    save_model(tmp_path / "known.safetensors", model.header, model.tensors())
    again = StiffnessModel.load(tmp_path / "known.safetensors")
    structure = replace(spring_glasses[0].structure, mask=np.arange(len(spring_glasses[0].structure)) % 3 == 0)
    first, second = model.predict(structure), again.predict(structure)
    np.testing.assert_array_equal(first.error, second.error)
    np.testing.assert_array_equal(np.isfinite(second.error), structure.mask)


def test_too_few_samples_say_nothing(known, published_model, spring_glasses):
    (_, _), samples, left_out = known
    few = ENOUGH_SAMPLES - 1
    model, tables = with_expected_errors(published_model, samples[:few], left_out[:few])
    assert tables[0].rows == (("not calibrated: 9 samples have it and 10 are needed",),)
    prediction = model.predict(spring_glasses[0].structure)
    assert prediction.error is None
    assert np.isnan(prediction.mean_error)


def test_no_sample_is_predicted_by_a_model_that_has_seen_it(spring_glasses, monkeypatch):
    samples = [spring_glasses[0]._replace(name=f"glass-{number}") for number in range(7)]
    predictions = []

    class Trained:
        def __init__(self, seen):
            self.seen = seen

        def predict(self, structure):
            predictions.append(self.seen)
            return self.seen

    monkeypatch.setattr(training, "train", lambda seen, **settings: Trained({sample.name for sample in seen}))
    left_out = training.leave_samples_out(samples)
    assert len(predictions) == len(left_out) == 7
    for sample, seen in zip(samples, left_out, strict=True):
        assert sample.name not in seen
        assert len(seen) >= 5
