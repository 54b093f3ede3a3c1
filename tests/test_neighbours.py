"""The neighbour search finds every neighbour in every kind of cell."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ovito_glassml
from ovito_glassml.neighbours import (
    average_within,
    blocks_around,
    build_cell_list,
    cut_out,
    neighbour_counts,
    neighbour_lists,
    sort_in_space,
    sums_within,
)
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.threads import limit_threads


def sorted_pairs(indices, vectors):
    """Neighbours in an order that does not depend on how they were found."""
    order = np.lexsort(np.round(vectors, 4).T)
    return np.asarray(indices)[order], np.asarray(vectors)[order]


@pytest.mark.parametrize("cutoff", [2.5, 7.1])
def test_all_neighbours_are_found(any_structure, true_neighbours, cutoff):
    lists = neighbour_lists(any_structure, cutoff, vectors=True)
    for i, (indices, vectors) in enumerate(true_neighbours(any_structure, cutoff)):
        part = slice(lists.offsets[i], lists.offsets[i + 1])
        found_indices, found_vectors = sorted_pairs(lists.indices[part], lists.vectors[part])
        indices, vectors = sorted_pairs(indices, vectors)
        np.testing.assert_array_equal(found_indices, indices)
        np.testing.assert_allclose(found_vectors, vectors, atol=2e-6)
        np.testing.assert_allclose(np.sort(lists.distances[part]), np.sort(np.linalg.norm(vectors, axis=1)), rtol=1e-6)


def test_shells_of_a_crystal(fcc):
    lists = neighbour_lists(fcc, 5.8)
    radii, counts = np.unique(np.round(lists.distances, 3), return_counts=True)
    np.testing.assert_allclose(radii, np.round(4.0 * np.sqrt([0.5, 1, 1.5, 2]), 3), atol=1e-5)
    np.testing.assert_array_equal(counts / len(fcc), [12, 6, 24, 12])


def test_counts_are_those_of_the_lists(any_structure):
    counts = neighbour_counts(build_cell_list(any_structure, 5.0))
    np.testing.assert_array_equal(counts, np.diff(neighbour_lists(any_structure, 5.0).offsets))


def test_an_atom_sees_its_own_images(one_atom):
    lists = neighbour_lists(one_atom, 4.0, vectors=True)
    np.testing.assert_array_equal(lists.offsets, [0, 6])
    assert set(lists.indices) == {0}
    np.testing.assert_allclose(lists.vectors.sum(axis=0), 0)


@pytest.mark.parametrize("name", ["fcc", "triclinic", "small_periodic", "mixed_boundaries", "open_boundaries"])
def test_same_neighbours_as_ovito(request, name):
    data_module = pytest.importorskip("ovito.data")
    structure = request.getfixturevalue(name)
    data = data_module.DataCollection()
    data.create_cell(np.column_stack([structure.cell.T, structure.origin]), pbc=structure.pbc)
    data.create_particles(count=len(structure)).create_property("Position", data=structure.positions)
    finder = data_module.CutoffNeighborFinder(6.0, data)
    lists = neighbour_lists(structure, 6.0, vectors=True)
    for i in range(len(structure)):
        pairs = [(neighbour.index, np.array(neighbour.delta)) for neighbour in finder.find(i)]
        indices, vectors = sorted_pairs([index for index, _ in pairs], np.array([delta for _, delta in pairs]))
        part = slice(lists.offsets[i], lists.offsets[i + 1])
        found_indices, found_vectors = sorted_pairs(lists.indices[part], lists.vectors[part])
        np.testing.assert_array_equal(found_indices, indices)
        np.testing.assert_allclose(found_vectors, vectors, atol=2e-6)


def test_atoms_far_apart_need_no_huge_grid():
    positions = np.array([[0, 0, 0], [1, 0, 0], [1e7, 1e7, 1e7], [1e7, 1e7, 1e7 - 1]], dtype=float)
    cells = build_cell_list(Structure(positions), 2.0)
    assert len(cells.grid.starts) < 1000
    np.testing.assert_array_equal(neighbour_lists(Structure(positions), 2.0).indices, [1, 0, 3, 2])


def test_threads_do_not_change_a_bit(shaken):
    results = []
    for threads in (1, 3):
        with limit_threads(threads):
            lists = neighbour_lists(shaken, 6.0, vectors=True)
            means = average_within(shaken, shaken.positions, 5.0)
            results.append([lists.offsets, lists.indices, lists.distances, lists.vectors, means])
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_average_is_the_mean_over_the_neighbourhood(any_structure, true_neighbours):
    values = np.random.default_rng(0).normal(size=(len(any_structure), 2))
    values[::3, 1] = np.nan
    means = average_within(any_structure, values, 4.5)
    for i, (indices, _) in enumerate(true_neighbours(any_structure, 4.5)):
        members = values[np.append(indices, i)]
        counted = np.isfinite(members)
        with np.errstate(invalid="ignore"):
            expected = np.where(counted, members, 0).sum(axis=0) / counted.sum(axis=0)
        np.testing.assert_allclose(means[i], expected, rtol=1e-12, atol=1e-14)


def test_average_of_one_column_keeps_its_shape_and_constants_stay(triclinic):
    means = average_within(triclinic, np.full(len(triclinic), 3.0), 5.0)
    np.testing.assert_array_equal(means, np.full(len(triclinic), 3.0))
    lonely = Structure([[0.0, 0, 0], [9, 0, 0]])
    np.testing.assert_array_equal(average_within(lonely, np.array([1.0, np.nan]), 5.0), [1.0, np.nan])


def test_no_atoms_no_neighbours():
    empty = Structure(np.empty((0, 3)), cell=np.eye(3), pbc=(True, True, True))
    lists = neighbour_lists(empty, 3.0)
    np.testing.assert_array_equal(lists.offsets, [0])
    assert len(lists.indices) == 0
    assert average_within(empty, np.empty(0), 3.0).shape == (0,)


def test_coincident_atoms_are_named():
    structure = Structure(
        [[0, 0, 0], [1, 1, 1], [4, 4, 4 + 1e-9]], cell=np.eye(3) * 4, pbc=(True,) * 3, ids=[31, 5, 12]
    )
    with pytest.raises(StructureError, match="Atoms 12 and 31 are at the same place"):
        neighbour_lists(structure, 2.0)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan, np.inf])
def test_a_cutoff_must_be_a_positive_length(fcc, cutoff):
    with pytest.raises(StructureError, match="positive length"):
        build_cell_list(fcc, cutoff)


def test_a_wrong_length_unit_is_refused_before_memory_runs_out(fcc):
    in_metres = Structure(fcc.positions * 1e-10, cell=fcc.cell * 1e-10, pbc=fcc.pbc)
    with pytest.raises(StructureError, match="check the length unit"):
        build_cell_list(in_metres, 5.0)
    slab = Structure(in_metres.positions, cell=in_metres.cell, pbc=(True, True, False))
    with pytest.raises(StructureError, match="check the length unit"):
        build_cell_list(slab, 5.0)
    with pytest.raises(StructureError, match=r"about .* neighbours within"):
        build_cell_list(fcc, 80.0)
    with pytest.raises(StructureError, match="raise max_bytes"):
        neighbour_lists(fcc, 8.0, max_bytes=1000)


def test_values_must_fit_the_atoms(fcc):
    with pytest.raises(StructureError, match="one row for each of the 256 atoms"):
        average_within(fcc, np.zeros(7), 3.0)


def test_a_callback_can_stop_the_search(fcc):
    def stop(fraction):
        raise KeyboardInterrupt

    for run in (lambda: neighbour_lists(fcc, 3.0, progress=stop), lambda: average_within(fcc, np.ones(256), 3.0, stop)):
        with pytest.raises(KeyboardInterrupt):
            run()


@pytest.mark.slow
def test_kernels_work_where_no_cache_folder_can_be_written(tmp_path):
    source = Path(ovito_glassml.__file__).parent
    package = tmp_path / "ovito_glassml"
    (package / "modifiers").mkdir(parents=True)
    for name in (
        "__init__.py",
        "modifiers/__init__.py",
        "modifiers/registry.py",
        "compile.py",
        "errors.py",
        "locks.py",
        "progress.py",
        "structure.py",
        "threads.py",
        "neighbours.py",
    ):
        package.mkdir(exist_ok=True)
        shutil.copy(source / name, package / name)
    # Files where folders ought to be: not even the superuser can write into them.
    (package / "__pycache__").touch()
    blocked = tmp_path / "blocked"
    blocked.touch()
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"HOME": str(blocked), "XDG_CACHE_HOME": str(blocked), "PYTHONPATH": str(tmp_path)}
    code = (
        "import numpy as np, ovito_glassml.neighbours as n; from ovito_glassml.structure import Structure;"
        "one = Structure(np.zeros((1, 3)), cell=np.eye(3), pbc=(True,) * 3);"
        "print(n.__file__, len(n.neighbour_lists(one, 1.1).indices))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [str(package / "neighbours.py"), "6"]


def test_cut_out_has_every_neighbour_once_for_each_image(small_periodic):
    environment = cut_out(small_periodic, 3, 6.0, ("Cu", "Zr"))
    lists = neighbour_lists(small_periodic, 6.0)
    own = slice(lists.offsets[3], lists.offsets[4])
    np.testing.assert_array_equal(environment.positions[0], 0)
    distances = np.linalg.norm(environment.positions[1:], axis=1)
    np.testing.assert_allclose(distances, np.sort(lists.distances[own]), rtol=1e-6)
    assert environment.species[0] == small_periodic.species[3]


def test_the_cell_list_of_a_sorted_structure_serves_shorter_searches(any_structure):
    values = np.random.default_rng(0).normal(size=len(any_structure))
    ordered, order, cells = sort_in_space(any_structure, 5.0)
    np.testing.assert_array_equal(ordered.positions, any_structure.positions[order])
    np.testing.assert_array_equal(cells.grid.atom[cells.order], np.arange(len(order)))
    for radius in (3.5, 5.0, 6.0):
        means = average_within(ordered, values[order], radius, cells=cells)
        np.testing.assert_allclose(means, average_within(any_structure, values, radius)[order], rtol=1e-12)


def test_sums_of_some_columns_are_those_of_rows_that_are_zero_elsewhere(triclinic):
    ordered, _, cells = sort_in_space(triclinic, 5.0)
    rng = np.random.default_rng(0)
    first = rng.choice([-1, 0, 2], len(ordered)).astype(np.int32)
    values = np.zeros((len(ordered), 4))
    for column in range(2):
        values[first >= 0, first[first >= 0] + column] = rng.normal(size=np.count_nonzero(first >= 0))
    whole = np.concatenate([sums for _, sums in sums_within(cells, values, 5.0)])
    part = np.concatenate([sums for _, sums in sums_within(cells, values, 5.0, first, 2)])
    np.testing.assert_array_equal(part, whole)


def test_columns_are_summed_to_a_radius_of_their_own_in_the_same_search(triclinic):
    ordered, _, cells = sort_in_space(triclinic, 5.0)
    rng = np.random.default_rng(0)
    values, further = rng.normal(size=(len(ordered), 3)), rng.normal(size=(len(ordered), 2))
    for near, far in ((3.5, 5.0), (5.0, 3.5)):
        both = np.concatenate([sums for _, sums in sums_within(cells, values, near, also=(further, far))])
        for columns, values_alone, radius in ((both[:, :3], values, near), (both[:, 3:], further, far)):
            alone = [sums for _, sums in sums_within(cells, values_alone, radius)]
            np.testing.assert_array_equal(columns, np.concatenate(alone))


def test_blocks_around_have_all_neighbours(any_structure, true_neighbours):
    """A bound: there may be more than needed, never less, and in a long box not all."""
    _, order, cells = sort_in_space(any_structure, 4.5)
    blocks = [cells.order[first : first + 7] for first in range(0, len(order), 7)]
    number = np.empty(len(order), dtype=int)
    number[order] = np.arange(len(order)) // 7
    around = blocks_around(cells, blocks, 4.5)
    for i, (indices, _) in enumerate(true_neighbours(any_structure, 4.5)):
        assert set(number[np.append(indices, i)]) <= set(around[number[i]])


def test_around_blocks_of_a_long_open_box_are_the_next_ones_only():
    positions = np.column_stack([np.arange(400.0), np.zeros(400), np.zeros(400)])
    _, _, cells = sort_in_space(Structure(positions), 9.5)
    blocks = [cells.order[first : first + 20] for first in range(0, 400, 20)]
    around = blocks_around(cells, blocks, 9.5)
    for k, numbers in enumerate(around):
        assert {k, max(k - 1, 0), min(k + 1, 19)} <= set(numbers) <= set(range(k - 2, k + 3))
