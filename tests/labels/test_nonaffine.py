"""D²min against its definition, OVITO, and the deformations that it must not see."""

import numpy as np
import pytest

from ovito_glassml.labels.nonaffine import local_deformation, nonaffine_squared_displacement
from ovito_glassml.structure import Structure, StructureError

CELL = np.array([[8.0, 0, 0], [1.5, 8.5, 0], [-0.7, 0.4, 9.0]])
CUTOFF = 2.6


@pytest.fixture
def fluid():
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.arange(7)] * 3), axis=-1).reshape(-1, 3) / 7
    fractional = (grid + rng.uniform(-0.03, 0.03, grid.shape)) % 1
    return Structure(fractional @ CELL, cell=CELL, pbc=(True, True, True))


def test_a_linear_deformation_is_no_rearrangement():
    rng = np.random.default_rng(0)
    cluster = Structure(rng.uniform(0, 6, (120, 3)))
    gradient = rng.normal(scale=0.1, size=(3, 3))
    result = nonaffine_squared_displacement(cluster, cluster.positions @ gradient + [1.0, 2.0, 3.0], CUTOFF)
    np.testing.assert_allclose(result[np.isfinite(result)], 0.0, atol=1e-10)


def test_it_is_the_residual_of_a_least_squares_fit(fluid):
    moved = np.random.default_rng(1).normal(scale=0.2, size=fluid.positions.shape)
    result = nonaffine_squared_displacement(fluid, moved, CUTOFF)
    images = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3) @ CELL
    for atom in range(0, len(fluid), 40):
        bonds = fluid.positions[:, None] + images - fluid.positions[atom]
        distances = np.linalg.norm(bonds, axis=2)
        near = (distances > 0) & (distances < CUTOFF)
        relative = np.broadcast_to((moved - moved[atom])[:, None], bonds.shape)
        residual = np.linalg.lstsq(bonds[near], relative[near], rcond=None)[1]
        assert result[atom] == pytest.approx(residual.sum(), rel=1e-9)


def test_ovito_finds_the_same(fluid):
    from ovito.data import DataCollection, Particles, SimulationCell
    from ovito.modifiers import AtomicStrainModifier
    from ovito.pipeline import StaticSource

    def collection(positions):
        data = DataCollection()
        data.objects.append(SimulationCell(pbc=(True,) * 3))
        data.cell_[:, :3] = CELL.T
        data.particles = Particles(count=len(positions))
        data.particles_.create_property("Position", data=positions)
        return data

    moved = np.random.default_rng(2).normal(scale=0.15, size=fluid.positions.shape)
    data = collection(fluid.positions + moved)
    reference = StaticSource(data=collection(fluid.positions))
    data.apply(AtomicStrainModifier(cutoff=CUTOFF, output_nonaffine_squared_displacements=True, reference=reference))
    expected = data.particles["Nonaffine Squared Displacement"]
    np.testing.assert_allclose(nonaffine_squared_displacement(fluid, moved, CUTOFF), expected, rtol=1e-9)


def test_too_few_neighbours_give_no_number():
    line = Structure([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [30, 0, 0]])
    assert np.isnan(nonaffine_squared_displacement(line, np.zeros((4, 3)), CUTOFF)).all()


@pytest.mark.parametrize("neighbours", [0, 2, 3, 4])
def test_three_bonds_can_always_be_mapped_and_have_no_value(neighbours):
    """With one neighbour more D²min says something; all ways to compute it agree on that."""
    bonds = np.array([[1.0, 0.1, 0], [0, 1.1, 0.2], [-0.3, 0, 0.9], [-0.6, -0.6, 0.4]])[:neighbours]
    star = Structure(np.vstack([[[0.0, 0, 0]], 1.5 * bonds]))
    moved = np.random.default_rng(5).normal(0, 0.1, (len(star), 3))
    fit = local_deformation(star, moved, 1.8)
    assert fit.neighbours[0] == neighbours
    assert np.isfinite(fit.squares[0]) == np.isfinite(fit.gradients[0]).all() == (neighbours == 4)


def test_the_gradient_is_that_of_the_deformation(fluid):
    cluster = Structure(fluid.positions)
    gradient = np.random.default_rng(6).normal(scale=0.2, size=(3, 3))
    fit = local_deformation(cluster, cluster.positions @ gradient.T, CUTOFF)
    known = np.isfinite(fit.squares)
    assert known.mean() > 0.9
    np.testing.assert_allclose(fit.gradients[known], np.broadcast_to(gradient, (known.sum(), 3, 3)), atol=1e-9)


@pytest.mark.parametrize("thickness", [0.0, 1e-7, 1e-4, 1e-2])
def test_neighbours_in_a_plane_have_no_value_and_almost_flat_ones_an_exact_one(thickness):
    """Whichever way the plane is tilted; a linear deformation of what is nearly flat leaves nothing over."""
    random = np.random.default_rng(7)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0]
    layer = (random.uniform(-1, 1, (40, 3)) * [1, 1, thickness]) @ turn + [30.0, -20.0, 10.0]
    fit = local_deformation(Structure(layer), layer @ random.normal(size=(3, 3)), 1.5)
    np.testing.assert_array_equal(np.isnan(fit.squares), thickness < 1e-5)
    assert (fit.squares[np.isfinite(fit.squares)] == 0).all()


def test_progress_is_reported_and_can_stop_the_work(fluid, monkeypatch):
    from ovito_glassml import neighbours

    monkeypatch.setattr(neighbours, "BLOCK_SIZE", 100)
    moved = np.random.default_rng(8).normal(0, 0.1, fluid.positions.shape)
    fractions = []
    fit = local_deformation(fluid, moved, CUTOFF, fractions.append)
    assert fractions == pytest.approx([100 / 343, 200 / 343, 300 / 343, 1.0])
    monkeypatch.undo()
    np.testing.assert_array_equal(local_deformation(fluid, moved, CUTOFF).squares, fit.squares)

    def stop(fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        local_deformation(fluid, moved, CUTOFF, stop)


def test_displacements_of_other_atoms_are_refused(fluid):
    with pytest.raises(StructureError, match="give three components for each of 343 atoms"):
        nonaffine_squared_displacement(fluid, np.zeros((5, 3)), CUTOFF)
