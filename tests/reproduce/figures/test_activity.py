"""The figures of the activity study: a picture with labelled axes and its numbers, for every part of the study."""

import csv

import numpy as np
import pytest
from study_mixtures import small_study

from ovito_glassml.reproduce.figures import activity as figures

pytest.importorskip("sklearn", reason="needs the extra train")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Everything that is drawn, and the figures that it was saved from."""
    seen = {}

    def save(figure, file):
        seen[file.stem] = figure
        return original(figure, file)

    original, figures.save_figure = figures.save_figure, save
    folder = tmp_path_factory.mktemp("figures") / "new"
    study, _, results = small_study()
    try:
        written = figures.draw_activity_figures(study, results, folder)
    finally:
        figures.save_figure = original
    return folder, written, seen


def columns(file):
    with open(file) as source:
        rows = list(csv.DictReader(source))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_every_part_has_a_picture_and_a_table(drawn):
    folder, written, _ = drawn
    names = {"accuracy", "distributions", "learning", "maps", "propensity", "regression", "replicas", "selection"}
    assert {file.name for file in folder.iterdir()} == {file.name for file in written}
    for ending in (".png", ".csv"):
        assert {file.stem for file in written if file.suffix == ending} == names | {"transform"}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in written if file.suffix == ".png")
    assert all(file.stat().st_size > 10_000 for file in written if file.suffix == ".png")


def test_axes_are_labelled(drawn):
    for figure in drawn[2].values():
        for axis in figure.axes:
            colour_bar = axis.get_label() == "<colorbar>"
            assert axis.get_xlabel() or colour_bar
        assert any(axis.get_ylabel() for axis in figure.axes)


def test_accuracy_is_tabulated_for_every_cutoff_with_the_body_order(drawn):
    table = columns(drawn[0] / "accuracy.csv")
    assert set(table["group"]) == {"thermal", "shear"}
    assert set(table["cutoff_r0"]) == {"1.3", "2.5"}
    shear = (table["group"] == "shear") & (table["cutoff_r0"] == "2.5")
    bodies = dict(zip(table["features"][shear].astype(int), table["bodies"][shear].astype(int), strict=True))
    assert (bodies[6], bodies[7], bodies[13], bodies[14]) == (2, 3, 3, 4)
    results = small_study()[2]["shear"]["accuracy-2.5"]
    assert table["accuracy"][shear].astype(float) == pytest.approx(results["accuracy"])


def test_selection_names_the_feature_of_every_step(drawn):
    table = columns(drawn[0] / "selection.csv")
    radial = (table["group"] == "shear") & (table["order"] == "selected among radial")
    assert table["added"][radial][0] == "B_n1"
    assert sorted(table["added"][radial]) == ["A_n1", "A_n2", "A_n3", "B_n1", "B_n2", "B_n3"]
    components = table["order"] == "principal components"
    assert set(table["added"][components]) == {""}


def test_distributions_are_densities(drawn):
    table = columns(drawn[0] / "distributions.csv")
    chosen = (table["group"] == "shear") & (table["descriptor"] == "B_n1")
    values = table["value"][chosen].astype(float)
    for kind in ("active", "inactive"):
        density = table[f"{kind}_density"][chosen].astype(float)
        assert density.sum() * (values[1] - values[0]) == pytest.approx(1.0)


def test_only_groups_with_runs_have_curves_over_runs(drawn):
    assert set(columns(drawn[0] / "replicas.csv")["group"]) == {"thermal"}
    assert set(columns(drawn[0] / "propensity.csv")["group"]) == {"thermal"}
