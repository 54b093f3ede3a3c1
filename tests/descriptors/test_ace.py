"""ACE against sums over distinct pairs and triples of neighbours."""

import itertools

import numpy as np
import pytest
from scipy.special import eval_legendre, sph_harm_y

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.descriptors.invariants import coupling
from ovito_glassml.descriptors.radial import ace_transform
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.threads import limit_threads


def one_neighbour_functions(vectors, descriptor, l_max):
    """φ_nlm of every neighbour, [n − 1][l][m + l]."""
    r = np.linalg.norm(vectors, axis=1)
    s, end = r / descriptor.nearest, descriptor.cutoff / descriptor.nearest

    def y(q):
        return (1 + q**3) / (1 + q**3 + 3 / 11 * q**4)

    x = 1 - (y(s) - y(end)) / (1 - y(end)) * (1 - (r / descriptor.cutoff) ** 4)
    polar, azimuth = np.arccos(np.clip(vectors[:, 2] / r, -1, 1)), np.arctan2(vectors[:, 1], vectors[:, 0])
    functions = []
    for n in range(1, descriptor.n_max + 1):
        radial = (x - 1) * np.sqrt(2 * n - 1) * eval_legendre(n - 1, 2 * x - 1)
        by_degree = []
        for degree in range(l_max + 1):
            rows = []
            for m in range(-degree, degree + 1):
                value = sph_harm_y(degree, abs(m), polar, azimuth) * (-1) ** m
                real = value.real if m == 0 else np.sqrt(2) * (value.real if m > 0 else value.imag)
                rows.append(radial * real)
            by_degree.append(np.array(rows))
        functions.append(by_degree)
    return functions


def brute_force(vectors, names, descriptor):
    """Every feature of one atom as a sum over ordered tuples of distinct neighbours."""
    l_max = max(angular for label in descriptor.labels for _, _, angular in label)
    functions = one_neighbour_functions(vectors, descriptor, l_max)
    count = len(vectors)
    distinct_pairs = 1 - np.eye(count)
    distinct = {
        1: np.ones(count),
        2: distinct_pairs,
        3: distinct_pairs[:, :, None] * distinct_pairs[:, None, :] * distinct_pairs[None, :, :],
    }
    row = []
    for label in descriptor.labels:
        degrees = [angular for _, _, angular in label] + [0] * (3 - len(label))
        tensor = coupling(*degrees)[0]
        tensor = tensor.reshape(tensor.shape[: len(label)])  # without the legs with l = 0
        present = [functions[n - 1][angular] * (names == name) for name, n, angular in label]
        letters, atoms = "abc"[: len(present)], "ijk"[: len(present)]
        operands = ",".join(f"{letter}{atom}" for letter, atom in zip(letters, atoms, strict=True))
        row.append(
            np.einsum(f"{letters},{atoms},{operands}->", tensor, distinct[len(present)], *present, optimize=True)
        )
    return np.array(row)


SMALL = {"cutoff": 4.2, "nearest": 2.4, "dtype": "float64"}


@pytest.mark.parametrize("name", ["triclinic", "small_periodic", "one_atom", "cluster", "three_species"])
@pytest.mark.parametrize("settings", [{}, {"n_max": 4, "degree": 12.0, "degree_weight": 1.0}])
def test_sums_over_distinct_tuples(request, true_neighbours, name, settings):
    structure = request.getfixturevalue(name)
    if len(structure.species_names) == 3:
        settings = {**settings, "degree": 7.0}
    descriptor = ACEDescriptors(structure.species_names, **{**SMALL, **settings})
    rows = descriptor.compute(structure)
    assert rows.shape == (len(structure), len(descriptor.labels))
    names = np.array(structure.species_names)[structure.species]
    neighbours = true_neighbours(structure, descriptor.cutoff)
    for atom in range(0, len(structure), 9):
        indices, vectors = neighbours[atom]
        expected = brute_force(vectors, names[indices], descriptor)
        assert np.abs(rows[atom] - expected).max() < 1e-8 * np.abs(rows).max()


def test_single_precision_is_close(triclinic):
    double = ACEDescriptors(("Cu", "Zr"), **SMALL).compute(triclinic)
    single = ACEDescriptors(("Cu", "Zr"), **{**SMALL, "dtype": "float32"}).compute(triclinic)
    assert single.dtype == np.float32
    assert np.abs(single - double).max() / np.abs(double).max() < 1e-5


@pytest.mark.parametrize("count", [0, 1, 2])
def test_correlations_of_more_neighbours_than_there_are_vanish(count):
    positions = np.array([[0, 0, 0], [2.3, 0.4, -0.3], [-0.6, 1.1, 2.2]])[: count + 1]
    descriptor = ACEDescriptors(("X",), **SMALL)
    row = descriptor.compute(Structure(positions))[0]
    orders = np.array([len(label) for label in descriptor.labels])
    assert np.abs(row[orders > count]).max() < 1e-13
    if count:
        assert np.abs(row[orders == count]).max() > 1e-3


def test_transform_has_the_published_values():
    x = ace_transform(np.array([0.0, 0.9, 1.0, 1.1, 2.0, 3.0, 4.0]), 4.0, 1.0)
    np.testing.assert_allclose(x, [0, 0.1832, 0.2347, 0.2865, 0.6536, 0.8986, 1], atol=5e-5)


def test_distances_are_resolved_best_near_the_nearest_neighbours():
    s = np.linspace(0.01, 3, 3000)
    y = (1 + s**3) / (1 + s**3 + 3 / 11 * s**4)
    assert s[np.argmax(np.abs(np.gradient(y, s)))] == pytest.approx(1.0, abs=2e-3)


