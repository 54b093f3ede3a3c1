"""Weighted sums over neighbours against a search that tries every image."""

import numpy as np
import pytest

from ovito_glassml.learn.stiffness.shells import cosine_taper, gaussians, shell_sums
from ovito_glassml.structure import Structure

CUTOFF = 5.0
CENTRES = np.array([2.5, 3.5])


def table():
    radii = np.linspace(0, CUTOFF, 2001)
    return gaussians(radii, CENTRES, 0.5, CUTOFF)


def test_sums_agree_with_brute_force(any_structure, true_neighbours):
    rng = np.random.default_rng(1)
    values = rng.normal(size=len(any_structure))
    kinds = len(any_structure.species_names)
    sums = shell_sums(any_structure, values, table(), CUTOFF, np.arange(kinds), kinds)
    expected = np.zeros((len(any_structure), kinds, len(CENTRES)))
    for i, (indices, vectors) in enumerate(true_neighbours(any_structure, CUTOFF)):
        weights = gaussians(np.linalg.norm(vectors, axis=1), CENTRES, 0.5, CUTOFF)
        for j, weight in zip(indices, weights, strict=True):
            expected[i, any_structure.species[j]] += weight * values[j]
    np.testing.assert_allclose(sums, expected.reshape(len(sums), -1), atol=2e-5)


def test_species_without_a_column_do_not_count_and_columns_add_up(triclinic):
    values = np.ones(len(triclinic))
    both = shell_sums(triclinic, values, table(), CUTOFF, np.array([0, 1]), 2).reshape(len(values), 2, -1)
    together = shell_sums(triclinic, values, table(), CUTOFF, np.array([0, 0]), 1)
    first_only = shell_sums(triclinic, values, table(), CUTOFF, np.array([0, -1]), 1)
    np.testing.assert_allclose(both.sum(axis=1), together, atol=1e-5)
    np.testing.assert_array_equal(first_only, both[:, 0])


def test_only_selected_atoms_get_rows_but_all_count(triclinic):
    values = np.arange(len(triclinic), dtype=float)
    mask = values % 3 == 0
    some = Structure(
        triclinic.positions,
        triclinic.species,
        triclinic.species_names,
        triclinic.cell,
        triclinic.origin,
        triclinic.pbc,
        mask=mask,
    )
    fractions = []
    rows = shell_sums(some, values, table(), CUTOFF, np.array([0, 1]), 2, fractions.append)
    np.testing.assert_array_equal(rows, shell_sums(triclinic, values, table(), CUTOFF, np.array([0, 1]), 2)[mask])
    assert fractions[-1] == 1


def test_weights_vanish_smoothly_at_the_cutoff():
    radii = np.array([0.0, 2.5, 5.0 - 1e-6, 5.0, 7.0])
    np.testing.assert_allclose(cosine_taper(radii, 5.0), [1, 0.5, 0, 0, 0], atol=1e-9)
    assert gaussians(np.array([2.5]), CENTRES, 0.5, CUTOFF)[0, 0] == pytest.approx(0.5)
