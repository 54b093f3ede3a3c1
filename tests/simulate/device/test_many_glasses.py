"""Kernels of molecular dynamics for a graphics processor, run on the processor."""

import numpy as np
import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.device import many_glasses
from ovito_glassml.simulate.device.device import GraphicsProcessor
from ovito_glassml.simulate.device.many_glasses import ManyGlasses
from ovito_glassml.simulate.local_forces import Surroundings, energy_and_forces, read_tables
from ovito_glassml.simulate.material import load_material

TIMESTEP = 0.003


@pytest.fixture(scope="module")
def tables():
    return read_tables(load_material("cu-zr"))


@pytest.fixture(scope="module")
def crystal():
    """A shaken crystal of 256 atoms of two kinds, and its edge."""
    edge = 4 * 4.15
    corners = np.array([[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]) / 2
    cells = np.stack(np.meshgrid(*[range(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    random = np.random.default_rng(3)
    positions = (cells + corners).reshape(-1, 3) / 4 * edge + random.normal(0, 0.12, (256, 3))
    return positions, random.permutation(256) % 2, edge


@pytest.fixture
def two_glasses(crystal, tables, processor):
    """The crystal, and its copy shifted through the walls of the cell."""
    positions, kinds, edge = crystal
    masses = load_material("cu-zr").masses
    both = np.stack([positions, positions + 5.0])
    return ManyGlasses(tables, masses, both, np.stack([kinds, kinds]), np.full(2, edge), processor)


def exact(crystal, tables, positions):
    """Energy and forces in double precision, which follow LAMMPS."""
    _, kinds, edge = crystal
    glass = Surroundings(tables, positions, kinds, np.full(3, edge))
    forces = np.empty_like(positions)
    energy = energy_and_forces(glass.of(np.arange(len(kinds)), np.arange(0)), positions, forces)
    return energy, forces


def test_forces_are_those_of_the_potential(two_glasses, crystal, tables):
    two_glasses.run(0, 300.0, 300.0, TIMESTEP)
    _, forces = exact(crystal, tables, crystal[0])
    assert np.abs(forces).max() > 1
    np.testing.assert_allclose(two_glasses.forces[0], forces, atol=2e-4)
    np.testing.assert_allclose(two_glasses.forces[1], forces, atol=2e-4)


def test_energy_is_conserved_when_the_thermostat_is_slow(two_glasses, crystal, tables, monkeypatch):
    monkeypatch.setattr(many_glasses, "DAMP", 1e9)
    two_glasses.relax(1e-3)
    two_glasses.give_velocities(600.0, [1, 2])

    def total():
        kinetic = 1.5 * 255 * many_glasses.BOLTZMANN * two_glasses.temperatures[0]
        return (exact(crystal, tables, two_glasses.positions[0])[0] + kinetic) / 256

    two_glasses.run(30, 600.0, 600.0, TIMESTEP)
    before, temperature = total(), two_glasses.temperatures[0]
    two_glasses.run(200, 600.0, 600.0, TIMESTEP)
    assert abs(two_glasses.temperatures[0] - temperature) > 3  # energy went to and fro
    assert total() == pytest.approx(before, abs=1e-4)


def test_every_glass_comes_to_its_own_temperature_and_follows_the_ramp(two_glasses):
    two_glasses.relax(1e-3)  # otherwise it crumbles on the way and heats itself
    warm = np.array([300.0, 100.0])
    two_glasses.give_velocities(warm, [1, 2])
    np.testing.assert_allclose(two_glasses.temperatures, warm)

    def followed(start, stop):
        seen = []
        for first in range(0, 600, 10):
            two_glasses.run(10, start, stop, TIMESTEP, first, 600)
            seen.append(two_glasses.temperatures)
        return np.array(seen)

    followed(warm, warm)
    np.testing.assert_allclose(followed(warm, warm).mean(axis=0), warm, rtol=0.1)
    ramp = followed(warm, [100.0, 200.0])
    np.testing.assert_allclose(ramp.mean(axis=0), [200, 150], rtol=0.15)
    np.testing.assert_allclose(np.polyfit(np.linspace(0, 1, 60), ramp, 1)[0], [-200, 100], rtol=0.3)


def test_momentum_stays_zero(two_glasses):
    two_glasses.give_velocities(600.0, [1, 2])
    two_glasses.run(100, 600.0, 600.0, TIMESTEP)
    momentum = (two_glasses.masses[..., None] * two_glasses.velocities).sum(axis=1)
    assert np.abs(momentum).max() < 1e-2 * np.abs(two_glasses.masses[..., None] * two_glasses.velocities).max()


def test_a_run_in_pieces_follows_the_same_ramp(two_glasses):
    two_glasses.give_velocities(500.0, [1, 1])
    two_glasses.run(30, 500.0, 900.0, TIMESTEP, 0, 60)
    two_glasses.run(30, 500.0, 900.0, TIMESTEP, 30, 60)
    pieces = two_glasses.positions
    # Both glasses are the same, shifted; so are their paths, up to rounding.
    np.testing.assert_allclose(pieces[1] - pieces[0], 5.0, atol=1e-2)


def test_relaxation_ends_in_a_minimum(two_glasses, crystal, tables):
    left = two_glasses.relax(1e-3)
    assert left.max() <= 1e-3
    energy, forces = exact(crystal, tables, two_glasses.positions[0])
    assert np.linalg.norm(forces, axis=1).max() < 1.2e-3
    start, _ = exact(crystal, tables, crystal[0])
    assert energy < start - 1
    few = two_glasses.relax(1e-9, steps=2)
    assert few.min() > 1e-9


def test_equal_input_gives_equal_bits(crystal, tables, processor):
    positions, kinds, edge = crystal
    ends = []
    for _ in range(2):
        glasses = ManyGlasses(
            tables, load_material("cu-zr").masses, positions[None], kinds[None], np.array([edge]), processor
        )
        glasses.give_velocities(700.0, 9)
        glasses.run(50, 700.0, 700.0, TIMESTEP)
        ends.append(glasses.positions)
    np.testing.assert_array_equal(*ends)


def test_what_cannot_be_done_is_refused(crystal, tables, processor):
    positions, kinds, edge = crystal
    masses = load_material("cu-zr").masses
    with pytest.raises(SimulationError, match=r"only 12\.0 Å wide; 16\.4 Å"):
        ManyGlasses(tables, masses, positions[None], kinds[None], np.array([12.0]), processor)
    one = tables._replace(species=1)
    with pytest.raises(SimulationError, match="two species"):
        ManyGlasses(one, masses, positions[None], kinds[None], np.array([edge]), processor)
    dense = ManyGlasses(tables, masses, positions[None] * 0.02, kinds[None], np.array([edge]), processor)
    with pytest.raises(SimulationError, match="look at its density"):
        dense.run(0, 1.0, 1.0, TIMESTEP)


def test_without_a_card_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cupy", None)
    with pytest.raises(SimulationError, match="install CuPy"):
        GraphicsProcessor()
