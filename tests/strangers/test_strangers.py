"""Every modifier on files that nobody here has made: a result that adds up, or one sentence."""

import os

import numpy as np
import pytest
from strangers.strangers import STRANGERS, attributes, outcome, tried_on

from ovito_glassml.adapter.files import open_trajectory

FOLDER = os.environ.get("GLASSML_STRANGERS", "")

pytestmark = pytest.mark.skipif(not FOLDER, reason="GLASSML_STRANGERS names no folder; tests/strangers/README.md")

every_stranger = pytest.mark.parametrize("stranger", STRANGERS, ids=lambda one: f"{one}{' named' * bool(one.options)}")


def placed(stranger):
    file = stranger.place(FOLDER)
    if not file.is_file():
        pytest.skip(f"{file} is not there")
    return file


@pytest.mark.slow
@every_stranger
def test_every_modifier_ends_in_a_result_or_in_one_sentence(stranger, tmp_path):
    file = placed(stranger)
    for tried in tried_on(file):
        found = outcome(file, tried, stranger.options, tmp_path)
        assert found.noise == [], tried
        if found.status:
            assert found.status == 2, tried
            assert len(found.refusals) == 1, tried
            assert found.refusals[0].isprintable()
            assert list(tmp_path.iterdir()) == [], tried
        else:
            assert found.refusals == [], tried
            assert_adds_up(found, tried)


def assert_adds_up(found, tried):
    """Atoms without value are counted, no value is infinite, and predictions say of which atoms they know nothing."""
    numbers, data = attributes(found.said), open_trajectory(found.output).compute(0)
    names = [name for name in data.particles if name.startswith(MAIN[tried.split(":")[0]])]
    assert names, tried
    for name in names:
        values = np.asarray(data.particles[name], dtype=float)
        assert not np.isinf(values).any(), (tried, name)
    if "extrapolating_fraction" in numbers:
        extrapolation = next(np.asarray(data.particles[name]) for name in data.particles if "Extrapolation" in name)
        known = np.isfinite(extrapolation)
        marked = (extrapolation[known] > 1).mean() if known.any() else 0.0
        assert marked == pytest.approx(numbers["extrapolating_fraction"], abs=0.05), tried
        assert marked < 0.1 or "unlike the training data" in found.said, tried


#: What the main outputs begin with in an XYZ file, by short name.
MAIN = {
    "stiffness": "PredictedStiffness",
    "activity": ("ActivityProbability", "PredictedPropensity"),
    "scnn": "PrototypeSimilarity",
    "ule": "ULESimilarity",
    "lasca": "LaSCCoordination",
    "rdf": "RDFDescriptors",
    "bessel": "BesselDescriptors",
    "soap": "SOAPDescriptors",
    "ace": "ACEDescriptors",
    "nonaffine": "NonaffineSquaredDisplacement",
    "vibrations": "VibrationalMSD",
    "harmonic": "HarmonicStiffness",
}

#: Files that ASE reads by itself, another program with another search for neighbours.
READ_BY_ASE = (".xyz", ".cif", ".gro.gz", "POSCAR-unitcell", "POSCAR-00", "XDATCAR-NaCl", "tip3p.pdb")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "stranger", [one for one in STRANGERS if one.path.endswith(READ_BY_ASE) and not one.options], ids=str
)
def test_ase_counts_the_same_neighbours(stranger, tmp_path):
    """The integral of g(r) over all shells from 2 to 10 Å is the number of neighbours there."""
    ase_io, neighborlist = pytest.importorskip("ase.io"), pytest.importorskip("ase.neighborlist")
    file = placed(stranger)
    found = outcome(file, "rdf", (), tmp_path)
    if found.status:
        assert "number_density" in found.refusals[0]
        return
    atoms = ase_io.read(file, index=0)
    data = open_trajectory(found.output).compute(0)
    assert len(atoms) == data.particles.count
    r = 2.1 + 0.2 * np.arange(40)
    shells = 4 * np.pi * r**2 * 0.2 * attributes(found.said)["number_density"]
    ours = (np.asarray(data.particles["RDFDescriptors"]) @ shells).sum()
    distances = neighborlist.neighbor_list("d", atoms, 10.0)
    theirs = (distances >= 2.0).sum()
    assert ours == pytest.approx(theirs, rel=0.005)
