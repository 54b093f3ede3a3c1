"""Voronoi indices of structures whose cells are known."""

import itertools

import numpy as np
import pytest

from ovito_glassml.adapter.voronoi import voronoi_indices
from ovito_glassml.structure import Structure, StructureError


def bcc(repeat=4):
    corners = np.array(list(itertools.product(range(repeat), repeat=3)))
    positions = 3.0 * (corners[:, None, :] + np.array([[0, 0, 0], [0.5, 0.5, 0.5]])).reshape(-1, 3)
    return Structure(positions, cell=np.eye(3) * 3.0 * repeat, pbc=(True,) * 3)


def icosahedron():
    """An atom, its twelve neighbours, and a second shell on the same axes that closes their cells."""
    golden = (1 + 5**0.5) / 2
    corners = [np.roll([0, a, b * golden], k) for k in range(3) for a in (-1, 1) for b in (-1, 1)]
    shell = 2.6 * np.array(corners) / np.linalg.norm(corners[0])
    return Structure(np.vstack([[[0, 0, 0]], shell, 2 * shell]) + 10, cell=np.eye(3) * 20, pbc=(True,) * 3)


def test_a_truncated_octahedron_surrounds_every_bcc_atom():
    np.testing.assert_array_equal(voronoi_indices(bcc()), np.tile([0, 6, 0, 8, 0, 0], (128, 1)))


def test_single_atoms_have_what_they_have_among_all():
    structure = icosahedron()
    np.testing.assert_array_equal(voronoi_indices(structure, [0]), [[0, 0, 12, 0, 0, 0]])
    np.testing.assert_array_equal(voronoi_indices(structure, [5, 0]), voronoi_indices(structure)[[5, 0]])


def test_faces_of_a_glass_add_up_as_euler_says(glass):
    """Three edges meet in every corner, so Σ (6 − k) n_k = 12; cells with larger faces are left out."""
    faces = voronoi_indices(glass)
    complete = faces @ (3, 2, 1, 0, -1, -2) == 12
    assert complete.mean() > 0.99


@pytest.fixture
def glass():
    from ovito_glassml.simulate.snapshots import read_snapshot
    from ovito_glassml.workflow.sample_data import sample_file

    return read_snapshot(sample_file("stiffness/vibrations-cu50zr50-1e12-1.xyz.gz")).structure


def test_a_structure_without_cell_is_refused():
    with pytest.raises(StructureError, match="no simulation cell"):
        voronoi_indices(Structure(np.eye(3)))
