"""Crystals are recognised as such, whatever their orientation and unit, and glasses are not."""

import numpy as np
import pytest

from ovito_glassml.structure import Structure
from ovito_glassml.topology.crystals import CRYSTALS, crystal_types
from ovito_glassml.topology.short_range_order import warren_cowley

FCC = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
BCC = [[0, 0, 0], [0.5, 0.5, 0.5]]
DIAMOND = [*FCC, *(np.array(FCC) + 0.25)]
HCP = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 5 / 6, 0.5], [0, 1 / 3, 0.5]]
HCP_CELL = (1.0, np.sqrt(3), np.sqrt(8 / 3))
Z = 0.375
LONSDALEITE = [*HCP, *(np.array(HCP) + np.array([0, 0, Z]))]


def crystal(basis, repeats=3, cell=(1.0, 1.0, 1.0), kinds=None, unit=3.0, shake=0.01):
    corners = np.mgrid[0:repeats, 0:repeats, 0:repeats].reshape(3, -1).T
    positions = (corners[:, None] + np.array(basis)).reshape(-1, 3) * np.array(cell) * unit
    positions += np.random.default_rng(1).normal(scale=shake * unit, size=positions.shape)
    species = np.tile(np.zeros(len(basis), int) if kinds is None else kinds, repeats**3)
    return Structure(positions, species, ["Ni", "Al"], np.diag(cell) * repeats * unit, pbc=(True, True, True))


@pytest.mark.parametrize("unit", [1.0, 3.6])
@pytest.mark.parametrize(
    ("name", "basis", "options"),
    [
        ("fcc", FCC, {}),
        ("bcc", BCC, {}),
        ("B2", BCC, {"kinds": [0, 1]}),
        ("hcp", HCP, {"cell": HCP_CELL}),
        ("diamond", DIAMOND, {}),
        ("hexagonal diamond", LONSDALEITE, {"cell": HCP_CELL}),
    ],
)
def test_crystals_are_recognised(name, basis, options, unit):
    found = crystal_types(crystal(basis, unit=unit, **options))
    assert np.bincount(found, minlength=len(CRYSTALS))[CRYSTALS.index(name)] == len(found)


def test_a_disordered_mixture_on_bcc_sites_is_bcc_and_not_b2():
    kinds = np.random.default_rng(0).integers(2, size=2)
    structure = crystal(BCC, 5, kinds=kinds)
    mixed = Structure(
        structure.positions,
        np.random.default_rng(0).integers(2, size=len(structure)),
        ["Ni", "Al"],
        structure.cell,
        pbc=structure.pbc,
    )
    assert (crystal_types(mixed) == CRYSTALS.index("bcc")).mean() > 0.98


def test_random_points_are_no_crystal():
    points = np.random.default_rng(2).uniform(0, 20, (500, 3))
    assert not crystal_types(Structure(points, cell=20 * np.eye(3), pbc=(True, True, True))).any()


def test_a_vacancy_takes_its_neighbours_out_of_the_crystal():
    whole = crystal(FCC, 4)
    left = Structure(whole.positions[1:], whole.species[1:], ["Ni", "Al"], whole.cell, pbc=whole.pbc)
    assert np.count_nonzero(crystal_types(left) == 0) == 12


def test_short_range_order_of_an_ordered_alloy_a_random_one_and_a_separated_one():
    ordered = warren_cowley(crystal(BCC, 6, kinds=[0, 1]))
    # Eight of another species and six of the same: 1 − (8/14) / 0.5 and 1 − (6/14) / 0.5.
    np.testing.assert_allclose(ordered, [[1 - 12 / 14, 1 - 16 / 14], [1 - 16 / 14, 1 - 12 / 14]], atol=1e-9)
    base = crystal(FCC, 8)
    rng = np.random.default_rng(3)
    random = Structure(base.positions, rng.integers(2, size=len(base)), ["Ni", "Al"], base.cell, pbc=base.pbc)
    assert np.abs(warren_cowley(random)).max() < 0.04
    halves = (base.positions[:, 0] > base.cell[0, 0] / 2).astype(int)
    separated = warren_cowley(Structure(base.positions, halves, ["Ni", "Al"], base.cell, pbc=base.pbc))
    assert separated[0, 1] > 0.7
    assert separated[0, 0] < -0.7
