"""Forces by LAMMPS and those compiled here are the same, in regions and in any units, and give the same saddles."""

import numpy as np
import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.forces import LammpsForces, Units, WholeCell, evaluated, surroundings
from ovito_glassml.simulate.harmonic import minimised as to_minimum
from ovito_glassml.simulate.local_forces import Surroundings
from ovito_glassml.simulate.material import Material, load_material
from ovito_glassml.simulate.protocols.barriers import minimised
from ovito_glassml.simulate.saddle_search import CONNECTED, SearchSettings, refined, search
from ovito_glassml.structure import Structure


def material(style, file, *species, **values):
    commands = f"pair_style {style}", f"pair_coeff * * {file} {' '.join(species)}"
    return Material("test", species, (1 / len(species),) * len(species), "metal", commands, **values)


ALLOYS = [
    (material("eam/fs", "FeP_mm.eam.fs", "P", "Fe", nearest_neighbour_distance=2.5, glass_temperature=800.0), 2.9),
    (material("eam/alloy", "CuTa.eam.alloy", "Cu", "Ta", nearest_neighbour_distance=2.7, glass_temperature=900.0), 3.1),
    (
        material(
            "eam/alloy", "NiAlH_jea.eam.alloy", "H", "Al", "Ni", nearest_neighbour_distance=2.5, glass_temperature=600.0
        ),
        3.0,
    ),
]


def alloy(matter, spacing, seed=1):
    """A shaken crystal (bcc) of 250 or more atoms, species at random."""
    random = np.random.default_rng(seed)
    repeat = int(np.ceil(15.5 / spacing))
    corners = spacing * np.stack(np.meshgrid(*[np.arange(repeat)] * 3), axis=-1).reshape(-1, 3)
    positions = np.concatenate([corners, corners + spacing / 2])
    positions += random.normal(scale=0.08, size=positions.shape)
    # Light atoms are rare, or the crystal would fly apart.
    kinds = random.choice(
        len(matter.species), len(positions), p=[0.1, *[0.9 / (len(matter.species) - 1)] * (len(matter.species) - 1)]
    )
    return Structure(positions, kinds, matter.species, repeat * spacing * np.eye(3), pbc=(True, True, True))


@pytest.mark.parametrize(("matter", "spacing"), ALLOYS, ids=["eam/fs", "eam/alloy", "three species"])
def test_any_embedded_atom_potential_has_the_energy_and_forces_of_lammps(matter, spacing):
    structure = alloy(matter, spacing)
    units, glass = Units.of(matter), surroundings(matter, structure)
    assert isinstance(glass, Surroundings)
    field = glass.of(np.arange(len(structure)), np.arange(0))
    random = np.random.default_rng(2)
    energies = []
    with LammpsForces(structure, matter) as lammps:
        for distance in (0.0, 0.1):
            positions = structure.positions + random.normal(scale=distance, size=structure.positions.shape)
            energy, forces = evaluated(field, positions / units.length)
            expected, expected_forces = lammps(positions)
            energies.append((energy * units.energy, expected))
            np.testing.assert_allclose(forces * units.energy / units.length, expected_forces, atol=3e-4)
    (first, lammps_first), (second, lammps_second) = energies
    rough = 3e-9 if "CuTa" in matter.interactions[1] else 1e-9  # a coarse table
    assert abs(first - lammps_first) < rough * len(structure)
    assert abs(second - first - lammps_second + lammps_first) < rough * len(structure)


def kob_andersen(count=500, seed=3):
    """A minimised liquid-like arrangement."""
    matter, random = load_material("kob-andersen"), np.random.default_rng(seed)
    edge = (count / matter.number_density) ** (1 / 3)
    grid = np.stack(np.meshgrid(*[np.arange(8)] * 3), axis=-1).reshape(-1, 3)[:count] * edge / 8
    positions = grid + random.uniform(-0.2, 0.2, grid.shape)
    kinds = (random.permutation(count) >= 0.8 * count).astype(int)
    start = Structure(positions, kinds, ("A", "B"), edge * np.eye(3), pbc=(True, True, True))
    return matter, to_minimum(start, matter)


@pytest.fixture(scope="module")
def mixture():
    return kob_andersen()


def test_of_a_glass_without_embedded_atoms_the_whole_cell_is_asked(mixture):
    matter, structure = mixture
    glass = surroundings(matter, structure)
    assert isinstance(glass, WholeCell)
    units = Units.of(matter)
    mobile, field = glass.around(7, 2.0 * 2.7)
    assert mobile[0] == 7
    assert 20 < len(mobile) < 80
    moved = glass.positions[mobile] + np.random.default_rng(1).normal(scale=0.1, size=(len(mobile), 3))
    energy, forces = evaluated(field, moved)
    everything = structure.positions.copy()
    everything[mobile] = moved * units.length
    with LammpsForces(structure, matter) as lammps:
        expected, expected_forces = lammps(everything)
    assert energy * units.energy == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(forces * units.energy / units.length, expected_forces[mobile], atol=1e-9)


