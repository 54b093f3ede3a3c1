"""The extrapolation score: one at the training data's 99th percentile, large far away."""

import numpy as np
import pytest

from ovito_glassml.learn.extrapolation import SMALLEST_SQUARE, VARIANCE_FLOOR, ExtrapolationScore, fit_extrapolation
from ovito_glassml.learn.format import ModelError, ModelHeader

#: Descriptors have means of their own.
CENTRE = np.array([20, -4, 7, 0, 3, 1])


def rows_of(structure, seed, shift=0.0):
    rng = np.random.default_rng(seed)
    return CENTRE + rng.normal(size=(len(structure), 6)) * np.array([3, 2, 1, 1, 1, 0.5]) + shift


@pytest.fixture(scope="module")
def fitted(spring_glasses):
    structures = [sample.structure for sample in spring_glasses]
    rows = [rows_of(structure, seed) for seed, structure in enumerate(structures)]
    members = [{"any": np.arange(len(structure))} for structure in structures]
    parts = [np.full(len(structure), number) for number, structure in enumerate(structures)]
    return fit_extrapolation(structures, rows, members, parts, radius=4.0, components=4), structures, rows


def scores(score, structure, rows):
    return score.evaluate(structure, score.embed("any", rows))


def test_one_training_atom_in_a_hundred_scores_above_one(fitted):
    score, structures, rows = fitted
    values = np.concatenate([scores(score, s, r) for s, r in zip(structures, rows, strict=True)])
    assert 0.0 < (values > 1).mean() < 0.03


def test_new_samples_of_the_same_kind_score_like_the_training_data(fitted):
    score, (structure, *_), _ = fitted
    assert (scores(score, structure, rows_of(structure, 99)) > 1).mean() < 0.05


def test_new_samples_score_like_the_training_data_with_many_descriptors_too(spring_glasses):
    """A fifth as many as atoms: their principal axes fit the training atoms closely, and new ones not at all so."""

    def many(structure, seed):
        return np.random.default_rng(seed).normal(size=(len(structure), 200))

    structures = [sample.structure for sample in spring_glasses]
    rows = [many(structure, seed) for seed, structure in enumerate(structures)]
    members = [{"any": np.arange(len(structure))} for structure in structures]
    parts = [np.full(len(structure), number) for number, structure in enumerate(structures)]
    score = fit_extrapolation(structures, rows, members, parts, radius=4.0, components=4)
    assert (scores(score, structures[0], many(structures[0], 99)) > 1).mean() < 0.05


def test_a_small_shift_of_all_atoms_shows_because_regions_are_compared(fitted):
    score, (structure, *_), _ = fitted
    shifted = scores(score, structure, rows_of(structure, 99, shift=1.0))
    assert (shifted > 1).mean() > 0.5
    alone = np.linalg.norm(rows_of(structure, 99, shift=1.0) - CENTRE, axis=1) > np.quantile(
        np.linalg.norm(rows_of(structure, 98) - CENTRE, axis=1), 0.99
    )
    assert alone.mean() < 0.1


def test_noise_in_what_hardly_varies_among_the_training_atoms_shows(spring_glasses):
    """As at temperature: bonds of one shell are no longer alike, though no descriptor leaves its range."""

    def nearly_equal_pairs(structure, seed, difference):
        rows = rows_of(structure, seed)
        rows[:, 1] = rows[:, 0] + difference * rows[:, 5]
        return rows

    structures = [sample.structure for sample in spring_glasses]
    rows = [nearly_equal_pairs(structure, seed, 0.1) for seed, structure in enumerate(structures)]
    members = [{"any": np.arange(len(structure))} for structure in structures]
    parts = [np.full(len(structure), number) for number, structure in enumerate(structures)]
    score = fit_extrapolation(structures, rows, members, parts, radius=4.0, components=2)
    assert (scores(score, structures[0], nearly_equal_pairs(structures[0], 99, 0.1)) > 1).mean() < 0.05
    assert (scores(score, structures[0], nearly_equal_pairs(structures[0], 99, 0.4)) > 1).mean() > 0.5


