"""Energies from similarities: against plain least squares, exact models, and the sums that contributions must have."""

import numpy as np
import pytest

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.barcode import energy as ule_similarity
from ovito_glassml.learn.barcode.energy import (
    SoftBarcodes,
    choose_by_energy,
    fit_energy,
    kernel,
    moments_of,
    total_moments,
)

FEATURES, ENVIRONMENTS, ATOMS, SAMPLES = 12, 6, 120, 20
OWN = np.array([0, 1, 0, 1, 0, 1])


def rows_of(random, count):
    rows = np.abs(random.normal(size=(count, FEATURES)))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def world():
    """Atoms whose energies follow from similarities with environments 1, 2 and 4 exactly."""
    random = np.random.default_rng(7)
    environments = rows_of(random, ENVIRONMENTS)
    weights = np.array([0, 2.0, -1.0, 0, 0.5, 0])
    samples = []
    for _ in range(SAMPLES):
        rows, species = rows_of(random, ATOMS), random.permutation(ATOMS) % 2
        kernels = kernel(rows @ environments.T, species, OWN)
        samples.append((rows, species, kernels @ weights + np.array([-3.5, -6.5])[species]))
    return environments, weights, samples


@pytest.fixture(scope="module")
def collected(world):
    environments, _, samples = world
    soft = SoftBarcodes(environments, OWN, SAMPLES, 2, every=1)
    for number, (rows, species, energies) in enumerate(samples):
        for part in (slice(0, 70), slice(70, None)):
            soft.add(number, rows[part], species[part], ATOMS, number % 4, energies[part])
    return soft


def by_fold(soft, world):
    energies = np.array([energies.mean() for _, _, energies in world[2]])
    fold = np.arange(SAMPLES) % 4
    parts = [(soft.means[fold == k], soft.shares[fold == k], energies[fold == k]) for k in range(4)]
    return [soft.moments[k] for k in range(4)], parts


def test_the_kernel_is_the_scalar_product_within_a_species():
    products = np.array([[0.5, -0.3, 1.0]], dtype=np.float32)
    np.testing.assert_allclose(kernel(products, np.array([0]), np.array([0, 0, 1])), [[0.5, -0.3, 0]])


def test_means_and_moments_do_not_depend_on_how_atoms_are_fed(world, collected):
    environments, _, samples = world
    rows, species, energies = samples[3]
    kernels = kernel(rows @ environments.T, species, OWN).astype(float)
    np.testing.assert_allclose(collected.means[3], kernels.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(collected.shares[3], [0.5, 0.5])
    whole = moments_of(kernels, species, energies, 2)
    halves = [moments_of(kernels[part], species[part], energies[part], 2) for part in (slice(0, 50), slice(50, None))]
    np.testing.assert_allclose((halves[0] + halves[1]).squares, whole.squares)
    assert (halves[0] + halves[1]).atoms == ATOMS
    np.testing.assert_allclose(whole.of(np.array([2, 0]), ENVIRONMENTS).squares[0, 1], kernels[:, 2] @ kernels[:, 0])


def test_one_atom_in_so_many_enters_the_moments(world):
    environments, _, samples = world
    rows, species, energies = samples[0]
    soft = SoftBarcodes(environments, OWN, 1, 2, every=4)
    soft.add(0, rows, species, ATOMS, 0, energies)
    assert soft.moments[0].atoms == ATOMS / 4
    soft.add(0, rows, species, ATOMS)  # nothing to learn from
    assert soft.moments[0].atoms == ATOMS / 4


def test_an_exact_model_is_found(world, collected):
    energy, predicted, _ = fit_energy(*by_fold(collected, world), OWN)
    np.testing.assert_allclose(energy.weights, world[1], atol=1e-3)
    np.testing.assert_allclose(energy.offsets, [-3.5, -6.5], atol=1e-3)
    measured = np.concatenate([energies for _, _, energies in by_fold(collected, world)[1]])
    np.testing.assert_allclose(predicted, measured, atol=1e-5)


def test_environments_that_matter_are_chosen_first(world, collected):
    folds, parts = by_fold(collected, world)
    together = tuple(np.concatenate([part[k] for part in parts]) for k in range(3))
    order = choose_by_energy(total_moments(folds), together, ENVIRONMENTS, 4)
    assert set(order[:3].tolist()) == {1, 2, 4}
    assert sorted(choose_by_energy(total_moments(folds), together, ENVIRONMENTS, 99)) == list(range(ENVIRONMENTS))


def test_what_forward_selection_misses_is_found_by_exchange():
    """Environment 2 looks like the sum of 0 and 1 and is taken first, but these two explain everything."""
    random = np.random.default_rng(3)
    kernels = random.normal(size=(400, 4))
    kernels[:, 2] = kernels[:, 0] + kernels[:, 1] + 0.3 * random.normal(size=400)
    energies = kernels[:, 0] + kernels[:, 1]
    moments = moments_of(kernels, np.zeros(400, dtype=int), energies, 1)
    soft = kernels.reshape(20, 20, 4).mean(axis=1), np.ones((20, 1)), energies.reshape(20, 20).mean(axis=1)
    assert choose_by_energy(moments, soft, 4, 1).tolist() == [2]
    assert set(choose_by_energy(moments, soft, 4, 2).tolist()) == {0, 1}


def test_strong_ridge_and_no_weight_of_samples_is_plain_ridge_regression(world, collected, monkeypatch):
    monkeypatch.setattr(ule_similarity, "CHOICES", (ule_similarity.Strengths(0.0, 0.1),))
    energy, _, strengths = fit_energy(*by_fold(collected, world), OWN)
    assert strengths.ridge == 0.1
    environments, _, samples = world
    species = np.concatenate([one[1] for one in samples])
    kernels = kernel(np.concatenate([one[0] for one in samples]) @ environments.T, species, OWN).astype(float)
    energies = np.concatenate([one[2] for one in samples])
    for kind in (0, 1):
        kernels[species == kind] -= kernels[species == kind].mean(axis=0)
        energies[species == kind] -= energies[species == kind].mean()
    penalty = 0.1 * kernels.var(axis=0).mean() * len(kernels) * np.eye(ENVIRONMENTS)
    expected = np.linalg.solve(kernels.T @ kernels + penalty, kernels.T @ energies)
    np.testing.assert_allclose(energy.weights, expected, rtol=1e-4)


def test_contributions_add_up_to_the_energy_of_a_sample(world, collected):
    energy, _, _ = fit_energy(*by_fold(collected, world), OWN)
    environments, _, samples = world
    rows, species, energies = samples[5]
    kernels = kernel(rows @ environments.T, species, OWN)
    shares = np.array([0.5, 0.5])
    means = kernels.mean(axis=0, dtype=float)
    whole = float(energy.predict(means, shares))
    assert whole == pytest.approx(energies.mean(), abs=1e-4)
    assert energy.base(shares) + energy.contributions(means, shares).sum() == pytest.approx(whole)
    assert energy.base(shares) + energy.differences(kernels, species).mean() == pytest.approx(whole, abs=1e-6)
    typical = np.mean([one[2][one[1] == 1].mean() for one in samples])
    assert energy.typical[1] == pytest.approx(typical, abs=1e-3)


def test_one_fold_cannot_judge_itself(world, collected):
    folds, parts = by_fold(collected, world)
    with pytest.raises(TrainingError, match="1 fold"):
        fit_energy(folds[:1], parts[:1], OWN)
