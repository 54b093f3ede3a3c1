"""Quasi-static shear: mechanics, events, labels, and that an interruption leaves no trace."""

from functools import partial

import numpy as np
import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.protocols.shear_aqs import ShearAQSSettings, label_events, shear_aqs
from ovito_glassml.simulate.snapshots import read_frames

KOB_ANDERSEN = load_material("kob-andersen")
SMALL = ShearAQSSettings(
    atoms=200,
    seed=2,
    melt_time=5.0,
    quench_time=10.0,
    discarded_strain=0.01,
    discarded_step=2e-3,
    strain=0.06,
    step=1e-3,
    search_step=4e-3,
    block=0.02,
    avalanche_share=0.5,
    steps_per_checkpoint=3,
    checkpoint_atom_steps=100_000,
)


@pytest.fixture(scope="module")
def sheared(tmp_path_factory):
    file = tmp_path_factory.mktemp("shear") / "events.xyz.gz"
    shear_aqs(KOB_ANDERSEN, SMALL, file, lambda fraction, text: None)
    return file


@pytest.fixture(scope="module")
def curve(sheared):
    return np.loadtxt(sheared.with_name("events.curve.csv"), delimiter=",").T


def test_the_glass_is_elastic_before_it_yields(curve):
    strain, stress, _ = curve
    modulus = (stress[1] - stress[0]) / (strain[1] - strain[0])
    assert 5 < modulus < 40  # ε/σ³; Kob-Andersen glasses have about 15 to 20


def test_energy_grows_by_the_work_done_unless_an_event_releases_it(curve, sheared):
    strain, stress, energy = curve
    volume_per_atom = 1 / 1.2
    work = volume_per_atom * (stress[1:] + stress[:-1]) / 2 * np.diff(strain)
    released = work - np.diff(energy)
    quiet = np.abs(released) < 1e-5 + 1e-3 * np.abs(work)
    assert quiet.mean() > 0.5
    assert (released[~quiet] > 0).all()


def test_every_event_releases_energy_and_moves_atoms(sheared):
    frames = read_frames(sheared)
    assert len(frames) >= 2
    for frame in frames:
        assert float(frame.header["energy_released"]) > 0
        active = frame.columns["Activity"] == 1
        assert active.any() == (frame.header["avalanche"] == "0")
        assert (frame.columns["Nonaffine_Squared_Displacement"][active] > 0.6).all()
        assert (frame.structure.species[active] == 0).all()
        quiet = frame.columns["Activity"] == 0
        assert (frame.columns["Largest_Nonaffine_Squared_Displacement"][quiet] < 0.6).all()


def test_the_cell_is_sheared_at_constant_volume(sheared):
    for frame in read_frames(sheared):
        cell = frame.structure.cell
        assert cell[1, 0] / cell[1, 1] == pytest.approx(float(frame.header["strain"]), abs=1e-6)
        assert frame.structure.number_density == pytest.approx(1.2, rel=1e-5)


def test_events_are_resolved_in_fine_steps(curve, sheared):
    strain = curve[0]
    increments = np.diff(strain)
    assert set(np.round(increments, 6)) == {1e-3, 2e-3, 4e-3}
    for frame in read_frames(sheared):
        before = np.abs(strain - float(frame.header["strain"])).argmin()
        assert increments[before] == pytest.approx(1e-3, rel=1e-3)


def test_ovito_reads_the_events(sheared):
    from ovito_glassml.adapter.files import open_trajectory

    pipeline = open_trajectory(str(sheared))
    frames = read_frames(sheared)
    assert pipeline.num_frames == len(frames)
    data = pipeline.compute(len(frames) - 1)
    np.testing.assert_array_equal(data.particles["Activity"], frames[-1].columns["Activity"])
    np.testing.assert_allclose(data.cell[:, :3].T, frames[-1].structure.cell, atol=1e-6)


def test_interrupted_again_and_again_it_ends_in_the_same_file(sheared, with_interruptions, tmp_path):
    file = tmp_path / "events.xyz.gz"
    assert with_interruptions(partial(shear_aqs, KOB_ANDERSEN), SMALL, file, every=3) > 4
    assert file.read_bytes() == sheared.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["events.curve.csv", "events.xyz.gz"]


def test_labels_are_balanced_and_leave_out_avalanches_and_other_species():
    rng = np.random.default_rng(0)
    moved = rng.uniform(0, 0.1, (4, 100))
    moved[0, :5] = 1.0
    moved[1, 10:60] = 1.0  # spans the sample
    moved[2, 5:8] = 1.0
    moved[2, 95] = 1.0  # of another species
    moved[3, 70] = 1.0  # in another block
    eligible = np.arange(100) < 90
    largest = np.stack([moved[:3].max(axis=0), moved[3]])
    activity = label_events(moved, np.array([0, 0, 0, 1]), largest, eligible, 0.6, 0.1, seed=1)
    active = [np.flatnonzero(row == 1).tolist() for row in activity]
    assert active == [[0, 1, 2, 3, 4], [], [5, 6, 7], [70]]
    assert (activity == 0).sum(axis=1).tolist() == [5, 0, 3, 1]
    quiet = np.flatnonzero((activity[:3] == 0).any(axis=0))
    assert len(quiet) == 8
    assert largest[0, quiet].max() == np.sort(largest[0, eligible & (largest[0] < 0.6)])[7]
    assert largest[1, activity[3] == 0] == largest[1, eligible].min()


def test_without_an_event_the_last_state_comes_without_labels(tmp_path):
    from dataclasses import replace

    file = tmp_path / "nothing.xyz.gz"
    settings = replace(SMALL, discarded_strain=0.0, strain=4e-3, block=4e-3, threshold=1e6)
    shear_aqs(KOB_ANDERSEN, settings, file, lambda fraction, text: None)
    (frame,) = read_frames(file)
    assert frame.header["event"] == "-1"
    assert set(frame.columns["Activity"]) == {-1}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"atoms": 20}, "at least 100"),
        ({"strain": 1e-5}, "Strains must be positive and grow"),
        ({"step": 1e-2}, "Strains must be positive and grow"),
        ({"discarded_strain": 0.6}, "between 0 and 0.5"),
        ({"avalanche_share": 0.0}, "not between 0 and 1"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SimulationError, match=message):
        ShearAQSSettings(**settings)
