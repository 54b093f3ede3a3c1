"""SOAP against DScribe, and against integration over space where DScribe itself is not exact."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import sph_harm_y

from ovito_glassml.descriptors.radial import jacobi_basis
from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.threads import limit_threads

SAMPLE = Path(__file__).parents[2] / "sample_data" / "stiffness" / "vibrations-cu50zr50-1e13-1.xyz.gz"

STRUCTURES = [
    "shipped_glass",
    "triclinic",
    "small_periodic",
    "one_atom",
    "mixed_boundaries",
    "open_boundaries",
    "cluster",
    "three_species",
]


def dscribe_rows(structure, descriptor, radial_values=None):
    """What DScribe computes for the selected atoms, given our orthonormalisation if wanted."""
    ase = pytest.importorskip("ase")
    dscribe = pytest.importorskip("dscribe.descriptors")
    soap = dscribe.SOAP(
        species=list(descriptor.species),
        r_cut=descriptor.cutoff,
        n_max=descriptor.n_max,
        l_max=descriptor.l_max,
        sigma=descriptor.sigma,
        rbf=descriptor.rbf,
        periodic=any(structure.pbc),
        dtype="float64",
    )
    if radial_values == "ours" and descriptor.rbf == "gto":
        soap._betas = descriptor.orthonormalization()
    elif radial_values == "ours":
        nodes, _ = soap.get_basis_poly(descriptor.cutoff, 2)
        basis = descriptor.orthonormalization() @ jacobi_basis(nodes, descriptor.cutoff, descriptor.n_max)
        soap.get_basis_poly = lambda r_cut, n_max: (nodes, basis)
    symbols = [structure.species_names[kind] for kind in structure.species]
    atoms = ase.Atoms(symbols, structure.positions - structure.origin, cell=structure.cell, pbc=structure.pbc)
    if structure.cell is not None:
        atoms.wrap()  # DScribe misses neighbours of atoms outside a periodic cell
    return np.atleast_2d(soap.create(atoms, centers=structure.selected.tolist()))


def compare(rows, reference):
    """Largest difference in units of the largest value, and the smallest cosine between rows."""
    error = np.abs(rows - reference).max() / np.abs(reference).max()
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(reference, axis=1)
    return error, ((rows * reference).sum(axis=1) / lengths).min()


@pytest.fixture(scope="session")
def shipped_glass():
    """A Cu50Zr50 glass from the sample data, with twenty atoms to look at."""
    glass = read_snapshot(SAMPLE).structure
    mask = np.arange(len(glass)) % 200 == 7
    return Structure(
        glass.positions, glass.species, glass.species_names, glass.cell, glass.origin, glass.pbc, mask=mask
    )


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize(("rbf", "n_max", "l_max"), [("polynomial", 5, 9), ("gto", 8, 12)])
def test_same_numbers_as_dscribe(request, name, rbf, n_max, l_max):
    """End to end. DScribe's polynomial basis lacks some m from l = 10 on, so it is compared up to 9."""
    structure = request.getfixturevalue(name)
    reference = None
    for dtype, tolerance in (("float64", 1e-8), ("float32", 1e-5)):
        descriptor = SOAPDescriptors(structure.species_names, n_max=n_max, l_max=l_max, rbf=rbf, dtype=dtype)
        if reference is None:
            reference = dscribe_rows(structure, descriptor)
        error, cosine = compare(descriptor.compute(structure).astype(np.float64), reference)
        assert error < tolerance
        assert cosine > 1 - tolerance


@pytest.mark.parametrize(("rbf", "n_max", "l_max"), [("polynomial", 11, 9), ("gto", 11, 12)])
def test_same_numbers_as_dscribe_with_the_same_orthonormalisation(triclinic, rbf, n_max, l_max):
    """Where DScribe's own orthonormalisation is meaningless it is given ours."""
    descriptor = SOAPDescriptors(("Cu", "Zr"), n_max=n_max, l_max=l_max, rbf=rbf, dtype="float64")
    error, cosine = compare(descriptor.compute(triclinic), dscribe_rows(triclinic, descriptor, "ours"))
    assert error < 1e-8
    assert cosine > 1 - 1e-8


