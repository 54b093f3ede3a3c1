"""Training: it finds springs that are known, keeps its folds apart, and repeats itself bit for bit."""

import re

import numpy as np
import pytest

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.stiffness import train as stiffness_training
from ovito_glassml.learn.stiffness.data import BY_SPECIES, PUBLISHED, LabelledSample, describe_samples
from ovito_glassml.learn.stiffness.train import scan_networks, train
from ovito_glassml.progress import silent
from ovito_glassml.structure import Structure


def correlation(model, sample):
    return np.corrcoef(model.predict(sample.structure).stiffness, sample.stiffness)[0, 1]


def test_springs_are_found_on_a_sample_never_seen(species_model, spring_glasses):
    assert correlation(species_model, spring_glasses[2]) > 0.97


def test_the_mean_of_a_sample_never_seen_is_right(species_model, spring_glasses):
    sample = spring_glasses[2]
    predicted = species_model.predict(sample.structure).stiffness.mean()
    assert predicted == pytest.approx(sample.stiffness.mean(), rel=0.01)


def test_a_model_blind_to_species_cannot_know_which_spring_is_which(published_model, species_model, spring_glasses):
    assert correlation(published_model, spring_glasses[2]) < correlation(species_model, spring_glasses[2]) - 0.1


def test_published_design_is_the_published_one(published_model):
    assert published_model.features.descriptor.cutoff == 10.0
    assert published_model.features.width == 40
    assert published_model.heads["any"].hidden.shape == (5, 40, 200)
    assert not published_model.heads["any"].linear.any()


def test_header_says_what_the_model_is(species_model, spring_glasses):
    header = species_model.header
    assert header.species == ("Cu", "Zr")
    assert header.training["samples"] == ["sample-1", "sample-2"]
    assert header.training["atoms"] == sum(len(sample.structure) for sample in spring_glasses[:2])
    spacing = header.architecture["nearest_neighbour_distance"]
    assert header.cutoff == pytest.approx(spacing * (BY_SPECIES.r_max + BY_SPECIES.neighbour_cutoff))


def test_training_again_gives_the_same_bits_and_another_seed_does_not(spring_glasses):
    first, second, other = (train(spring_glasses[:1], design=PUBLISHED, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.heads["any"].hidden, second.heads["any"].hidden)
    assert not np.array_equal(first.heads["any"].hidden, other.heads["any"].hidden)


def test_atoms_without_labels_are_left_out(spring_glasses):
    structure, stiffness, name = spring_glasses[0][:3]
    most = np.where(np.arange(len(structure)) % 4 != 0, stiffness, np.nan)
    model = train([(structure, most, name)])
    assert model.header.training["atoms"] == np.isfinite(most).sum()
    assert correlation(model, spring_glasses[2]) > 0.8


def test_networks_never_do_harm_because_they_start_from_nothing(spring_glasses):
    """Targets that are pure noise: the best round is an early one and predictions stay near zero."""
    rng = np.random.default_rng(1)
    inputs, noise = rng.normal(size=(400, 20)), rng.normal(size=400)
    held = np.arange(400) % 5 == 0
    network = stiffness_training._fit_network(inputs, noise, held, ("ReLU", 1, 32), seed=1)
    assert np.mean((network(inputs[held]) - noise[held]) ** 2) <= np.mean(noise[held] ** 2) * (1 + 1e-6)


def test_networks_learn_what_is_not_linear():
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(3000, 3))
    targets = np.abs(inputs[:, 0]) * inputs[:, 1]
    held = np.arange(3000) % 5 == 0
    network = stiffness_training._fit_network(inputs, targets, held, ("ReLU", 1, 32), seed=1)
    assert np.corrcoef(network(inputs[held]), targets[held])[0, 1] > 0.95


@pytest.mark.filterwarnings("error::RuntimeWarning")  # of means over nothing
def test_species_may_be_spread_over_samples(spring_glasses):
    structure, stiffness, _ = spring_glasses[0][:3]
    pure = Structure(structure.positions, np.zeros(len(structure)), ("Zr",), structure.cell, pbc=(True, True, True))
    model = train([spring_glasses[0], (pure, stiffness, "pure Zr")])
    assert model.species == ("Cu", "Zr")
    prediction = model.predict(structure)
    assert np.isfinite(prediction.extrapolation).all()
    assert 0 < prediction.sample_extrapolation < 3


def test_progress_says_how_much_time_is_left(spring_glasses):
    reports = []
    train(spring_glasses[:1], design=PUBLISHED, progress=lambda fraction, text: reports.append((fraction, text)))
    fractions = [fraction for fraction, _ in reports]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert any(re.search(r"about \d+ s left", text) for _, text in reports)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ("none", "no labelled structures"),
        ("short", r"labels of shape \(3,\) for 343 atoms"),
        ("empty", "0 atoms with a finite stiffness"),
        ("rare", "only 5 labelled atoms of species Zr"),
    ],
)
def test_useless_data_are_refused(samples, message, spring_glasses):
    structure, stiffness, name = spring_glasses[0][:3]
    rare = np.zeros(len(structure), dtype=int)
    rare[:5] = 1
    mostly_copper = Structure(structure.positions, rare, ("Cu", "Zr"), structure.cell, pbc=(True, True, True))
    cases = {
        "none": [],
        "short": [LabelledSample(structure, np.ones(3), name)],
        "empty": [LabelledSample(structure, np.full(len(structure), np.nan), name)],
        "rare": [LabelledSample(mostly_copper, stiffness, name)],
    }
    with pytest.raises(TrainingError, match=message):
        train(cases[samples])


def test_scan_covers_activations_depths_and_widths(spring_glasses):
    table = scan_networks(spring_glasses[:2])
    assert [row[:2] for row in table.rows[3:7]] == [
        ("ReLU, 1 hidden", 200),
        ("ReLU, 1 hidden", 400),
        ("sigmoid, 1 hidden", 200),
        ("tanh, 1 hidden", 200),
    ]
    scores = [row[2] for row in table.rows]
    assert min(scores) > 0.2
    assert table.note == "Mean of 5 folds of sample-1, sample-2."


def test_of_few_samples_the_extrapolation_score_leaves_out_whole_ones(spring_glasses):
    """Or a glass never seen, which differs from all as much as they do from each other, would pass for a stranger."""
    model = train(spring_glasses[:2], design=PUBLISHED)
    data = describe_samples(spring_glasses[:2], PUBLISHED, silent)
    assert [set(fold.tolist()) for fold in data.sample_folds] == [{0}, {1}]
    assert (model.predict(spring_glasses[2].structure).extrapolation > 1).mean() < 0.2
