import numpy as np
import pytest

from ovito_glassml.descriptors.species_averages import species_averages
from ovito_glassml.neighbours import build_cell_list
from ovito_glassml.structure import Structure

RADIUS = 2.5


@pytest.fixture
def mixture():
    random = np.random.default_rng(0)
    return Structure(
        random.random((200, 3)) * 6, random.integers(0, 2, 200), ("A", "B"), np.eye(3) * 6, pbc=(True,) * 3
    )


def averages(structure, values, mask=None):
    found = np.full((len(structure), 2, values.shape[1]), np.nan)
    cells = build_cell_list(structure, RADIUS)
    for indices, part in species_averages(cells, values, structure.species.astype(np.int64), 2, RADIUS, mask):
        found[indices] = part
    return found


def test_averages_are_those_of_a_direct_sum_over_the_nearest_images(mixture):
    values = np.random.default_rng(1).normal(size=(200, 3)).astype(np.float32)
    vectors = mixture.positions[:, None] - mixture.positions
    vectors -= 6 * np.round(vectors / 6)
    weights = np.maximum(1 - (vectors**2).sum(axis=2) / RADIUS**2, 0) ** 3
    for kind in (0, 1):
        own = weights * (mixture.species == kind)
        expected = own @ values / own.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(averages(mixture, values)[:, kind], expected, atol=2e-6)


def test_only_wanted_atoms_are_averaged_and_a_missing_species_gives_zero(mixture):
    mask = np.arange(200) < 10
    lonely = Structure(mixture.positions, np.zeros(200, int), ("A", "B"), mixture.cell, pbc=(True,) * 3)
    found = averages(lonely, np.ones((200, 1), dtype=np.float32), mask)
    assert np.isnan(found[10:]).all()
    np.testing.assert_allclose(found[:10, 0], 1, rtol=1e-6)
    assert not found[:10, 1].any()
