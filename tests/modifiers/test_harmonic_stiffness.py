"""Harmonic stiffness in the pipeline: the numbers of the Hessian, what is refused, and that it can be stopped."""

import numpy as np
import pytest
from ovito.data import DataCollection, ParticleType

from ovito_glassml import HarmonicStiffnessModifier
from ovito_glassml.errors import GlassMLError, SimulationError
from ovito_glassml.simulate import lammps_module
from ovito_glassml.simulate.harmonic import harmonic_limit, minimised
from ovito_glassml.simulate.material import load_material
from ovito_glassml.structure import Structure

CU_ZR = load_material("cu-zr")


@pytest.fixture(scope="module")
def structure():
    """Sixty-four atoms of an alloy at rest in an oblique cell."""
    random = np.random.default_rng(2)
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3) / 4
    cell = 10.4 * np.array([[1.0, 0.0, 0.0], [0.2, 1.0, 0.0], [-0.1, 0.1, 1.0]])
    positions = grid @ cell + random.uniform(-0.4, 0.4, grid.shape)
    start = Structure(positions, random.permutation(64) % 2, ("Cu", "Zr"), cell, pbc=(True, True, True))
    return minimised(start, CU_ZR)


def data_of(structure):
    data = DataCollection()
    data.create_cell(np.column_stack([structure.cell.T, structure.origin]), pbc=structure.pbc)
    particles = data.create_particles(count=len(structure))
    particles.create_property("Position", data=structure.positions)
    types = particles.create_property("Particle Type", data=structure.species + 1)
    for number, name in enumerate(structure.species_names, start=1):
        types.types.append(ParticleType(id=number, name=name))
    return data


def test_it_writes_what_the_hessian_gives(structure):
    data, motion = data_of(structure), harmonic_limit(structure, CU_ZR).motion
    data.apply(HarmonicStiffnessModifier())
    np.testing.assert_array_equal(data.particles["Harmonic Stiffness"][...], motion.stiffness)
    np.testing.assert_array_equal(data.particles["Cage Stiffness"][...], motion.cage_stiffness)
    np.testing.assert_array_equal(data.particles["Soft Mode Share"][...], motion.soft_mode_share)
    assert data.attributes["HarmonicStiffness.mean"] == pytest.approx(motion.stiffness.mean())
    assert data.attributes["HarmonicStiffness.unit"] == "eV/Å²"
    assert data.attributes["HarmonicStiffness.material"] == "cu-zr"
    assert data.attributes["HarmonicStiffness.largest_force"] < 1e-6


def test_turned_mirrored_and_renumbered_atoms_are_held_alike(structure):
    random = np.random.default_rng(3)
    order, turn = random.permutation(len(structure)), np.linalg.qr(random.normal(size=(3, 3)))[0]
    cell = structure.cell @ turn.T
    positions = structure.positions[order] @ turn.T + [3.0, -40.0, 7.0]
    other = Structure(positions, structure.species[order], structure.species_names, cell, pbc=(True, True, True))
    expected, found = (harmonic_limit(one, CU_ZR).motion for one in (structure, other))
    np.testing.assert_allclose(found.stiffness, expected.stiffness[order], rtol=1e-5)
    np.testing.assert_allclose(found.cage_stiffness, expected.cage_stiffness[order], rtol=1e-5)
    np.testing.assert_allclose(found.soft_mode_share, expected.soft_mode_share[order], rtol=1e-3, atol=1e-4)


def test_in_lennard_jones_units_it_says_so():
    spacing = 2 ** (2 / 3) * 0.98
    corners = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    positions = spacing * (corners[:, None] + basis).reshape(-1, 3)
    crystal = Structure(positions, species_names=("A",), cell=4 * spacing * np.eye(3), pbc=(True, True, True))
    data = data_of(crystal)
    data.apply(HarmonicStiffnessModifier(material="kob-andersen"))
    assert data.attributes["HarmonicStiffness.unit"] == "epsilon/sigma²"
    values = data.particles["Harmonic Stiffness"][...]
    np.testing.assert_allclose(values, values[0], rtol=1e-4)  # all atoms of a crystal are alike
    assert 50 < values[0] < 400


def test_what_is_not_at_rest_is_refused_unless_it_is_minimised(structure):
    shaken = structure.moved(structure.positions + np.random.default_rng(4).normal(0, 0.02, (64, 3)))
    with pytest.raises(SimulationError, match="not at rest, the largest force is"):
        data_of(shaken).apply(HarmonicStiffnessModifier())
    data, expected = data_of(shaken), harmonic_limit(structure, CU_ZR).motion
    data.apply(HarmonicStiffnessModifier(minimise=True))
    np.testing.assert_allclose(data.particles["Harmonic Stiffness"][...], expected.stiffness, rtol=1e-3)


def test_without_lammps_it_says_what_to_install(structure, monkeypatch):
    def missing():
        raise SimulationError("LAMMPS is not installed; install it with: pip install 'ovito-glassml[simulate]'")

    monkeypatch.setattr(lammps_module, "_module", missing)
    with pytest.raises(GlassMLError, match="LAMMPS is not installed; install it with"):
        data_of(structure).apply(HarmonicStiffnessModifier())


def test_it_can_be_stopped(structure):
    """Closed at any sign of life, it ends and writes nothing."""
    for sign in range(1, 4):
        data = data_of(structure)
        generator = HarmonicStiffnessModifier(minimise=True).modify(data, data_cache=DataCollection())
        for _ in range(sign):
            next(generator)
        generator.close()
        assert "Harmonic Stiffness" not in data.particles
