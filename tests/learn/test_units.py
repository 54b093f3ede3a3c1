"""Units on cards."""

import pytest

from ovito_glassml.learn.units import METAL, UNSTATED, Units


@pytest.mark.parametrize(
    ("units", "stiffness", "barrier", "energy", "error"),
    [
        (METAL, "eV/Å²", "eV", "eV/atom", "meV/atom"),
        (Units("sigma", "epsilon"), "ε/σ²", "ε", "ε/atom", "10⁻³ ε/atom"),
        (Units("nm", "kJ"), "kJ/nm²", "kJ", "kJ/atom", "10⁻³ kJ/atom"),
        (Units(energy="eV"), "unit not stated", "eV", "eV/atom", "meV/atom"),
        (Units(length="angstrom"), "unit not stated", "(unit not stated)", "unit not stated", "unit not stated"),
        (UNSTATED, "unit not stated", "(unit not stated)", "unit not stated", "unit not stated"),
    ],
)
def test_units_are_combined_where_they_are_known(units, stiffness, barrier, energy, error):
    assert (units.stiffness, units.barrier, units.energy_per_atom) == (stiffness, barrier, energy)
    assert error in units.small_energy
