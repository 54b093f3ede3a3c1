"""The figures of the stiffness models, drawn from shipped data."""

import csv

import numpy as np
import pytest

from ovito_glassml.adapter.files import read_labelled
from ovito_glassml.learn.stiffness.data import LabelledSample
from ovito_glassml.learn.stiffness.model import StiffnessModel
from ovito_glassml.reproduce.figures.stiffness import draw_maps, draw_parity, draw_radius_scan, draw_rdfs, draw_transfer
from ovito_glassml.workflow.sample_data import STIFFNESS_MODELS, stiffness_samples


def labelled(file):
    (structure, stiffness), *_ = read_labelled(file, "Stiffness")
    return LabelledSample(structure, stiffness, file.name.split(".")[0])


@pytest.fixture(scope="module")
def testing():
    return [labelled(file) for file in stiffness_samples()[1]]


@pytest.fixture(scope="module")
def predictions(testing):
    models = {name: StiffnessModel.load(name) for name in STIFFNESS_MODELS}
    return {name: [model.predict(sample.structure) for sample in testing] for name, model in models.items()}


def columns(file):
    with open(file) as source:
        rows = list(csv.DictReader(source))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def is_picture(file):
    return file.read_bytes().startswith(b"\x89PNG") and file.stat().st_size > 10_000


def test_parity_lies_near_the_diagonal(testing, predictions, tmp_path):
    picture, table = draw_parity(testing, predictions, tmp_path)
    assert is_picture(picture)
    values = columns(table)
    assert set(values["model"]) == set(STIFFNESS_MODELS)
    chosen = values["model"] == "stiffness-cuzr"
    predicted = values["predicted_eV_per_A2"][chosen].astype(float)
    measured = values["measured_eV_per_A2"][chosen].astype(float)
    assert np.corrcoef(predicted, measured)[0, 1] > 0.95
    assert np.polyfit(predicted, measured, 1)[0] == pytest.approx(1.0, abs=0.15)


def test_stiff_atoms_sit_in_a_sharper_first_shell(testing, predictions, tmp_path):
    picture, table = draw_rdfs(testing, predictions["stiffness-cuzr"], tmp_path)
    assert is_picture(picture)
    values = {name: column.astype(float) for name, column in columns(table).items()}
    for kind in ("measured", "predicted"):
        assert values[f"{kind}_stiffest"].max() > values[f"{kind}_softest"].max()


def test_coarse_graining_is_scanned_from_atoms_to_the_whole(testing, predictions, tmp_path):
    picture, table = draw_radius_scan(testing, predictions, tmp_path)
    assert is_picture(picture)
    values = columns(table)
    chosen = values["model"] == "stiffness-cuzr"
    spread = values["measured_spread_eV_per_A2"][chosen].astype(float)
    assert values["radius_A"][chosen][0] == "0.0"
    assert spread[0] > 3 * spread[-1]


def test_maps_show_both_quantities(testing, predictions, tmp_path):
    picture, table = draw_maps(testing[0], predictions["stiffness-cuzr"][0], tmp_path)
    assert is_picture(picture)
    values = columns(table)
    assert len(np.unique(values["id"])) == len(values["id"]) > 100


@pytest.mark.slow
def test_transfer_trains_on_each_rate_alone_and_on_all(testing, tmp_path):
    sample = labelled(stiffness_samples()[0][0])
    few = np.where(np.arange(len(sample.stiffness)) % 4 == 0, sample.stiffness, np.nan)  # trains faster
    training = [sample._replace(stiffness=few)]
    picture, table = draw_transfer(training, testing, tmp_path, lambda fraction, text: None)
    assert is_picture(picture)
    values = columns(table)
    assert len(values["trained_on"]) == 2 * len(testing)
    assert "all" in values["trained_on"]
    assert (values["R"].astype(float) > 0.5).all()