def test_definition_by_integration_over_space(cluster):
    """Density of Gaussians on a grid in space, projected on g_n Y_lm: no Bessel function, no addition theorem."""
    descriptor = SOAPDescriptors(("Cu", "Zr"), dtype="float64")
    atom = int(np.argmin(np.linalg.norm(cluster.positions - cluster.positions.mean(axis=0), axis=1)))
    radial, weights = np.polynomial.legendre.leggauss(80)
    radial, weights = 2.5 * (radial + 1), 2.5 * weights
    cosine, polar_weights = np.polynomial.legendre.leggauss(48)
    azimuth = 2 * np.pi * np.arange(96) / 96
    theta, phi = (grid.ravel() for grid in np.meshgrid(np.arccos(cosine), azimuth, indexing="ij"))
    solid_angle = np.repeat(polar_weights, 96) * 2 * np.pi / 96
    directions = np.column_stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    points = radial[:, None, None] * directions
    basis = descriptor.orthonormalization() @ jacobi_basis(radial, 5.0, 11) * weights * radial**2
    vectors = cluster.positions - cluster.positions[atom]
    near = np.linalg.norm(vectors, axis=1) < descriptor.reach
    coefficients = np.zeros((2, 13, 25, 11), dtype=complex)
    for kind in (0, 1):
        density = np.zeros(points.shape[:2])
        for vector in vectors[near & (cluster.species == kind)]:
            density += np.exp(-((points - vector) ** 2).sum(axis=-1) / (2 * 0.5**2))
        projected = basis @ density * solid_angle
        for degree in range(13):
            for m in range(-degree, degree + 1):
                harmonic = sph_harm_y(degree, m, theta, phi)
                coefficients[kind, degree, degree + m] = projected @ harmonic.conj()
    power = np.einsum("zlmn,ylmk->zylnk", coefficients, coefficients.conj()).real
    power *= (np.pi * np.sqrt(8 / (2 * np.arange(13) + 1)))[:, None, None]
    upper = np.triu_indices(11)
    expected = np.concatenate(
        [power[0, 0][:, upper[0], upper[1]].ravel(), power[0, 1].ravel(), power[1, 1][:, upper[0], upper[1]].ravel()]
    )
    row = descriptor.compute(cluster)[atom]
    assert np.abs(row - expected).max() / np.abs(expected).max() < 1e-8


def test_3289_features_in_the_published_order():
    descriptor = SOAPDescriptors(("Cu", "Zr"))
    names = descriptor.feature_names
    assert len(names) == len(set(names)) == descriptor.feature_count == 3289
    assert names[:2] == ("Cu_n1_Cu_n1_l0", "Cu_n1_Cu_n2_l0")
    assert names[11] == "Cu_n2_Cu_n2_l0"
    assert names[66] == "Cu_n1_Cu_n1_l1"
    assert names[858] == "Cu_n1_Zr_n1_l0"
    assert names[-1] == "Zr_n11_Zr_n11_l12"
    assert descriptor.reach == pytest.approx(6.8585, abs=1e-4)
    three = SOAPDescriptors(("Al", "Cu", "Zr"), n_max=3, l_max=2)
    assert three.feature_count == len(three.feature_names)


def test_rotation_reflection_translation_permutation(triclinic, transformed):
    rng = np.random.default_rng(4)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    permutation = rng.permutation(len(triclinic))
    descriptor = SOAPDescriptors(("Cu", "Zr"), dtype="float64")
    rows = descriptor.compute(triclinic)
    for turn in (rotation, -rotation):
        moved = descriptor.compute(transformed(triclinic, turn, (3.0, -20.0, 0.1), permutation))
        assert compare(moved, rows[permutation])[0] < 1e-9


def test_a_neighbour_enters_smoothly(cluster):
    """At the reach a Gaussian has fallen to a thousandth at the edge of the basis."""
    descriptor = SOAPDescriptors(("X",), n_max=4, l_max=4, dtype="float64")
    just_inside, just_outside = (
        descriptor.compute(Structure([[0, 0, 0], [descriptor.reach + step, 0, 0]]))[0] for step in (-1e-6, 1e-6)
    )
    lone = descriptor.compute(Structure([[0.0, 0, 0]]))[0]
    np.testing.assert_array_equal(just_outside, lone)
    assert np.abs(just_inside - lone).max() < 1e-3 * np.abs(lone).max()


