"""Bessel and orientation parameters against sums written down with SciPy's spherical harmonics."""

import numpy as np
import pytest
from scipy.special import sph_harm_y

from ovito_glassml.descriptors.bessel import BesselDescriptors
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.threads import limit_threads

CUTOFF = 5.0


def brute_force(structure, neighbours, species, normalization, n_max=8, l_max=9, shells=2):
    """The definition, term by term, with complex harmonics."""
    radial, orientation, weights = [], [], []
    for indices, vectors in neighbours:
        r = np.linalg.norm(vectors, axis=1)
        polar, azimuth = np.arccos(np.clip(vectors[:, 2] / r, -1, 1)), np.arctan2(vectors[:, 1], vectors[:, 0])
        n = np.arange(1, n_max + 1)
        values = np.sqrt(2 / CUTOFF) * np.sin(np.pi * n * r[:, None] / CUTOFF) / r[:, None]
        names = np.array(structure.species_names)[structure.species[indices]]
        radial.append(np.concatenate([values[names == name].sum(axis=0) for name in species]))
        divisor = np.abs(values).sum(axis=0) if normalization == "absolute" else values.sum(axis=0)
        row = np.zeros((n_max, l_max))
        with np.errstate(invalid="ignore"):
            for degree in range(1, l_max + 1):
                for m in range(-degree, degree + 1):
                    q = (values * sph_harm_y(degree, m, polar, azimuth)[:, None]).sum(axis=0) / divisor
                    row[:, degree - 1] += np.abs(q) ** 2 * 4 * np.pi / (2 * degree + 1)
        orientation.append(np.sqrt(row).ravel())
        weights.append((indices, np.exp(-r / CUTOFF)))

    def average(rows):
        with np.errstate(invalid="ignore"):
            return np.array([(w[:, None] * rows[indices]).sum(axis=0) / w.sum() for indices, w in weights])

    levels_b, levels_q = [np.array(radial)], [np.array(orientation)]
    for _ in range(shells):
        levels_b.append(average(levels_b[-1]))
        levels_q.append(average(levels_q[-1]))
    return np.hstack(levels_b + levels_q)


@pytest.mark.parametrize("normalization", ["absolute", "published"])
def test_definition(any_structure, true_neighbours, normalization):
    species = any_structure.species_names
    descriptor = BesselDescriptors(species, normalization=normalization, dtype="float64")
    expected = brute_force(any_structure, true_neighbours(any_structure, CUTOFF), species, normalization)
    rows = descriptor.compute(any_structure)
    assert rows.shape == expected.shape == (len(any_structure), len(descriptor.feature_names))
    np.testing.assert_array_equal(np.isnan(rows), np.isnan(expected))
    # Published values diverge, so each is compared with its own size there.
    scale = np.nanmax(np.abs(expected)) if normalization == "absolute" else np.abs(expected) + 1
    assert np.nanmax(np.abs(rows - expected) / scale) < 1e-6


def test_single_precision_is_close(triclinic):
    double = BesselDescriptors(("Cu", "Zr"), dtype="float64").compute(triclinic)
    single = BesselDescriptors(("Cu", "Zr")).compute(triclinic)
    assert single.dtype == np.float32
    assert np.abs(single - double).max() / np.abs(double).max() < 1e-5


def test_264_parameters_in_the_published_order():
    names = BesselDescriptors(("Cu", "Zr")).feature_names
    assert len(names) == len(set(names)) == 264
    assert names[:3] == ("B0_Cu_n1", "B0_Cu_n2", "B0_Cu_n3")
    assert names[8] == "B0_Zr_n1"
    assert names[16] == "B1_Cu_n1"
    assert names[48:50] == ("Q0_n1_l1", "Q0_n1_l2")
    assert names[48 + 9] == "Q0_n2_l1"
    assert names[-1] == "Q2_n8_l9"


