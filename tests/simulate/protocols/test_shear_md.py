"""Shear by molecular dynamics: strain, volume, and that an interruption leaves no trace."""

import numpy as np
import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.protocols.shear_md import ShearMDSettings, shear_md
from ovito_glassml.simulate.snapshots import read_frames

CU_ZR = load_material("cu-zr")

SMALL = ShearMDSettings(
    temperature=300.0,
    shear_rate=1e11,
    strain=0.2,
    structures=4,
    equilibration=0.6,
    checkpoint_atom_steps=20_000,
)


@pytest.fixture(scope="module")
def sheared(small_glass, tmp_path_factory):
    file = tmp_path_factory.mktemp("shear") / "sheared.xyz.gz"
    shear_md(CU_ZR, small_glass.structure, SMALL, file, lambda fraction, text: None, origin={"made_from": "test"})
    return file


def test_the_strain_is_applied_evenly_at_constant_volume(sheared, small_glass):
    frames = read_frames(sheared)
    strains = [float(frame.header["strain"]) for frame in frames]
    assert strains == pytest.approx([0.0, 0.05, 0.10, 0.15, 0.20], abs=1e-4)
    for frame in frames:
        assert frame.structure.volume == pytest.approx(small_glass.structure.volume, rel=1e-6)
        assert frame.header["made_from"] == "test"


def test_shear_rearranges_and_raises_the_energy(sheared):
    frames = read_frames(sheared)
    energies = [float(frame.header["energy_per_atom"]) for frame in frames]
    assert energies[1] > energies[0]  # the elastic part
    assert np.std(energies) > 1e-4


def test_interrupted_again_and_again_it_ends_in_the_same_file(sheared, small_glass, with_interruptions, tmp_path):
    def simulate(settings, output, progress):
        shear_md(CU_ZR, small_glass.structure, settings, output, progress, origin={"made_from": "test"})

    file = tmp_path / "sheared.xyz.gz"
    assert with_interruptions(simulate, SMALL, file, every=2) > 1
    assert file.read_bytes() == sheared.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["sheared.xyz.gz"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "not positive"),
        ({"strain": 0.6}, "between 0 and 0.45"),
        ({"structures": 0}, "do not fit"),
        ({"shear_rate": 1e15}, "shear more slowly"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SimulationError, match=message):
        ShearMDSettings(**settings).filled_in(CU_ZR)
