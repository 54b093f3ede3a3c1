"""Radial distribution functions of single atoms."""

import numpy as np
import pytest

from ovito_glassml.descriptors.rdf import RDFDescriptors
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.threads import limit_threads


def test_forty_values_from_2_to_10():
    descriptor = RDFDescriptors()
    np.testing.assert_allclose(descriptor.radii, np.arange(2.1, 10, 0.2))
    assert descriptor.cutoff == 10.0
    assert len(descriptor.feature_names) == 40
    assert (descriptor.feature_names[0], descriptor.feature_names[-1]) == ("r2_1", "r9_9")


def test_values_of_a_perfect_crystal(fcc):
    """Shells of fcc with a = 4: 12 at 2.83, 6 at 4.00 (on a bin edge: upper bin), 24 at 4.90, 12 at 5.66."""
    rows = RDFDescriptors().compute(fcc)
    assert rows.shape == (256, 40)
    assert rows.dtype == np.float32
    assert np.ptp(rows, axis=0).max() == 0
    density = 4 / 64
    expected = np.zeros(40)
    for radius, count in zip(
        4 * np.sqrt(np.arange(1, 13) / 2), [12, 6, 24, 12, 24, 8, 48, 6, 36, 24, 24, 24], strict=True
    ):
        index = int(np.floor((radius - 2) / 0.2 + 1e-6))
        if index < 40:
            expected[index] += count / (4 * np.pi * (2.1 + 0.2 * index) ** 2 * density * 0.2)
    np.testing.assert_allclose(rows[0], expected, rtol=1e-6)


def test_counts_equal_brute_force(any_structure, true_neighbours):
    density = 0.05
    descriptor = RDFDescriptors(number_density=density)
    counts = descriptor.compute(any_structure) * (4 * np.pi * descriptor.radii**2 * density * 0.2)
    for row, (_, vectors) in zip(counts, true_neighbours(any_structure, 10.5), strict=True):
        bins = np.floor((np.linalg.norm(vectors, axis=1) - 2.0) / 0.2 + 1e-8).astype(int)
        expected = np.bincount(bins[(bins >= 0) & (bins < 40)], minlength=40)
        np.testing.assert_allclose(row, expected, rtol=1e-6)
        np.testing.assert_array_equal(np.round(row), expected)


def test_partial_functions_count_one_species_each_and_add_up(three_species, true_neighbours):
    total = RDFDescriptors().compute(three_species)
    descriptor = RDFDescriptors(partial=("Zr", "Al", "Cu"))
    rows = descriptor.compute(three_species)
    assert rows.shape == (60, 120)
    assert descriptor.feature_names[0] == "Zr_r2_1"
    np.testing.assert_allclose(rows.reshape(60, 3, 40).sum(axis=1), total, rtol=1e-5)
    scale = 4 * np.pi * descriptor.radii**2 * three_species.number_density * 0.2
    zirconium = [
        np.count_nonzero(three_species.species[indices[np.linalg.norm(vectors, axis=1) > 2]] == 2)
        for indices, vectors in true_neighbours(three_species, 10.0 - 1e-6)
    ]
    np.testing.assert_allclose((rows[:, :40] * scale).sum(axis=1), zirconium, rtol=1e-5)


def test_average_is_one_in_an_ideal_gas():
    rng = np.random.default_rng(3)
    gas = Structure(rng.uniform(0, 40, (4000, 3)), cell=np.eye(3) * 40, pbc=(True, True, True))
    mean = RDFDescriptors().compute(gas).mean(axis=0)
    # Pairs are counted twice: 2 N ρ V_bin / 4 independent counts of variance equal to their mean.
    pairs = 4000 * gas.number_density * 4 * np.pi * RDFDescriptors().radii ** 2 * 0.2 / 2
    assert np.abs((mean - 1) * np.sqrt(pairs)).max() < 4.5


def test_the_first_bin_leaves_the_atom_itself_out(triclinic, true_neighbours):
    descriptor = RDFDescriptors(r_min=0.0, r_max=4.0, number_density=1.0)
    rows = descriptor.compute(triclinic) * (4 * np.pi * descriptor.radii**2 * 0.2)
    counts = [len(indices) for indices, _ in true_neighbours(triclinic, 4.0)]
    np.testing.assert_allclose(rows.sum(axis=1), counts, rtol=1e-5)


def test_rotation_translation_permutation(triclinic, transformed):
    rng = np.random.default_rng(4)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    permutation = rng.permutation(len(triclinic))
    moved = transformed(triclinic, rotation, (3.0, -20.0, 0.1), permutation)
    np.testing.assert_array_equal(RDFDescriptors().compute(moved), RDFDescriptors().compute(triclinic)[permutation])


def test_rows_of_the_selected_atoms_only(triclinic):
    mask = np.arange(len(triclinic)) % 3 == 1
    chosen = Structure(
        triclinic.positions, triclinic.species, triclinic.species_names, triclinic.cell, triclinic.origin,
        triclinic.pbc, mask=mask,
    )  # fmt: skip
    rows = RDFDescriptors().compute(triclinic)
    np.testing.assert_array_equal(RDFDescriptors().compute(chosen), rows[mask])
    yielded = np.concatenate([indices for indices, _ in RDFDescriptors().iterate_blocks(chosen)])
    np.testing.assert_array_equal(np.sort(yielded), np.flatnonzero(mask))


def test_threads_do_not_change_a_bit(shaken):
    with limit_threads(1):
        one = RDFDescriptors().compute(shaken)
    with limit_threads(3):
        np.testing.assert_array_equal(RDFDescriptors().compute(shaken), one)


def test_progress_reaches_one_and_can_stop(fcc):
    seen = []
    RDFDescriptors().compute(fcc, progress=seen.append)
    assert seen[-1] == 1.0

    def stop(fraction):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        RDFDescriptors().compute(fcc, progress=stop)


def test_no_atoms_no_rows():
    empty = Structure(np.empty((0, 3)), cell=np.eye(3))
    assert RDFDescriptors(number_density=1.0).compute(empty).shape == (0, 40)
    assert RDFDescriptors().compute(empty).shape == (0, 40)


def test_without_a_cell_the_density_must_be_given(cluster):
    with pytest.raises(StructureError, match="give number_density"):
        RDFDescriptors().compute(cluster)
    assert np.isfinite(RDFDescriptors(number_density=0.06).compute(cluster)).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"r_min": 5.0, "r_max": 5.0}, "no range"),
        ({"r_min": -1.0}, "no range"),
        ({"bin_width": 0.0}, "no range"),
        ({"r_max": np.inf}, "no range"),
        ({"bin_width": 0.3}, "no whole number of bins"),
        ({"number_density": 0.0}, "number_density is 0.0"),
        ({"number_density": float("nan")}, "number_density is nan"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(StructureError, match=message):
        RDFDescriptors(**settings)


def test_a_species_left_out_of_the_partial_functions_is_named(three_species):
    with pytest.raises(StructureError, match="contains Al"):
        RDFDescriptors(partial=("Cu", "Zr")).compute(three_species)
