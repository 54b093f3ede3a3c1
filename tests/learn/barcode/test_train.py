"""Trees, folds, ranking and reference on barcodes whose energy is known; models refused for too few runs."""

from dataclasses import replace

import numpy as np
import pytest
import ule_glasses
from ule_barcodes import HIGH, LOW, planted

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.barcode import train as ule_training
from ovito_glassml.learn.barcode.train import (
    PUBLISHED_TREES,
    TreeSettings,
    UleDesign,
    cross_validate,
    fit_reference,
    fit_trees,
    fold_of_runs,
    rank_environments,
    train_ule,
    tune,
)

QUICK = replace(PUBLISHED_TREES, eta=0.05)


@pytest.fixture(scope="module")
def table():
    return planted()


def test_runs_stay_together_and_fill_all_folds():
    runs = ["b", "a", "b", "c", "d", "a"]
    fold = fold_of_runs(runs, 2)
    assert fold.tolist() == [0, 1, 0, 0, 1, 1]
    for number in (1, 5):
        with pytest.raises(TrainingError, match="4 runs and"):
            fold_of_runs(runs, number)


def test_weights_of_children_follow_the_number_of_samples():
    assert PUBLISHED_TREES.parameters(10_000, 1)["min_child_weight"] == pytest.approx(82)
    assert PUBLISHED_TREES.parameters(500, 1)["min_child_weight"] == pytest.approx(4.1)


def test_trees_learn_the_planted_energy(table):
    validation = cross_validate(table, QUICK, folds=4)
    assert validation.error(table.energies) < 0.4 * table.energies.std()
    assert len(validation.rounds) == 4


def test_predictions_do_not_come_from_the_same_run(table):
    """Energies that say nothing but which run it is cannot be predicted from other runs."""
    offsets = np.repeat(np.random.default_rng(2).normal(size=8), 30)
    marked = replace(table, counts=np.random.default_rng(3).permutation(table.counts), energies=offsets)
    assert cross_validate(marked, QUICK, folds=4).error(offsets) > 0.8 * offsets.std()


def test_explanations_add_up_to_predictions(table):
    model = fit_trees(table.fractions, table.energies, QUICK, 60)
    base, values = model.explain(table.fractions)
    np.testing.assert_allclose(base + values.sum(axis=1), model.predict(table.fractions), atol=1e-8)
    assert base == pytest.approx(table.energies.mean(), abs=0.2 * table.energies.std())


def test_environments_that_decide_are_ranked_first(table):
    model = fit_trees(table.fractions, table.energies, QUICK, 100)
    ranking = rank_environments(model, table.fractions)
    assert ranking.order[0] == LOW
    assert HIGH in ranking.order[:2]
    assert abs(ranking.signed[LOW]) < 0.2 * ranking.magnitude[LOW]


def test_ranking_and_prediction_explain_alike(table):
    """The ranking is by the SHAP library, predictions are explained by XGBoost alone, which inference has."""
    model = fit_trees(table.fractions, table.energies, QUICK, 60)
    few = table.fractions[:50]
    _, values = model.explain(few)
    ranking = rank_environments(model, few)
    np.testing.assert_allclose(ranking.magnitude, np.abs(values).mean(axis=0), rtol=1e-5)


def test_tuning_stays_in_the_published_ranges_and_is_repeatable(table):
    part = table.of(np.arange(len(table)) % 3 == 0)
    calls = []
    settings, validation = tune(part, 4, folds=2, seed=2, progress=lambda fraction, text: calls.append(fraction))
    again, _ = tune(part, 4, folds=2, seed=2)
    assert settings == again
    assert isinstance(settings, TreeSettings)
    assert 20 <= settings.max_depth <= 40
    assert 0.01 <= settings.eta <= 0.05
    assert 0.4 <= settings.subsample <= 1
    assert validation.error(part.energies) <= cross_validate(part, PUBLISHED_TREES, 2, 2).error(part.energies) + 1e-12
    assert calls[-1] == pytest.approx(1)


def test_the_reference_follows_the_energy(table):
    reference = fit_reference(table)
    assert (np.diff(reference.energies) > 0).all()
    np.testing.assert_allclose(reference.fractions.sum(axis=1), 1)
    assert reference.atoms.sum() == table.counts.sum()
    assert np.corrcoef(reference.energies, reference.fractions[:, LOW])[0, 1] < -0.95
    few = fit_reference(table.of(np.arange(10)))
    assert len(few.energies) == 1


def test_equal_energies_are_refused(table):
    with pytest.raises(TrainingError, match="same energy"):
        fit_trees(table.fractions, np.full(len(table), -4.6), QUICK, 5)


def test_fewer_runs_than_folds_are_refused_before_any_work():
    with pytest.raises(TrainingError, match="3 runs and 5 folds"):
        train_ule(ule_glasses.samples(), None)


def test_a_card_says_what_the_environments_are():
    model = ule_glasses.model()
    tables = {table.title: table for table in model.header.results}
    assert len(tables["Environments"].rows) == 20
    assert tables["Environments"].rows[3][0] == model.names[3]
    assert model.header.training["composition"] == {"Cu": [0.5, 0.5], "Zr": [0.5, 0.5]}
    assert model.header.training["samples"] == ["shear-1", "shear-2"]
    assert model.header.training["structures"] == 10
    assert model.header.training["environments_found"] > 100


def test_samples_without_any_match_are_refused():
    samples = ule_glasses.samples()[:4]
    model = ule_glasses.model()
    table = planted(runs=2, each=2)
    empty = replace(table, counts=np.zeros_like(table.counts))
    with pytest.raises(TrainingError, match="No atom is similar"):
        ule_training.build_model(samples, None, empty, None, design=ule_glasses.SMALL, training=model.header.training)


@pytest.mark.parametrize("wrong", [{"environments": 0}, {"trials": -1}, {"share": 0.0}, {"similarity": 1.5}], ids=str)
def test_impossible_designs_are_refused(wrong):
    with pytest.raises(TrainingError, match=f"{next(iter(wrong))} is"):
        UleDesign(**wrong)
