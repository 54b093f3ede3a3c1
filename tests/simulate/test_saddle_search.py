"""Saddles: a known crystal defect, nudged elastic bands between the minima found, and the shape of the energy there."""

import itertools

import numpy as np
import pytest

from ovito_glassml.simulate.atoms import create_atoms
from ovito_glassml.simulate.engine import gather, open_lammps
from ovito_glassml.simulate.forces import evaluated, surroundings
from ovito_glassml.simulate.local_forces import Surroundings, energy_and_forces, read_tables
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.protocols.barriers import minimised
from ovito_glassml.simulate.saddle_search import CONNECTED, SAME, SearchSettings, lowest_mode, refined, search
from ovito_glassml.structure import Structure


@pytest.fixture(scope="module")
def tables():
    return read_tables(load_material("cu-zr"))


@pytest.fixture(scope="module")
def glass(tables, shipped_glass):
    lengths = np.diag(shipped_glass.cell)
    return minimised(Surroundings(tables, shipped_glass.positions, shipped_glass.species, lengths))[0]


def events(glass, number, radius=9.0):
    """Field, start and search of the first connected events around atoms spread over the glass."""
    found = []
    for atom in range(100, len(glass.positions), 131):
        mobile, field = glass.around(atom, radius)
        start = glass.positions[mobile]
        shell = np.linalg.norm(glass.shortest(start - start[0]), axis=1) < 3.6
        direction = np.zeros_like(start)
        direction[shell] = np.random.default_rng([3, atom]).normal(size=(np.count_nonzero(shell), 3))
        result = search(field, start, direction, SearchSettings())
        if result.outcome == CONNECTED:
            found.append((field, start, result))
        if len(found) == number:
            return found
    raise AssertionError("too few searches connect")


@pytest.fixture(scope="module")
def few_events(glass):
    return events(glass, 2)


def test_the_surroundings_of_a_saddle_yield(glass, few_events):
    """A wider region lowers the barrier, and less and less so."""
    for _, start, found in few_events:
        atom = int(np.linalg.norm(glass.positions - start[0], axis=1).argmin())
        barriers = [found.barrier]
        for radius in (11.0, 13.0):
            mobile, field = glass.around(atom, radius)
            resting = glass.positions[mobile]
            np.testing.assert_array_equal(resting[: len(start)], start)
            lowest = energy_and_forces(field, resting, np.empty_like(resting))
            wider = refined(field, resting, lowest, found, SearchSettings())
            forces = np.empty_like(resting)
            assert energy_and_forces(field, wider.saddle, forces) - lowest == pytest.approx(wider.barrier, abs=1e-9)
            if wider.outcome == CONNECTED:
                assert np.linalg.norm(forces, axis=1).max() < 0.01
                barriers.append(wider.barrier)
        assert (np.diff(barriers) < 0).all()
        assert barriers[-1] > found.barrier - 1.0


def hessian(field, positions, step=1e-4):
    size = positions.size
    matrix, ahead, behind = np.empty((size, size)), np.empty_like(positions), np.empty_like(positions)
    for k in range(size):
        shift = np.zeros(size)
        shift[k] = step
        energy_and_forces(field, positions + shift.reshape(-1, 3), ahead)
        energy_and_forces(field, positions - shift.reshape(-1, 3), behind)
        matrix[k] = (behind - ahead).ravel() / (2 * step)
    return (matrix + matrix.T) / 2


def test_at_a_saddle_exactly_one_mode_is_unstable(few_events):
    for field, _, found in few_events:
        forces = np.empty_like(found.saddle)
        energy_and_forces(field, found.saddle, forces)
        assert np.linalg.norm(forces, axis=1).max() < 0.01
        values, vectors = np.linalg.eigh(hessian(field, found.saddle))
        assert np.count_nonzero(values < 0) == 1
        assert found.curvature == pytest.approx(values[0], rel=0.1)
        assert abs(np.dot(vectors[:, 0], found.mode.ravel())) > 0.9


def test_both_ends_are_minima_and_the_saddle_lies_above(few_events):
    for field, start, found in few_events:
        forces = np.empty_like(start)
        bottom = energy_and_forces(field, start, forces)
        other = energy_and_forces(field, found.final, forces)
        assert np.linalg.norm(forces, axis=1).max() < 0.02
        assert bottom + found.barrier > max(bottom, other)
        assert np.linalg.norm(found.final - start, axis=1).max() > SAME
        assert np.dot((found.saddle - start).ravel(), found.mode.ravel()) > 0


def test_the_same_push_gives_the_same_saddle(glass):
    once, twice = (events(glass, 1)[0][2] for _ in range(2))
    np.testing.assert_array_equal(once.saddle, twice.saddle)
    assert once.barrier == twice.barrier


def test_the_lowest_mode_is_that_of_the_hessian(glass):
    mobile, field = glass.around(7, 5.0)
    positions, forces = glass.positions[mobile], np.empty((len(mobile), 3))
    energy_and_forces(field, positions, forces)
    values, vectors = np.linalg.eigh(hessian(field, positions))
    mode, calls = np.random.default_rng(1).normal(size=positions.size), np.zeros(1, dtype=np.int64)
    found = lowest_mode(field, positions.ravel(), forces.ravel(), mode, 60, 1e-6, calls)
    assert found == pytest.approx(values[0], rel=0.01)
    assert abs(np.dot(mode, vectors[:, 0])) > 0.99


