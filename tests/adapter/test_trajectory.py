"""Atoms are followed through order, boundaries and gaps."""

import numpy as np
import pytest

from ovito_glassml.adapter.trajectory import TrajectoryFollower, frame_window, match_ids
from ovito_glassml.structure import StructureError

TRICLINIC = np.array([[10.0, 0.0, 0.0], [3.0, 9.0, 0.0], [-2.0, 4.0, 11.0]])


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def test_windows():
    assert list(frame_window(10)) == list(range(10))
    assert list(frame_window(10, first=2, count=6, every=3)) == [2, 5]
    with pytest.raises(StructureError, match="10 frames"):
        frame_window(10, first=5, count=6)
    with pytest.raises(StructureError, match="at least 2"):
        frame_window(1)
    with pytest.raises(StructureError, match="at least 2"):
        frame_window(10, every=10)
    with pytest.raises(StructureError, match="at least 2"):
        frame_window(10, first=12)


def test_identifiers_are_found_in_any_order(rng):
    available = rng.permutation(np.arange(100, 600, 5))
    wanted = rng.permutation(np.arange(100, 600, 5))
    np.testing.assert_array_equal(available[match_ids(wanted, available)], wanted)
    assert match_ids(np.array([1, 105, 9999]), available)[[0, 2]].tolist() == [-1, -1]
    assert match_ids(np.array([3]), np.array([], dtype=int)).tolist() == [-1]


def walk(rng, count=50, frames=40):
    """A random walk without drift that crosses the boundaries many times."""
    steps = rng.normal(0, 1.0, (frames, count, 3))
    steps -= steps.mean(axis=1, keepdims=True)
    steps[0] = rng.uniform(0, 10, (count, 3))
    return np.cumsum(steps, axis=0)


def wrapped(positions, cell, pbc):
    crossings = np.floor(positions @ np.linalg.inv(cell)) * pbc
    return positions - crossings @ cell, crossings.astype(int)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, True), (False, False, False)])
@pytest.mark.parametrize("images", [True, False])
def test_boundary_crossings_are_undone(rng, make_data, pbc, images):
    true = walk(rng)
    follower = None
    for positions in true:
        inside, crossings = wrapped(positions, TRICLINIC, pbc)
        order = rng.permutation(len(positions))
        data = make_data(inside[order], TRICLINIC, pbc, ids=order + 1)
        if images:
            data.particles_.create_property("Periodic Image", data=crossings[order])
        if follower is None:
            follower, first = TrajectoryFollower(data), order
            offset = follower.reference - positions[order]
        followed = follower.follow(data)
        np.testing.assert_allclose(followed - offset, positions[first], atol=1e-9)


def test_drift_is_removed(rng, make_data):
    positions = rng.uniform(0, 10, (30, 3))
    follower = TrajectoryFollower(make_data(positions, TRICLINIC, ids=np.arange(30)))
    moved, _ = wrapped(positions + np.array([0.5, -1.0, 2.0]), TRICLINIC, (True, True, True))
    np.testing.assert_allclose(follower.follow(make_data(moved, TRICLINIC, ids=np.arange(30))), follower.reference)


def test_atoms_that_leave_are_marked_and_do_not_disturb_the_others(rng, make_data):
    positions = rng.uniform(0, 10, (30, 3))
    ids = np.arange(1, 31)
    follower = TrajectoryFollower(make_data(positions, TRICLINIC, ids=ids))
    shift = np.array([0.3, 0.0, 0.0])
    stay = ids > 4
    newcomer = np.append(ids[stay], 99)
    data = make_data(np.vstack([positions[stay] + shift, [[5.0, 5.0, 5.0]]]), TRICLINIC, ids=newcomer)
    np.testing.assert_allclose(follower.follow(data), positions, atol=1e-12)
    np.testing.assert_array_equal(follower.complete, stay)
    follower.follow(make_data(positions, TRICLINIC, ids=ids))
    np.testing.assert_array_equal(follower.complete, stay)


def test_an_empty_frame_leaves_nobody(rng, make_data):
    follower = TrajectoryFollower(make_data(rng.uniform(0, 10, (3, 3)), TRICLINIC, ids=[1, 2, 3]))
    np.testing.assert_array_equal(follower.follow(make_data([], TRICLINIC, ids=[])), follower.reference)
    assert not follower.complete.any()


def test_a_changing_number_without_identifiers_is_refused(rng, make_data):
    positions = rng.uniform(0, 10, (5, 3))
    follower = TrajectoryFollower(make_data(positions, TRICLINIC))
    follower.follow(make_data(positions, TRICLINIC))
    with pytest.raises(StructureError, match="column of particle identifiers"):
        follower.follow(make_data(positions[:4], TRICLINIC))


def test_identifiers_that_occur_twice_are_refused(make_data):
    with pytest.raises(StructureError, match="occur twice"):
        TrajectoryFollower(make_data(np.eye(3), TRICLINIC, ids=[1, 2, 2]))
