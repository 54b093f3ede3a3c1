"""Units on cards."""

import pytest

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.units import METAL, NOT_STATED, UNSTATED, Units


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


def test_units_are_those_that_all_files_state():
    metal = {"length_unit": "angstrom", "energy_unit": "eV"}
    assert Units.of_files([metal, metal]) == METAL
    assert Units.of_files([metal, {}]) == UNSTATED
    assert Units.of_files([metal, {"length_unit": "angstrom"}]) == Units("angstrom", NOT_STATED)
    assert Units.of_files([{}, {}], "sigma") == Units("sigma", NOT_STATED)


def test_files_in_different_units_are_refused():
    said = [{"length_unit": "angstrom"}, {"length_unit": "sigma"}, {}]
    with pytest.raises(TrainingError, match="different length units, angstrom and sigma; learn from files in one unit"):
        Units.of_files(said)
    assert Units.of_files(said, "sigma").length == "sigma"
