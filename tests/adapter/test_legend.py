"""A legend tells what is in the data, and nothing of what is not known or no longer true."""

from types import SimpleNamespace

import numpy as np
import pytest
from ovito.data import DataCollection
from ovito.modifiers import AssignColorModifier

from ovito_glassml.adapter.legend import ColorBar, color_table, read_legend
from ovito_glassml.adapter.output import (
    color_by,
    color_by_type,
    write_attributes,
    write_histogram,
    write_typed_property,
)
from ovito_glassml.adapter.prediction import Output, write_prediction

OUTPUT = Output("Predicted stiffness", "Predicting", "PredictedStiffness", "Predicted Stiffness", "Stiffness (eV/Å²)")
READ = "PredictedStiffness", ("Predicted Stiffness",)
VALUES = np.linspace(0.5, 1.5, 101)


class Prediction:
    extrapolation = np.append(np.zeros(98), [2.0, 3.0, np.nan])
    sample_extrapolation = 0.4


def particles(count):
    data = DataCollection()
    data.create_particles(count=count).create_property("Position")
    return data


@pytest.fixture
def data():
    made = particles(len(VALUES))
    write_prediction(made, OUTPUT, "a-model", Prediction, {OUTPUT.main: VALUES}, {})
    color_by(made, OUTPUT.main, "", OUTPUT.prefix)
    return made


def test_a_prediction_has_its_colours_its_model_its_mean_and_its_trust(data):
    legend = read_legend(data, *READ)
    assert legend.title == "Predicted Stiffness"
    assert legend.bar == ColorBar("Stiffness (eV/Å²)", pytest.approx(0.52), pytest.approx(1.48))
    assert legend.lines == (
        "Model: a-model",
        "Mean: 1 eV/Å², spread 0.292 eV/Å²",
        "2% of the atoms are unlike the training",
        "The sample is like the training (score 0.4, at most 1)",
    )


def test_errors_and_correlations_to_expect_are_told_where_they_are_stated(data):
    data.particles_.create_property("Predicted Stiffness Error", data=np.where(VALUES < 1, np.nan, 0.125))
    write_attributes(data, OUTPUT.prefix, {"mean_error": 0.03, "expected_correlation": 0.71})
    assert read_legend(data, *READ).lines[-2:] == (
        "Error to expect: 0.12 eV/Å² of an atom, 0.03 eV/Å² of the mean",
        "Correlation to expect with the truth: 0.71",
    )


def test_the_bar_goes_when_something_else_colours_the_particles(data):
    data.apply(AssignColorModifier(color=(0.3, 0.3, 0.3)))
    legend = read_legend(data, *READ)
    assert legend.bar is None
    assert legend.lines[0] == "Model: a-model"


def test_without_colours_of_the_result_there_is_no_bar():
    made = particles(len(VALUES))
    write_prediction(made, OUTPUT, "a-model", Prediction, {OUTPUT.main: VALUES}, {})
    assert read_legend(made, *READ).bar is None


def test_without_a_result_there_is_no_legend(data):
    assert read_legend(particles(3), *READ) is None
    assert read_legend(DataCollection(), *READ) is None
    assert read_legend(data, "PredictedActivity", ("Activity Probability",)) is None


def test_what_is_not_known_is_left_out(data):
    for key in list(data.attributes):
        data.attributes[key] = float("nan")
    data.attributes["PredictedStiffness.model"] = "a-model"
    assert read_legend(data, *READ).lines == ("Model: a-model",)


def test_where_no_atom_has_a_value_none_is_called_familiar():
    made = particles(len(VALUES))
    unknown = np.full(len(VALUES), np.nan)
    prediction = SimpleNamespace(extrapolation=unknown, sample_extrapolation=np.nan)
    write_prediction(made, OUTPUT, "a-model", prediction, {OUTPUT.main: unknown}, {})
    assert read_legend(made, *READ).lines == ("Model: a-model",)


def test_a_result_without_a_histogram_has_its_unit_too():
    made = particles(3)
    made.particles_.create_property("Nonaffine Squared Displacement", data=[0.0, 1.0, 2.0])
    color_by(made, "Nonaffine Squared Displacement", "", "NonaffineActivity")
    legend = read_legend(made, "NonaffineActivity", ("Nonaffine Squared Displacement",))
    assert legend.bar.label == "D²min (length²)"


def test_the_last_of_two_results_of_one_modifier_counts(data):
    write_histogram(data, "other-result-histogram", "Histogram", VALUES, "Other (σ)")
    data.particles_.create_property("Other Result", data=VALUES)
    assert read_legend(data, "PredictedStiffness", ("Other Result", "Predicted Stiffness")).title == "Other Result"


def test_classes_are_named_in_their_colours_the_most_frequent_first():
    made, colours = particles(60), {kind: (kind / 20, 0.5, 1 - kind / 20) for kind in range(12)}
    classes = np.repeat(np.arange(12), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 2, 3])
    write_typed_property(made, "TCP Label", classes, {kind: f"Z{kind}" for kind in range(11)}, colours)
    color_by_type(made, "TCP Label")
    write_attributes(made, "LaSCA", {"z12_fraction": 0.04})
    legend = read_legend(made, "LaSCA", ("TCP Label",))
    assert [name for name, _ in legend.kinds] == ["Z9", "Z8", "Z7", "Z6", "Z5", "Z4", "Z3", "Z2"]
    assert legend.kinds[0][1] == pytest.approx(colours[9])
    assert legend.bar is None
    assert legend.lines == ("Share of icosahedra (Z12): 0.04",)
    made.apply(AssignColorModifier(color=(0.3, 0.3, 0.3)))
    assert read_legend(made, "LaSCA", ("TCP Label",)).kinds == ()


def test_a_bar_has_the_colours_that_particles_have():
    made = particles(5)
    made.particles_.create_property("Q", data=np.linspace(2.0, 3.0, 5))
    color_by(made, "Q", "2, 3")
    np.testing.assert_allclose(color_table(5), made.particles.colors[...], atol=1e-6)
