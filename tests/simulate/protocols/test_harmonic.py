"""The harmonic limit of a glass: what is written, what is refused, and that a simulation at low temperature agrees."""

import numpy as np
import pytest
from typer.testing import CliRunner

from ovito_glassml.cli import app
from ovito_glassml.errors import SimulationError
from ovito_glassml.labels.harmonic import first_shells, harmonic_motion, rigid_motions
from ovito_glassml.labels.vibrations import VibrationAccumulator
from ovito_glassml.simulate.atoms import create_atoms, fill
from ovito_glassml.simulate.campaign import Job, run_job
from ovito_glassml.simulate.engine import open_lammps, unwrapped_positions
from ovito_glassml.simulate.forces import LammpsForces
from ovito_glassml.simulate.harmonic import harmonic_limit, material_for, minimised
from ovito_glassml.simulate.hessian import hessian_by_differences
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.minima import configuration_of
from ovito_glassml.simulate.protocols.harmonic import HarmonicSettings, harmonic
from ovito_glassml.simulate.snapshots import read_snapshot, write_snapshot
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.topology.length_scale import first_minimum

CU_ZR = load_material("cu-zr")


def silent(fraction, text):
    pass


@pytest.fixture(scope="module")
def glass(glass_box):
    return minimised(glass_box, CU_ZR)


def test_the_label_is_in_the_file(glass_box, glass, tmp_path):
    file = tmp_path / "labels.xyz.gz"
    harmonic(CU_ZR, glass_box, HarmonicSettings(minimise=True), file, silent, origin={"made_from": "test"})
    snapshot, expected = read_snapshot(file), harmonic_limit(glass, CU_ZR).motion
    np.testing.assert_allclose(snapshot.structure.positions, glass.positions, atol=1e-4)
    np.testing.assert_allclose(snapshot.columns["Harmonic_Stiffness"], expected.stiffness, rtol=1e-3)
    np.testing.assert_allclose(snapshot.columns["Cage_Stiffness"], expected.cage_stiffness, rtol=1e-3)
    assert snapshot.columns["Soft_Mode_Share"].mean() == pytest.approx(1.0, abs=1e-3)
    header = snapshot.header
    assert (header["protocol"], header["made_from"]) == ("harmonic", "test")
    assert float(header["harmonic_stiffness"]) == pytest.approx(expected.stiffness.mean(), rel=1e-4)
    assert 3.5 < float(header["first_shell"]) < 4.0
    assert float(header["largest_force"]) < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["labels.xyz.gz"]


def test_what_is_not_at_rest_is_refused(glass_box, tmp_path):
    with pytest.raises(SimulationError, match=r"not at rest, the largest force is \d.* not below 0.001; minimise"):
        harmonic(CU_ZR, glass_box, HarmonicSettings(), tmp_path / "labels.xyz.gz", silent)


def test_too_many_atoms_are_refused():
    many = Structure(np.random.default_rng(1).uniform(0, 50, (10001, 3)), species_names=("Cu",))
    with pytest.raises(SimulationError, match="10001 atoms takes too much memory and time; give at most 10000"):
        harmonic_limit(many, CU_ZR)


def test_too_little_memory_is_said(glass, monkeypatch):
    def exhausted(*arguments):
        raise MemoryError

    monkeypatch.setattr("ovito_glassml.simulate.harmonic.embedded_atom_hessian", exhausted)
    with pytest.raises(SimulationError, match=rf"{len(glass)} atoms takes .* GB of memory, .* give fewer atoms"):
        harmonic_limit(glass, CU_ZR)


def test_a_gas_and_a_pair_are_refused():
    pair = Structure([[0.0, 0, 0], [2.5, 0, 0]], species_names=("Cu",))
    gas = Structure(np.random.default_rng(1).uniform(0, 100, (40, 3)), species_names=("Cu",))
    for structure in (pair, gas):
        with pytest.raises(StructureError, match="no first shell"):
            harmonic_limit(structure, CU_ZR)


def test_a_potential_file_is_a_material(glass):
    file = str(CU_ZR.potential_paths()["CuZr_mm.eam.fs"])
    found = harmonic_limit(glass, material_for(file, glass)).motion
    np.testing.assert_array_equal(found.stiffness, harmonic_limit(glass, CU_ZR).motion.stiffness)
    with pytest.raises(SimulationError, match=r"no potential file nowhere/x\.eam\.fs; give the path"):
        material_for("nowhere/x.eam.fs", glass)


def test_by_differences_the_same_comes_out(glass):
    """For a force field without a Hessian of its own; here of the same forces."""
    with LammpsForces(glass, CU_ZR) as forces:
        hessian = hessian_by_differences(forces, glass.positions, 0.005)
    found = harmonic_motion(hessian, first_shells(glass, first_minimum(glass)), rigid_motions(glass))
    expected = harmonic_limit(glass, CU_ZR).motion
    np.testing.assert_allclose(found.stiffness, expected.stiffness, rtol=0.01)
    np.testing.assert_allclose(found.cage_stiffness, expected.cage_stiffness, rtol=0.01)


@pytest.fixture(scope="module")
def mixture():
    """A small Kob-Andersen glass at rest, quenched in a moment."""
    matter, lammps = load_material("kob-andersen"), open_lammps()
    try:
        fill(lammps, matter, 150, 3)
        lammps.command("velocity all create 1.0 5 mom yes rot no dist gaussian")
        lammps.command("timestep 0.004")
        lammps.command("fix integrate all nvt temp 1.0 0.05 0.4")
        lammps.command("run 15000 post no")
        found = configuration_of(lammps).structure(matter.species)
    finally:
        lammps.close()
    return matter, minimised(found, matter)


def test_a_simulation_at_low_temperature_agrees(mixture):
    """At the share of the glass temperature that 5 K is in Cu-Zr, where hardly anything is not harmonic."""
    matter, structure = mixture
    temperature, steps, every = matter.glass_temperature * 5 / 700, 80_000, 20
    lammps = open_lammps()
    try:
        create_atoms(lammps, structure, matter)
        lammps.command(f"velocity all create {2 * temperature} 7 mom yes rot no dist gaussian")
        lammps.command("timestep 0.005")
        lammps.command(f"fix heat all langevin {temperature} {temperature} 0.5 8 zero yes")
        lammps.command("fix integrate all nve")
        lammps.command("run 5000 post no")
        seen = VibrationAccumulator(unwrapped_positions(lammps), steps // every)
        for _ in range(steps // every):
            lammps.command(f"run {every} pre no post no")
            seen.add(unwrapped_positions(lammps))
    finally:
        lammps.close()
    measured = temperature / seen.result().msd
    found = harmonic_limit(structure, matter).motion.stiffness
    assert np.corrcoef(measured, found)[0, 1] > 0.93
    assert measured.mean() == pytest.approx(found.mean(), rel=0.04)


def test_it_is_a_job_of_a_campaign(glass, tmp_path):
    write_snapshot(tmp_path / "glass.xyz.gz", glass, {}, {"protocol": "quench", "settings": "{}"})
    run_job(Job("labels", "harmonic", {}, "glass"), tmp_path)
    assert read_snapshot(tmp_path / "labels.xyz.gz").header["input_protocol"] == "quench"


def test_the_command_writes_the_label(glass, tmp_path):
    source, file = tmp_path / "glass.xyz.gz", tmp_path / "labels.xyz.gz"
    write_snapshot(source, glass, {}, {})
    command = ["simulate", "harmonic", str(source), "--material", "cu-zr", "-o", str(file)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "Cage_Stiffness" in read_snapshot(file).columns
