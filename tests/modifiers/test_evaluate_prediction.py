"""Predictions compared with truths in OVITO: scores as attributes, over species and selections, and tables."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from conformance_checks import assert_plots_unedited
from ovito.io import export_file
from ovito.modifiers import TimeSeriesModifier
from sklearn.metrics import average_precision_score, matthews_corrcoef, precision_score, roc_auc_score
from typer.testing import CliRunner

from ovito_glassml import EvaluatePredictionModifier
from ovito_glassml.cli import app
from ovito_glassml.learn.evaluation import EvaluationError
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.workflow.sample_data import sample_file

COUNT = 2000


@pytest.fixture(scope="module")
def glass():
    """Atoms of two species with a measured quantity and a prediction that is better for zirconium."""
    rng = np.random.default_rng(1)
    edge = (COUNT / 0.058) ** (1 / 3)
    structure = Structure(
        rng.uniform(0, edge, (COUNT, 3)), np.arange(COUNT) % 2, ("Cu", "Zr"), np.eye(3) * edge, pbc=(True,) * 3
    )
    true = rng.normal(1.0, 0.2, COUNT)
    predicted = true + np.where(structure.species == 1, 0.1, 0.3) * rng.normal(size=COUNT)
    return structure, predicted, true


@pytest.fixture
def data(as_data, glass):
    structure, predicted, true = glass
    return with_columns(as_data(structure), {"Predicted Stiffness": predicted, "Stiffness": true})


def with_columns(data, columns):
    for name, values in columns.items():
        data.particles_.create_property(name, data=values)
    return data


def evaluated(data, **parameters):
    result = data.clone()
    result.apply(EvaluatePredictionModifier(**parameters))
    return result


def scores(data):
    prefix = "EvaluatePrediction."
    return {name.removeprefix(prefix): data.attributes[name] for name in data.attributes if name.startswith(prefix)}


def test_scores_of_all_and_of_each_species(data, glass):
    structure, predicted, true = glass
    found = scores(evaluated(data))
    for suffix, atoms in (
        ("", structure.species >= 0),
        (".Cu", structure.species == 0),
        (".Zr", structure.species == 1),
    ):
        assert found["count" + suffix] == atoms.sum()
        correlation = np.corrcoef(predicted[atoms], true[atoms])[0, 1]
        assert found["pearson" + suffix] == pytest.approx(correlation)
        assert found["pearson_low" + suffix] < correlation < found["pearson_high" + suffix]
        assert found["rmse" + suffix] == pytest.approx(np.sqrt(np.mean((predicted - true)[atoms] ** 2)))
        assert found["bias" + suffix] == pytest.approx(np.mean((predicted - true)[atoms]))
    assert found["pearson_high.Cu"] < found["pearson_low.Zr"]
    assert found["undefined"] == 0


def test_nothing_is_added_to_particles(data):
    assert set(evaluated(data).particles) == set(data.particles)


def test_selected_atoms_alone(data, glass):
    _, predicted, true = glass
    selected = np.arange(COUNT) % 3 == 0
    with_columns(data, {"Selection": selected.astype(int)})
    found = scores(evaluated(data, only_selected=True))
    assert found["pearson"] == pytest.approx(np.corrcoef(predicted[selected], true[selected])[0, 1])
    assert (found["count"], found["undefined"]) == (selected.sum(), (~selected).sum())
    assert np.isnan(found["pearson_low"])  # 667 atoms fill too few boxes


def test_atoms_without_values_are_left_out_and_counted(data, glass):
    _, predicted, true = glass
    data.particles_["Stiffness_"][:100] = np.nan
    data.particles_["Predicted Stiffness_"][50:200] = np.nan
    found = scores(evaluated(data))
    assert found["pearson"] == pytest.approx(np.corrcoef(predicted[200:], true[200:])[0, 1])
    assert (found["count"], found["undefined"]) == (COUNT - 200, 200)


def test_largest_values_as_positives(data, glass):
    structure, predicted, true = glass
    found = scores(evaluated(data, task="classification", positive_share=0.2))
    positive = true >= np.sort(true)[-COUNT // 5]
    assert found["positives"] == COUNT // 5
    assert found["auc"] == pytest.approx(roc_auc_score(positive, predicted))
    assert found["average_precision"] == pytest.approx(average_precision_score(positive, predicted))
    assert np.isnan(found["brier"])  # stiffness is no probability
    copper = structure.species == 0
    assert found["positives.Cu"] == (positive & copper).sum()
    assert found["auc.Cu"] == pytest.approx(roc_auc_score(positive[copper], predicted[copper]))


def test_scores_at_the_true_rate_stand_beside_what_chance_gives(data, glass):
    structure, predicted, true = glass
    found = scores(evaluated(data, task="classification", positive_share=0.1))
    for suffix, atoms in (("", structure.species >= 0), (".Zr", structure.species == 1)):
        positive = (true >= np.sort(true)[-COUNT // 10])[atoms]
        called = predicted[atoms] >= np.sort(predicted[atoms])[-positive.sum()]
        assert found["precision" + suffix] == pytest.approx(precision_score(positive, called))
        assert found["mcc" + suffix] == pytest.approx(matthews_corrcoef(positive, called))
        assert found["mcc_low" + suffix] < found["mcc" + suffix] < found["mcc_high" + suffix] or suffix
        for name, guess in (("auc", 0.5), ("average_precision", positive.mean()), ("precision", positive.mean())):
            assert found[f"{name}_chance{suffix}"] == pytest.approx(guess)
            assert found[f"{name}{suffix}"] > guess
        assert found["mcc_chance" + suffix] == 0


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_overlap_of_the_top_atoms(data, glass, share):
    structure, predicted, true = glass
    found = scores(evaluated(data, top_share=share))
    for suffix, atoms in (("", structure.species >= 0), (".Cu", structure.species == 0)):
        wanted = round(share * atoms.sum())
        both = set(np.argsort(predicted[atoms])[-wanted:]) & set(np.argsort(true[atoms])[-wanted:])
        assert found["top_overlap" + suffix] == pytest.approx(len(both) / wanted)
        assert found["top_overlap_chance" + suffix] == pytest.approx(share)
    assert found["top_overlap_low"] < found["top_overlap"] < found["top_overlap_high"]


@pytest.fixture
def classified(as_data, glass):
    """Integer labels 1, 0 and −1, and calibrated probabilities in the second component of a property."""
    structure, _, _ = glass
    rng = np.random.default_rng(2)
    probability = rng.uniform(size=COUNT)
    labels = (rng.uniform(size=COUNT) < probability).astype(int)
    labels[::10] = -1
    columns = np.column_stack([rng.uniform(size=COUNT), probability])
    data = with_columns(as_data(structure), {"Activity": labels})
    data.particles_.create_property("Likeness", data=columns, components=["other", "same"])
    data.particles_.create_property("Likenesses", data=columns)
    return data, probability, labels


@pytest.mark.parametrize("name", ["Likeness.same", "Likenesses.2"])
def test_labels_and_a_component(classified, name):
    data, probability, labels = classified
    result = evaluated(data, predicted=name, true="Activity", task="classification")
    found, known = scores(result), labels >= 0
    assert (found["count"], found["undefined"]) == (known.sum(), COUNT // 10)
    assert found["auc"] == pytest.approx(roc_auc_score(labels[known], probability[known]))
    assert found["brier"] == pytest.approx(np.mean((probability - labels)[known] ** 2))
    assert found["calibration_error_low"] == 0
    calibration = result.tables["evaluation-calibration"]
    np.testing.assert_allclose(calibration.xy()[:, 0], calibration.xy()[:, 1], atol=0.15)
    assert list(calibration.y.component_names) == ["Observed", "Perfect"]


def test_curves_begin_and_end_where_they_must(classified):
    data, _, labels = classified
    result = evaluated(data, predicted="Likeness.same", true="Activity", task="classification")
    roc = result.tables["evaluation-roc"].xy()
    np.testing.assert_array_equal(roc[[0, -1]], [[0, 0, 0], [1, 1, 1]])
    area = np.trapezoid(roc[:, 1], roc[:, 0])
    assert area == pytest.approx(result.attributes["EvaluatePrediction.auc"], abs=1e-3)
    precision = result.tables["evaluation-precision-recall"].xy()
    share = labels[labels >= 0].mean()
    np.testing.assert_allclose(precision[-1], [1, share, share])


def test_parity_table_has_units_and_bins(data, glass):
    _, predicted, true = glass
    table = evaluated(data).tables["evaluation-parity"]
    assert table.x.name == "Predicted Stiffness (eV per Å²)"
    assert table.y.name == "Stiffness (eV per Å²)"
    order = np.argsort(predicted)
    np.testing.assert_allclose(table.xy()[:, 0], predicted[order].reshape(20, 100).mean(axis=1))
    np.testing.assert_allclose(table.xy()[:, 1], true[order].reshape(20, 100).mean(axis=1))
    assert len(evaluated(data, atoms_per_bin=500).tables["evaluation-parity"].xy()) == 4
    other = evaluated(data, unit="eV", predicted="Position.X").tables["evaluation-parity"]
    assert other.x.name == "Position X (eV)"


def test_names_as_files_change_them(data):
    found = scores(evaluated(data, predicted="predicted_stiffness", true="STIFFNESS"))
    assert found == scores(evaluated(data))


def test_missing_properties_are_named_with_those_there(data):
    with pytest.raises(StructureError, match=r"no property 'Softness'; set true to one of .*Predicted Stiffness"):
        evaluated(data, true="Softness")
    with pytest.raises(StructureError, match=r"no property ''; set predicted"):
        evaluated(data, predicted="")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Position", r"has components X, Y, Z, .* as in 'Position\.X'"),
        ("Position.W", r"has components X, Y, Z"),
        ("Particle Type.1", "has no components"),
    ],
)
def test_components_are_asked_for(data, name, message):
    with pytest.raises(StructureError, match=message):
        evaluated(data, predicted=name)


def test_a_property_is_not_compared_with_itself(data):
    with pytest.raises(EvaluationError, match="with itself"):
        evaluated(data, predicted="stiffness")


def test_numbers_are_no_classes(data):
    with pytest.raises(EvaluationError, match="set positive_share"):
        evaluated(data, task="classification")


def test_tables_of_a_classification_plot_unedited(data):
    probability = 1 / (1 + np.exp(-data.particles["Predicted Stiffness"][...]))
    result = evaluated(with_columns(data, {"P": probability}), predicted="P", task="classification", positive_share=0.2)
    assert set(result.tables) == {"evaluation-roc", "evaluation-precision-recall", "evaluation-calibration"}
    for name, table in result.tables.items():
        assert_plots_unedited(name, table)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_frame_without_labels_has_the_same_attributes_and_no_scores(data, task):
    before = scores(evaluated(data, task=task, positive_share=0.2))
    data.particles_["Stiffness_"][...] = np.nan
    result = evaluated(data, task=task, positive_share=0.2)
    after = scores(result)
    assert list(after) == list(before)
    assert after["count"] == 0
    assert after["undefined"] == COUNT
    assert all(np.isnan(value) for value in after.values() if isinstance(value, float))
    assert all(not len(table.xy()) for table in result.tables.values())


def test_species_that_left_keep_their_attributes(data):
    before = scores(evaluated(data))
    data.particles_.delete_elements(data.particles.particle_types[...] == 1)
    after = scores(evaluated(data))
    assert list(after) == list(before)
    assert np.isnan(after["pearson.Cu"])
    assert after["count.Cu"] == 0
    assert after["pearson.Zr"] == pytest.approx(before["pearson.Zr"])


def test_unnamed_types_have_numbers_until_named(data):
    for kind in data.particles_.particle_types_.types_:
        kind.name = ""
    assert "pearson.type 2" in scores(evaluated(data))
    assert "pearson.Zr" in scores(evaluated(data, species="Cu,Zr"))


def test_a_time_series_of_scores(as_pipeline, as_data, glass, tmp_path):
    structure, predicted, true = glass
    rng = np.random.default_rng(3)
    frames = [
        with_columns(
            as_data(structure), {"Predicted Stiffness": predicted + noise * rng.normal(size=COUNT), "Stiffness": true}
        )
        for noise in (0.0, 0.2, 0.8)
    ]
    pipeline = as_pipeline(frames)
    pipeline.modifiers.append(EvaluatePredictionModifier(resamples=0))
    pipeline.modifiers.append(TimeSeriesModifier(operate_on="EvaluatePrediction.pearson"))
    data = pipeline.compute(0)
    series = data.tables["time-series"].xy()[:, 1]
    assert series[0] == pytest.approx(np.corrcoef(predicted, true)[0, 1])
    assert (np.diff(series) < 0).all()
    export_file(
        pipeline, str(tmp_path / "scores.txt"), "txt/attr", columns=["EvaluatePrediction.pearson"], multiple_frames=True
    )
    np.testing.assert_allclose(np.loadtxt(tmp_path / "scores.txt"), series, rtol=1e-4)


def test_the_example_of_the_readme_and_of_its_page(tmp_path):
    """Predicted against measured stiffness of a glass that the model was not trained on."""
    glass = str(sample_file("stiffness/vibrations-cu50zr50-1e12-1.xyz.gz"))
    command = ["apply", glass, "-m", "stiffness", "-m", "evaluate", "-o", str(tmp_path / "scored.xyz")]
    run = CliRunner().invoke(app, [*command, "--attributes", str(tmp_path / "scores.csv")])
    assert run.exit_code == 0, run.output
    (row,) = csv.DictReader((tmp_path / "scores.csv").open())
    pattern = r"EvaluatePrediction.pearson = (0\.\d+)`, between (0\.\d+) and (0\.\d+)"
    found = [float(row[f"EvaluatePrediction.pearson{end}"]) for end in ("", "_low", "_high")]
    for page in ("README.md", "ovito_glassml/docs/evaluate.md"):
        text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
        stated = [float(number) for number in re.search(pattern, text).groups()]
        assert found == pytest.approx(stated, abs=0.001)
    assert int(row["EvaluatePrediction.count.Zr"]) == 2000
    # What has been written can be compared again, although the format has other names.
    again = ["apply", str(tmp_path / "scored.xyz"), "-m", "evaluate", "-o", str(tmp_path / "again.xyz")]
    run = CliRunner().invoke(app, [*again, "--attributes", str(tmp_path / "again.csv")])
    assert run.exit_code == 0, run.output
    (other,) = csv.DictReader((tmp_path / "again.csv").open())
    assert float(other["EvaluatePrediction.pearson"]) == pytest.approx(float(row["EvaluatePrediction.pearson"]))
