"""The harmonic limit against the pseudo-inverse, a crystal's dispersion relation, and invariances."""

import itertools

import numpy as np
import pytest

from ovito_glassml.labels.harmonic import HarmonicError, first_shells, harmonic_motion, rigid_motions
from ovito_glassml.structure import Structure


def springs(structure, reach, stiffness=1.0):
    """Hessian of springs at rest between all atoms nearer than `reach`, by a plain double loop; periodic cells must be
    wider than twice that."""
    count, positions = len(structure), structure.positions
    edges = np.diag(structure.cell) if any(structure.pbc) else np.inf
    hessian = np.zeros((3 * count, 3 * count))
    for i, j in itertools.combinations(range(count), 2):
        vector = positions[j] - positions[i]
        vector = vector - np.where(np.isfinite(edges), edges, 0.0) * np.round(vector / edges)
        if np.linalg.norm(vector) < reach:
            block = stiffness * np.outer(vector, vector) / np.dot(vector, vector)
            own, other = slice(3 * i, 3 * i + 3), slice(3 * j, 3 * j + 3)
            hessian[own, own] += block
            hessian[other, other] += block
            hessian[own, other] -= block
            hessian[other, own] -= block
    return hessian


def cluster(count=60, seed=1):
    """Atoms in a ball, none too near to another."""
    random, positions = np.random.default_rng(seed), []
    radius = 0.62 * count ** (1 / 3)
    while len(positions) < count:
        candidate = random.uniform(-radius, radius, 3)
        if np.linalg.norm(candidate) < radius and all(np.linalg.norm(candidate - one) > 0.7 for one in positions):
            positions.append(candidate)
    return Structure(np.array(positions))


def box(count=120, seed=2):
    edge = count ** (1 / 3)
    random, positions = np.random.default_rng(seed), []
    while len(positions) < count:
        candidate = random.uniform(0, edge, 3)
        vectors = np.array([candidate - one for one in positions] or [[9.0, 9.0, 9.0]])
        if np.linalg.norm(vectors - edge * np.round(vectors / edge * (len(positions) > 0)), axis=1).min() > 0.7:
            positions.append(candidate)
    return Structure(np.array(positions), cell=edge * np.eye(3), pbc=(True, True, True))


def by_pseudo_inverse(hessian, shells):
    """u² and cage u², and the share of every atom in the softest mode(s)."""
    values, vectors = np.linalg.eigh(hessian)
    held = values > 1e-8
    inverse = vectors[:, held] @ np.diag(1 / values[held]) @ vectors[:, held].T
    relative = np.kron(np.eye(shells.shape[0]) - shells.toarray(), np.eye(3))
    modes = max(1, round(0.01 * held.sum()))
    soft = vectors[:, held][:, :modes] ** 2
    own = np.diag(inverse).reshape(-1, 3).sum(axis=1)
    cage = np.diag(relative @ inverse @ relative.T).reshape(-1, 3).sum(axis=1)
    return own, cage, soft.sum(axis=1).reshape(-1, 3).sum(axis=1) / modes * len(own)


@pytest.mark.parametrize("structure", [box(), cluster(), box(300)], ids=["periodic", "cluster", "several tiles"])
@pytest.mark.parametrize(("dtype", "accuracy"), [(np.float64, 1e-10), (np.float32, 1e-4)])
def test_it_is_the_pseudo_inverse_without_rigid_motions(structure, dtype, accuracy):
    hessian, shells = springs(structure, 1.6), first_shells(structure, 1.4)
    rigid = rigid_motions(structure)
    assert rigid.shape[1] == (3 if any(structure.pbc) else 6)
    np.testing.assert_allclose(hessian @ rigid, 0.0, atol=1e-10)
    own, cage, share = by_pseudo_inverse(hessian, shells)
    found = harmonic_motion(hessian.astype(dtype), shells, rigid)
    np.testing.assert_allclose(found.msd, own, rtol=accuracy)
    alone = np.diff(shells.indptr) == 0
    np.testing.assert_allclose(found.cage_msd[~alone], cage[~alone], rtol=accuracy)
    assert np.isnan(found.cage_msd[alone]).all()
    np.testing.assert_allclose(found.soft_mode_share, share, atol=0.05)
    assert found.soft_mode_share.mean() == pytest.approx(1.0, abs=1e-4)


def crystal(repeat, constant=np.sqrt(2.0)):
    """Face-centred cubic, nearest neighbours at distance 1."""
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    corners = np.array(list(itertools.product(range(repeat), repeat=3)))
    positions = constant * (corners[:, None] + basis).reshape(-1, 3)
    return Structure(positions, cell=repeat * constant * np.eye(3), pbc=(True, True, True))


