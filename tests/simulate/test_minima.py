"""Minimising: known minima, when it ends, and the same minimum by every door."""

import numpy as np
import pytest

from ovito_glassml.simulate.atoms import create_atoms, fill
from ovito_glassml.simulate.descent import LONGEST, PATIENCE, REMEMBERED, descend
from ovito_glassml.simulate.engine import gather, open_lammps
from ovito_glassml.simulate.forces import LammpsForces
from ovito_glassml.simulate.harmonic import minimised
from ovito_glassml.simulate.material import Material, load_material
from ovito_glassml.simulate.minima import configuration_of, minimise, minimise_at_pressure
from ovito_glassml.structure import Structure

CU_ZR, POLYMER = load_material("cu-zr"), load_material("polymer")
ARGON = Material(
    "argon", ("Ar",), (1.0,), "lj", ("pair_style lj/smooth 2.2 2.5", "pair_modify shift yes", "pair_coeff * * 1 1")
)


class Landscape:
    """An energy of coordinates, as `descend` moves through it; remembers how far each step went."""

    def __init__(self, start, energy, gradient):
        self.place, self.energy, self.gradient, self.steps = np.array(start, float), energy, gradient, []

    def __call__(self, step):
        self.place += step
        self.steps.append(np.abs(step).max())
        return self.energy(self.place), self.gradient(self.place)


def bowl(size, stiffest, seed=1):
    """A quadratic bowl in any direction, with its minimum of 0 at 0."""
    random = np.random.default_rng(seed)
    turn = np.linalg.qr(random.normal(size=(size, size)))[0]
    curvature = turn @ np.diag(np.geomspace(1, stiffest, size)) @ turn.T
    return Landscape(random.normal(scale=0.1, size=size), lambda x: x @ curvature @ x / 2, lambda x: curvature @ x)


def test_the_bottom_of_a_bowl_is_found_in_a_few_steps_for_each_direction():
    landscape = bowl(REMEMBERED, 100.0)
    left = descend(landscape, REMEMBERED, 1e-9)
    assert left == np.abs(landscape.gradient(landscape.place)).max() <= 1e-9
    np.testing.assert_allclose(landscape.place, 0.0, atol=2e-9)
    assert len(landscape.steps) < 5 * REMEMBERED


def test_no_coordinate_takes_a_longer_step_than_allowed():
    landscape = Landscape(np.full(4, 30.0), lambda x: (x**2).sum() / 2, np.copy)
    descend(landscape, 4, 1e-6)
    assert max(landscape.steps) <= LONGEST * (1 + 1e-12)
    np.testing.assert_allclose(landscape.place, 0.0, atol=1e-6)


def test_a_way_over_a_hill_ends_in_a_minimum():
    """Where the energy bends down there is no curvature to learn from."""
    landscape = Landscape(
        [0.01, 1.0],
        lambda x: (x[0] ** 2 - 1) ** 2 + x[1] ** 2,
        lambda x: np.array([4 * x[0] * (x[0] ** 2 - 1), 2 * x[1]]),
    )
    descend(landscape, 2, 1e-8)
    np.testing.assert_allclose(landscape.place, [1.0, 0.0], atol=1e-8)


def test_on_a_kink_it_ends_where_the_energy_no_longer_falls():
    """As where the table of a potential has one; forces do not vanish there."""
    landscape = Landscape(
        [1.0, 0.3], lambda x: -5000 + abs(x[0]) + x[1] ** 2, lambda x: np.array([np.sign(x[0]), 2 * x[1]])
    )
    left = descend(landscape, 2, 1e-5)
    assert left >= 0.99
    assert abs(landscape.place[0]) < 1e-4
    assert len(landscape.steps) < 2 * PATIENCE


def test_where_forces_are_rough_it_ends_when_they_no_longer_fall():
    """As of a coarse table, whose forces are not quite the slope of its energy."""
    landscape = Landscape(
        np.linspace(0.1, 1, 8), lambda x: -5000 + (x**2).sum() / 2, lambda x: x + 1e-6 * np.sign(np.sin(1e9 * x))
    )
    left = descend(landscape, 8, 1e-8)
    assert 1e-8 < left < 1e-5
    assert len(landscape.steps) < 3 * PATIENCE


def test_what_is_no_number_ends_at_once():
    landscape = Landscape([1.0], lambda x: np.nan, lambda x: np.full(1, np.nan))
    assert np.isnan(descend(landscape, 1, 1e-5))
    assert len(landscape.steps) == 1


def argon(repeat=5, spacing=1.56, tilt=0.0):
    """A face-centred cubic crystal, of a box that may be oblique: a shear by a multiple of its cubes."""
    cubes = np.stack(np.meshgrid(*[np.arange(repeat)] * 3), axis=-1).reshape(-1, 3)
    places = (cubes[:, None] + [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]).reshape(-1, 3) + 0.2
    cell = spacing * repeat * np.eye(3)
    cell[1, 0] = tilt * spacing
    return Structure(places * spacing, np.zeros(len(places), int), ("Ar",), cell, pbc=(True, True, True))


def held(structure, material):
    lammps = open_lammps()
    create_atoms(lammps, structure, material)
    return lammps


