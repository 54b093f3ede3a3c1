"""Displacements that are known, seen through every way of writing the periodic lattice."""

from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.displacements import displacements_between, reduced_axes
from ovito_glassml.structure import Structure, StructureError

ALL = (True, True, True)
TRICLINIC = np.array([[11.0, 0.5, -0.7], [-4.0, 10.5, 0.3], [3.0, -4.5, 12.0]])
TURN = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
TURN *= np.linalg.det(TURN)
CELLS = {
    "triclinic": TRICLINIC,
    "long": np.diag([9.0, 60.0, 14.0]),
    "small": 6 * np.eye(3),
    "box": np.diag([10.0, 12.0, 11.0]),
}


def glass(count, shape, pbc=ALL):
    """Atoms at random in one of the cells."""
    cell = CELLS[shape]
    places = np.random.default_rng(1).uniform(0, 1, (count, 3))
    return Structure(places @ cell, cell=cell, origin=(1.0, -2.0, 0.5), pbc=pbc)


def shear(strain, direction=0, gradient=1):
    """Row vectors times this are sheared."""
    matrix = np.eye(3)
    matrix[gradient, direction] = strain
    return matrix


DEFORMATIONS = {
    "none": np.eye(3),
    "half a cell": shear(0.5),
    "more than a cell": shear(1.25),
    "many cells": shear(3.4, 2, 0),
    "back": shear(-1.7, 1, 2),
    "in three planes": shear(0.7) @ shear(-0.6, 2, 1) @ shear(0.55, 2, 0),
    "pulled": np.diag([1.9, 0.75, 0.8]),
    "compressed": 0.85 * np.eye(3),
    "turned": TURN,
    "turned and sheared": shear(1.2) @ TURN,
}

BASES = {
    "as it was": np.eye(3),
    "flipped in xy": shear(-1),
    "flipped in xz and yz": shear(1, 0, 2) @ shear(-1, 1, 2),
    "flipped often": shear(-4) @ shear(3, 2, 0),
    "exchanged": np.eye(3)[[2, 0, 1]],
    "left-handed": np.eye(3)[[1, 0, 2]],
    "inverted": -np.eye(3),
    "another program's": np.array([[2, 1, 1], [1, 1, 0], [-1, 0, -2]]),
}


def shaken(structure, random, size=0.3):
    return random.normal(0, size, structure.positions.shape)


def seen(structure, displacements, deformation, basis=np.eye(3), pbc=None, random=None):
    """The frame after displacements and then a deformation, its lattice written in another basis, atoms in the cell."""
    flags = np.array(structure.pbc if pbc is None else pbc)
    positions = (structure.positions + displacements) @ deformation
    cell, origin = basis @ structure.cell @ deformation, np.array([3.0, -1.0, 2.0])
    fractions = (positions - origin) @ np.linalg.inv(cell)
    return replace(
        structure, positions=positions - np.floor(fractions) * flags @ cell, cell=cell, origin=origin, pbc=flags
    )


def without_mean(vectors):
    return vectors - vectors.mean(axis=0)


@pytest.mark.parametrize("basis", BASES.values(), ids=BASES.keys())
@pytest.mark.parametrize("deformation", DEFORMATIONS.values(), ids=DEFORMATIONS.keys())
def test_known_displacements_come_back(deformation, basis):
    random = np.random.default_rng(3)
    for count, shape in ((80, "triclinic"), (300, "long")):
        start = glass(count, shape)
        known = shaken(start, random)
        later = seen(start, known, deformation, basis)
        found, mapping = displacements_between(start, later, later.positions)
        np.testing.assert_allclose(without_mean(found), without_mean(known), atol=1e-8)
        np.testing.assert_allclose(mapping, deformation.T, atol=1e-9)


@pytest.mark.parametrize("first", BASES.values(), ids=BASES.keys())
def test_the_reference_may_be_written_in_any_basis(first):
    """What is found does not depend on how either lattice is written."""
    random = np.random.default_rng(5)
    start = glass(80, "triclinic")
    known = shaken(start, random)
    reference = seen(start, 0, np.eye(3), first)
    later = seen(start, known, DEFORMATIONS["more than a cell"], BASES["flipped in xy"])
    found, _ = displacements_between(reference, later, later.positions)
    np.testing.assert_allclose(without_mean(found), without_mean(known), atol=1e-8)


