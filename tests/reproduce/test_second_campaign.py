"""Physics of the glasses of the second campaign: density, neighbours and mixing by composition."""

import numpy as np
import pytest

from ovito_glassml.simulate.crystals import crystalline_shares
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.topology.length_scale import first_peak
from ovito_glassml.topology.short_range_order import by_pair, warren_cowley
from ovito_glassml.workflow.sample_data import sample_file

FOLDER = sample_file("second/quench-cu64zr36-1e13-1.xyz.gz").parent
GLASSES = sorted(FOLDER.glob("quench-cu*.xyz.gz"))
LABELS = sorted(FOLDER.glob("harmonic-cu*.xyz.gz"))

#: Å³ an atom, of the crystals at room temperature.
CRYSTAL_VOLUMES = {"Cu": 11.81, "Zr": 23.28}

#: Å: around the distances measured by diffraction and EXAFS; N. Mattern et al., J. Alloys Compd. 485, 163 (2009).
PEAKS = {("Cu", "Cu"): (2.48, 2.68), ("Cu", "Zr"): (2.70, 2.90), ("Zr", "Zr"): (3.05, 3.25)}


@pytest.fixture(scope="module", params=GLASSES, ids=lambda file: file.name.split(".")[0])
def glass(request):
    return read_snapshot(request.param).structure


def copper(structure):
    return float(np.mean(structure.species == structure.species_names.index("Cu")))


def partial_peak(structure, first, second):
    """Where the shells of these species are densest, by all pairs in a rectangular cell."""
    a, b = (structure.positions[structure.species == structure.species_names.index(name)] for name in (first, second))
    lengths = np.diag(structure.cell)
    between = a[:, None] - b[None]
    between -= lengths * np.round(between / lengths)
    counts, edges = np.histogram(np.linalg.norm(between, axis=-1), np.arange(2.0, 4.5, 0.05))
    middle = (edges[1:] + edges[:-1]) / 2
    return middle[np.argmax(np.convolve(counts / middle**2, [0.25, 0.5, 0.25], "same"))]


def test_a_glass_is_a_little_less_dense_than_its_crystals(glass):
    share = copper(glass)
    crystals = share * CRYSTAL_VOLUMES["Cu"] + (1 - share) * CRYSTAL_VOLUMES["Zr"]
    assert 1.0 < 1 / glass.number_density / crystals < 1.03


@pytest.mark.parametrize("pair", PEAKS, ids="-".join)
def test_neighbours_of_each_pair_lie_where_they_are_measured(glass, pair):
    low, high = PEAKS[pair]
    assert low < partial_peak(glass, *pair) < high


def test_copper_and_zirconium_prefer_each_other(glass):
    assert by_pair(glass.species_names, warren_cowley(glass))["Cu-Zr"] < -0.05


def test_nothing_has_crystallised(glass):
    assert crystalline_shares(glass)["total"] < 0.01


def test_with_copper_glasses_become_denser_and_their_neighbours_closer():
    glasses = sorted((read_snapshot(file).structure for file in GLASSES), key=copper)
    shares = np.array([copper(glass) for glass in glasses])
    for quantity, sign in ((lambda glass: glass.number_density, 1), (first_peak, -1)):
        values = np.array([quantity(glass) for glass in glasses])
        means = [values[np.isclose(shares, share)].mean() for share in np.unique(shares)]
        assert len(means) >= 3
        assert (sign * np.diff(means) > 0).all()


def test_copper_rich_glasses_are_stiffer_and_glasses_made_alike_alike():
    means = {}
    for file in LABELS:
        snapshot = read_snapshot(file)
        cage = snapshot.columns["Cage_Stiffness"]
        assert (cage > 0).all()
        means.setdefault(round(copper(snapshot.structure), 2), []).append(cage.mean())
    assert len(means) >= 3
    by_share = [np.array(means[share]) for share in sorted(means)]
    assert (np.diff([values.mean() for values in by_share]) > 0).all()
    assert all(np.ptp(values) < 0.05 * values.mean() for values in by_share)