def vacancy(tables, repeat=5, constant=3.639):
    """A minimised crystal of copper without one atom, a neighbour of the hole, and its way into the hole."""
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    corners = np.array(list(itertools.product(range(repeat), repeat=3)))
    positions = constant * (corners[:, None] + basis).reshape(-1, 3)
    hole, positions = positions[200], np.delete(positions, 200, axis=0)
    crystal = Surroundings(tables, positions, np.zeros(len(positions), int), np.full(3, repeat * constant))
    crystal = minimised(crystal)[0]
    ways = crystal.shortest(hole - crystal.positions)
    neighbour = int(np.linalg.norm(ways, axis=1).argmin())
    return crystal, neighbour, ways[neighbour]


@pytest.mark.slow
def test_a_vacancy_in_copper_migrates_as_along_an_elastic_band(tables):
    """All atoms free in both; forces of the band by LAMMPS."""
    crystal, atom, way = vacancy(tables)
    mobile, field = crystal.around(atom, 30.0)
    start, direction = crystal.positions[mobile], np.zeros((len(mobile), 3))
    direction[0] = way
    found = search(field, start, direction, SearchSettings(force_tolerance=0.002))
    assert found.outcome == CONNECTED
    structure = Structure(crystal.positions, crystal.kinds, ("Cu",), np.diag(crystal.lengths), pbc=(True, True, True))
    first, last = crystal.positions, crystal.positions.copy()
    last[atom] += way
    band = elastic_band(lammps_calculator(structure), straight(first, last, 5), force=0.005)
    assert found.barrier == pytest.approx(band, abs=0.002)
    # A rim of fixed atoms costs energy, until they yield.
    inner, narrow = crystal.around(atom, 7.0)
    near = search(narrow, crystal.positions[inner], direction[: len(inner)], SearchSettings())
    assert near.outcome == CONNECTED
    assert 0.01 < near.barrier - band < 0.03
    lowest = energy_and_forces(field, start, np.empty_like(start))
    wide = refined(field, start, lowest, near, SearchSettings())
    assert wide.outcome == CONNECTED
    assert wide.barrier == pytest.approx(band, abs=0.005)


@pytest.mark.slow
def test_events_of_a_glass_have_the_barriers_of_elastic_bands(glass):
    """Bands that start through the saddle; other paths between the same minima can lie lower."""
    for field, start, found in events(glass, 5):
        path = straight(start, found.saddle, 4) + straight(found.saddle, found.final, 4)[1:]
        band = elastic_band(local_calculator(field), path, force=0.02)
        assert found.barrier == pytest.approx(band, abs=0.005)


@pytest.mark.slow
def test_an_event_of_a_lennard_jones_glass_has_the_barrier_of_an_elastic_band():
    """By LAMMPS in the whole cell, in units in which it is like Cu-Zr."""
    matter, random = load_material("kob-andersen"), np.random.default_rng(3)
    edge = (500 / matter.number_density) ** (1 / 3)
    grid = np.stack(np.meshgrid(*[np.arange(8)] * 3), axis=-1).reshape(-1, 3)[:500] * edge / 8
    positions, kinds = grid + random.uniform(-0.2, 0.2, grid.shape), (random.permutation(500) >= 400).astype(int)
    structure = Structure(positions, kinds, ("A", "B"), edge * np.eye(3), pbc=(True, True, True))
    mixture, _ = minimised(surroundings(matter, structure))
    for field, start, found in events(mixture, 1, radius=6.5):
        path = straight(start, found.saddle, 4) + straight(found.saddle, found.final, 4)[1:]
        band = elastic_band(calculator(lambda positions, field=field: evaluated(field, positions)), path, force=0.02)
        assert found.barrier == pytest.approx(band, abs=0.005)


def straight(first, last, images):
    return [first + (last - first) * x for x in np.linspace(0, 1, images + 2)]


def elastic_band(calculator, path, force):
    """Barrier of a climbing-image nudged elastic band that starts as `path`; its end is minimised first."""
    ase = pytest.importorskip("ase")
    from ase.mep import NEB
    from ase.optimize import FIRE

    chain = [ase.Atoms(f"H{len(positions)}", positions=positions) for positions in path]
    for image in chain:
        image.calc = calculator
    FIRE(chain[-1], logfile=None).run(fmax=force, steps=500)
    band = NEB(chain, climb=True, k=1.0, allow_shared_calculator=True, method="improvedtangent")
    assert FIRE(band, logfile=None, maxstep=0.1).run(fmax=force, steps=800)
    energies = [image.get_potential_energy() for image in chain]
    return max(energies) - energies[0]


def calculator(evaluate):
    from ase.calculators.calculator import Calculator

    class Wrapped(Calculator):
        implemented_properties = ["energy", "forces"]

        def calculate(self, atoms, properties, changes):
            super().calculate(atoms, properties, changes)
            energy, forces = evaluate(atoms.positions)
            self.results = {"energy": energy, "forces": forces}

    return Wrapped()


def local_calculator(field):
    def evaluate(positions):
        forces = np.empty_like(positions)
        return energy_and_forces(field, positions.copy(), forces), forces

    return calculator(evaluate)


def lammps_calculator(structure):
    lammps = open_lammps()
    create_atoms(lammps, structure, load_material("cu-zr"))
    lammps.command("thermo_modify norm no")
    lammps.command("run 0 post no")

    def evaluate(positions):
        count = len(positions)
        ids = lammps.numpy.extract_atom("id")[:count]
        lammps.numpy.extract_atom("x")[:count] = positions[ids - 1]
        lammps.command("run 0 post no")
        return lammps.get_thermo("pe"), gather(lammps, "f")

    return calculator(evaluate)
