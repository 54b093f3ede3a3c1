"""Elastic constants are second derivatives of the energy, after the atoms have relaxed."""

import numpy as np
import pytest
from scipy.optimize import brentq

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate import elastic
from ovito_glassml.simulate.elastic import elastic_constants, voigt
from ovito_glassml.simulate.forces import LammpsForces
from ovito_glassml.simulate.harmonic import minimised
from ovito_glassml.simulate.hessian import hessian_by_differences
from ovito_glassml.simulate.lammps_module import with_lammps_arguments
from ovito_glassml.simulate.material import Material, load_material
from ovito_glassml.structure import Structure, StructureError

CUTOFF = 2.5
LENNARD_JONES = Material(
    "lennard-jones", ("A",), (1.0,), "lj", (f"pair_style lj/cut {CUTOFF}", "pair_coeff * * 1.0 1.0")
)
COPPER, KOB_ANDERSEN = load_material("cu-zr"), load_material("kob-andersen")
FCC = np.array([[0.0, 0.0, 0.0], [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
SHEARS = np.eye(3)[[[1, 0, 0], [2, 2, 1]]]


def fcc(edge, name, repeat=3):
    corners = np.stack(np.meshgrid(*[np.arange(repeat)] * 3), axis=-1).reshape(-1, 1, 3)
    positions = edge * (corners + FCC).reshape(-1, 3)
    return Structure(positions, species_names=(name,), cell=edge * repeat * np.eye(3), pbc=(True,) * 3)


def lattice_energy(gradient):
    """Of an atom in the fcc crystal of cubes that are `gradient` (3, 3), by summing over its neighbours."""
    vectors = (np.stack(np.meshgrid(*[np.arange(-4, 5)] * 3), axis=-1).reshape(-1, 1, 3) + FCC).reshape(-1, 3)
    distances = np.linalg.norm(vectors @ gradient, axis=1)
    near = distances[(distances > 0) & (distances < CUTOFF)]
    return 2 * (near**-12 - near**-6).sum()


def second_derivatives(energy, volume, step):
    """C11, C12 and C44 of a cubic crystal at zero pressure from energies at strains (3, 3)."""
    still = energy(np.zeros((3, 3)))

    def curvature(strain):
        return (energy(step * strain) + energy(-step * strain) - 2 * still) / step**2 / volume

    c11 = curvature(np.diag([1.0, 0, 0]))
    c12 = curvature(np.diag([1.0, 1, 0])) / 2 - c11
    return c11, c12, curvature(np.array([[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]]))


def check_cubic(constants, c11, c12, c44, rel):
    expected = np.zeros((6, 6))
    expected[:3, :3] = c12
    np.fill_diagonal(expected, [c11, c11, c11, c44, c44, c44])
    np.testing.assert_allclose(constants, expected, atol=rel * c11)


@pytest.fixture(scope="module")
def resting_edge():
    """Of the cube at zero pressure."""
    step = 1e-5
    return brentq(
        lambda edge: lattice_energy((edge + step) * np.eye(3)) - lattice_energy((edge - step) * np.eye(3)), 1.5, 1.6
    )


@pytest.fixture(scope="module")
def crystal(resting_edge):
    return elastic_constants(fcc(resting_edge, "A"), LENNARD_JONES)


@pytest.fixture(scope="module")
def glass():
    """Of 120 atoms, fast from the liquid to rest, in an oblique cell."""
    random, count = np.random.default_rng(3), 120
    cell = (count / KOB_ANDERSEN.number_density) ** (1 / 3) * np.array([[1.0, 0, 0], [0.2, 1, 0], [-0.1, 0.1, 1]])
    grid = np.stack(np.meshgrid(*[np.arange(5)] * 3), axis=-1).reshape(-1, 3)[:count] / 5
    positions = (grid + random.uniform(-0.03, 0.03, grid.shape)) @ cell
    kinds = (random.permutation(count) >= 0.8 * count).astype(int)
    return minimised(Structure(positions, kinds, ("A", "B"), cell, [1.0, 2.0, 3.0], (True,) * 3), KOB_ANDERSEN)


@pytest.fixture(scope="module")
def of_glass(glass):
    return elastic_constants(glass, KOB_ANDERSEN)


def turned(structure, seed=7):
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    cell, origin = structure.cell @ turn, structure.origin @ turn
    names = structure.species_names
    return turn, Structure(structure.positions @ turn, structure.species, names, cell, origin, structure.pbc)


def test_a_lennard_jones_crystal_has_those_of_its_energy(crystal, resting_edge):
    def energy(strain):
        return lattice_energy(resting_edge * (np.eye(3) + strain))

    c11, c12, c44 = second_derivatives(energy, resting_edge**3 / 4, 1e-4)
    check_cubic(crystal.constants, c11, c12, c44, 1e-4)
    assert c12 == pytest.approx(c44, rel=1e-3)  # Cauchy: pair forces at zero pressure
    assert crystal.bulk_modulus == pytest.approx((c11 + 2 * c12) / 3, rel=1e-4)
    assert crystal.shear_modulus == pytest.approx((c11 - c12 + 3 * c44) / 5, rel=1e-4)
    assert crystal.shear_range == pytest.approx(((c11 - c12) / 2, c44), rel=1e-3)
    np.testing.assert_allclose(crystal.affine, crystal.constants, atol=1e-3)  # every atom is a centre of symmetry


def test_under_pressure_they_are_the_slopes_of_the_stress(resting_edge):
    """Wallace: of a crystal of pairs C12 − C44 is then twice the pressure."""
    squeezed = elastic_constants(fcc(0.98 * resting_edge, "A"), LENNARD_JONES)
    pressure = -np.trace(squeezed.stress) / 3
    assert pressure > 3
    assert squeezed.constants[0, 1] - squeezed.constants[3, 3] == pytest.approx(2 * pressure, rel=1e-3)


def test_copper_has_those_of_its_energy():
    """Embedded atoms: no Cauchy relation. Measured at 0 K: 176, 125 and 82 GPa."""
    flat = brentq(lambda edge: pressure_of(fcc(edge, "Cu")), 3.55, 3.75)
    crystal = fcc(flat, "Cu")

    def energy(strain):
        positions = crystal.positions @ (np.eye(3) + strain)
        cell = crystal.cell @ (np.eye(3) + strain)
        with LammpsForces(Structure(positions, species_names=("Cu",), cell=cell, pbc=(True,) * 3), COPPER) as forces:
            return forces(positions)[0]

    found = elastic_constants(crystal, COPPER)
    c11, c12, c44 = 160.21766 * np.array(second_derivatives(energy, crystal.volume, 3e-5))
    check_cubic(found.constants, c11, c12, c44, 0.003)
    assert (c11, c12, c44) == pytest.approx((176, 125, 82), rel=0.1)
    assert found.rearranging == 0


def pressure_of(structure):
    with LammpsForces(structure, COPPER) as forces:
        return forces.pressure()


def test_of_a_glass_they_are_those_of_linear_response(glass, of_glass):
    """Affine part minus Ξᵀ H⁻¹ Ξ / V, with the forces Ξ that a strain puts on atoms and the Hessian H: Lemaître and
    Maloney, J. Stat. Phys. 123, 415 (2006)."""
    step, pushes = 1e-6, []
    with LammpsForces(glass, KOB_ANDERSEN) as forces:
        hessian = hessian_by_differences(forces, glass.positions, 1e-4)
    for direction in range(6):
        sides = []
        for side in (step, -step):
            strained = elastic._strained(glass, direction, side)
            with LammpsForces(strained, KOB_ANDERSEN) as forces:
                sides.append(forces(strained.positions)[1].ravel())
        pushes.append((sides[0] - sides[1]) / (2 * step))
    pushes = np.array(pushes)
    relaxing = pushes @ np.linalg.pinv(hessian, rcond=1e-8, hermitian=True) @ pushes.T / glass.volume
    np.testing.assert_allclose(of_glass.constants, of_glass.affine - relaxing, atol=0.02 * of_glass.shear_modulus)
    assert of_glass.shear_modulus < 0.7 * of_glass.affine_shear_modulus
    assert of_glass.rearranging == 0


def test_bulk_modulus_is_the_slope_of_the_pressure_of_minima(glass, of_glass):
    step, pressures = 1e-5, []
    for factor in (1 - step, 1 + step):
        names, cell = glass.species_names, factor * glass.cell
        scaled = Structure(factor * glass.positions, glass.species, names, cell, pbc=(True,) * 3)
        resting = minimised(scaled, KOB_ANDERSEN)
        with LammpsForces(resting, KOB_ANDERSEN) as forces:
            pressures.append(forces.pressure())
    assert of_glass.bulk_modulus == pytest.approx((pressures[0] - pressures[1]) / (6 * step), rel=2e-3)


def test_they_are_as_symmetric_as_the_stress_allows(of_glass):
    """Wallace, Phys. Rev. 162, 776 (1967), equation 2.36: what is left is that of a stress other than a pressure."""
    stress = voigt(of_glass.stress)
    volume = np.array([1.0, 1, 1, 0, 0, 0])
    expected = np.outer(volume, stress) - np.outer(stress, volume)
    assert np.abs(expected).max() > 0.02 * of_glass.shear_modulus
    np.testing.assert_allclose(of_glass.constants - of_glass.constants.T, expected, atol=0.005 * of_glass.shear_modulus)


def test_moduli_do_not_change_when_the_structure_is_turned(glass, of_glass):
    turn, other = turned(glass)
    found = elastic_constants(other, KOB_ANDERSEN)
    for name in ("bulk_modulus", "shear_modulus", "affine_shear_modulus", "shear_range", "shear_error"):
        assert getattr(found, name) == pytest.approx(getattr(of_glass, name), rel=0.005), name
    np.testing.assert_allclose(found.stress, turn.T @ of_glass.stress @ turn, atol=1e-3)
    assert np.abs(found.constants - of_glass.constants).max() > 0.02 * of_glass.shear_modulus


def test_a_structure_that_is_not_at_rest_has_those_of_the_minimum_below(glass, of_glass):
    shaken = glass.moved(glass.positions + np.random.default_rng(4).normal(scale=0.01, size=glass.positions.shape))
    np.testing.assert_allclose(elastic_constants(shaken, KOB_ANDERSEN).constants, of_glass.constants, atol=0.05)


def test_atoms_that_rearrange_are_noticed_and_avoided(glass, of_glass, monkeypatch):
    monkeypatch.setattr(elastic, "STRAINS", (0.03,))
    assert elastic_constants(glass, KOB_ANDERSEN).rearranging > 2
    monkeypatch.setattr(elastic, "STRAINS", (0.03, 1e-5))
    found = elastic_constants(glass, KOB_ANDERSEN)
    assert found.rearranging == 0
    np.testing.assert_allclose(found.constants, of_glass.constants, atol=0.02 * of_glass.shear_modulus)


def test_threads_of_lammps_do_not_matter(glass, of_glass):
    with with_lammps_arguments("-sf omp -pk omp 2"):
        found = elastic_constants(glass, KOB_ANDERSEN)
    np.testing.assert_allclose(found.constants, of_glass.constants, atol=0.002 * of_glass.shear_modulus)


def test_the_error_of_the_shear_modulus_is_what_pieces_of_a_glass_scatter_by():
    """Of stiff and isotropic ones with soft spots: each takes its share from one shear of random direction."""
    random, isotropic = np.random.default_rng(5), np.diag([4.0, 4, 4, 2, 2, 2])
    isotropic[:3, :3] += 3.0
    moduli, errors = [], []
    for _ in range(1000):
        spots = random.normal(size=(random.poisson(50), 5)) @ elastic.SHEARS.T
        spots *= 0.2 / np.linalg.norm(spots, axis=1)[:, None] / elastic.ORTHONORMAL
        found = elastic.Elasticity(isotropic - spots.T @ spots, isotropic, np.zeros((3, 3)), 0)
        moduli.append(found.shear_modulus)
        errors.append(found.shear_error**2)
    assert np.mean(moduli) == pytest.approx(2.0 - 50 * 0.2**2 / 10, abs=0.01)
    assert np.mean(errors) == pytest.approx(np.var(moduli), rel=0.15)
    assert found.poissons_ratio_error / found.shear_error == pytest.approx(
        _slope_of_poissons_ratio(found.bulk_modulus, found.shear_modulus), rel=1e-4
    )


def _slope_of_poissons_ratio(bulk, shear, step=1e-4):
    def ratio(modulus):
        return (3 * bulk - 2 * modulus) / (6 * bulk + 2 * modulus)

    return (ratio(shear - step) - ratio(shear + step)) / (2 * step)


SALT = (
    "pair_style born/coul/long 6.0",
    "pair_coeff 1 1 0.2637 0.317 2.340 1.0486 -0.4993",
    "pair_coeff 1 2 0.2110 0.317 2.755 6.9906 -8.6758",
    "pair_coeff 2 2 0.1582 0.317 3.170 72.4021 -145.4286",
)


def salt(sum_of_charges):
    commands = (*SALT, f"kspace_style {sum_of_charges}")
    return Material("salt", ("Na", "Cl"), (0.5, 0.5), "metal", commands, charges=(1.0, -1.0))


def rock_salt(edge=5.6):
    places = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)
    return Structure(edge / 2 * places, places.sum(axis=1) % 2, ("Na", "Cl"), 2 * edge * np.eye(3), pbc=(True,) * 3)


def test_charges_count_to_any_distance():
    """Pair forces of infinite range: C12 − C44 is twice the pressure, and near the measured 13 GPa (C11: 57)."""
    found = elastic_constants(rock_salt(), salt("ewald 1e-6"))
    constants, pressure = found.constants, -np.trace(found.stress) / 3
    assert constants[0, 1] - constants[3, 3] == pytest.approx(2 * pressure, abs=0.05)
    assert (constants[0, 0], constants[3, 3]) == pytest.approx((57, 13), rel=0.25)


def test_charges_on_a_mesh_are_refused():
    with pytest.raises(SimulationError, match=r"'kspace_style pppm 1e-4' jump .* 'kspace_style ewald 1e-5'"):
        elastic_constants(rock_salt(), salt("pppm 1e-4"))


@pytest.mark.parametrize("pbc", [(True, True, False), (False, False, False)])
def test_free_surfaces_are_refused(glass, pbc):
    cluster = Structure(glass.positions, glass.species, glass.species_names, glass.cell, pbc=pbc)
    with pytest.raises(SimulationError, match="periodic in all directions"):
        elastic_constants(cluster, KOB_ANDERSEN)


def test_flat_structures_are_refused():
    grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), axis=-1).reshape(-1, 2)
    sheet = Structure(np.c_[grid, np.zeros(36)], species_names=("A",), cell=6 * np.eye(3), pbc=(True,) * 3)
    with pytest.raises(StructureError, match="two-dimensional"):
        elastic_constants(sheet, LENNARD_JONES)
