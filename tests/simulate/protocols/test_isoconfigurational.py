"""Isoconfigurational runs: a common start, different ends, displacements that can be read off."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.protocols.isoconfigurational import (
    IsoconfigurationalSettings,
    _velocity_seed,
    isoconfigurational,
)
from ovito_glassml.simulate.snapshots import read_frames

POLYMER = load_material("polymer")

SMALL = IsoconfigurationalSettings(
    atoms=200,
    seed=3,
    melt_time=5.0,
    cooling_time=10.0,
    equilibration=5.0,
    duration=10.0,
    replicas=3,
    checkpoint_atom_steps=200_000,
)


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory):
    file = tmp_path_factory.mktemp("ensemble") / "replicas.xyz.gz"
    isoconfigurational(POLYMER, SMALL, file, lambda fraction, text: None)
    return file


@pytest.fixture(scope="module")
def frames(ensemble):
    return read_frames(ensemble)


def test_the_first_frame_is_the_start_and_the_others_are_ends(frames):
    assert [frame.header["replica"] for frame in frames] == ["0", "1", "2", "3"]
    assert [frame.header["time"] for frame in frames] == ["0", "10", "10", "10"]
    for frame in frames:
        np.testing.assert_array_equal(frame.structure.ids, frames[0].structure.ids)
        assert frame.structure.number_density == pytest.approx(1.04, rel=1e-6)


def test_positions_are_unwrapped_and_do_not_drift(frames):
    edge = frames[0].structure.cell[0, 0]
    for frame in frames[1:]:
        moved = frame.structure.positions - frames[0].structure.positions
        assert np.abs(moved).max() < edge / 2
        np.testing.assert_allclose(moved.mean(axis=0), 0.0, atol=1e-3)
        assert 0.05 < np.sqrt((moved**2).sum(axis=1).mean()) < 2.0


def test_velocities_of_every_run_have_a_seed_that_lammps_takes():
    assert [_velocity_seed(3, run) for run in (1, 2)] == [3001, 3002]
    assert all(
        0 < _velocity_seed(seed, run) < 2**31 - 1 for seed in (2147483, 2147484, 10**9 + 500) for run in (1, 647)
    )


def test_replicas_differ(frames):
    first, second = (frame.structure.positions for frame in frames[1:3])
    assert np.abs(first - second).max() > 0.1


def test_inherent_positions_lie_near_the_thermal_ones_and_lower(frames):
    for frame in frames:
        shift = frame.columns["Inherent_Position"] - frame.structure.positions
        assert 0.01 < np.sqrt((shift**2).sum(axis=1).mean()) < 0.4
    energies = [float(frame.header["energy_per_atom"]) for frame in frames]
    assert np.ptp(energies) < 0.5


def test_a_hotter_liquid_moves_farther_and_says_how_hot_it_is(frames, tmp_path):
    hotter = replace(SMALL, temperature=0.9, replicas=1)
    isoconfigurational(POLYMER, hotter, tmp_path / "hot.xyz.gz", lambda fraction, text: None)
    start, end = read_frames(tmp_path / "hot.xyz.gz")
    assert start.header["temperature"] == end.header["temperature"] == "0.9"
    moved = [np.linalg.norm(b.structure.positions - a.structure.positions, axis=1).mean()
             for a, b in ((start, end), (frames[0], frames[1]))]  # fmt: skip
    assert moved[0] > 1.5 * moved[1]
    assert frames[0].header["temperature"] == f"{POLYMER.supercooled_temperature:g}"


def test_a_temperature_below_zero_is_refused():
    with pytest.raises(SimulationError, match="temperature -3 is not positive"):
        replace(SMALL, temperature=-3.0)


def test_chains_stay_whole(frames):
    positions = frames[-1].columns["Inherent_Position"].reshape(10, 20, 3)
    edge = frames[0].structure.cell[0, 0]
    bonds = np.diff(positions, axis=1)
    lengths = np.linalg.norm(bonds - edge * np.round(bonds / edge), axis=2)
    assert lengths.min() > 0.85
    assert lengths.max() < 1.2


def test_ovito_reads_the_ensemble(ensemble, frames):
    from ovito_glassml.adapter.files import open_trajectory

    pipeline = open_trajectory(str(ensemble))
    assert pipeline.num_frames == 4
    data = pipeline.compute(3)
    np.testing.assert_allclose(data.particles["Inherent_Position"], frames[3].columns["Inherent_Position"], rtol=1e-5)
    assert data.particles.count == 200


def test_interrupted_again_and_again_it_ends_in_the_same_file(ensemble, with_interruptions, tmp_path):
    file = tmp_path / "replicas.xyz.gz"
    assert with_interruptions(partial(isoconfigurational, POLYMER), SMALL, file, every=4) > 3
    assert file.read_bytes() == ensemble.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["replicas.xyz.gz"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"atoms": 20}, "at least 100"), ({"replicas": 0}, "at least 1"), ({"duration": 0.0}, "must be positive")],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SimulationError, match=message):
        IsoconfigurationalSettings(**settings)