def test_a_crystal_is_followed_however_far_it_is_sheared(fcc):
    """A crystal's own periods look like the cell's; what its atoms do tells."""
    random = np.random.default_rng(8)
    start = replace(fcc, positions=fcc.positions + shaken(fcc, random, 0.1))
    known = shaken(start, random, 0.1)
    for strain in np.arange(0.1, 2.6, 0.3):
        later = seen(start, known, shear(strain), shear(-np.rint(strain)))
        found, mapping = displacements_between(start, later, later.positions)
        np.testing.assert_allclose(without_mean(found), without_mean(known), atol=1e-8)
        assert mapping[0, 1] == pytest.approx(strain)


@pytest.mark.parametrize("pbc", [(True, False, True), (False, True, True), (False, True, False)])
def test_only_periodic_vectors_are_mixed(pbc):
    """The others are as long and as tilted as each program likes."""
    random = np.random.default_rng(6)
    start = glass(100, "box", pbc)
    known = shaken(start, random)
    flags = np.array(pbc)
    basis = np.diag([1.0, -1.0, 1.0])
    if flags.sum() == 2:
        basis[np.ix_(flags, flags)] = [[2, 1], [1, 1]]
    later = seen(start, known, np.eye(3), basis)
    cell = np.where(flags[:, None], later.cell, 1.7 * later.cell + 0.4 * later.cell[[1, 2, 0]])
    later = replace(later, cell=cell)
    found, mapping = displacements_between(start, later, later.positions)
    np.testing.assert_allclose(without_mean(found @ mapping.T), without_mean(known), atol=1e-8)
    np.testing.assert_allclose(np.linalg.svd(mapping)[1], 1.0)


def test_directions_exchanged_together_with_their_boundaries():
    random = np.random.default_rng(7)
    start = glass(80, "triclinic", (True, True, False))
    known = shaken(start, random)
    later = seen(start, known, np.eye(3), np.eye(3)[[2, 0, 1]], pbc=(False, True, True))
    found, _ = displacements_between(start, later, later.positions)
    np.testing.assert_allclose(without_mean(found), without_mean(known), atol=1e-8)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_where_atoms_are_too_few_to_tell_the_closest_cell_is_taken(count):
    start = glass(count, "small")
    later = seen(start, shaken(start, np.random.default_rng(2), 0.1), shear(0.1), shear(-1))
    _, mapping = displacements_between(start, later, later.positions)
    np.testing.assert_allclose(mapping, shear(0.1).T, atol=1e-9)


def test_flips_on_the_way_do_not_show():
    """Against the first frame after every step, up to a strain of three; LAMMPS flips when half the cell is passed."""
    random = np.random.default_rng(9)
    start = glass(100, "box")
    known = shaken(start, random, 0.4)
    for strain in np.arange(0, 3.01, 0.17):
        tilt = strain * 12 / 10
        flipped = seen(start, known, shear(strain), shear(-np.rint(tilt)))
        assert abs(flipped.cell[1, 0]) <= 5 + 1e-9
        found, _ = displacements_between(start, flipped, flipped.positions)
        np.testing.assert_allclose(without_mean(found), without_mean(known), atol=1e-8)


def test_what_is_no_motion_of_one_solid_is_refused():
    random = np.random.default_rng(12)
    start = glass(80, "triclinic")
    with pytest.raises(StructureError, match=r"stretched by factors from 0.1 to 0.1.* in one unit"):
        displacements_between(start, later := seen(start, 0, 0.1 * np.eye(3)), later.positions)
    with pytest.raises(StructureError, match="do not follow any deformation"):
        displacements_between(start, start, random.uniform(0, 12, (80, 3)))
    with pytest.raises(StructureError, match="periodic in 3 directions and the other frame in 2"):
        displacements_between(start, replace(start, pbc=(True, True, False)), start.positions)
    supercell = replace(start, cell=np.diag([2, 1, 1]) @ start.cell)
    with pytest.raises(StructureError, match="compare frames"):
        displacements_between(start, supercell, start.positions)


@pytest.mark.parametrize("basis", BASES.values(), ids=BASES.keys())
def test_reduced_vectors_are_a_basis_of_the_same_lattice(basis):
    axes, periodic = reduced_axes(Structure(np.zeros((1, 3)), cell=basis @ TRICLINIC, pbc=ALL))
    assert periodic == 3
    change = axes @ np.linalg.inv(TRICLINIC)
    np.testing.assert_allclose(change, np.rint(change), atol=1e-9)
    assert abs(np.linalg.det(change)) == pytest.approx(1)
    assert np.linalg.norm(axes, axis=1).max() <= np.linalg.norm(TRICLINIC, axis=1).max() * (1 + 1e-9)
