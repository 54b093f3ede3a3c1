"""Planes of atoms and cells thinner than an atom are told from small crystals, in any unit and any orientation."""

import itertools

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ovito_glassml.dimension import check_three_dimensional
from ovito_glassml.structure import Structure, StructureError

ALL = (True, True, True)
TURN = Rotation.from_euler("xyz", [0.3, -0.8, 1.1]).as_matrix()


def disordered_plane(count=400, jitter=0.0, seed=1):
    """Atoms about one length unit apart."""
    rng = np.random.default_rng(seed)
    edge = int(np.sqrt(count))
    sites = np.stack(np.meshgrid(np.arange(edge), np.arange(edge), [0.0], indexing="ij"), -1).reshape(-1, 3)
    sites[:, :2] += rng.uniform(-0.2, 0.2, (len(sites), 2))
    sites[:, 2] = rng.uniform(-jitter, jitter, len(sites))
    return sites, float(edge)


def refused(positions, cell=None, pbc=(False, False, False)):
    try:
        check_three_dimensional(Structure(positions, cell=cell, pbc=pbc))
    except StructureError as error:
        return "two-dimensional" in str(error)
    return False


@pytest.mark.parametrize("unit", [1.0, 2.5, 1e-3])
@pytest.mark.parametrize("thickness", [0.1, 0.2, 0.5, 1.0, 1.54, 20.0])
@pytest.mark.parametrize("jitter", [0.0, 1e-6, 0.005])
def test_a_plane_is_refused_however_thick_its_cell(thickness, jitter, unit):
    """As programs write simulations in two dimensions, and as a flat sheet in vacuum."""
    positions, edge = disordered_plane(jitter=jitter)
    cell = np.diag([edge, edge, thickness])
    for pbc in itertools.product((True, False), repeat=3):
        assert refused(unit * positions, unit * cell, pbc)


def test_a_zigzag_chain_stays_one_on_any_images():
    """Nine atoms in vacuum, bent by a tenth of their distance: far images do not make it look flat."""
    rng = np.random.default_rng(2)
    chain = np.column_stack([*rng.uniform(-0.1, 0.1, (2, 9)), np.arange(9)])
    cell = np.diag([9.0, 9.0, 9.0])
    for seed in range(20):
        images = np.random.default_rng(seed).integers(-3, 4, (9, 3))
        assert not refused(chain + images @ cell, cell, ALL)


def test_a_plane_is_refused_in_any_orientation_and_by_any_choice_of_vectors():
    positions, edge = disordered_plane(jitter=1e-6)
    for thickness in (0.2, 1.0, 9.0):
        for cell in (
            np.diag([edge, edge, thickness]),
            np.array([[edge, 0, 0], [0.4 * edge, edge, 0], [0, 0, thickness]]),
            np.array([[edge, 0, thickness], [0, edge, -thickness], [0, 0, thickness]]),
        ):
            for axes in itertools.permutations(range(3)):
                assert refused(positions[:, axes], cell[:, axes], ALL)
                assert refused(positions[:, axes], cell[list(axes)][:, axes], ALL)
            assert refused(positions @ TURN.T, cell @ TURN.T, ALL)
            images = np.random.default_rng(3).integers(-3, 4, (len(positions), 3))
            assert refused(positions @ TURN.T + images @ cell @ TURN.T, cell @ TURN.T, ALL)


def test_a_tilted_plane_without_boundaries_is_refused():
    positions, edge = disordered_plane()
    assert refused(positions @ TURN.T)
    assert refused(positions @ TURN.T, 3 * edge * np.eye(3))


@pytest.mark.parametrize("thickness", [0.2, 0.5])
@pytest.mark.parametrize("pbc", [ALL, (True, False, True), (False, False, True)])
def test_a_cell_thinner_than_an_atom_is_refused_even_if_its_atoms_are_in_no_plane(thickness, pbc):
    positions, edge = disordered_plane(jitter=thickness / 2)
    cell = np.diag([edge, edge, thickness])
    assert refused(positions, cell, pbc)
    assert refused(positions @ TURN.T, cell @ TURN.T, pbc)


def test_one_far_atom_does_not_make_the_others_flat():
    rng = np.random.default_rng(2)
    glass = np.concatenate([rng.uniform(0, 40, (1000, 3)), [[1e8, 0, 0]]])
    assert not refused(glass)


CRYSTALS = {
    "fcc": (3.6, [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]),
    "bcc": (2.9, [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "sc": (2.6, [[0, 0, 0]]),
}


@pytest.mark.parametrize("crystal", CRYSTALS)
@pytest.mark.parametrize("repeats", [(1, 1, 1), (2, 1, 1), (4, 4, 1), (6, 5, 2), (1, 1, 30)])
def test_crystals_one_unit_cell_thick_are_let_through(crystal, repeats):
    """Only a simple cubic sheet of nine atoms and more is a plane, which the sentence says how to repeat."""
    edge, basis = CRYSTALS[crystal]
    shifts = np.array(list(itertools.product(*map(range, repeats))))
    positions = edge * (shifts[:, None] + np.array(basis)).reshape(-1, 3)
    flat = crystal == "sc" and min(repeats) == 1 and len(positions) > 8
    assert refused(positions, edge * np.diag(repeats), ALL) == flat


@pytest.mark.parametrize("length", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_atoms_are_let_through(count, length):
    positions = length * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype=float)[:count]
    assert not refused(positions)
    assert not refused(positions, np.diag([4 * length, 5 * length, 3 * length]), ALL)


def test_thin_slices_of_a_glass_chains_and_gases_are_let_through():
    rng = np.random.default_rng(4)
    assert not refused(rng.uniform(0, [20, 20, 2.2], (51, 3)), np.diag([20, 20, 2.2]), ALL)
    chain = np.array([[0, 0, 0], [0.9, 0, 1.27], [-0.6, 0.9, 0], [-0.6, -0.9, 0], [1.5, 0.9, 1.27], [1.5, -0.9, 1.27]])
    chain = (chain + np.arange(5)[:, None, None] * [0, 0, 2.54]).reshape(-1, 3)
    assert not refused(chain[:6], np.diag([30, 30, 2.54]), ALL)
    assert not refused(chain, np.diag([30, 30, 12.7]), ALL)
    assert not refused(rng.uniform(0, [20, 200, 200], (20, 3)), np.diag([20, 200, 200]), ALL)
    skewed = np.array([[10, 0, 0], [0, 10, 0], [70, -50, 10.0]])
    assert not refused(rng.uniform(0, 10, (58, 3)), skewed, ALL)