def lattice_sums(repeat, constant=np.sqrt(2.0)):
    """u² of an atom, and relative to its twelve neighbours, from the dispersion relation of springs of stiffness 1."""
    bonds = np.array([v for v in itertools.product((-1, 0, 1), repeat=3) if np.abs(v).sum() == 2]) * constant / 2
    # Wave vectors of the reciprocal lattice of the box, modulo the (body-centred) one of the crystal.
    steps = 2 * np.pi / (repeat * constant)
    primitive = np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    own = cage = 0.0
    seen = set()
    for whole in itertools.product(range(-repeat, repeat), repeat=3):
        fraction = np.linalg.solve(primitive.T * repeat, whole)
        key = tuple(np.round((fraction % 1.0) * 1e6).astype(int) % 10**6)
        if key in seen:
            continue
        seen.add(key)
        if key == (0, 0, 0):
            continue
        phases = bonds @ (steps * np.array(whole))
        dynamical = sum(
            2 * np.sin(phase / 2) ** 2 * np.outer(bond, bond) for bond, phase in zip(bonds, phases, strict=True)
        )
        trace = np.trace(np.linalg.inv(dynamical))
        own += trace
        cage += trace * (1 - np.cos(phases).mean()) ** 2
    assert len(seen) == 4 * repeat**3
    return own / len(seen), cage / len(seen)


@pytest.mark.parametrize("repeat", [3, 4])
def test_a_crystal_moves_as_its_dispersion_relation_says(repeat):
    structure = crystal(repeat)
    found = harmonic_motion(springs(structure, 1.2), first_shells(structure, 1.2), rigid_motions(structure))
    own, cage = lattice_sums(repeat)
    np.testing.assert_allclose(found.msd, own, rtol=1e-9)
    np.testing.assert_allclose(found.cage_msd, cage, rtol=1e-9)


def test_long_waves_make_the_amplitude_of_a_large_crystal_but_not_that_in_the_cage():
    """What a box cannot hold is missing, as one over its edge; in the cage it hardly counts."""
    (small, small_cage), (large, large_cage) = lattice_sums(4), lattice_sums(8)
    assert 0.05 < 1 - small / large < 0.15
    assert abs(1 - small_cage / large_cage) < 0.01


def test_rotated_and_renumbered_atoms_move_alike():
    structure = box()
    hessian, shells = springs(structure, 1.6), first_shells(structure, 1.4)
    found = harmonic_motion(hessian.copy(), shells, rigid_motions(structure))
    random = np.random.default_rng(3)
    order, turn = random.permutation(len(structure)), np.linalg.qr(random.normal(size=(3, 3)))[0]
    rows = (3 * order[:, None] + np.arange(3)).ravel()
    spin = np.kron(np.eye(len(structure)), turn)
    other = Structure(structure.positions[order] @ turn.T, cell=structure.cell @ turn.T, pbc=(True, True, True))
    turned = spin @ hessian[np.ix_(rows, rows)] @ spin.T
    again = harmonic_motion(turned, first_shells(other, 1.4), rigid_motions(other))
    np.testing.assert_allclose(again.stiffness, found.stiffness[order], rtol=1e-9)
    np.testing.assert_allclose(again.cage_stiffness, found.cage_stiffness[order], rtol=1e-9)
    np.testing.assert_allclose(again.soft_mode_share, found.soft_mode_share[order], atol=0.05)


def test_what_is_no_minimum_is_refused():
    structure = box()
    hessian, shells, rigid = springs(structure, 1.6), first_shells(structure, 1.4), rigid_motions(structure)
    mode = np.linalg.eigh(hessian)[1][:, 3]
    with pytest.raises(HarmonicError, match="falls in some direction"):
        harmonic_motion(hessian - 3 * hessian.max() * np.outer(mode, mode), shells, rigid)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_loose_atom_is_refused(place, dtype):
    positions = cluster().positions
    positions = np.insert(positions, place if place >= 0 else len(positions), [9.0, 9.0, 9.0], axis=0)
    structure = Structure(positions)
    hessian = springs(structure, 1.6).astype(dtype)
    with pytest.raises(HarmonicError, match=r"held by nothing|falls in some direction"):
        harmonic_motion(hessian, first_shells(structure, 1.4), rigid_motions(structure))


@pytest.mark.parametrize("cell", [None, 2.6 * np.eye(3)], ids=["alone", "periodic"])
def test_a_single_atom_is_refused(cell):
    atom = Structure(np.zeros((1, 3)), np.zeros(1, dtype=int), ("Cu",), cell, pbc=(cell is not None,) * 3)
    with pytest.raises(HarmonicError, match="single atom"):
        harmonic_motion(np.zeros((3, 3)), first_shells(atom, 3.0), rigid_motions(atom))


def test_it_can_be_stopped_and_says_how_far_it_is():
    structure = box(200)
    heard = []
    harmonic_motion(springs(structure, 1.6), first_shells(structure, 1.4), rigid_motions(structure), heard.append)
    assert len(heard) > 5
    assert (np.diff(heard) >= 0).all()
    assert 0.5 < heard[-1] <= 1.0

    def impatient(fraction):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        harmonic_motion(springs(structure, 1.6), first_shells(structure, 1.4), rigid_motions(structure), impatient)
