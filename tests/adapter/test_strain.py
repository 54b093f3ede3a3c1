"""Von Mises strain of deformations that are known."""

from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.adapter.strain import von_mises_strain
from ovito_glassml.structure import StructureError


def test_simple_shear_has_the_strain_of_its_definition(fcc):
    """E = (FᵀF − 1)/2 with E_xy = γ/2 and E_yy = γ²/2."""
    gamma = 0.1
    turn = np.eye(3)
    turn[0, 1] = gamma
    order = np.random.default_rng(1).permutation(len(fcc))
    sheared = replace(fcc, positions=(fcc.positions @ turn.T)[order], ids=fcc.ids[order], cell=fcc.cell @ turn.T)
    expected = np.sqrt((gamma / 2) ** 2 + 2 * (gamma**2 / 2) ** 2 / 6)
    np.testing.assert_allclose(von_mises_strain(fcc, sheared), expected, rtol=1e-6)


def test_expansion_is_no_shear(fcc):
    larger = replace(fcc, positions=1.02 * fcc.positions, cell=1.02 * fcc.cell)
    np.testing.assert_allclose(von_mises_strain(fcc, larger), 0, atol=1e-7)


def test_flips_of_the_cell_are_no_strain(fcc):
    random = np.random.default_rng(2)
    sheared = replace(fcc, positions=fcc.positions + random.normal(0, 0.2, (256, 3)))
    flipped = replace(sheared, cell=np.array([[1, 0, 0], [1, 1, 0], [0, -1, 1]]) @ sheared.cell)
    np.testing.assert_allclose(von_mises_strain(fcc, flipped), von_mises_strain(fcc, sheared), rtol=1e-9)


def test_ovito_finds_the_same(triclinic):
    from ovito.data import DataCollection
    from ovito.modifiers import AtomicStrainModifier
    from ovito.pipeline import StaticSource

    def collection(structure):
        data = DataCollection()
        data.create_cell(np.column_stack([structure.cell.T, structure.origin]), pbc=structure.pbc)
        particles = data.create_particles(count=len(structure))
        particles.create_property("Position", data=structure.positions)
        particles.create_property("Particle Identifier", data=structure.ids)
        return data

    turn = np.array([[1.02, 0.2, 0.0], [0.0, 0.95, 0.1], [0.05, 0.0, 1.0]])
    moved = triclinic.positions + np.random.default_rng(3).normal(0, 0.2, (70, 3))
    deformed = replace(triclinic, positions=moved @ turn, cell=triclinic.cell @ turn, origin=triclinic.origin @ turn)
    data = collection(deformed)
    data.apply(AtomicStrainModifier(cutoff=5.0, reference=StaticSource(data=collection(triclinic))))
    np.testing.assert_allclose(von_mises_strain(triclinic, deformed, 5.0), data.particles["Shear Strain"], rtol=1e-9)


def test_other_atoms_are_refused(fcc):
    with pytest.raises(StructureError, match="other atoms"):
        von_mises_strain(fcc, replace(fcc, ids=fcc.ids + 1))
