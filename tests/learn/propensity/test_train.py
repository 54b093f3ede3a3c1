from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.format import save_model
from ovito_glassml.learn.propensity.data import propensity_sample
from ovito_glassml.learn.propensity.evaluate import (
    error_table,
    gain_table,
    group_table,
    held_out_table,
    left_out_table,
    range_table,
    result_tables,
    shell_table,
)
from ovito_glassml.learn.propensity.model import PropensityModel
from ovito_glassml.learn.propensity.train import (
    RADII,
    PropensityDesign,
    fitting_design,
    train_propensity,
)
from ovito_glassml.structure import Structure

DESCRIPTOR = ACEDescriptors(("A", "B"), cutoff=2.0, nearest=1.0, order=1, n_max=3)
DESIGN = PropensityDesign("title", "summary", DESCRIPTOR, "A", radii=(1.5, 2.5), length_unit="sigma")


def liquid(seed, atoms=150):
    random = np.random.default_rng(seed)
    kinds = (random.random(atoms) < 0.3).astype(int)
    return Structure(random.random((atoms, 3)) * 5, kinds, ("A", "B"), np.eye(3) * 5, pbc=(True,) * 3)


def planted(seed, noise=0.0):
    """Atoms that move by what their own shells say, all that structure can tell."""
    structure = liquid(seed)
    moved = 5 + DESCRIPTOR.compute(structure) @ np.arange(1, 7) * 0.05
    runs = moved[:, None] + noise * np.random.default_rng(seed).normal(size=(len(moved), 4))
    return propensity_sample(structure, runs, f"liquid-{seed}")


@pytest.fixture(scope="module")
def trained():
    samples = [planted(seed) for seed in range(4)]
    return samples, *train_propensity(samples, DESIGN)


def test_planted_weights_are_found_again(trained):
    _, model, _, _ = trained
    np.testing.assert_allclose(model.linear.parts[0].own, np.arange(1, 7) * 0.05, atol=2e-3)
    assert np.abs(model.linear.parts[0].averaged).max() < 2e-2


def test_a_structure_never_seen_is_predicted_and_streamed_sums_are_those_of_whole_rows(trained):
    _, model, _, _ = trained
    fresh = planted(9)
    prediction = model.predict(fresh.structure)
    of_a = fresh.structure.species == 0
    np.testing.assert_allclose(prediction.propensity[of_a], fresh.propensity[of_a], atol=5e-3)
    assert np.isnan(prediction.propensity[~of_a]).all()
    assert np.isfinite(prediction.extrapolation[of_a]).all()


def test_turning_and_renumbering_changes_nothing(trained):
    _, model, _, _ = trained
    structure = liquid(9)
    order = np.random.default_rng(0).permutation(len(structure))
    turn = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    turned = Structure(
        structure.positions[order] @ turn, structure.species[order], ("A", "B"), np.eye(3) * 5, pbc=(True,) * 3
    )
    expected = model.predict(structure).propensity[order]
    np.testing.assert_allclose(model.predict(turned).propensity, expected, rtol=1e-4)


def test_selected_atoms_get_the_same_numbers_as_in_the_whole(trained):
    _, model, _, _ = trained
    structure = liquid(9)
    chosen = np.arange(len(structure)) < 20
    part = model.predict(replace(structure, mask=chosen)).propensity
    np.testing.assert_allclose(part[chosen], model.predict(structure).propensity[chosen], rtol=1e-5)
    assert np.isnan(part[~chosen]).all()


def test_a_model_comes_back_from_its_file(trained, tmp_path):
    _, model, _, _ = trained
    save_model(tmp_path / "mine.safetensors", model.header, model.tensors())
    again = PropensityModel.load(tmp_path / "mine.safetensors")
    structure = liquid(9)
    np.testing.assert_array_equal(again.predict(structure).propensity, model.predict(structure).propensity)


def bent(seed):
    """Atoms that move by the angles between their near neighbours."""
    structure = liquid(seed)
    rows = ANGLES.compute(structure)
    moved = 5 + rows @ np.random.default_rng(5).normal(size=rows.shape[1]) * 0.02
    return propensity_sample(structure, np.maximum(moved, 0), f"bent-{seed}")


ANGLES = ACEDescriptors(("A", "B"), cutoff=1.5, nearest=1.0, order=2, degree=4)


@pytest.fixture(scope="module")
def with_angles():
    samples = [bent(seed) for seed in range(12)]
    larger = replace(DESIGN, angles=ANGLES)
    return larger, train_propensity(samples, DESIGN), train_propensity(samples, larger)


def test_angles_find_what_distances_cannot_and_the_gain_is_stated(with_angles, tmp_path):
    larger, (_, data, plain), (model, _, better) = with_angles
    row = gain_table(data, plain, better, "plain").rows[0]
    assert row[0] == "plain"
    assert row[3] == pytest.approx(row[2] - row[1])
    assert row[3] > 3 * row[4] > 0
    fresh = bent(99)
    of_a = fresh.structure.species == 0
    predicted = model.predict(fresh.structure).propensity
    assert np.corrcoef(predicted[of_a], fresh.propensity[of_a])[0, 1] > row[1]
    save_model(tmp_path / "angles.safetensors", model.header, model.tensors())
    again = PropensityModel.load(tmp_path / "angles.safetensors")
    np.testing.assert_array_equal(again.predict(fresh.structure).propensity, predicted)
    assert {name for name, _ in larger.groups} >= {"own shells", "own angles", "angles of B within 1.5"}


