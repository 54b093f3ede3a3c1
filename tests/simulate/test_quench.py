"""The quench protocol: what it promises about its result and its settings."""

import numpy as np
import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.engine import open_lammps
from ovito_glassml.simulate.potentials import copper_zirconium
from ovito_glassml.simulate.quench import QuenchSettings, parse_composition, quench
from ovito_glassml.simulate.vibrations import create_atoms


def test_the_result_has_the_wanted_composition(small_glass):
    assert small_glass.structure.species_names == ("Cu", "Zr")
    assert np.bincount(small_glass.structure.species).tolist() == [54, 54]


def test_the_result_is_a_minimum_at_zero_pressure(small_glass):
    lammps = open_lammps()
    create_atoms(lammps, small_glass.structure, copper_zirconium())
    lammps.command("thermo_style custom step press pe fnorm")
    lammps.command("run 0 post no")
    assert abs(lammps.get_thermo("press")) < 300  # bar; 0.03 GPa against a bulk modulus of 100 GPa
    assert lammps.get_thermo("fnorm") < 1e-2
    energy = small_glass.columns["Potential_Energy"].sum()
    assert lammps.get_thermo("pe") == pytest.approx(energy, abs=1e-3)
    lammps.close()


def test_the_slow_rate_applies_to_the_glass_transition_only():
    stages = QuenchSettings(cooling_rate=1e12, fast_rate=1e13).stages
    picoseconds = [round(stage.steps * stage.timestep) for stage in stages]
    assert picoseconds == [20, 100, 500, 45]
    assert [stage.start_temperature for stage in stages] == [2000, 2000, 1000, 500]


def test_a_rate_above_the_fast_one_is_used_throughout():
    stages = QuenchSettings(cooling_rate=1e14, fast_rate=1e13).stages
    assert round(stages[1].steps * stages[1].timestep) == 10


@pytest.mark.parametrize(
    ("text", "expected"), [("Cu50Zr50", {"Cu": 0.5, "Zr": 0.5}), ("Zr44Cu56", {"Zr": 0.44, "Cu": 0.56})]
)
def test_compositions_are_read(text, expected):
    assert parse_composition(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "CuZr", "50Cu", "Cu50 Zr50", "Cu50-Zr50"])
def test_an_unreadable_composition_is_refused(text):
    with pytest.raises(SimulationError, match="write it like Cu50Zr50"):
        parse_composition(text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"atoms": 20}, "at least 100"),
        ({"cooling_rate": 0.0}, "not positive"),
        ({"slow_from": 3000.0}, "Temperatures must fall"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SimulationError, match=message):
        QuenchSettings(**settings)


def test_the_cooling_curve_is_recorded_whatever_interrupts_it(tmp_path):
    settings = QuenchSettings("Cu50Zr50", 108, 2e14, 3, fast_rate=2e14, melt_time=1.0, checkpoint_atom_steps=30_000)
    quench(settings, tmp_path / "whole.xyz.gz", lambda fraction, text: None)
    for fraction in (0.3, 0.6, 0.9):
        with pytest.raises(KeyboardInterrupt):
            quench(settings, tmp_path / "stopped.xyz.gz", interrupt_at(fraction))
    quench(settings, tmp_path / "stopped.xyz.gz", lambda fraction, text: None)
    whole, stopped = (tmp_path / f"{name}.curve.csv" for name in ("whole", "stopped"))
    assert whole.read_bytes() == stopped.read_bytes()
    temperature, density, energy = np.loadtxt(whole, delimiter=",").T
    steps = [stage.steps for stage in settings.stages]
    assert len(temperature) == sum(-(-count // 500) for count in steps)
    assert temperature[0] > 1500
    assert temperature[-1] < 150
    assert density[-1] > density[0]  # it contracts
    assert energy[-1] < energy[0]


def interrupt_at(limit):
    def progress(fraction, text):
        if fraction > limit:
            raise KeyboardInterrupt

    return progress
