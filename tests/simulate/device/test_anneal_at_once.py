"""Anneals on a graphics processor, its kernels run on the processor: they are the protocol of `anneal`."""

from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.atoms import create_atoms
from ovito_glassml.simulate.device.anneal_at_once import anneal_at_once
from ovito_glassml.simulate.engine import open_lammps
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.protocols.anneal import AnnealSettings, anneal
from ovito_glassml.simulate.snapshots import made_with, read_frames

ZR44CU56 = load_material("cu-zr", "Zr44Cu56")

SMALL = AnnealSettings(
    atoms=260,
    number_density=0.0576,
    melt_time=0.6,
    quench_time=1.5,
    temperatures=(500.0, 700.0),
    anneal_time=0.6,
    structures=2,
)
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def together(processor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    outputs = [folder / f"{seed}.xyz.gz" for seed in SEEDS]
    reports = []
    anneal_at_once(
        ZR44CU56,
        [replace(SMALL, seed=seed) for seed in SEEDS],
        outputs,
        lambda *report: reports.append(report),
        processor,
    )
    fractions = [fraction for fraction, _ in reports]
    assert fractions == sorted(fractions)
    return outputs


def test_frames_are_those_of_one_anneal_after_the_other(together, tmp_path):
    one = tmp_path / "one.xyz.gz"
    anneal(ZR44CU56, replace(SMALL, seed=1), one, lambda fraction, text: None)
    expected = read_frames(one)
    for seed, file in zip(SEEDS, together, strict=True):
        frames = read_frames(file)
        assert made_with(frames[0].header)["seed"] == seed
        assert len(frames) == len(expected) == 4
        for frame, other in zip(frames, expected, strict=True):
            for entry in ("anneal_temperature", "time", "protocol"):
                assert frame.header[entry] == other.header[entry]
            assert frame.header["engine"] == "many_glasses"
            np.testing.assert_array_equal(np.bincount(frame.structure.species), np.bincount(other.structure.species))
            np.testing.assert_allclose(frame.structure.cell, other.structure.cell, atol=1e-6)
    # Quenched in a picosecond or two, energies of such small glasses scatter by some hundredths of an eV.
    energies = [float(frame.header["energy_per_atom"]) for file in together for frame in read_frames(file)]
    usual = np.mean([float(frame.header["energy_per_atom"]) for frame in expected])
    assert np.mean(energies) == pytest.approx(usual, abs=0.03)
    assert len(set(energies)) == len(energies)


def test_lammps_finds_every_structure_at_rest(together):
    for frame in read_frames(together[0])[::3]:
        lammps = open_lammps()
        create_atoms(lammps, frame.structure, load_material("cu-zr"))
        lammps.command("thermo_style custom step pe fmax")
        lammps.command("run 0 post no")
        assert lammps.get_thermo("fmax") < 5e-3  # positions are written to 10⁻⁵ Å
        energy = lammps.get_thermo("pe") / SMALL.atoms
        assert energy == pytest.approx(float(frame.header["energy_per_atom"]), abs=1e-6)
        lammps.close()


def test_anneals_that_differ_in_more_than_the_seed_are_refused(processor, tmp_path):
    unlike, outputs = [SMALL, replace(SMALL, quench_time=2.0)], [tmp_path / "1.xyz.gz", tmp_path / "2.xyz.gz"]
    with pytest.raises(SimulationError, match="differ in their seeds only"):
        anneal_at_once(ZR44CU56, unlike, outputs, lambda *report: None, processor)
