"""Unique environments: what greedy selection means, against brute force, in crystals and in a glass."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.barcode import environments as unique_environments
from ovito_glassml.learn.barcode.environments import (
    least_product,
    normalised,
    rows_by_identifier,
    select_environments,
)
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.sample_data import sample_file

SOAP = SOAPDescriptors(("Cu", "Zr"))


def crystal(basis, kinds, constant, repeat=4, shift=0.0):
    corners = np.array(list(itertools.product(range(repeat), repeat=3)))
    positions = constant * (corners[:, None, :] + np.array(basis)).reshape(-1, 3) + shift
    species = np.tile(kinds, len(corners))
    return Structure(positions, species, ("Cu", "Zr"), np.eye(3) * constant * repeat, pbc=(True,) * 3)


def copper():
    return crystal([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], [0, 0, 0, 0], 3.62)


def b2():
    return crystal([[0, 0, 0], [0.5, 0.5, 0.5]], [0, 1], 3.26, repeat=5)


@pytest.fixture(scope="module")
def boxes():
    """Six periodic boxes of some 500 atoms cut from two shipped glasses."""
    found = []
    for name in ("1e13-1", "1e12-2"):
        glass = read_snapshot(sample_file(f"stiffness/vibrations-cu50zr50-{name}.xyz.gz")).structure
        for corner in (0.0, 12.0, 20.0):
            inside = ((glass.positions >= corner) & (glass.positions < corner + 20.5)).all(axis=1)
            chosen = np.flatnonzero(inside)
            found.append(
                Structure(
                    glass.positions[chosen],
                    glass.species[chosen],
                    glass.species_names,
                    np.eye(3) * 22.0,
                    pbc=(True,) * 3,
                    ids=glass.ids[chosen],
                )
            )
    return found


def brute_force(rows, similarity):
    """Every row against every kept one, in double precision."""
    alike = rows.astype(np.float64) @ rows.T.astype(np.float64) > least_product(similarity)
    kept = []
    for number, same in enumerate(alike):
        if not same[kept].any():
            kept.append(number)
    return kept


def visited_rows(structures, seed):
    order = np.random.default_rng(seed).permutation(len(structures))
    return np.concatenate([rows for k in order for _, rows in rows_by_identifier(structures[k], SOAP)])


def test_an_fcc_crystal_has_one_environment_and_b2_has_two():
    assert len(select_environments([copper()], SOAP, share=1.0)) == 1
    assert len(select_environments([b2()], SOAP, share=1.0)) == 2
    assert len(select_environments([copper(), b2()], SOAP, share=1.0)) == 3


def test_atoms_of_crystals_are_assigned_in_known_shares():
    environments = select_environments([copper(), b2()], SOAP, share=1.0)
    counts = [np.bincount(environments.assign(normalised(SOAP.compute(one))), minlength=3) for one in (copper(), b2())]
    assert sorted(counts[0]) == [0, 0, len(copper())]
    assert sorted(counts[1]) == [0, len(b2()) // 2, len(b2()) // 2]
    assert (counts[0] * counts[1]).sum() == 0


@pytest.mark.parametrize("similarity", [0.75, 0.84, 0.9])
def test_streamed_selection_is_that_of_brute_force(boxes, similarity):
    environments = select_environments(boxes[:2], SOAP, similarity=similarity, share=1.0, block=300)
    rows = visited_rows(boxes[:2], seed=1)
    expected = rows[brute_force(rows, similarity)]
    np.testing.assert_array_equal(environments.rows, expected)
    assert 10 < len(environments) < len(rows)


@pytest.mark.parametrize(("block", "axes"), [(64, 192), (1000, 192), (2048, 3), (2048, 500)])
def test_neither_blocks_nor_axes_change_the_result(boxes, monkeypatch, block, axes):
    expected = select_environments(boxes, SOAP, seed=3)
    true_axes = unique_environments.principal_axes
    monkeypatch.setattr(unique_environments, "principal_axes", lambda rows: true_axes(rows, axes))
    found = select_environments(boxes, SOAP, seed=3, block=block)
    assert found.axes.shape[1] <= axes
    np.testing.assert_array_equal(found.structure, expected.structure)
    np.testing.assert_array_equal(found.atom, expected.atom)


def test_every_visited_atom_has_an_environment_and_no_two_are_alike(boxes):
    environments = select_environments(boxes, SOAP, share=1.0)
    assert (environments.assign(visited_rows(boxes, 1)) >= 0).all()
    products = environments.rows.astype(np.float64) @ environments.rows.T.astype(np.float64)
    assert products[np.triu_indices(len(environments), 1)].max() <= least_product(0.84)


def test_rows_are_those_of_the_atoms_they_are_said_to_come_from(boxes):
    environments = select_environments(boxes, SOAP)
    for number in (0, len(environments) // 2, len(environments) - 1):
        structure, atom = boxes[environments.structure[number]], environments.atom[number]
        row = normalised(SOAP.compute(replace(structure, mask=np.arange(len(structure)) == atom)))
        np.testing.assert_array_equal(row[0], environments.rows[number])


def test_the_nearest_is_found_by_bounds_as_by_full_products(boxes):
    environments = select_environments(boxes[:4], SOAP, share=1.0)
    rows = visited_rows(boxes[4:], 1)
    index, product = environments.nearest(rows)
    products = rows.astype(np.float64) @ environments.rows.T.astype(np.float64)
    np.testing.assert_array_equal(index, products.argmax(axis=1))
    np.testing.assert_allclose(product, products.max(axis=1), atol=1e-12)


def test_order_of_atoms_and_orientation_change_nothing(boxes, transformed):
    """Rows change by rounding, 1e-6, and no product of these boxes is that close to the threshold."""
    turn = Rotation.from_euler("xyz", [20, 50, 80], degrees=True).as_matrix()
    rng = np.random.default_rng(2)
    seen = [transformed(box, turn, (1, 2, 3), rng.permutation(len(box))) for box in boxes]
    first, second = (select_environments(structures, SOAP) for structures in (boxes, seen))
    np.testing.assert_array_equal(first.structure, second.structure)
    identifiers = [
        [structures[s].ids[a] for s, a in zip(found.structure, found.atom, strict=True)]
        for structures, found in ((boxes, first), (seen, second))
    ]
    assert identifiers[0] == identifiers[1]


def test_seeds_visit_other_structures(boxes):
    first, second, again = (select_environments(boxes, SOAP, seed=seed) for seed in (1, 2, 1))
    assert set(first.structure) != set(second.structure)
    np.testing.assert_array_equal(first.rows, again.rows)


@pytest.mark.parametrize("settings", [{"share": 0.0}, {"share": 1.5}, {"similarity": 1.0}])
def test_settings_out_of_range_are_refused(boxes, settings):
    with pytest.raises(TrainingError, match="between 0 and 1"):
        select_environments(boxes, SOAP, **settings)


def test_no_structures_are_refused():
    with pytest.raises(TrainingError, match="at least one structure"):
        select_environments([], SOAP)
