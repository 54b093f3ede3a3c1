"""The quench protocol: what it promises about its result and its settings."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.atoms import create_atoms
from ovito_glassml.simulate.crystals import crystalline_shares
from ovito_glassml.simulate.engine import gather, open_lammps
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.protocols.quench import QuenchSettings, quench
from ovito_glassml.simulate.snapshots import read_frames, read_snapshot
from ovito_glassml.topology.short_range_order import warren_cowley

CU_ZR = load_material("cu-zr")


def test_the_result_has_the_wanted_composition(small_glass):
    assert small_glass.structure.species_names == ("Cu", "Zr")
    assert np.bincount(small_glass.structure.species).tolist() == [54, 54]


def test_the_result_is_a_minimum_at_zero_pressure(small_glass):
    lammps = open_lammps()
    create_atoms(lammps, small_glass.structure, load_material("cu-zr"))
    lammps.command("thermo_style custom step press pe fnorm")
    lammps.command("run 0 post no")
    assert abs(lammps.get_thermo("press")) < 300  # bar; 0.03 GPa against a bulk modulus of 100 GPa
    assert lammps.get_thermo("fnorm") < 1e-2
    energy = small_glass.columns["Potential_Energy"].sum()
    assert lammps.get_thermo("pe") == pytest.approx(energy, abs=1e-3)
    lammps.close()


def test_the_snapshot_says_how_ordered_and_how_well_minimised_it_is(small_glass):
    header, structure = small_glass.header, small_glass.structure
    assert float(header["largest_force"]) < 1e-4
    assert float(header["crystalline_share"]) == pytest.approx(crystalline_shares(structure)["total"], abs=1e-4)
    for entry in ("warren_cowley", "melt_warren_cowley"):
        told = dict(pair.split(":") for pair in header[entry].split())
        assert list(told) == ["Cu-Cu", "Cu-Zr", "Zr-Zr"]
        assert all(abs(float(value)) < 0.3 for value in told.values())
    assert float(told["Cu-Zr"]) < 0  # unlike atoms attract each other, in the melt as well
    orders = warren_cowley(structure)
    assert header["warren_cowley"].split()[1] == f"Cu-Zr:{orders[0, 1]:.3f}"
    assert header["warren_cowley"] != header["melt_warren_cowley"]


def test_the_slow_rate_applies_to_the_glass_transition_only():
    stages = QuenchSettings(cooling_rate=1e12, fast_rate=1e13).filled_in(CU_ZR).stages(CU_ZR)
    picoseconds = [round(stage.steps * stage.timestep) for stage in stages]
    assert picoseconds == [20, 100, 500, 45]
    assert [stage.start_temperature for stage in stages] == [2000, 2000, 1000, 500]


def test_a_rate_above_the_fast_one_is_used_throughout():
    stages = QuenchSettings(cooling_rate=1e14, fast_rate=1e13).filled_in(CU_ZR).stages(CU_ZR)
    assert round(stages[1].steps * stages[1].timestep) == 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"atoms": 20}, "at least 100"),
        ({"cooling_rate": 0.0}, "not positive"),
        ({"slow_from": 3000.0}, "Temperatures must fall"),
        ({"structures_every": -50.0}, "Inherent structures every -50 K"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SimulationError, match=message):
        QuenchSettings(**settings).filled_in(CU_ZR)


def test_the_cooling_curve_is_recorded_whatever_interrupts_it(tmp_path):
    settings = QuenchSettings(108, 2e14, 3, fast_rate=2e14, melt_time=1.0, checkpoint_atom_steps=30_000)
    quench(CU_ZR, settings, tmp_path / "whole.xyz.gz", lambda fraction, text: None)
    for fraction in (0.3, 0.6, 0.9):
        with pytest.raises(KeyboardInterrupt):
            quench(CU_ZR, settings, tmp_path / "stopped.xyz.gz", interrupt_at(fraction))
    quench(CU_ZR, settings, tmp_path / "stopped.xyz.gz", lambda fraction, text: None)
    whole, stopped = (tmp_path / f"{name}.curve.csv" for name in ("whole", "stopped"))
    assert whole.read_bytes() == stopped.read_bytes()
    temperature, density, energy = np.loadtxt(whole, delimiter=",").T
    steps = [stage.steps for stage in settings.filled_in(CU_ZR).stages(CU_ZR)]
    assert len(temperature) == sum(-(-count // 500) for count in steps)
    assert temperature[0] > 1500
    assert temperature[-1] < 150
    assert density[-1] > density[0]  # it contracts
    assert energy[-1] < energy[0]


def test_structures_along_the_way_are_minima_in_the_held_and_in_the_relaxed_cell(tmp_path):
    settings = QuenchSettings(
        108, 2e14, 3, fast_rate=2e14, melt_time=0.3, final_temperature=300.0, structures_every=400.0
    )
    with pytest.raises(KeyboardInterrupt):
        quench(CU_ZR, settings, tmp_path / "glass.xyz.gz", interrupt_at(0.6))
    quench(CU_ZR, settings, tmp_path / "glass.xyz.gz", lambda fraction, text: None)
    frames = read_frames(tmp_path / "glass.structures.xyz.gz")
    seen = [(float(frame.header["temperature"]), frame.header["cell"]) for frame in frames]
    temperatures = (2000, 1600, 1200, 1000, 800, 500, 400, 300)  # the windows of the quench end at 1000 and 500 K
    assert seen == [(temperature, cell) for temperature in temperatures for cell in ("held", "relaxed")]
    for frame in frames:
        lammps = open_lammps()
        create_atoms(lammps, frame.structure, load_material("cu-zr"))
        lammps.command("run 0 post no")
        assert np.abs(gather(lammps, "f")).max() < 1e-3  # positions are written with 1e-5 Å
        assert lammps.get_thermo("pe") / 108 == pytest.approx(float(frame.header["energy_per_atom"]), abs=1e-6)
        if frame.header["cell"] == "relaxed":
            assert abs(lammps.get_thermo("press")) < 300  # bar
        lammps.close()
    assert len(read_snapshot(tmp_path / "glass.xyz.gz").structure) == 108


def test_a_quench_begun_before_there_were_structures_along_the_way_goes_on(tmp_path):
    settings = QuenchSettings(108, 2e14, 3, fast_rate=2e14, melt_time=0.3)
    with pytest.raises(KeyboardInterrupt):
        quench(CU_ZR, settings, tmp_path / "glass.xyz.gz", interrupt_at(0.5))
    record = tmp_path / ".glass.xyz.gz.settings.json"
    known = json.loads(record.read_text())
    del known["structures_every"]
    record.write_text(json.dumps(known))
    with pytest.raises(SimulationError, match="structures_every"):
        quench(CU_ZR, replace(settings, structures_every=100.0), tmp_path / "glass.xyz.gz", lambda fraction, text: None)
    quench(CU_ZR, settings, tmp_path / "glass.xyz.gz", lambda fraction, text: None)


def interrupt_at(limit):
    def progress(fraction, text):
        if fraction > limit:
            raise KeyboardInterrupt

    return progress
