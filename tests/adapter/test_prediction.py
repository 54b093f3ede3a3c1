"""What a user reads of extrapolation: scores, two attributes, and a sentence each for atoms and for the sample."""

from types import SimpleNamespace

import numpy as np
import pytest
from ovito.data import DataCollection

from ovito_glassml.adapter.prediction import Output, trust_in_words, write_prediction

STIFFNESS = Output(
    "Predicted stiffness",
    "Predicting stiffness",
    "PredictedStiffness",
    "Predicted Stiffness",
    "Predicted stiffness (eV/Å²)",
)


def written(atoms, sample):
    data = DataCollection()
    data.create_particles(count=len(atoms)).create_property("Position", data=np.zeros((len(atoms), 3)))
    scores = SimpleNamespace(extrapolation=np.asarray(atoms, dtype=float), sample_extrapolation=sample)
    values = np.array([1.5, *[0.5] * (len(atoms) - 2), np.nan])
    write_prediction(data, STIFFNESS, "stiffness-cuzr", scores, {"Predicted Stiffness": values}, {"negative": 3})
    return data


@pytest.mark.parametrize(
    ("atoms", "sample", "sentences"),
    [
        ([0.5, 0.9, np.nan], 0.8, []),
        ([0.5, 1.2, np.nan], 0.8, ["50% of the atoms are unlike the training data of stiffness-cuzr"]),
        (
            [0.5, 0.9, np.nan],
            2.51,
            ["those that stiffness-cuzr was trained on (score 2.5"],
        ),
        ([0.5, 0.9, np.nan], np.nan, []),
        ([np.nan, np.nan], np.nan, []),
    ],
)
def test_what_is_unlike_the_training_data_is_said(atoms, sample, sentences, capsys):
    data = written(atoms, sample)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(sentences)
    assert all(sentence in line for sentence, line in zip(sentences, said, strict=True))
    np.testing.assert_array_equal(data.particles["Predicted Stiffness Extrapolation"], atoms)
    scored = np.array(atoms)[np.isfinite(atoms)]
    expected = (scored > 1).mean() if len(scored) else 0.0
    assert data.attributes["PredictedStiffness.extrapolating_fraction"] == pytest.approx(expected)
    np.testing.assert_equal(data.attributes["PredictedStiffness.sample_extrapolation"], sample)


def test_columns_statistics_and_histogram_are_written():
    data = written([0.5, 0.9, np.nan], 0.8)
    np.testing.assert_array_equal(data.particles["Predicted Stiffness"], [1.5, 0.5, np.nan])
    found = {name.split(".")[1]: value for name, value in data.attributes.items() if name.startswith("PredictedS")}
    assert (found["mean"], found["std"], found["negative"], found["undefined"]) == (1.0, 0.5, 3, 1)
    assert found["model"] == "stiffness-cuzr"
    table = data.tables["predicted-stiffness-histogram"]
    assert (table.axis_label_x, table.y[...].sum()) == ("Predicted stiffness (eV/Å²)", 2)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"extrapolating_fraction": 0.0}, ["No atom is unlike the training"]),
        ({"extrapolating_fraction": 0.004}, ["Less than 1% of the atoms are unlike the training"]),
        ({"extrapolating_fraction": 0.06}, ["6% of the atoms are unlike the training"]),
        ({"extrapolating_fraction": 0.45}, ["45% of the atoms are unlike the training: doubtful"]),
        ({"sample_extrapolation": 0.62}, ["The sample is like the training (score 0.62, at most 1)"]),
        (
            {"sample_extrapolation": 2.51},
            ["The sample is unlike the training (score 2.5, above 1): all values may be off"],
        ),
        ({"sample_extrapolation": np.nan, "mean": 3.0, "expected_correlation": np.nan}, []),
    ],
)
def test_trust_is_told_in_words(told, words):
    assert trust_in_words(told) == words


def test_errors_to_expect_have_their_unit():
    assert trust_in_words({}, 0.0512, " σ") == ["Error to expect: 0.051 σ of an atom"]
    told = {"mean_error": 0.02, "expected_correlation": 0.7}
    assert trust_in_words(told, 0.0512, " σ") == [
        "Error to expect: 0.051 σ of an atom, 0.02 σ of the mean",
        "Correlation to expect with the truth: 0.70",
    ]
