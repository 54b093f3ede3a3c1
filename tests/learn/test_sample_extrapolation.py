"""The score of whole samples, whose means scatter by what differs between samples and by what is left of atoms."""

from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.learn.barcode.model import UleModel
from ovito_glassml.learn.extrapolation import fit_extrapolation
from ovito_glassml.learn.format import ModelError, read_model
from ovito_glassml.learn.sample_extrapolation import Blocks, SampleScore, fit_sample_score
from ovito_glassml.learn.stiffness.model import StiffnessModel
from ovito_glassml.reproduce.sample_scores import give_sample_score
from ovito_glassml.reproduce.stiffness import read_samples
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.sample_data import sample_file, stiffness_samples

#: Spread of atoms and of samples, in three coordinates.
WITHIN, BETWEEN = np.array([2.0, 1.0, 0.5]), np.array([0.2, 0.05, 0.01])


def cube(count, rng):
    return Structure(rng.uniform(0, count ** (1 / 3), (count, 3)), np.zeros(count, int), ("A",))


def sample(count, rng, shift=0.0):
    own = rng.normal(size=3) * BETWEEN + shift
    return cube(count, rng), own + rng.normal(size=(count, 3)) * WITHIN


def fitted(samples):
    return fit_sample_score([Blocks.of(*one) for one in samples])


def test_many_samples_give_back_the_scatter_they_were_drawn_with():
    rng = np.random.default_rng(0)
    score = fitted([sample(2000, rng) for _ in range(300)])
    covariance = np.linalg.inv(score.axes @ score.axes.T)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), WITHIN, rtol=0.1)
    between = np.linalg.inv(score.axes).T @ np.diag(score.between) @ np.linalg.inv(score.axes)
    np.testing.assert_allclose(np.sqrt(np.diag(between))[:2], BETWEEN[:2], rtol=0.25)


@pytest.mark.parametrize("count", [400, 2000, 20000])
def test_distances_of_new_samples_are_those_of_three_unit_normals_whatever_their_size(count):
    rng = np.random.default_rng(1)
    score = fitted([sample(2000, rng) for _ in range(300)])
    squares = [score.evaluate(sample(count, rng)[1]) ** 2 for _ in range(200)]
    assert np.mean(squares) == pytest.approx(3, rel=0.25)


def test_the_distance_is_that_of_the_mean_in_units_of_its_scatter():
    score = SampleScore(np.array([1.0, 2.0]), np.diag([2.0, 0.5]), np.array([0.25, 0.01]), 3.0)
    embedding = np.array([[1.5, 2.0], [2.5, 6.0], [np.nan, np.nan]])
    expected = np.sqrt((2.0 * 1.0) ** 2 / (0.25 + 1 / 2) + (0.5 * 2.0) ** 2 / (0.01 + 1 / 2)) / 3
    assert score.evaluate(embedding) == pytest.approx(expected)
    assert np.isnan(score.evaluate(np.full((4, 2), np.nan)))


def test_one_or_two_samples_are_taken_to_differ_as_much_as_their_blocks():
    rng = np.random.default_rng(2)
    score = fitted([sample(1600, rng)])
    np.testing.assert_allclose(score.between, 1 / 100)


def test_blocks_are_compact_and_hold_every_atom_that_has_coordinates():
    rng = np.random.default_rng(3)
    structure, coordinates = sample(1000, rng)
    coordinates[::10] = np.nan
    blocks = Blocks.of(structure, coordinates)
    assert blocks.total == 900
    assert blocks.counts.min() >= 100
    np.testing.assert_allclose(blocks.mean, np.nanmean(coordinates, axis=0))
    positions = Blocks.of(structure, structure.positions)
    assert positions.means.std(axis=0) == pytest.approx(structure.positions.std(axis=0), rel=0.2)


def test_what_composition_explains_does_not_hide_another_state():
    """A shift that is small beside what compositions differ by, and large between samples of one composition."""
    rng = np.random.default_rng(5)

    def composed(share, shift=0.0):
        structure, coordinates = sample(2000, rng, shift)
        kinds = (np.arange(2000) < share * 2000).astype(float)
        coordinates[:, 0] += 20.0 * (share - 0.5)
        return structure, np.column_stack([coordinates, kinds, 1 - kinds])

    blocks = [Blocks.of(*composed(share)) for share in np.linspace(0.35, 0.8, 20)]
    shift = np.array([0.0, 0.0, 0.5])
    known, foreign = ([composed(0.6, moved)[1] for _ in range(10)] for moved in (0.0, shift))
    alike = [Blocks.of(*composed(0.6)) for _ in range(20)]
    apart, together, alone = (
        np.mean([score.evaluate(one) for one in foreign]) / np.mean([score.evaluate(one) for one in known])
        for score in (fit_sample_score(blocks, slice(3, 5)), fit_sample_score(blocks), fit_sample_score(alike))
    )
    assert apart > 0.7 * alone  # as well as if all samples had one composition
    assert together < 0.7 * apart


