"""Lengths in distances of nearest neighbours: the same model for the same glass in any unit."""

from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.learn.lengths import nearest_neighbours, two_shells
from ovito_glassml.learn.stiffness.train import train
from ovito_glassml.structure import Structure, StructureError


def scaled(structure, factor):
    return replace(structure, positions=factor * structure.positions, cell=factor * structure.cell)


def test_the_distance_of_nearest_neighbours_follows_the_unit(spring_glasses):
    structure = spring_glasses[0].structure
    distance = nearest_neighbours([structure])
    assert nearest_neighbours([scaled(structure, 0.37)]) == pytest.approx(0.37 * distance, rel=1e-3)
    assert nearest_neighbours([structure, scaled(structure, 1.1)]) == pytest.approx(1.05 * distance, rel=1e-3)
    assert two_shells([structure]) == pytest.approx(1.77 * distance, rel=1e-3)


@pytest.mark.parametrize("factor", [0.4, 0.57], ids=["reduced units", "an oxide"])
def test_a_stiffness_model_is_the_same_in_any_unit(spring_glasses, factor):
    """Neighbours nearer than 2 Å count as those of a metal do."""
    trained, judged = spring_glasses[:2]
    metal = train([trained]).predict(judged.structure)
    small = train([trained._replace(structure=scaled(trained.structure, factor))])
    other = small.predict(scaled(judged.structure, factor))
    assert np.corrcoef(other.stiffness, metal.stiffness)[0, 1] > 0.99
    np.testing.assert_allclose(other.stiffness.mean(), metal.stiffness.mean(), rtol=0.02)
    np.testing.assert_allclose(np.log(other.extrapolation), np.log(metal.extrapolation), atol=0.5)


def test_atoms_without_neighbours_have_no_such_distance():
    alone = Structure(np.zeros((1, 3)), np.zeros(1, dtype=int), ("Cu",), None, pbc=(False, False, False))
    with pytest.raises(StructureError, match="No atom has a neighbour"):
        nearest_neighbours([alone])
