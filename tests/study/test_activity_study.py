"""The study finds the rule of a mixture in which B neighbours alone decide who moves."""

import numpy as np
import pytest
from study_mixtures import SMALL, heated, sheared, small_study

from ovito_glassml.errors import TrainingError
from ovito_glassml.labels.activity import LabelError
from ovito_glassml.study import activity
from ovito_glassml.study.activity import (
    ActivityStudy,
    feature_blocks,
    make_group,
    observe,
    order_ends,
    species_of,
)
from ovito_glassml.study.findings import denser_inactive, report, saturation_cutoff

pytest.importorskip("sklearn", reason="needs the extra train")

KINDS = ("thermal", "shear")


@pytest.fixture(scope="module")
def whole():
    return small_study()


@pytest.fixture
def study():
    return ActivityStudy(("A", "B"), 1.0, **SMALL)


def at(table, count):
    return table["accuracy"][table["features"].tolist().index(count)]


def frames(count=4, change=lambda columns: columns):
    return [(f"{seed}", structure, change(columns)) for seed in range(count) for structure, columns in [sheared(seed)]]


def test_blocks_are_body_orders_with_the_active_species_first(study):
    blocks = feature_blocks(study.descriptor(2.5))
    assert [(bodies, alone) for bodies, alone, _ in blocks] == [
        (2, True), (2, False), (3, True), (3, False), (4, True), (4, False),
    ]  # fmt: skip
    assert [end for *_, end in blocks[:2]] == [3, 6]
    ends = order_ends(study.descriptor(2.5))
    assert list(ends) == [2, 3, 4]
    assert ends[4] == len(study.descriptor(2.5).feature_names) == blocks[-1][2]
    labels = study.descriptor(2.5).labels
    assert {len(label) for label in labels[ends[2] : ends[3]]} == {2}


def test_published_settings_by_number_of_species():
    assert (ActivityStudy(("A", "B"), 1.0).n_max, ActivityStudy(("A", "B"), 1.0).degree) == (10, 10.0)
    assert (ActivityStudy(("A",), 1.0).n_max, ActivityStudy(("A",), 1.0).degree) == (20, 18.0)


def test_the_printed_transform_scales_by_the_cutoff(study):
    assert study.descriptor(2.5, printed=True).nearest == 2.5 == study.descriptor(2.5).cutoff


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_feature_of_b_brings_the_jump(whole, kind):
    _, _, results = whole
    table = results[kind]["accuracy-2.5"]
    # A neighbours tell of B neighbours only that they take their places.
    assert at(table, 3) < 0.87
    assert at(table, 4) > at(table, 3) + 0.1
    assert at(table, 6) > 0.9
    assert results[kind]["selection"]["radial_order"][0] == "B_n1"


@pytest.mark.parametrize("kind", KINDS)
def test_range_that_holds_the_rule_is_needed(whole, kind):
    study, _, results = whole
    near, far = (results[kind][f"accuracy-{cutoff}"]["accuracy"].max() for cutoff in (1.3, 2.5))
    assert far > near
    if kind == "shear":
        assert saturation_cutoff(study, results[kind]) == 2.5


def test_left_out_accuracies_give_the_errors(whole):
    table = whole[2]["shear"]["accuracy-2.5"]
    values = table["left_out"][0]
    assert values.shape == (5,)
    assert table["error"][0] == pytest.approx(np.sqrt(0.8 * np.sum((values - values.mean()) ** 2)))


def test_selected_features_beat_the_same_number_in_body_order(whole):
    chosen, ordered = (whole[2]["shear"][name] for name in ("selection", "accuracy-2.5"))
    assert chosen["all_accuracy"][2] > at(ordered, 3) + 0.1
    assert len(set(chosen["all_order"])) == len(chosen["all_order"]) == 17
    assert chosen["all_orders"].shape == (5, 17)
    assert set(chosen["radial_order"]) <= {f"{name}_n{n}" for name in "AB" for n in range(1, 4)}


def test_more_configurations_and_more_runs_help(whole):
    learning = whole[2]["thermal"]["learning"]
    radial = learning["bodies"] == 2
    assert learning["configurations"][radial].tolist() == [1, 2, 3, 4]
    assert learning["atoms"][radial][-1] > 3.5 * learning["atoms"][radial][0]
    learned = whole[2]["shear"]["learning"]
    everything = learned["bodies"] == 4
    assert learned["accuracy"][everything][-1] > learned["accuracy"][everything][0]
    runs = whole[2]["thermal"]["replicas"]
    assert runs["replicas"].tolist() == [1, 2, 4, 8]
    assert runs["accuracy"][-1] == runs["against_all"][-1] > runs["accuracy"][0] + 0.05
    assert np.all(np.diff(runs["reliability"][:3]) > 0)
    assert np.isnan(runs["reliability"][-1])
    assert "replicas" not in whole[2]["shear"]