def test_a_shift_that_marks_no_atom_marks_the_sample():
    rng = np.random.default_rng(4)
    structures = [cube(2000, rng) for _ in range(8)]
    rows = [rng.normal(size=(2000, 5)) for _ in structures]
    members = [{"any": np.arange(2000)} for _ in structures]
    parts = [np.full(2000, number) for number in range(8)]
    score = fit_extrapolation(structures, rows, members, parts, radius=2.0)
    for shift, marked in ((0.0, False), (0.15, True)):
        embedding = score.embed("any", rng.normal(size=(2000, 5)) + shift)
        assert (score.evaluate(structures[0], embedding) > 1).mean() < 0.1
        assert (score.evaluate_sample(embedding) > 1) == marked


@pytest.fixture(scope="module")
def model():
    return StiffnessModel.load("stiffness-cuzr")


def test_glasses_kept_aside_are_of_the_training_kind_and_other_states_are_not(model):
    for file in stiffness_samples()[1]:
        assert model.predict(read_snapshot(file).structure).sample_extrapolation < 1
    foreign = (
        "stiffness/foreign/liquid-at-2000-k-minimised.xyz.gz",
        "barcode/liquid-zr44cu56-1050K.xyz.gz",
        "stiffness/snapshots/300K-vibrations-cu50zr50-1e12-1.xyz.gz",
        "stiffness/snapshots/300K-harmonic-cu80zr20-1e13-3.xyz.gz",
    )
    for name in foreign:
        assert model.predict(read_snapshot(sample_file(name)).structure).sample_extrapolation > 1, name


def test_the_barcode_knows_a_supercooled_liquid_whose_atoms_look_familiar():
    """Its energy is wrong by six times what samples differ by, and hardly an atom is marked."""
    barcode = UleModel.load("ule-zr44cu56")
    glass = barcode.predict(read_snapshot(sample_file("barcode/glass-zr44cu56.xyz.gz")).structure)
    assert glass.sample_extrapolation < 0.6
    liquid = read_snapshot(sample_file("barcode/liquid-zr44cu56-1050K.xyz.gz"))
    told = barcode.predict(liquid.structure)
    assert abs(told.energy - float(liquid.header["energy_per_atom"])) > 0.01
    assert (told.extrapolation > 1).mean() < 0.1
    assert told.energy_in_range
    assert told.sample_extrapolation > 1.1


def test_selected_atoms_are_the_sample(model):
    structure = read_snapshot(stiffness_samples()[1][0]).structure
    left = structure.positions[:, 0] < 20
    assert model.predict(replace(structure, mask=left)).sample_extrapolation < 1.2
    assert np.isnan(model.predict(replace(structure, mask=np.zeros_like(left))).sample_extrapolation)


def test_models_without_the_score_say_nothing_and_get_it_from_training_structures(model):
    header, tensors = read_model("stiffness-cuzr", "stiffness")
    old = StiffnessModel.from_tensors(header, {k: v for k, v in tensors.items() if not k.startswith("sample.")})
    learned = {one.name: [one.structure] for one in read_samples(sample_file("README.md").parent)}
    learned = {name: learned[name] for name in header.training["samples"]}
    glass = read_snapshot(stiffness_samples()[0][0]).structure
    before = old.predict(glass)
    assert np.isnan(before.sample_extrapolation)
    scored = give_sample_score(old, learned)
    after = scored.predict(glass)
    np.testing.assert_array_equal(after.stiffness, before.stiffness)
    np.testing.assert_array_equal(after.extrapolation, before.extrapolation)
    assert after.sample_extrapolation == pytest.approx(model.predict(glass).sample_extrapolation, rel=1e-3)


def test_negative_variances_are_refused():
    header, tensors = read_model("stiffness-cuzr", "stiffness")
    with pytest.raises(ModelError, match="variances between samples are negative"):
        StiffnessModel.from_tensors(header, tensors | {"sample.between": -tensors["sample.between"]})