def test_it_is_the_distance_of_averaged_coordinates_in_units_of_their_covariance(spring_glasses):
    """Two heads on two kinds of atoms, written down once more for one sample that is a part of its own."""
    structure = spring_glasses[0].structure
    rows = rows_of(structure, 5)
    members = {"even": np.arange(0, len(structure), 2), "odd": np.arange(1, len(structure), 2)}
    score = fit_extrapolation([structure], [rows], [members], [np.zeros(len(structure), int)], radius=4.0, components=2)
    coordinates = np.zeros((len(structure), 10))
    for head, atoms in enumerate(members.values()):
        standard = (rows[atoms] - rows[atoms].mean(axis=0)) / rows[atoms].std(axis=0)
        variances, axes = np.linalg.eigh(np.cov(standard.T))
        components = (standard @ axes / np.sqrt(variances + VARIANCE_FLOOR * variances.mean()))[:, ::-1]
        own = [
            components[:, :2],
            np.log((standard**2).mean(axis=1) + SMALLEST_SQUARE)[:, None],
            np.log((components**2).mean(axis=1) + SMALLEST_SQUARE)[:, None],
            np.ones((len(atoms), 1)),
        ]
        coordinates[atoms, 5 * head : 5 * head + 5] = np.hstack(own)
    vectors = structure.positions[:, None] - structure.positions
    vectors -= np.round(vectors @ np.linalg.inv(structure.cell)) @ structure.cell
    near = np.linalg.norm(vectors, axis=2) <= 4.0
    averages = near @ coordinates / near.sum(axis=1, keepdims=True)
    deviations = averages - averages.mean(axis=0)
    covariance = np.cov(averages.T) + VARIANCE_FLOOR * np.cov(averages.T).trace() / 10 * np.eye(10)
    distances = np.sqrt(np.einsum("ia,ab,ib->i", deviations, np.linalg.inv(covariance), deviations))
    embedding = np.full((len(structure), 10), np.nan, np.float32)
    for name, atoms in members.items():
        embedding[atoms] = score.embed(name, rows[atoms])
    np.testing.assert_allclose(
        score.evaluate(structure, embedding), distances / np.quantile(distances, 0.99), rtol=1e-3
    )


def test_atoms_with_an_undefined_descriptor_do_not_count(fitted):
    """The one of an atom without neighbours must not make those around it undefined."""
    score, (structure, *_), (rows, *_) = fitted
    rows = rows.copy()
    rows[3, 2] = np.nan
    embedding = score.embed("any", rows)
    found = score.evaluate(structure, embedding)
    embedding[3] = np.nan
    np.testing.assert_array_equal(found, score.evaluate(structure, embedding))
    assert np.isfinite(found).all()


def test_the_score_grows_with_the_distance(fitted):
    score, (structure, *_), _ = fitted
    medians = [np.median(scores(score, structure, rows_of(structure, 99, shift))) for shift in (0, 1, 3, 9)]
    assert medians == sorted(medians)


def header():
    return ModelHeader(
        kind="example",
        title="",
        summary="",
        species=("Cu",),
        cutoff=1.0,
        descriptor={},
        architecture={"extrapolation_radius": 4.0},
        output={},
        training={},
    )


def test_it_survives_storage(fitted):
    score, structures, rows = fitted
    again = ExtrapolationScore.from_tensors(header(), score.tensors(), ("any",), 6)
    np.testing.assert_array_equal(scores(again, structures[0], rows[0]), scores(score, structures[0], rows[0]))


def test_tensors_of_another_width_are_refused(fitted):
    score, *_ = fitted
    with pytest.raises(ModelError, match=r"extrapolation\.any\.mean"):
        ExtrapolationScore.from_tensors(header(), score.tensors(), ("any",), 7)


@pytest.mark.parametrize(("heads", "width"), [(1, 3), (1, 10), (2, 7)])
def test_coordinates_that_no_number_of_components_makes_are_refused(fitted, heads, width):
    """A head has three coordinates beside its components, at least one and at most one for each input."""
    tensors = {"extrapolation.centre": np.zeros(width), "extrapolation.whitening": np.eye(width)}
    names = ("any", "other")[:heads]
    for name in names:
        for part in ("mean", "spread", "axes"):
            tensors[f"extrapolation.{name}.{part}"] = fitted[0].tensors()[f"extrapolation.any.{part}"]
    with pytest.raises(ModelError, match=f"has {width} numbers, which {heads} heads"):
        ExtrapolationScore.from_tensors(header(), tensors, names, 6)