def energy_of(lammps):
    lammps.command("run 0 post no")
    return float(lammps.extract_compute("thermo_pe", 0, 0))


@pytest.mark.parametrize("tilt", [0.0, 2.0])
def test_a_shaken_crystal_returns_whatever_its_cell(tilt):
    crystal = argon(tilt=tilt)
    noise = np.random.default_rng(2).normal(scale=0.06, size=(len(crystal), 3))
    whole, shaken = held(crystal, ARGON), held(crystal.moved(crystal.positions + noise), ARGON)
    assert energy_of(shaken) > energy_of(whole) + 100
    left = minimise(shaken, 1e-8)
    assert left <= 1e-8
    assert np.abs(gather(shaken, "f")).max() == left
    assert energy_of(shaken) == pytest.approx(energy_of(whole), rel=1e-12)


@pytest.mark.parametrize("pressure", [0.0, 5.0])
def test_a_crystal_finds_its_lattice_constant_at_any_pressure_from_both_sides(pressure):
    volumes = []
    for spacing in (1.50, 1.60):
        lammps = held(argon(spacing=spacing), ARGON)
        minimise_at_pressure(lammps, 1e-8, pressure)
        lammps.command("run 0 post no")
        assert lammps.get_thermo("press") == pytest.approx(pressure, abs=1e-7)
        volumes.append(lammps.get_thermo("vol"))
    assert volumes[0] == pytest.approx(volumes[1], rel=1e-9)
    assert (volumes[0] / 125) ** (1 / 3) == pytest.approx(1.56 if pressure == 0 else 1.52, abs=0.02)


def test_of_an_oblique_cell_the_size_changes_and_not_the_shape():
    lammps = held(argon(tilt=2.0, spacing=1.50), ARGON)
    minimise_at_pressure(lammps, 1e-8)
    found = configuration_of(lammps).cell
    np.testing.assert_allclose(found / found[0, 0], [[1, 0, 0], [0.4, 1, 0], [0, 0, 1]], atol=1e-9)


def test_without_forces_left_the_enthalpy_of_a_glass_is_least(glass_box):
    """Nor can a uniform strain lower it, the atoms following."""
    lammps = held(glass_box, CU_ZR)
    minimise_at_pressure(lammps, 1e-4, 20_000.0)
    found = configuration_of(lammps)
    lammps.command("run 0 post no")
    assert lammps.get_thermo("press") == pytest.approx(20_000.0, abs=10.0)
    assert found.largest_force < 2e-4

    def enthalpy(factor):
        other = held(
            Structure(found.positions * factor, found.kinds, ("Cu", "Zr"), found.cell * factor, pbc=(True,) * 3), CU_ZR
        )
        minimise(other, 1e-4)
        return energy_of(other) + 20_000.0 * other.get_thermo("vol") / 1.602176634e6

    assert enthalpy(1.0) < min(enthalpy(0.999), enthalpy(1.001))


def bonds_of(lammps):
    return sorted(np.array(lammps.numpy.gather_bonds()).tolist())


def test_chains_come_to_rest_with_their_bonds():
    lammps = open_lammps()
    fill(lammps, POLYMER, 200, seed=3)
    before = energy_of(lammps)
    bonds = bonds_of(lammps)
    left = minimise(lammps, POLYMER.force_tolerance)
    assert left <= POLYMER.force_tolerance
    assert energy_of(lammps) < before
    assert bonds_of(lammps) == bonds
    minimise_at_pressure(lammps, POLYMER.force_tolerance, POLYMER.pressure)
    lammps.command("run 0 post no")
    assert lammps.get_thermo("press") == pytest.approx(POLYMER.pressure, abs=1e-3)


def test_every_door_leads_to_the_same_minimum(glass_box):
    lammps = held(glass_box, CU_ZR)
    minimise(lammps, 1e-6)
    inside = configuration_of(lammps).structure(CU_ZR.species)
    outside = minimised(glass_box, CU_ZR)
    apart = (outside.positions - inside.positions) / 20.0
    assert np.abs(apart - np.round(apart)).max() * 20.0 < 1e-4
    with LammpsForces(outside, CU_ZR) as forces:
        assert forces(outside.positions)[0] == pytest.approx(energy_of(lammps), abs=1e-7)


def test_atoms_that_go_far_keep_their_neighbours_and_their_order():
    """A melt of argon: LAMMPS renews its lists, wraps atoms and sorts them on the way."""
    crystal = argon(spacing=1.7)
    melt = crystal.moved(crystal.positions + np.random.default_rng(4).normal(scale=0.3, size=(len(crystal), 3)))
    lammps = held(melt, ARGON)
    lammps.command("atom_modify sort 1 0.0")
    left = minimise(lammps, 1e-6)
    found = configuration_of(lammps)
    again = held(found.structure(("Ar",)), ARGON)
    assert left <= 1e-6
    assert np.abs(found.positions - melt.positions).max() > 0.5
    assert energy_of(again) == pytest.approx(energy_of(lammps), rel=1e-12)
    assert np.abs(gather(again, "f")).max() < 1e-5
