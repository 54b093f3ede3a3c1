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


def test_other_atoms_are_refused(fcc):
    with pytest.raises(StructureError, match="other atoms"):
        von_mises_strain(fcc, replace(fcc, ids=fcc.ids + 1))