def test_radial_polynomials_are_orthonormal_in_the_transformed_distance():
    nodes, weights = np.polynomial.legendre.leggauss(40)
    x = (nodes + 1) / 2
    polynomials = np.array([np.sqrt(2 * n + 1) * eval_legendre(n, 2 * x - 1) for n in range(10)])
    np.testing.assert_allclose((polynomials * weights / 2) @ polynomials.T, np.eye(10), atol=1e-13)


def test_rotation_reflection_translation_permutation(triclinic, transformed):
    rng = np.random.default_rng(4)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    permutation = rng.permutation(len(triclinic))
    descriptor = ACEDescriptors(("Cu", "Zr"), **{**SMALL, "degree_weight": 1.0})
    rows = descriptor.compute(triclinic)
    for turn in (rotation, -rotation):
        moved = descriptor.compute(transformed(triclinic, turn, (3.0, -20.0, 0.1), permutation))
        np.testing.assert_allclose(moved, rows[permutation], atol=1e-8 * np.abs(rows).max())


def test_value_and_slope_vanish_at_the_cutoff():
    descriptor = ACEDescriptors(("X",), **SMALL)
    fixed = np.array([[0, 0, 0], [2.0, 0.5, 0], [0, -2.2, 0.8]])
    direction = np.array([0.3, 0.5, 0.9]) / np.linalg.norm([0.3, 0.5, 0.9])

    def row(distance):
        return descriptor.compute(Structure(np.vstack([fixed, distance * direction])))[0]

    without = row(descriptor.cutoff + 0.1)
    far, near = (np.abs(row(descriptor.cutoff - step) - without).max() for step in (2e-2, 2e-3))
    # Quadratic approach: a step ten times smaller changes the row a hundred times less.
    assert far / near == pytest.approx(100, rel=0.1)


def test_unpurified_products_count_a_neighbour_twice():
    pair = Structure([[0.0, 0, 0], [2.3, 0.4, -0.3]])
    descriptor = ACEDescriptors(("X",), **SMALL, purified=False)
    row = descriptor.compute(pair)[0]
    values = dict(zip(descriptor.labels, row, strict=True))
    one, two = values[(("X", 1, 0),)], values[(("X", 2, 0),)]
    assert values[(("X", 1, 0), ("X", 2, 0))] == pytest.approx(one * two)
    assert values[(("X", 1, 0), ("X", 1, 0), ("X", 2, 0))] == pytest.approx(one * one * two)


def test_presets_and_names():
    binary = ACEDescriptors.binary_mixture(("A", "B"))
    assert (binary.cutoff, binary.nearest, len(binary.labels)) == (4.0, 1.0, 574)
    assert len(ACEDescriptors.polymer(("A",)).labels) == 1121
    names = binary.feature_names
    assert len(set(names)) == 574
    assert names[:2] == ("A_n1", "A_n2")
    assert names[10] == "B_n1"
    assert names[20] == "A_n1_l0_A_n1_l0"


def test_rows_of_the_selected_atoms_only(mixed_boundaries):
    source = mixed_boundaries
    mask = np.arange(len(source)) % 5 == 2
    chosen = Structure(
        source.positions, source.species, source.species_names, source.cell, source.origin, source.pbc, mask=mask
    )
    descriptor = ACEDescriptors(("Cu", "Zr"), **SMALL)
    np.testing.assert_array_equal(descriptor.compute(chosen), descriptor.compute(source)[mask])


def test_threads_do_not_change_a_bit(shaken):
    descriptor = ACEDescriptors(("Cu", "Zr"))
    with limit_threads(1):
        one = descriptor.compute(shaken)
    with limit_threads(3):
        np.testing.assert_array_equal(descriptor.compute(shaken), one)


def test_orders_are_nested(triclinic):
    """The columns of a lower order come first in a higher one."""
    rows = [ACEDescriptors(("Cu", "Zr"), **SMALL, order=order).compute(triclinic) for order in (1, 2, 3)]
    for low, high in itertools.pairwise(rows):
        np.testing.assert_allclose(high[:, : low.shape[1]], low, atol=1e-12 * np.abs(high).max())


def test_progress_reaches_one_and_can_stop(triclinic):
    descriptor, seen = ACEDescriptors(("Cu", "Zr"), **SMALL), []
    descriptor.compute(triclinic, seen.append)
    assert seen[-1] == 1.0

    def stop(fraction):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        descriptor.compute(triclinic, stop)


def test_no_atoms_no_rows():
    assert ACEDescriptors(("X",)).compute(Structure(np.empty((0, 3)))).shape == (0, 110)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutoff": 0.0}, "cutoff is 0.0"),
        ({"nearest": -1.0}, "nearest is -1.0"),
        ({"order": 4}, "choose 1, 2 or 3"),
        ({"n_max": 0}, "n_max is 0"),
        ({"degree": 0}, "choose 1 to 24"),
        ({"degree_weight": 0.0}, "degree_weight is 0.0"),
        ({"species": ("Cu", "Cu")}, "name every species once"),
        ({"dtype": "int8"}, "float32 or float64"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(StructureError, match=message):
        ACEDescriptors(**{"species": ("Cu", "Zr"), **settings})


def test_an_unknown_species_is_named(three_species):
    with pytest.raises(StructureError, match="contains Al"):
        ACEDescriptors(("Cu", "Zr")).compute(three_species)