def test_a_stored_matrix_reproduces_the_rows(triclinic):
    plain = SOAPDescriptors(("Cu", "Zr"), n_max=6, l_max=3)
    stored = SOAPDescriptors(("Cu", "Zr"), n_max=6, l_max=3, radial_matrix=plain.orthonormalization())
    np.testing.assert_array_equal(plain.compute(triclinic), stored.compute(triclinic))
    other = SOAPDescriptors(("Cu", "Zr"), n_max=6, l_max=3, radial_matrix=np.eye(6))
    assert np.abs(other.compute(triclinic) - plain.compute(triclinic)).max() > 0.1


def test_rows_of_the_selected_atoms_only(mixed_boundaries):
    source = mixed_boundaries
    mask = np.arange(len(source)) % 5 == 2
    chosen = Structure(
        source.positions, source.species, source.species_names, source.cell, source.origin, source.pbc, mask=mask
    )
    descriptor = SOAPDescriptors(("Cu", "Zr"), n_max=3, l_max=3)
    np.testing.assert_array_equal(descriptor.compute(chosen), descriptor.compute(source)[mask])


def test_threads_do_not_change_a_bit(shaken):
    descriptor = SOAPDescriptors(("Cu", "Zr"))
    with limit_threads(1):
        one = descriptor.compute(shaken)
    with limit_threads(3):
        np.testing.assert_array_equal(descriptor.compute(shaken), one)


def test_progress_reaches_one_and_can_stop(triclinic):
    descriptor, seen = SOAPDescriptors(("Cu", "Zr"), n_max=2, l_max=2), []
    descriptor.compute(triclinic, seen.append)
    assert seen[-1] == 1.0

    def stop(fraction):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        descriptor.compute(triclinic, stop)


def test_no_atoms_no_rows():
    assert SOAPDescriptors(("X",)).compute(Structure(np.empty((0, 3)))).shape == (0, 858)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cutoff": -1.0}, "cutoff is -1.0"),
        ({"sigma": 0.0}, "sigma is 0.0"),
        ({"n_max": 0}, "n_max is 0"),
        ({"n_max": 21}, "choose 1 to 20"),
        ({"l_max": -1}, "l_max is -1"),
        ({"rbf": "spline"}, "choose 'polynomial' or 'gto'"),
        ({"rbf": "gto", "cutoff": 0.9}, "needs more than 1"),
        ({"species": ()}, "name every species once"),
        ({"dtype": "float16"}, "float32 or float64"),
        ({"radial_matrix": np.eye(3)}, r"needs \(11, 11\)"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(StructureError, match=message):
        SOAPDescriptors(**{"species": ("Cu", "Zr"), **settings})


def test_a_basis_that_double_precision_cannot_hold_is_refused(fcc):
    with pytest.raises(StructureError, match="lower n_max"):
        SOAPDescriptors(("Cu",), rbf="gto", n_max=20, l_max=1).compute(fcc)


def test_an_unknown_species_is_named(three_species):
    with pytest.raises(StructureError, match="contains Al"):
        SOAPDescriptors(("Cu", "Zr")).compute(three_species)


def test_products_are_those_of_normalised_rows(triclinic):
    descriptor = SOAPDescriptors(("Cu", "Zr"), n_max=5, l_max=4, dtype="float64")
    matrix = np.random.default_rng(1).normal(size=(descriptor.feature_count, 7))
    chosen = replace(triclinic, mask=np.arange(len(triclinic)) % 3 > 0)
    rows = descriptor.compute(chosen)
    expected = rows / np.linalg.norm(rows, axis=1, keepdims=True) @ matrix
    found = np.full((len(triclinic), 7), np.nan)
    for indices, products in descriptor.iterate_products(chosen, matrix):
        found[indices] = products
    np.testing.assert_allclose(found[chosen.selected], expected, rtol=1e-10, atol=1e-12)
    assert np.isnan(found[~chosen.mask]).all()
