"""Scores against cases whose answer is known."""

import numpy as np
import pytest

from ovito_glassml.labels.vibrations import BOLTZMANN_EV
from ovito_glassml.learn.card import table_markdown
from ovito_glassml.learn.stiffness.evaluate import (
    SampleScore,
    extreme_rdfs,
    label_reliability,
    radius_scan,
    rate_differences,
    score_sample,
    score_table,
    separation_table,
)
from ovito_glassml.learn.units import METAL


def test_scores_of_a_sample_are_what_numpy_says(species_model, spring_glasses):
    sample = spring_glasses[2]
    score = score_sample(species_model, sample)
    prediction = species_model.predict(sample.structure)
    assert score.correlation == pytest.approx(np.corrcoef(prediction.stiffness, sample.stiffness)[0, 1])
    assert score.bias == pytest.approx(prediction.stiffness.mean() / sample.stiffness.mean() - 1)
    assert score.error == pytest.approx(np.sqrt(np.mean((prediction.stiffness - sample.stiffness) ** 2)))
    assert score.extrapolating == pytest.approx((prediction.extrapolation > 1).mean())


def test_atoms_without_a_label_do_not_count(species_model, spring_glasses):
    structure, stiffness, name = spring_glasses[2][:3]
    wrong = stiffness.copy()
    wrong[:100] = np.nan
    score = score_sample(species_model, type(spring_glasses[2])(structure, wrong, name))
    assert score.measured_mean == pytest.approx(stiffness[100:].mean())
    assert np.isfinite(score.coarse)


def test_another_structure_may_be_shown(species_model, spring_glasses):
    sample, other = spring_glasses[2], spring_glasses[1]
    score = score_sample(species_model, sample, other.structure)
    assert abs(score.correlation) < 0.3
    assert score.measured_mean == pytest.approx(sample.stiffness.mean())


def test_reliability_of_known_noise():
    """Six readings of a truth of unit variance, each with noise of unit variance: √(6/7)."""
    rng = np.random.default_rng(1)
    temperatures = np.linspace(50, 300, 6)
    stiffness = 20 + rng.normal(size=(200_000, 1)) + rng.normal(size=(200_000, 6))
    msd = BOLTZMANN_EV * temperatures / stiffness
    assert label_reliability(msd, temperatures) == pytest.approx(np.sqrt(6 / 7), abs=0.005)


def test_extreme_rdfs_tell_soft_surroundings_from_stiff_ones(spring_glasses):
    structure, stiffness, _ = spring_glasses[0][:3]
    radii, functions = extreme_rdfs(structure, {"measured": stiffness}, fraction=0.2)
    near = (radii > 2.5) & (radii < 3.5)
    assert functions["measured stiffest"][near].mean() > functions["all"][near].mean()
    assert functions["measured softest"][near].mean() < functions["all"][near].mean()


def test_averaging_removes_noise_without_correlation(spring_glasses):
    structure = spring_glasses[0].structure
    smooth = np.cos(2 * np.pi * structure.positions[:, 0] / structure.cell[0, 0])
    noisy = smooth + np.random.default_rng(1).normal(size=len(smooth))
    scan = radius_scan(structure, smooth, noisy, radii=(0.0, 4.0, 6.0))
    assert scan["correlation"][0] < 0.7 < 0.95 < scan["correlation"][2]
    np.testing.assert_array_equal(scan["radius"], [0, 4, 6])
    assert (np.diff(scan["measured_spread"]) < 0).all()


def score(name, predicted, measured):
    return SampleScore(name, 0.8, 0.7, predicted, measured, 0.1, 0.01)


def test_differences_between_rates():
    scores = [score("a", 1.0, 1.0), score("b", 1.2, 1.1), score("c", 1.3, 1.2)]
    table = rate_differences(scores, {"a": "fast", "b": "slow", "c": "slow"})
    ((label, predicted, measured, ratio),) = table.rows
    assert label == "slow minus fast"
    assert (predicted, measured, ratio) == pytest.approx((0.25, 0.15, 0.25 / 0.15))


def test_table_of_scores_states_the_bias_in_percent():
    table = score_table("title", [score("a", 0.97, 1.0)], "note", units=METAL)
    assert "RMSE (eV/Å²)" in table.columns
    assert table.rows[0][3] == "-3.0 %"
    assert "note" in table_markdown(table)


def test_compressed_glass_is_told_from_glass(species_model, spring_glasses):
    structure = spring_glasses[2].structure
    squeezed = type(structure)(
        0.93 * structure.positions,
        structure.species,
        structure.species_names,
        0.93 * structure.cell,
        structure.origin,
        structure.pbc,
    )
    table = separation_table(species_model, [structure], {"squeezed": squeezed})
    assert table.rows[1][0] == "squeezed"
    assert table.rows[1][1] > 0.9
