"""Local forces against LAMMPS, against their own energy, and against the same atoms placed otherwise."""

import numpy as np
import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.atoms import create_atoms
from ovito_glassml.simulate.engine import gather, open_lammps
from ovito_glassml.simulate.local_forces import Surroundings, energy_and_forces, read_tables
from ovito_glassml.simulate.material import load_material


@pytest.fixture(scope="module")
def surroundings(glass_box):
    return Surroundings(
        read_tables(load_material("cu-zr")), glass_box.positions, glass_box.species, np.diag(glass_box.cell)
    )


@pytest.fixture(scope="module")
def lammps_energy(glass_box):
    """Energy and forces of all atoms by LAMMPS, at any positions."""
    lammps = open_lammps()
    create_atoms(lammps, glass_box, load_material("cu-zr"))
    lammps.command("thermo_modify norm no")
    lammps.command("run 0 post no")

    def evaluate(positions):
        count = len(positions)
        ids = lammps.numpy.extract_atom("id")[:count]
        lammps.numpy.extract_atom("x")[:count] = positions[ids - 1]
        lammps.command("run 0 post no")
        return lammps.get_thermo("pe"), gather(lammps, "f")

    yield evaluate
    lammps.close()


def moved(positions, distance, seed=1):
    return positions + np.random.default_rng(seed).normal(scale=distance, size=positions.shape)


@pytest.mark.parametrize("distance", [0.0, 0.05, 0.2])
def test_the_whole_glass_has_the_energy_and_forces_of_lammps(glass_box, surroundings, lammps_energy, distance):
    field = surroundings.of(np.arange(len(glass_box)), np.arange(0))
    positions, forces = moved(glass_box.positions, distance), np.empty((len(glass_box), 3))
    energy, expected = lammps_energy(positions)
    assert energy_and_forces(field, positions, forces) == pytest.approx(energy, abs=1e-9 * len(glass_box) + 1e-6)
    np.testing.assert_allclose(forces, expected, atol=3e-4)


@pytest.mark.parametrize("atom", [0, 100, 300])
def test_in_a_region_the_energy_changes_as_in_the_whole_glass(glass_box, surroundings, lammps_energy, atom):
    mobile, field = surroundings.around(atom, 6.0)
    assert mobile[0] == atom
    forces = np.empty((len(mobile), 3))
    resting = energy_and_forces(field, glass_box.positions[mobile], forces)
    whole_resting, _ = lammps_energy(glass_box.positions)
    for distance in (0.03, 0.15, 0.3):
        positions = glass_box.positions.copy()
        positions[mobile] = moved(positions[mobile], distance, atom)
        change = energy_and_forces(field, positions[mobile], forces) - resting
        whole, expected = lammps_energy(positions)
        assert change == pytest.approx(whole - whole_resting, abs=1e-6)
        np.testing.assert_allclose(forces, expected[mobile], atol=3e-4)


def test_forces_are_the_slope_of_the_energy(glass_box, surroundings):
    mobile, field = surroundings.around(40, 6.0)
    positions, forces = moved(glass_box.positions[mobile], 0.1), np.empty((len(mobile), 3))
    energy_and_forces(field, positions, forces)
    scratch, step = np.empty_like(forces), 1e-5
    for atom in range(0, len(mobile), 9):
        for axis in range(3):
            shift = np.zeros_like(positions)
            shift[atom, axis] = step
            ahead = energy_and_forces(field, positions + shift, scratch)
            behind = energy_and_forces(field, positions - shift, scratch)
            assert forces[atom, axis] == pytest.approx((behind - ahead) / (2 * step), abs=2e-6)


def test_an_atom_may_wander_far(glass_box, surroundings, lammps_energy):
    """The neighbour lists must be renewed on the way."""
    mobile, field = surroundings.around(40, 8.0)
    forces, positions = np.empty((len(mobile), 3)), glass_box.positions.copy()
    energies = []
    for _ in range(8):
        positions[mobile[1]] += [0.0, 0.0, 0.3]
        energies.append((energy_and_forces(field, positions[mobile], forces), lammps_energy(positions)[0]))
    mine, whole = np.array(energies).T
    np.testing.assert_allclose(mine - mine[0], whole - whole[0], atol=2e-6, rtol=1e-6)


def test_periodic_images_make_no_difference(glass_box, surroundings):
    edge = np.diag(glass_box.cell)
    shifted = (glass_box.positions + np.array([7.0, 3.0, 11.0])) % edge
    far = Surroundings(surroundings.tables, shifted, glass_box.species, edge)
    for atom in (0, 100):
        results = []
        for place in (surroundings, far):
            mobile, field = place.around(atom, 6.0)
            forces = np.empty((len(mobile), 3))
            resting = energy_and_forces(field, place.positions[mobile], forces)
            results.append((energy_and_forces(field, moved(place.positions[mobile], 0.1), forces) - resting, forces))
        assert results[0][0] == pytest.approx(results[1][0], abs=1e-9)
        np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-8)


def test_a_narrow_cell_is_refused(surroundings):
    with pytest.raises(SimulationError, match=r"only 5.2 nearest-neighbour distances wide; searches need 6.1"):
        Surroundings(surroundings.tables, np.zeros((1, 3)), np.zeros(1, int), np.array([14.0, 20.0, 20.0]))


def test_another_kind_of_potential_is_refused():
    with pytest.raises(SimulationError, match="eam/fs"):
        read_tables(load_material("kob-andersen"))
