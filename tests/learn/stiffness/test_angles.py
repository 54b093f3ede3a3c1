"""Angular sums against the definition, written out in full."""

import numpy as np
import pytest
from scipy.special import eval_legendre

from ovito_glassml.learn.stiffness.angles import DEGREES, AngularSums, sum_angles
from ovito_glassml.learn.stiffness.shells import gaussians
from ovito_glassml.neighbours import build_cell_list
from ovito_glassml.structure import Structure

CUTOFF = 4.2
CENTRES = np.array([2.0, 3.0])


def sums(species):
    table = gaussians(np.linspace(0, CUTOFF, 4001), CENTRES, 0.5, CUTOFF)
    return AngularSums(CUTOFF, table, tuple(species))


def rows_of(angular, structure, first=0):
    """Sums of all atoms, from column `first` on."""
    cells = build_cell_list(structure, angular.cutoff)
    rows = np.zeros((len(structure), first + angular.width))
    sum_angles(0, len(rows), cells.grid, cells.order, *angular.settings(structure), first, rows)
    return rows[np.argsort(cells.grid.atom[cells.order])]


def test_sums_agree_with_brute_force(any_structure, true_neighbours):
    names = any_structure.species_names
    angular = sums(names)
    rows = rows_of(angular, any_structure)
    channels = 2 * len(names)
    upper = np.triu_indices(channels)
    for i, (indices, vectors) in list(enumerate(true_neighbours(any_structure, CUTOFF)))[:40]:
        lengths = np.linalg.norm(vectors, axis=1)
        weights = np.zeros((len(indices), channels))
        for j, kind in enumerate(any_structure.species[indices]):
            weights[j, 2 * kind : 2 * kind + 2] = gaussians(lengths[j : j + 1], CENTRES, 0.5, CUTOFF)[0]
        cosines = (vectors / lengths[:, None]) @ (vectors / lengths[:, None]).T
        expected = [(weights.T @ eval_legendre(degree, cosines) @ weights)[upper] for degree in DEGREES]
        np.testing.assert_allclose(rows[i], np.concatenate(expected), atol=1e-4)


def test_an_octahedron_has_cubic_order_only():
    """P_2 sums to zero over the six corners of an octahedron, P_4 does not."""
    corners = 2.5 * np.vstack([np.eye(3), -np.eye(3)])
    structure = Structure(np.vstack([np.zeros((1, 3)), corners]), np.zeros(7), ("Cu",))
    row = rows_of(sums(("Cu",)), structure)[0].reshape(len(DEGREES), -1)
    np.testing.assert_allclose(row[0], 0, atol=1e-9)
    assert row[1].min() > 0.1


def test_turning_changes_nothing_and_unknown_species_do_not_count(triclinic, transformed):
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    angular = sums(("Cu", "Zr"))
    rows = rows_of(angular, triclinic)
    np.testing.assert_allclose(rows_of(angular, transformed(triclinic, rotation)), rows, atol=1e-8)
    copper = rows_of(sums(("Cu",)), triclinic).reshape(-1, len(DEGREES), 3)
    channels = rows.reshape(len(triclinic), len(DEGREES), 10)
    np.testing.assert_allclose(copper, channels[:, :, [0, 1, 4]])


def test_sums_stand_from_the_column_asked_for(triclinic):
    rows = rows_of(sums(("Cu", "Zr")), triclinic, first=3)
    np.testing.assert_array_equal(rows[:, 3:], rows_of(sums(("Cu", "Zr")), triclinic))
    assert not rows[:, :3].any()


def test_isolated_atoms_have_no_angles(one_atom):
    lonely = Structure(one_atom.positions, one_atom.species, one_atom.species_names)
    assert not rows_of(sums(("Cu",)), lonely).any()
    assert sums(("Cu",)).width == pytest.approx(9)
