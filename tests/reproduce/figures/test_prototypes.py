"""Figures of the prototype network, drawn for shipped glasses whose stiffness stands for the barrier."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.prototypes.data import PUBLISHED, BarrierSample
from ovito_glassml.learn.prototypes.network import Pass, TrainingSettings
from ovito_glassml.reproduce.figures.prototypes import draw_scnn_figures, judge
from ovito_glassml.reproduce.figures.viscosity import draw_viscosity, log_viscosity
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.sample_data import stiffness_samples

FIGURES = (
    "roc", "calibration", "scatter", "maps", "embeddings", "cosines", "similarities", "barriers", "clusters",
    "quadruples", "raw_cosines", "viscosity",
)  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    training, testing = stiffness_samples()
    samples = [
        BarrierSample(snapshot.structure, snapshot.columns["Stiffness"], file.name.split(".")[0])
        for file, snapshot in ((file, read_snapshot(file)) for file in (*training, testing[0]))
    ]
    folder = tmp_path_factory.mktemp("figures")
    settings = replace(TrainingSettings(), starts=1, first=Pass(40, 3e-3), cycle=Pass(20, 1e-3), most_cycles=2)
    written, report = draw_scnn_figures(
        samples, folder, lambda fraction, text: None, design=PUBLISHED, settings=settings, quadruples=30
    )
    return folder, written, report


def columns(folder, name):
    with open(folder / f"{name}.csv") as source:
        rows = list(csv.DictReader(source))
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_a_picture_with_its_numbers(drawn, name):
    folder, written, _ = drawn
    picture = folder / f"{name}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 10_000
    assert columns(folder, name)
    assert {picture, picture.with_suffix(".csv")} <= set(written)


def test_the_curve_encloses_the_area_that_is_reported(drawn):
    folder, _, report = drawn
    curve = columns(folder, "roc")
    for name in ("prototypes", "plain network"):
        chosen = curve["network"] == name
        wrong, found = (curve[f"{kind}_positive_rate"][chosen].astype(float) for kind in ("false", "true"))
        area = np.trapezoid(found, wrong)
        line = next(line for line in report if f"fifth, {name}:" in line)
        assert area == pytest.approx(float(line.rsplit(" ", 1)[1]), abs=2e-3)
        assert area > 0.7


def test_barriers_rise_with_the_logit(drawn):
    table = columns(drawn[0], "scatter")
    assert np.corrcoef(table["logit"].astype(float), table["barrier_eV"].astype(float))[0, 1] > 0.8


def test_high_atoms_are_more_similar_to_high_than_to_low_prototypes(drawn):
    table = {name: values.astype(float) for name, values in columns(drawn[0], "similarities").items()}

    def mean(number, name):
        density = table[f"prototype_{number}_{name}"]
        return (table["cosine"] * density).sum() / density.sum()

    difference = [mean(number, "highest_fifth") - mean(number, "others") for number in range(4)]
    assert difference[2] + difference[3] > difference[0] + difference[1] + 0.2


def test_prototypes_are_named_with_their_clusters(drawn):
    table = columns(drawn[0], "prototypes")
    assert list(table["prototype"]) == ["0, low", "1, low", "2, high", "3, high"]
    assert all(signature.startswith("[") for signature in table["signature"])
    barriers = table["barrier_eV"].astype(float)
    assert barriers[:2].max() < barriers[2:].min()


def test_the_verdict_on_raw_descriptors_follows_from_the_numbers(drawn):
    folder, _, report = drawn
    limit = np.quantile(columns(folder, "quadruples")["random_AUC"].astype(float), 0.95)
    line = next(line for line in report if line.startswith("raw descriptors"))
    area = float(line.split("AUC ")[1].split(",")[0])
    assert f"{limit:.3f}" in line
    assert ("means something" in line) == (area > limit)


def test_viscosity_rises_with_the_predicted_stiffness(drawn):
    """The measured stiffness stands for the barrier, so the two must agree."""
    folder, _, report = drawn
    table = columns(folder, "viscosity")
    assert np.corrcoef(table["stiffness_eV_A2"].astype(float), table["log10_viscosity_Pa_s"].astype(float))[0, 1] > 0.95
    (line,) = [line for line in report if "viscosity" in line]
    soft, stiff = (float(text) for text in re.findall(r"10\^([-\d.]+)", line))
    assert soft < stiff


def test_viscosity_is_that_of_an_activated_process():
    """At 1000 K and 1 eV: 10⁻⁴ exp(11.6045) Pa s, 10¹² Pa s for 16 ln(10) k_B T."""
    assert 10 ** log_viscosity(1.0, 1000.0) == pytest.approx(1e-4 * np.exp(11.6045), rel=1e-4)
    np.testing.assert_allclose(log_viscosity([16 * np.log(10) * 8.617333e-5 * 700, 0.0]), [12, -4], atol=1e-5)


def test_species_without_a_stiffness_have_no_viscosity(tmp_path):
    structure = Structure([[0, 0, 0], [2.0, 0, 0]], [0, 1], ("Al", "Ni"))
    written, (line,) = draw_viscosity(BarrierSample(structure, np.array([1.0, 2.0]), "other"), tmp_path)
    assert not written
    assert "knows Cu and Zr only" in line
    assert not list(tmp_path.iterdir())


def test_one_sample_is_too_few():
    with pytest.raises(TrainingError, match="1 labelled samples; give two"):
        judge([None], lambda fraction, text: None)
