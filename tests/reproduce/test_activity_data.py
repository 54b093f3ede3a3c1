"""From simulation snapshots to labelled atoms."""

from dataclasses import asdict

import numpy as np
import pytest

from ovito_glassml.reproduce.activity_data import compact_shear, compact_thermal, read_shear, read_thermal
from ovito_glassml.simulate.protocols.shear_aqs import ShearAQSSettings
from ovito_glassml.simulate.snapshots import Snapshot, provenance, read_frames, write_frames
from ovito_glassml.structure import Structure


@pytest.fixture
def crystal():
    """512 atoms, A and B in turn, spacing 1."""
    corners = np.stack(np.meshgrid(*[np.arange(8.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    return Structure(corners, np.arange(512) % 2, ("A", "B"), np.eye(3) * 8, pbc=(True, True, True))


def moved(structure, shift):
    return Structure(structure.positions + shift, structure.species, ("A", "B"), structure.cell, pbc=(True, True, True))


def test_thermal_files_hold_who_moved_in_which_run(crystal, tmp_path):
    """Of two runs the first moves atom 40, the second everything alike: only the first changes D²min."""
    jump = np.zeros((512, 3))
    jump[40] = (0.3, 0.2, 0.0)
    drift = np.full((512, 3), 3.7)
    frames = [
        Snapshot(moved(crystal, shift), {"Inherent_Position": crystal.positions + shift}, {})
        for shift in (np.zeros(3), jump, drift)
    ]
    write_frames(tmp_path / "full.xyz.gz", frames)
    compact_thermal(tmp_path / "full.xyz.gz", tmp_path / "thermal-crystal-1.xyz.gz")
    (frame,) = read_frames(tmp_path / "thermal-crystal-1.xyz.gz")
    runs = frame.columns["Replica_Nonaffine_Squared_Displacement"]
    # 80 neighbours within 2.5: each sees the jump relative to the centre, and the jump itself is in no linear map.
    assert runs[40, 0] == pytest.approx(80 * 0.13, rel=1e-3)
    assert runs[:, 1].max() < 1e-9
    far = np.linalg.norm((crystal.positions - crystal.positions[40] + 4) % 8 - 4, axis=1) > 2.5
    assert runs[far, 0].max() < 1e-9
    assert frame.columns["Propensity"] == pytest.approx(
        0.5 * (np.linalg.norm(jump, axis=1) + np.linalg.norm(drift, axis=1)), rel=1e-4
    )

    sample = read_thermal(tmp_path / "thermal-crystal-1.xyz.gz", "A", share=1 / 256)
    assert sample.configuration == "thermal-crystal-1"
    assert np.flatnonzero(sample.activity == 1).tolist() == [40]
    assert (sample.activity[crystal.species == 1] == -1).all()

    wide = read_thermal(tmp_path / "thermal-crystal-1.xyz.gz", "A", share=1 / 256, learned_share=1 / 8)
    assert np.count_nonzero(wide.activity == 1) == np.count_nonzero(wide.activity == 0) == 32
    np.testing.assert_array_equal(wide.scored, sample.labelled)
    assert wide.activity[40] == 1


def test_events_without_labels_are_left_out(crystal, tmp_path):
    labels = np.full(512, -1)
    labels[:3] = 1, 0, 1
    columns = {"Nonaffine_Squared_Displacement": np.linspace(0, 1, 512), "Potential_Energy": np.zeros(512)}
    frames = [Snapshot(crystal, {"Activity": column, **columns}, {}) for column in (np.full(512, -1), labels)]
    write_frames(tmp_path / "shear-crystal-1.xyz.gz", frames)
    compact_shear(tmp_path / "shear-crystal-1.xyz.gz", tmp_path / "compact.xyz.gz")
    (event,) = read_shear(tmp_path / "compact.xyz.gz")
    (original,) = read_shear(tmp_path / "shear-crystal-1.xyz.gz")
    for one in (event, original):
        np.testing.assert_array_equal(one.activity, labels)
        np.testing.assert_allclose(one.displacement, np.linspace(0, 1, 512), atol=1e-5)
        np.testing.assert_allclose(one.structure.positions, crystal.positions)


def test_events_too_large_to_judge_by_are_kept_to_learn_from(crystal, tmp_path):
    """A local event, one of a fifth of the A atoms, and one that spans the sample."""
    a_atoms = np.flatnonzero(crystal.species == 0)
    header = provenance("shear-aqs", {"system": "kob-andersen", **asdict(ShearAQSSettings(seed=3))})
    frames = []
    largest = np.zeros(512)
    for number, share in enumerate((0.05, 0.2, 0.5)):
        moved = np.linspace(0.0, 0.1, 512)
        active = a_atoms[: round(share * len(a_atoms))]
        moved[active] = 1.0
        largest = np.maximum(largest, moved)
        labels = np.full(512, -1)
        if share < 0.1:
            labels[active], labels[a_atoms[-len(active) :]] = 1, 0
        columns = {"Activity": labels, "Nonaffine_Squared_Displacement": moved}
        where = {"strain": f"{0.1 + 0.02 * number + 0.005:.6f}", "avalanche": int(share >= 0.1)}
        extremes = {"Largest_Nonaffine_Squared_Displacement": largest}
        frames.append(Snapshot(crystal, {**columns, **extremes}, {**header, **where}))
    write_frames(tmp_path / "shear-crystal-1.xyz.gz", frames)
    compact_shear(tmp_path / "shear-crystal-1.xyz.gz", tmp_path / "compact.xyz.gz")
    local, larger = read_shear(tmp_path / "compact.xyz.gz")
    np.testing.assert_array_equal(local.scored, local.labelled)
    assert not larger.scored.any()
    active = a_atoms[: round(0.2 * len(a_atoms))]
    np.testing.assert_array_equal(np.flatnonzero(larger.activity == 1), active)
    inactive = np.flatnonzero(larger.activity == 0)
    assert len(inactive) == len(active)
    assert (crystal.species[inactive] == 0).all()
    quiet = a_atoms[len(active) :]
    np.testing.assert_array_equal(inactive, quiet[: len(active)])
