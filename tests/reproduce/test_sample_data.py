"""Physics of the shipped glasses: what must hold if the simulations were right."""

import ast

import numpy as np
import pytest

from ovito_glassml.labels.reliability import split_half_reliability
from ovito_glassml.labels.vibrations import stiffness_from_msd
from ovito_glassml.simulate.snapshots import read_frames, read_snapshot
from ovito_glassml.workflow.sample_data import sample_file, stiffness_samples

TEMPERATURES = np.array([50.0, 100.0, 150.0, 200.0, 250.0, 300.0])
BARRIERS = sorted(sample_file("barriers/barriers-cu50zr50-2.xyz.gz").parent.glob("barriers-*.xyz.gz"))
THERMAL = sorted(sample_file("activity/thermal-wahnstrom-1.xyz.gz").parent.glob("thermal-*.xyz.gz"))
FILES = [file for group in stiffness_samples() for file in group]


@pytest.fixture(scope="module")
def samples():
    return {file.name.split(".")[0]: read_snapshot(file) for file in FILES}


@pytest.fixture(scope="module", params=[file.name.split(".")[0] for file in FILES])
def sample(request, samples):
    return samples[request.param]


def test_labels_follow_their_definition(sample):
    expected = stiffness_from_msd(sample.columns["Vibrational_MSD"], TEMPERATURES).mean(axis=1)
    np.testing.assert_allclose(sample.columns["Stiffness"], expected, rtol=1e-4)


def test_a_file_says_how_it_was_made(sample):
    settings = ast.literal_eval(sample.header["settings"])
    assert tuple(settings["temperatures"]) == tuple(TEMPERATURES)
    assert settings["window"] == 100.0
    assert ast.literal_eval(sample.header["input_settings"])["composition"] == "Cu50Zr50"


def test_the_glass_has_its_composition_and_density(sample):
    assert np.bincount(sample.structure.species)[0] == len(sample.structure) // 2
    # 7.2 g/cm³ measured for Cu50Zr50 (Wang et al. 2004) is 0.056 atoms per Å³.
    assert sample.structure.number_density == pytest.approx(0.056, rel=0.02)


def test_anharmonicity_softens_the_glass_with_temperature(sample):
    means = stiffness_from_msd(sample.columns["Vibrational_MSD"], TEMPERATURES).mean(axis=0)
    # A collective rearrangement at one temperature can outweigh the trend between neighbouring ones, in the sample of
    # half the size more so.
    assert np.corrcoef(TEMPERATURES, means)[0, 1] < (-0.95 if len(sample.structure) == 4000 else -0.9)
    assert 0.7 < means[-1] / means[0] < 0.9


def test_hops_become_more_frequent_with_temperature(sample):
    hopping = (sample.columns["Hops"] > 0).mean(axis=0)
    assert hopping[0] < 0.005
    assert hopping[-1] > hopping[1]
    assert hopping[-1] < 0.1


def test_correcting_for_hops_only_removes_amplitude(sample):
    excess = sample.columns["Vibrational_MSD"] - sample.columns["Hop_Corrected_MSD"]
    hopped = sample.columns["Hops"] > 0
    assert (excess[hopped & np.isfinite(excess)] > 0).mean() > 0.95
    assert not excess[~hopped].any()


def test_slower_cooling_makes_stiffer_glasses(samples):
    mean = {
        rate: np.mean([snapshot.columns["Stiffness"].mean() for name, snapshot in samples.items() if rate in name])
        for rate in ("1e11", "1e12", "1e13")
    }
    assert mean["1e11"] > mean["1e12"] > mean["1e13"]


def test_the_glass_transition_is_where_volume_and_energy_change_their_slopes():
    """Both at some 790 K. Cooled a trillion times slower, Cu50Zr50 becomes a glass at 670 K."""
    file = sample_file("stiffness/quench-cu50zr50-1e13-3.curve.csv")
    temperature, density, energy = np.loadtxt(file, delimiter=",").T
    liquid, glass = ((temperature > low) & (temperature < high) for low, high in ((850, 1300), (100, 500)))
    for quantity in (1 / density, energy):
        (of_liquid, above), (of_glass, below) = (np.polyfit(temperature[at], quantity[at], 1) for at in (liquid, glass))
        assert of_liquid > 1.5 * of_glass > 0
        assert 670 < (below - above) / (of_liquid - of_glass) < 900


@pytest.mark.parametrize("file", BARRIERS, ids=lambda file: file.name.split(".")[0])
def test_activation_energies_are_means_of_enough_barriers(file):
    snapshot = read_snapshot(file)
    barriers, label = snapshot.columns["Barriers"], snapshot.columns["Activation_Energy"]
    counts = np.isfinite(barriers).sum(axis=1)
    np.testing.assert_array_equal(counts, snapshot.columns["Activation_Energy_Count"])
    np.testing.assert_allclose(label[counts > 0], np.nanmean(barriers[counts > 0], axis=1), rtol=1e-3)
    assert np.nanmin(barriers) > 0
    assert np.median(counts[counts > 0]) >= 15
    assert (counts > 0).sum() >= 250
    assert 0.75 < split_half_reliability(barriers) < 0.95
    composition = ast.literal_eval(snapshot.header["input_settings"])["composition"]
    assert file.name.split("-")[1] == composition.lower()


@pytest.mark.parametrize(("system", "published"), [("wahnstrom", True), ("polymer", False)])
def test_nonaffine_displacements_are_the_propensities_known_from_isoconfigurational_ensembles(system, published):
    """Over all atoms, mean of ten liquids; beads of a polymer drag their chain along, which D²min takes away."""
    correlations = []
    for file in (file for file in THERMAL if system in file.name):
        columns = read_frames(file)[0].columns
        moved = columns["Replica_Nonaffine_Squared_Displacement"].mean(axis=1)
        correlations.append(np.corrcoef(moved, columns["Propensity"])[0, 1])
    assert len(correlations) == 10
    assert min(correlations) > 0.9
    assert (0.95 if published else 0.92) < np.mean(correlations) < 0.97
