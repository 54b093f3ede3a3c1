"""Where a glass keeps its energy: sums that must hold, errors that say how far means scatter, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import ule_glasses

from ovito_glassml.learn.barcode.budget import NONE, BudgetError, EnergyBudget, difference
from ovito_glassml.structure import Structure


@pytest.fixture(scope="module")
def model():
    return ule_glasses.soft_model()


@pytest.fixture(scope="module")
def glasses():
    """Two structures that the model was not trained on."""
    return [sample.structure for sample in ule_glasses.samples()[-2:]]


def budget(model, structure):
    return model.budget(structure, model.predict(structure))


def test_the_account_is_that_of_the_atoms(model, glasses):
    glass = glasses[0]
    found, prediction = budget(model, glass), model.predict(glass)
    assert found.names == (*model.names, NONE)
    for row in (0, 3, len(model)):
        members = prediction.environment == (row if row < len(model) else -1)
        assert found.shares.values[row] == pytest.approx(members.mean())
        assert found.energies.values[row] == pytest.approx(prediction.contribution[members].mean())
    assert found.base == pytest.approx(prediction.base, abs=1e-9)
    assert found.base + found.deposits.values.sum() == pytest.approx(prediction.energy, abs=2e-8)
    assert found.energy.values == pytest.approx(prediction.energy, abs=2e-8)


def test_only_selected_atoms_are_counted(model, glasses):
    chosen = np.arange(len(glasses[0])) % 2 == 0
    glass = replace(glasses[0], mask=chosen)
    prediction = model.predict(glass)
    found = model.budget(glass, prediction)
    assert found.counts.sum() == chosen.sum()
    assert found.energy.values == pytest.approx(prediction.energy, abs=2e-8)


def test_a_difference_is_the_sum_of_its_parts(model, glasses):
    first, second = (budget(model, glass) for glass in glasses)
    found, back = difference(first, second), difference(second, first)
    expected = model.predict(glasses[0]).energy - model.predict(glasses[1]).energy
    assert found.total.values == pytest.approx(expected, abs=4e-8)
    parts = found.from_shares.values.sum() + found.from_energies.values.sum() + found.from_composition
    assert parts == pytest.approx(expected, abs=4e-8)
    np.testing.assert_allclose(found.by_environment, -back.by_environment, atol=1e-12)
    np.testing.assert_allclose(found.total.errors, back.total.errors)
    assert difference(first, first).total.values == 0
    np.testing.assert_array_equal(difference(first, first).by_environment, 0)


def test_shares_and_energies_are_told_apart():
    """Half of the atoms at 1 eV and half at 3: either more of them are at 3, or those go up to 4."""
    half, more, higher = (
        account([[50, 50]], [[50, 150]]),
        account([[25, 75]], [[25, 225]]),
        account([[50, 50]], [[50, 200]]),
    )
    by_shares, by_energies = difference(more, half), difference(higher, half)
    assert by_shares.from_shares.values.sum() == pytest.approx(0.5)
    assert by_shares.from_energies.values.sum() == pytest.approx(0)
    # The more there are of the high ones, and the fewer of the low, the higher: both count from the mean, 2.25 eV.
    np.testing.assert_allclose(by_shares.from_shares.values, [-0.25 * (1 - 2.25), 0.25 * (3 - 2.25)])
    np.testing.assert_allclose(by_energies.from_energies.values, [0, 0.5])
    np.testing.assert_allclose(by_energies.from_shares.values, 0, atol=1e-12)


def test_an_environment_that_one_glass_lacks_is_a_matter_of_shares():
    without, there = account([[100, 0]], [[100, 0]]), account([[50, 50]], [[50, 150]])
    found = difference(there, without)
    np.testing.assert_allclose(found.from_energies.values, 0)
    assert found.from_shares.values.sum() == found.total.values == pytest.approx(1.0)
    assert np.isnan(without.energies.values[1])


def test_another_composition_has_a_part_of_its_own():
    first, second = account([[50, 50]], [[5, 5]], base=[-300]), account([[50, 50]], [[5, 5]], base=[-400])
    found = difference(first, second)
    assert found.from_composition == found.total.values == pytest.approx(1.0)


def test_errors_are_those_of_repeated_draws():
    """Two hundred samples of eight boxes: the stated error is the scatter of the samples."""
    random = np.random.default_rng(5)

    def drawn():
        counts = random.multinomial(100, [0.2, 0.3, 0.5], size=8)
        sums = counts * [1.0, 2.0, 4.0] + random.normal(size=(8, 3)) * np.sqrt(counts)
        return account(counts, sums)

    samples = [drawn() for _ in range(200)]
    for quantity in ("shares", "energies", "deposits"):
        values = np.array([getattr(sample, quantity).values for sample in samples])
        errors = np.array([getattr(sample, quantity).errors for sample in samples])
        np.testing.assert_allclose(errors.mean(axis=0), values.std(axis=0), rtol=0.2)
    totals = np.array([difference(*pair).total for pair in zip(samples[::2], samples[1::2], strict=True)])
    assert totals[:, 1].mean() == pytest.approx(totals[:, 0].std(), rel=0.2)


def test_samples_together_are_parts_and_one_alone_has_no_error(model, glasses):
    wholes = [budget(model, glass).whole() for glass in glasses]
    assert np.isnan(wholes[0].energies.errors).all()
    assert np.isnan(wholes[0].energy.errors)
    together = wholes[0] + wholes[1]
    assert len(together.counts) == 2
    assert together.energy.values == pytest.approx(np.mean([whole.energy.values for whole in wholes]))
    assert np.isfinite(together.energy.errors)


def test_boxes_hold_every_atom_also_without_a_cell_and_in_tilted_ones(model, glasses):
    glass = glasses[0]
    cluster = Structure(glass.positions, glass.species, glass.species_names)
    tilted = replace(glass, cell=np.asarray(glass.cell) @ np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]]).T)
    for structure in (glass, cluster, tilted):
        found = budget(model, structure)
        assert found.counts.sum() == len(structure)
        assert len(found.counts) >= 8


def test_what_is_refused(model, glasses):
    trees = ule_glasses.model()
    with pytest.raises(BudgetError, match="come from trees"):
        budget(trees, glasses[0])
    atom = Structure([[0.0, 0, 0]], [0], ("Cu",))
    with pytest.raises(BudgetError, match="No atom of the sample has neighbours"):
        budget(model, atom)
    other = account([[1, 1]], [[0, 0]])
    with pytest.raises(BudgetError, match="Two models"):
        difference(budget(model, glasses[0]), other)
    with pytest.raises(BudgetError, match="Two models"):
        other + budget(model, glasses[0])


def account(counts, sums, base=None):
    counts, sums = np.array(counts, dtype=float), np.array(sums, dtype=float)
    names = tuple("abc"[: counts.shape[1]])
    return EnergyBudget(names, counts, sums, np.zeros(len(counts)) if base is None else np.array(base, dtype=float))