def test_lammps_and_compiled_forces_lead_to_the_same_saddle(glass_box):
    matter = load_material("cu-zr")
    fast, _ = minimised(surroundings(matter, glass_box))
    slow = WholeCell(LammpsForces(glass_box, matter), Units.of(matter), fast.positions, fast.lengths)
    barriers = []
    for atom in range(0, 300, 30):
        mobile, field = fast.around(atom, 6.0)
        start = fast.positions[mobile]
        direction = np.zeros_like(start)
        direction[:13] = np.random.default_rng([5, atom]).normal(size=(13, 3))
        found = search(field, start, direction, SearchSettings())
        if found.outcome == CONNECTED:
            wider = []
            for glass in (fast, slow):
                mobile, field = glass.around(atom, 8.0)
                resting = glass.positions[mobile]
                lowest, _ = evaluated(field, resting)
                wider.append(refined(field, resting, lowest, found, SearchSettings(force_tolerance=0.002)))
            assert wider[0].outcome == wider[1].outcome
            barriers.append([one.barrier for one in wider])
        if len(barriers) == 2:
            break
    assert len(barriers) == 2
    np.testing.assert_allclose(*np.transpose(barriers), atol=1e-3)


def test_units_are_those_of_copper_zirconium_for_it_alone():
    assert Units.of(load_material("cu-zr")) == Units(1.0, 1.0)
    other = Units.of(load_material("kob-andersen"))
    assert other.length == pytest.approx(1 / 2.7)
    assert other.energy == pytest.approx(0.4 / 0.0603, rel=0.01)


def test_a_material_without_a_scale_of_its_own_is_refused():
    with pytest.raises(SimulationError, match="lacks a nearest_neighbour_distance or glass_temperature"):
        Units.of(material("eam/alloy", "CuTa.eam.alloy", "Cu", "Ta"))


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, False, False)])
def test_any_cell_and_boundary_has_the_forces_of_its_energy(pbc):
    """Oblique, turned against LAMMPS's axes, with atoms outside the cell."""
    matter = load_material("kob-andersen")
    random = np.random.default_rng(6)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    turn *= np.linalg.det(turn)
    cell = 5.5 * np.array([[1.0, 0.0, 0.0], [0.6, 1.0, 0.0], [-0.2, 0.4, 1.0]]) @ turn
    grid = np.stack(np.meshgrid(*[np.arange(5)] * 3), axis=-1).reshape(-1, 3) / 5
    positions = (grid + 0.1) @ cell + random.uniform(-0.05, 0.05, (125, 3))
    if pbc[0]:
        positions[:20] += cell[0]
    structure = Structure(positions, random.integers(0, 2, 125), ("A", "B"), cell, [1.0, 2.0, 3.0], pbc)
    with LammpsForces(structure, matter) as lammps:
        _, forces = lammps(positions)
        for atom, axis in ((0, 0), (50, 1), (124, 2)):
            shift = np.zeros_like(positions)
            shift[atom, axis] = 1e-5
            slope = (lammps(positions - shift)[0] - lammps(positions + shift)[0]) / 2e-5
            assert forces[atom, axis] == pytest.approx(slope, abs=1e-5, rel=1e-5)
    np.testing.assert_allclose(forces.sum(axis=0), 0.0, atol=1e-8)


def test_an_atom_may_be_carried_through_the_cell(mixture):
    """And back: what LAMMPS remembers of neighbours does not matter."""
    matter, structure = mixture
    with LammpsForces(structure, matter) as lammps:
        before = lammps(structure.positions)
        away = structure.positions.copy()
        away[3] += 20.3 * structure.cell[0]
        lammps(away)
        after = lammps(structure.positions)
    assert after[0] == pytest.approx(before[0], rel=1e-12)
    np.testing.assert_allclose(after[1], before[1], atol=1e-8)


def test_a_structure_of_other_species_is_refused(mixture):
    with pytest.raises(SimulationError, match="does not describe A, B, but Cu, Zr"):
        LammpsForces(mixture[1], load_material("cu-zr"))


def test_chains_are_refused(mixture):
    chain = Structure(mixture[1].positions, cell=mixture[1].cell, pbc=(True,) * 3, species_names=("A",))
    with pytest.raises(SimulationError, match="has bonds, which a structure does not name"):
        LammpsForces(chain, load_material("polymer"))


def test_what_lammps_refuses_is_one_sentence(mixture):
    matter = Material("odd", ("A", "B"), (0.5, 0.5), "lj", ("pair_style lj/cut 2.5", "pair_coeff 1 1 1.0 1.0"))
    with pytest.raises(SimulationError, match=r"^LAMMPS stops: .*pair coeffs are not set.*\.$"):
        LammpsForces(mixture[1], matter)
