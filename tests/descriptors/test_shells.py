"""Averages over neighbours, shell after shell, against the definition, with little of the structure held at a time."""

from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.descriptors.bessel import BesselDescriptors
from ovito_glassml.descriptors.shells import Averaged, _Level, iterate_averages
from ovito_glassml.neighbours import sort_in_space
from ovito_glassml.structure import Structure

CUTOFF = 3.5


@pytest.fixture
def small_blocks(monkeypatch):
    """So that small structures have many of them."""
    monkeypatch.setattr("ovito_glassml.neighbours.BLOCK_SIZE", 16)


def averages(structure, values, shells, mask=None, progress=None):
    """Values and their averages, NaN where none came."""
    structure = replace(structure, mask=mask)
    ordered, order, cells = sort_in_space(structure, CUTOFF)
    own = values[order]
    asked = []

    def rows(block):
        asked.append(cells.grid.atom[block])
        return own[cells.grid.atom[block]]

    quantities = [Averaged(rows, values.shape[1], shells)]
    found = np.full((shells + 1, *values.shape), np.nan)
    for atoms, (levels,) in iterate_averages(cells, CUTOFF, quantities, ordered.mask, np.float64, progress):
        found[:, order[atoms]] = levels
    return found, order[np.concatenate(asked)] if asked else np.empty(0, dtype=int)


def expected_averages(values, neighbours, shells):
    levels = [values]
    with np.errstate(invalid="ignore"):
        for _ in range(shells):
            weighted = []
            for indices, vectors in neighbours:
                weights = np.exp(-np.linalg.norm(vectors, axis=1) / CUTOFF)
                weighted.append(weights @ levels[-1][indices] / weights.sum())
            levels.append(np.array(weighted))
    return np.array(levels)


@pytest.mark.parametrize("shells", [0, 1, 3])
def test_definition(any_structure, true_neighbours, small_blocks, shells):
    values = np.random.default_rng(1).normal(size=(len(any_structure), 5))
    found, asked = averages(any_structure, values, shells)
    expected = expected_averages(values, true_neighbours(any_structure, CUTOFF), shells)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert sorted(asked) == list(range(len(any_structure)))  # each once


def test_some_atoms_need_the_rows_of_their_shells_only(mixed_boundaries, true_neighbours, small_blocks):
    values = np.random.default_rng(2).normal(size=(len(mixed_boundaries), 2))
    mask = np.arange(len(mixed_boundaries)) == 7
    found, asked = averages(mixed_boundaries, values, 2, mask)
    np.testing.assert_array_equal(found[:, mask], averages(mixed_boundaries, values, 2)[0][:, mask])
    assert np.isnan(found[:, ~mask]).all()
    neighbours = [indices for indices, _ in true_neighbours(mixed_boundaries, CUTOFF)]
    first = {7, *neighbours[7]}
    assert set(asked) == set().union(*(neighbours[i] for i in first)) | first


def test_nobody_wanted_gives_nothing(mixed_boundaries, small_blocks):
    values = np.ones((len(mixed_boundaries), 2))
    found, asked = averages(mixed_boundaries, values, 2, np.zeros(len(mixed_boundaries), dtype=bool))
    assert np.isnan(found).all()
    assert not len(asked)


@pytest.mark.parametrize("periodic", [False, True])
def test_a_layer_is_held_and_not_the_structure(periodic, small_blocks, monkeypatch):
    """A row of 1 600 atoms, with two averages over three neighbours on either side, in blocks of sixteen."""
    most = 0
    put = _Level.put

    def counted(level, number, atoms, rows):
        nonlocal most
        put(level, number, atoms, rows)
        most = max(most, len(level.slots))

    monkeypatch.setattr(_Level, "put", counted)
    positions = np.column_stack([np.arange(1600.0), np.zeros(1600), np.zeros(1600)])
    row = Structure(positions, cell=np.diag([1600.0, 9, 9]), pbc=(periodic, False, False))
    found, _ = averages(row, positions[:, :1], 2)
    np.testing.assert_allclose(found[2, 10:-10, 0], positions[10:-10, 0], rtol=1e-6)
    # What the first and the last block see of each other through the boundary is kept to the end.
    assert most <= (10 if periodic else 5)


def test_rows_in_small_blocks_are_those_in_large_ones(triclinic, monkeypatch):
    descriptor = BesselDescriptors(("Cu", "Zr"))
    rows = descriptor.compute(triclinic)
    monkeypatch.setattr("ovito_glassml.neighbours.BLOCK_SIZE", 16)
    np.testing.assert_array_equal(descriptor.compute(triclinic), rows)


def test_progress_rises_to_one(triclinic, small_blocks):
    seen = []
    averages(triclinic, np.ones((len(triclinic), 1)), 2, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
