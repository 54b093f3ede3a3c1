"""Second derivatives: of embedded atoms against differences of LAMMPS's forces, and those against a double loop."""

import numpy as np
import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.forces import LammpsForces
from ovito_glassml.simulate.hessian import embedded_atom_hessian, hessian_by_differences
from ovito_glassml.simulate.material import Material, load_material
from ovito_glassml.structure import Structure


def material(style, file, *species):
    return Material(
        "test",
        species,
        (1 / len(species),) * len(species),
        "metal",
        (f"pair_style {style}", f"pair_coeff * * {file} {' '.join(species)}"),
    )


def alloy(species, spacing, seed=1):
    """A shaken crystal (bcc) in an oblique cell, wide enough for a cutoff of 4 Å or more, species at random."""
    random = np.random.default_rng(seed)
    corners = spacing * np.stack(np.meshgrid(*[np.arange(2)] * 3), axis=-1).reshape(-1, 3)
    positions = np.concatenate([corners, corners + spacing / 2]) + random.normal(scale=0.08, size=(16, 3))
    shear = np.array([[1.0, 0.0, 0.0], [0.1, 1.0, 0.0], [-0.05, 0.08, 1.0]])
    kinds = random.integers(0, len(species), len(positions))
    return Structure(positions @ shear, kinds, species, 2 * spacing * shear, pbc=(True, True, True))


@pytest.mark.parametrize(
    ("style", "file", "species", "spacing"),
    [
        ("eam/fs", "CuZr_mm.eam.fs", ("Cu", "Zr"), 3.2),
        ("eam/fs", "FeP_mm.eam.fs", ("P", "Fe"), 2.9),
        ("eam/alloy", "CuTa.eam.alloy", ("Cu", "Ta"), 3.1),
        ("eam/alloy", "NiAlH_jea.eam.alloy", ("H", "Al", "Ni"), 3.0),
    ],
)
def test_an_embedded_atom_potential_has_the_curvatures_of_its_forces(style, file, species, spacing):
    """In an oblique cell narrower than the cutoff: atoms meet several images of each other and of themselves."""
    structure, matter = alloy(species, spacing), material(style, file, *species)
    analytic = embedded_atom_hessian(structure, matter).toarray()
    np.testing.assert_allclose(analytic, analytic.T, atol=1e-9)
    np.testing.assert_allclose(analytic.reshape(-1, 16, 3).sum(axis=1), 0.0, atol=1e-9)
    with LammpsForces(structure, matter) as forces:
        differences = hessian_by_differences(forces, structure.positions, 0.002)
    # The second derivative of LAMMPS's interpolation jumps between points of the tables.
    scale = np.abs(analytic).max()
    np.testing.assert_allclose(differences, analytic, atol=0.02 * scale)
    assert np.abs(differences - analytic).mean() < 1e-3 * scale


def test_lennard_jones_by_differences_is_that_of_a_double_loop():
    """Between 1.5 and 2.2 diameters, and above 1: where lj/smooth is the plain potential."""
    matter = load_material("kob-andersen")
    random = np.random.default_rng(4)
    grid = 1.25 * np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 3)
    positions = grid + random.uniform(-0.05, 0.05, grid.shape)
    structure = Structure(positions, random.integers(0, 2, 64), ("A", "B"), 5.0 * np.eye(3), pbc=(True, True, True))
    with LammpsForces(structure, matter) as forces:
        found = hessian_by_differences(forces, positions, 1e-4)
    np.testing.assert_allclose(found, lennard_jones(structure), atol=1e-3)


def lennard_jones(structure):
    """Hessian of the smoothed Kob-Andersen mixture by a plain double loop over pairs."""
    depth, size = np.array([[1.0, 1.5], [1.5, 0.5]]), np.array([[1.0, 0.8], [0.8, 0.88]])
    count, edge = len(structure), structure.cell[0, 0]
    hessian = np.zeros((3 * count, 3 * count))
    for i in range(count):
        for j in range(i):
            vector = structure.positions[i] - structure.positions[j]
            vector -= edge * np.round(vector / edge)
            r = np.linalg.norm(vector)
            kinds = structure.species[i], structure.species[j]
            block = pair_block(vector, r, depth[kinds], size[kinds])
            own, other = slice(3 * i, 3 * i + 3), slice(3 * j, 3 * j + 3)
            hessian[own, own] += block
            hessian[other, other] += block
            hessian[own, other] -= block
            hessian[other, own] -= block
    return hessian


def pair_block(vector, r, depth, size):
    inner, outer = 2.2 * size, 2.5 * size
    if r > outer:
        return np.zeros((3, 3))

    def slope(x):
        return -24 * depth * (2 * size**12 / x**13 - size**6 / x**7)

    def curvature(x):
        return 24 * depth * (26 * size**12 / x**14 - 7 * size**6 / x**8)

    first, second = slope(r), curvature(r)
    if r > inner:  # a cubic that takes force and its slope to zero
        width, t = outer - inner, r - inner
        force, change = -slope(inner), -curvature(inner)
        c2 = -(3 * force + 2 * change * width) / width**2
        c3 = (2 * force + change * width) / width**3
        first, second = -(force + change * t + c2 * t**2 + c3 * t**3), -(change + 2 * c2 * t + 3 * c3 * t**2)
    direction = vector / r
    return second * np.outer(direction, direction) + first / r * (np.eye(3) - np.outer(direction, direction))


def test_another_kind_of_potential_has_none():
    with pytest.raises(SimulationError, match="eam/fs or eam/alloy"):
        embedded_atom_hessian(alloy(("A", "B"), 1.2), load_material("kob-andersen"))


def test_differences_can_be_stopped():
    def impatient(fraction):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        hessian_by_differences(lambda x: (0.0, np.zeros_like(x)), np.zeros((4, 3)), 0.1, progress=impatient)
