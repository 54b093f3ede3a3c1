"""The curves are what the model says of a structure with one more neighbour."""

import csv

import numpy as np
import pytest

from ovito_glassml.learn.propensity.evaluate import neighbour_effects
from ovito_glassml.learn.propensity.model import PropensityModel
from ovito_glassml.reproduce.figures.propensity import draw_propensity_figures
from ovito_glassml.structure import Structure


@pytest.fixture(scope="module")
def model():
    return PropensityModel.load("propensity-wahnstrom")


def shares(model, positions, kinds):
    """What the atoms' own shells add to their propensities."""
    rows = model.descriptor.compute(Structure(positions, kinds, model.descriptor.species))
    return rows @ model.linear.parts[0].own


@pytest.mark.parametrize("kind", [0, 1])
def test_a_curve_is_the_difference_that_a_neighbour_makes(model, kind):
    near = np.array([[0.0, 0, 0], [1.0, 0, 0], [0, 1.1, 0]])
    more = np.vstack([near, [0, 0, 1.3]])
    difference = shares(model, more, [0, 1, 0, kind])[0] - shares(model, near, [0, 1, 0])[0]
    curves = neighbour_effects(model, np.array([1.0, 1.3]))["own shells"]
    assert curves[model.descriptor.species[kind]][1] == pytest.approx(difference, abs=1e-4)


def test_figures_hold_every_curve(model, tmp_path):
    picture, table = draw_propensity_figures(model, tmp_path)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    rows = list(csv.DictReader(table.open()))
    assert {row["counted"] for row in rows} == set(neighbour_effects(model, np.array([1.0])))
    assert {row["neighbour"] for row in rows} == {"A", "B"}