def test_streamed_predictions_are_products_of_the_rows_that_training_saw(with_angles):
    _, _, (model, data, _) = with_angles
    used = zip(model.linear.parts, (2, 1), strict=True)
    weights = np.concatenate([[*part.own, *part.averaged[:radii].ravel()] for part, radii in used])
    expected = data.rows[0] @ weights + model.linear.offset
    structure = data.samples[0].structure
    predicted = model.predict(structure).propensity[structure.species == 0]
    np.testing.assert_allclose(predicted, np.maximum(expected, 0), atol=1e-4)


def test_a_structure_says_how_far_to_trust_its_ranking():
    samples = [planted(seed, noise=0.2) for seed in range(6)]
    model, data, left_out = train_propensity(samples, DESIGN)
    fresh = planted(11, noise=0.2)
    prediction = model.predict(fresh.structure)
    of_a = fresh.structure.species == 0
    found = np.corrcoef(prediction.propensity[of_a], fresh.propensity[of_a])[0, 1]
    assert prediction.expected_correlation == pytest.approx(found, abs=0.1)
    rows = {row[0]: row for row in range_table(data, left_out, DESIGN).rows}
    assert rows["mean"][6] == pytest.approx(rows["mean"][7], abs=0.1)
    held = error_table(data, left_out).rows[0]
    assert held[1] == pytest.approx(0.68, abs=0.08)
    assert held[2] <= held[1] <= held[3]


def test_no_correlation_is_promised_where_most_atoms_are_unlike_the_training():
    model, _, _ = train_propensity([planted(seed, noise=0.2) for seed in range(6)], DESIGN)
    fresh = liquid(11)
    assert np.isfinite(model.predict(fresh).expected_correlation)
    squeezed = Structure(fresh.positions * 0.6, fresh.species, fresh.species_names, fresh.cell * 0.6, pbc=fresh.pbc)
    prediction = model.predict(squeezed)
    assert np.nanmedian(prediction.extrapolation) > 1
    assert np.isnan(prediction.expected_correlation)


def test_tables_say_what_was_learned(trained):
    _, model, data, left_out = trained
    assert left_out_table(data, left_out).rows[-2][2] > 0.99
    lost = {row[0]: row[2] for row in group_table(data, left_out, DESIGN).rows}
    assert max(lost, key=lost.get) == "own shells"
    assert len(shell_table(model).rows[0]) == 3
    assert len(result_tables(model, data, left_out, DESIGN)) == 5


def test_what_took_no_part_is_scored_like_what_is_left_out(trained):
    _, model, _, _ = trained
    fresh, noisy = planted(9), planted(9, noise=0.3)
    one, other = held_out_table(model, [fresh, noisy], "note").rows
    assert one[1] == (fresh.structure.species == 0).sum()
    assert one[2] > 0.99
    assert other[2] == pytest.approx(other[3], abs=0.1)  # as good as noisy labels allow
    only_b = Structure(fresh.structure.positions, np.zeros(150, int), ("B",), np.eye(3) * 5, pbc=(True,) * 3)
    with pytest.raises(TrainingError, match="has no atoms of A to judge by"):
        held_out_table(model, [propensity_sample(only_b, np.ones(150), "pure")], "")


@pytest.mark.parametrize(
    ("cell", "pbc", "radii"),
    [
        (np.diag([40.0, 40, 40]), (True,) * 3, RADII),
        (np.diag([40.0, 18, 40]), (True,) * 3, (2.9, 4.5)),  # the shortest edge, in nearest-neighbour distances
        (np.diag([40.0, 18, 40]), (True, False, True), RADII),  # there are no images across a surface
        ([[20.0, 0, 0], [0, 20, 0], [0, 15, 20]], (True,) * 3, (2.9, 4.0)),  # heights count, not edges
        (np.diag([8.0, 8, 8]), (True,) * 3, (2.0,)),
        (None, (False,) * 3, RADII),
    ],
)
def test_averages_reach_no_farther_than_half_of_the_box(cell, pbc, radii):
    positions = np.random.default_rng(0).random((20, 3)) * 4
    structure = Structure(positions, np.arange(20) % 2, ("A", "B"), cell, pbc=pbc)
    design = fitting_design([propensity_sample(structure, np.ones(20), "one")], "A", 2.0, "title", n_max=5)
    assert design.radii == pytest.approx(radii)
    assert design.descriptor.species == ("A", "B")
    assert (design.descriptor.cutoff, design.descriptor.nearest, design.descriptor.n_max) == (10.0, 2.0, 5)


def test_bad_input_is_refused_in_a_sentence():
    with pytest.raises(TrainingError, match="at least 3"):
        train_propensity([planted(0), planted(1)], DESIGN)
    with pytest.raises(TrainingError, match="smallest first"):
        train_propensity([planted(seed) for seed in range(3)], replace(DESIGN, radii=(2.5, 1.5)))
    with pytest.raises(TrainingError, match="order 2"):
        train_propensity([planted(seed) for seed in range(3)], replace(DESIGN, descriptor=ANGLES))
    structure = liquid(0)
    with pytest.raises(TrainingError, match="only runs that are complete"):
        propensity_sample(structure, np.ones((7, 2)), "short")
    with pytest.raises(TrainingError, match="nan"):
        propensity_sample(structure, np.full(len(structure), np.nan), "empty")
    only_a = Structure(structure.positions, np.zeros(len(structure), int), ("A",), structure.cell, pbc=(True,) * 3)
    one_kind = propensity_sample(only_a, np.ones(len(structure)), "pure")
    with pytest.raises(TrainingError, match="no atoms of B"):
        train_propensity([planted(0), planted(1), one_kind], DESIGN)