def test_regression_follows_the_rule(whole):
    table = whole[2]["shear"]["regression"]
    everything = dict(zip(table["features"].tolist(), table["correlation"], strict=True))
    assert everything[6] > 0.9 > everything[3] + 0.2


def test_held_atoms_are_denser_in_b(whole):
    table = whole[2]["shear"]["distributions"]
    assert table["names"].tolist() == ["A_n1", "B_n1"]
    held, free = (table["values"][table["labels"] == kind, 1].mean() for kind in (0, 1))
    assert held < free < 0
    everywhere = {**table, "values": table["values"][:, 1:]}
    difference, error = denser_inactive(everywhere)
    assert difference > 5 * error > 0


def test_propensity_is_compared_where_it_is_known(whole):
    assert whole[2]["thermal"]["propensity"]["spearman"] == pytest.approx(np.ones(5))
    assert "propensity" not in whole[2]["shear"]


def test_the_map_is_a_slice_with_active_atoms(whole):
    table = whole[2]["shear"]["map"]
    assert np.ptp(table["positions"][:, 2]) <= 2.0
    assert set(table["activity"]) == {-1, 0, 1}
    assert (table["species"][table["activity"] >= 0] == "A").all()


def test_findings_say_what_was_built_in(whole):
    study, groups, results = whole
    text = report(study, groups, results)
    shear = text.split("## Shear")[1]
    assert "5 configurations, 10 structures" in shear
    assert "a jump that counts" in shear
    assert "Runs behind the label" not in shear
    assert "Runs behind the label" in text
    assert "It still rises from 1.3 to 2.5 (+0.0" in shear
    assert "First features selected** among the radial ones: B_n" in shear


def test_the_same_study_gives_the_same_numbers(whole, monkeypatch):
    study, groups, results = whole
    monkeypatch.setattr(activity, "STRENGTHS", (1e-2,))
    (again,) = (one for one in activity._steps(study, groups[1]) if one.name == "shear-selection")
    for key, values in again.compute(lambda fraction, text: None).items():
        np.testing.assert_array_equal(values, results["shear"]["selection"][key])


def test_labels_of_many_atoms_are_thinned_evenly():
    samples = [observe(structure, columns, name, "A").sample for name, structure, columns in frames(6)]
    before, after = (
        np.concatenate([sample.activity for sample in part]) for part in (samples, activity._thinned(samples, 100))
    )
    assert [np.count_nonzero(after == kind) for kind in (1, 0)] == [50, 50]
    assert (after[after >= 0] == before[after >= 0]).all()


def test_labels_by_runs_are_the_extremes_of_their_mean():
    structure, columns = heated(1)
    sample = observe(structure, columns, "one", "A").sample
    mean = columns["Replica Nonaffine Squared Displacement"].mean(axis=1)
    own = structure.species == 0
    assert (sample.activity[~own] == -1).all()
    active, inactive = (np.flatnonzero(sample.activity == kind) for kind in (1, 0))
    assert len(active) == len(inactive) == round(0.05 * own.sum())
    assert mean[active].min() > mean[own & (sample.activity != 1)].max()
    assert mean[inactive].max() < mean[own & (sample.activity != 0)].min()


def test_species_begin_with_the_active_one():
    structure, columns = sheared(1)
    others = {"Activity": np.where(structure.species == 1, 1.0, np.nan)}
    assert species_of([("runs", structure, {})]) == ("A", "B")
    assert species_of([("runs", structure, {})], "B") == ("B", "A")
    assert species_of([("labels", structure, columns)]) == ("A", "B")
    assert species_of([("labels of few", structure, others)]) == ("B", "A")
    with pytest.raises(TrainingError, match="no Cu atoms; choose the active species from A, B"):
        species_of([("runs", structure, {})], "Cu")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (frames(1), "a single configuration, 0; give at least two files"),
        (frames(4, lambda columns: {"Propensity": columns["Activity"]}), "neither a column 'Activity' nor 'Replica"),
        (frames(4, lambda columns: {"Activity": np.minimum(columns["Activity"], 0)}), "have 0 active A atoms"),
        (
            frames(4, lambda columns: {"Activity": np.minimum(columns["Activity"], -1)}),
            "No A atom of the shear data is labelled",
        ),
    ],
)
def test_data_that_teach_nothing_are_refused(given, message):
    with pytest.raises(TrainingError, match=message):
        make_group("shear", given, "A", "digest")


def test_strange_labels_are_refused():
    with pytest.raises(LabelError, match="labels are 1"):
        make_group("shear", frames(4, lambda columns: {"Activity": columns["Activity"] + 5}), "A", "digest")