def test_perfect_crystal(fcc):
    """Every atom is alike: averages change nothing; fcc has inversion symmetry and no l = 2 order."""
    descriptor = BesselDescriptors(("Cu",), dtype="float64")
    rows = descriptor.compute(fcc)
    assert np.ptp(rows, axis=0).max() < 1e-12
    b0, b1, b2 = rows[0, :24].reshape(3, 8)
    np.testing.assert_allclose(b1, b0, atol=1e-6)
    np.testing.assert_allclose(b2, b0, atol=1e-6)
    q = rows[0, 24:96].reshape(8, 9)
    np.testing.assert_allclose(q[:, [0, 1, 2, 4, 6, 8]], 0, atol=1e-7)
    # The first shell alone gives Steinhardt's q4 = 0.1909 and q6 = 0.5745.
    first_shell = BesselDescriptors(("Cu",), cutoff=3.4, shells=0, dtype="float64").compute(fcc)[0, 8:].reshape(8, 9)
    np.testing.assert_allclose(first_shell[:, 3], 0.190940653956493, atol=1e-7)
    np.testing.assert_allclose(first_shell[:, 5], 0.574524259714300, atol=1e-7)


def test_rotation_reflection_translation_permutation(triclinic, transformed):
    rng = np.random.default_rng(4)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    permutation = rng.permutation(len(triclinic))
    descriptor = BesselDescriptors(("Cu", "Zr"), dtype="float64")
    rows = descriptor.compute(triclinic)
    for turn in (rotation, -rotation):
        moved = descriptor.compute(transformed(triclinic, turn, (3.0, -20.0, 0.1), permutation))
        np.testing.assert_allclose(moved, rows[permutation], atol=1e-7 * np.abs(rows).max())


def test_selected_atoms_get_the_same_rows_as_among_all(mixed_boundaries):
    mask = np.arange(len(mixed_boundaries)) == 7
    source = mixed_boundaries
    chosen = Structure(
        source.positions, source.species, source.species_names, source.cell, source.origin, source.pbc, mask=mask
    )
    for shells in (0, 1, 2, 3):
        descriptor = BesselDescriptors(("Cu", "Zr"), cutoff=3.0, shells=shells)
        np.testing.assert_array_equal(descriptor.compute(chosen), descriptor.compute(source)[mask])


def test_an_atom_without_neighbours_has_no_orientation_and_no_averages():
    lonely = Structure([[0.0, 0, 0], [1, 1, 1], [50, 0, 0]])
    row = BesselDescriptors(("X",)).compute(lonely)[2]
    np.testing.assert_array_equal(row[:8], 0)
    assert np.isnan(row[8:]).all()


def test_threads_do_not_change_a_bit(shaken):
    descriptor = BesselDescriptors(("Cu", "Zr"))
    with limit_threads(1):
        one = descriptor.compute(shaken)
    with limit_threads(3):
        np.testing.assert_array_equal(descriptor.compute(shaken), one)


def test_progress_rises_to_one_and_can_stop(triclinic):
    seen = []
    BesselDescriptors(("Cu", "Zr")).compute(triclinic, seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0

    def stop(fraction):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        BesselDescriptors(("Cu", "Zr")).compute(triclinic, stop)


def test_no_atoms_no_rows():
    empty = Structure(np.empty((0, 3)), cell=np.eye(3))
    assert BesselDescriptors(("X",)).compute(empty).shape == (0, 240)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutoff": 0.0}, "positive length"),
        ({"n_max": 0}, "n_max is 0"),
        ({"l_max": 0}, "l_max is 0"),
        ({"l_max": 31}, "choose 1 to 30"),
        ({"shells": -1}, "shells is -1"),
        ({"normalization": "none"}, "choose 'absolute' or 'published'"),
        ({"species": ()}, "name every species once"),
        ({"species": ("Cu", "Cu")}, "name every species once"),
        ({"dtype": "int32"}, "float32 or float64"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(StructureError, match=message):
        BesselDescriptors(**{"species": ("Cu", "Zr"), **settings})


def test_an_unknown_species_is_named(three_species):
    with pytest.raises(StructureError, match="contains Al"):
        BesselDescriptors(("Cu", "Zr")).compute(three_species)


def test_a_result_larger_than_memory_is_refused_before_it_starts(fcc, monkeypatch):
    monkeypatch.setattr("ovito_glassml.memory.physical_memory", lambda: 1000.0)
    with pytest.raises(StructureError, match="iterate_blocks"):
        BesselDescriptors(("Cu",)).compute(fcc)
