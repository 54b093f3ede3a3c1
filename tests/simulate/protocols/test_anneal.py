"""The anneal protocol: its structures, their energies, and that an interruption leaves no trace."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.atoms import create_atoms
from ovito_glassml.simulate.engine import open_lammps
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.protocols.anneal import AnnealSettings, anneal
from ovito_glassml.simulate.snapshots import read_frames

ZR44CU56 = load_material("cu-zr", "Zr44Cu56")

SMALL = AnnealSettings(
    atoms=108,
    number_density=0.0576,
    melt_time=0.3,
    quench_time=1.5,
    temperatures=(500.0, 700.0),
    anneal_time=1.2,
    structures=3,
    checkpoint_atom_steps=20_000,
)


@pytest.fixture(scope="module")
def annealed(tmp_path_factory):
    file = tmp_path_factory.mktemp("anneal") / "annealed.xyz.gz"
    anneal(ZR44CU56, SMALL, file, lambda fraction, text: None)
    return file


def test_frames_follow_the_anneals(annealed):
    frames = read_frames(annealed)
    assert [frame.header["anneal_temperature"] for frame in frames] == ["500"] * 3 + ["700"] * 3
    assert [float(frame.header["time"]) for frame in frames] == pytest.approx([0.399, 0.798, 1.197] * 2)
    for frame in frames:
        assert frame.structure.number_density == pytest.approx(0.0576, rel=1e-6)
        assert np.bincount(frame.structure.species).tolist() == [60, 48]
        assert float(frame.header["energy_per_atom"]) == pytest.approx(
            frame.columns["Potential_Energy"].mean(), abs=1e-5
        )


def test_every_structure_is_a_minimum_with_the_energy_it_says(annealed):
    for frame in read_frames(annealed)[::2]:
        lammps = open_lammps()
        create_atoms(lammps, frame.structure, load_material("cu-zr"))
        lammps.command("thermo_style custom step pe fmax")
        lammps.command("run 0 post no")
        assert lammps.get_thermo("fmax") < 5e-3  # positions are written to 10⁻⁵ Å
        assert lammps.get_thermo("pe") / 108 == pytest.approx(float(frame.header["energy_per_atom"]), abs=1e-6)
        lammps.close()


def test_structures_along_an_anneal_differ(annealed):
    energies = [float(frame.header["energy_per_atom"]) for frame in read_frames(annealed)]
    assert len(set(energies)) > 3
    assert max(energies) < -4.4


def test_interrupted_again_and_again_it_ends_in_the_same_file(annealed, with_interruptions, tmp_path):
    file = tmp_path / "annealed.xyz.gz"
    assert with_interruptions(partial(anneal, ZR44CU56), SMALL, file, every=2) > 3
    assert file.read_bytes() == annealed.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["annealed.xyz.gz"]


def test_another_seed_gives_another_glass(annealed, tmp_path):
    file = tmp_path / "other.xyz.gz"
    anneal(ZR44CU56, replace(SMALL, seed=2, structures=1, temperatures=(500.0,)), file, lambda fraction, text: None)
    assert read_frames(file)[0].header["energy_per_atom"] != read_frames(annealed)[0].header["energy_per_atom"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"atoms": 10}, "at least 100"),
        ({"temperatures": (500.0, -1.0)}, "must be positive"),
        ({"structures": 0}, "do not fit"),
        ({"anneal_time": 0.01}, "do not fit"),
        ({"number_density": 8.5}, "is no glass of cu-zr"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SimulationError, match=message):
        AnnealSettings(**settings).filled_in(load_material("cu-zr"))


def test_the_density_of_another_composition_must_be_said(tmp_path):
    settings = replace(SMALL, number_density=float("nan"))
    with pytest.raises(SimulationError, match=r"density of Cu56Zr44 is not known.*give number_density"):
        anneal(ZR44CU56, settings, tmp_path / "x.xyz.gz", lambda fraction, text: None)
