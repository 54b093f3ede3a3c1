"""Figures of the prototype network, drawn for shipped glasses whose stiffness stands for the barrier."""

import csv
from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.errors import TrainingError
from ovito_glassml.figures.scnn import draw_scnn_figures, judge
from ovito_glassml.learn.scnn_data import PUBLISHED, BarrierSample
from ovito_glassml.learn.scnn_network import Pass, TrainingSettings
from ovito_glassml.shipped import stiffness_samples
from ovito_glassml.simulate.shards import read_shard

FIGURES = (
    "roc", "calibration", "scatter", "maps", "embeddings", "cosines", "similarities", "barriers", "clusters",
    "quadruples", "raw_cosines",
)  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    training, testing = stiffness_samples()
    samples = [
        BarrierSample(shard.structure, shard.columns["Stiffness"], file.name.split(".")[0])
        for file, shard in ((file, read_shard(file)) for file in (*training, testing[0]))
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


def test_one_sample_is_too_few():
    with pytest.raises(TrainingError, match="1 labelled samples; give two"):
        judge([None], lambda fraction, text: None)
