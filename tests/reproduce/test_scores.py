"""The table of everything kept aside: its columns, and its numbers against direct recomputation."""

from dataclasses import fields, replace

import numpy as np
import pytest
import sklearn.metrics

from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.learn.format import list_models, read_header
from ovito_glassml.learn.model import load_model
from ovito_glassml.learn.stiffness.model import CAGE_STIFFNESS, STIFFNESS
from ovito_glassml.reproduce import scores as module
from ovito_glassml.reproduce.scored import Scored, read_scores, scores_table, write_scores
from ovito_glassml.reproduce.scores import Shown, agreement, scores
from ovito_glassml.simulate.snapshots import read_frames
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.sample_data import sample_file

SAMPLES = sample_file("stiffness/vibrations-cu50zr50-1e12-1.xyz.gz").parents[1]
STORED = read_scores()


def stored(model, sample, state="at rest"):
    (row,) = [one for one in STORED if (one.model, one.sample, one.state) == (model, sample, state)]
    return row


def folder_with(tmp_path, *names):
    """A folder like the sample data with few of its files."""
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((SAMPLES / name).read_bytes())
    return tmp_path


def means_within(positions, cell, values, radius):
    """Mean over all atoms within a radius, by all pairs of a periodic orthogonal cell."""
    edges = np.diag(cell)
    means = np.empty(len(values))
    for atom, place in enumerate(positions):
        steps = positions - place
        steps -= edges * np.round(steps / edges)
        means[atom] = values[(steps**2).sum(axis=1) <= radius**2].mean()
    return means


def test_stiffness_is_scored_as_by_hand(tmp_path):
    folder = folder_with(
        tmp_path,
        "stiffness/vibrations-cu50zr50-1e11-1.xyz.gz",
        "stiffness/snapshots/300K-vibrations-cu50zr50-1e11-1.xyz.gz",
        "stiffness/vibrations-cu50zr50-1e12-2.xyz.gz",  # learned from
    )
    rest, cage, hot, hot_cage = scores(folder, ["stiffness-cuzr"])
    assert [row.predicts for row in (rest, cage, hot, hot_cage)] == 2 * [STIFFNESS, CAGE_STIFFNESS]
    assert [(row.sample, row.state, row.expected) for row in (rest, hot)] == [
        ("vibrations-cu50zr50-1e11-1", "at rest", "yes"),
        ("vibrations-cu50zr50-1e11-1", "300 K", "no"),
    ]
    assert (rest.material, rest.composition, rest.rate) == ("cu-zr", "Cu50Zr50", "1e11 K/s")
    data = open_trajectory(folder / "stiffness/vibrations-cu50zr50-1e11-1.xyz.gz").compute()
    true = np.array(data.particles["Stiffness"])
    kinds = np.array(data.particles["Particle Type"])
    frame = read_frames(folder / "stiffness/vibrations-cu50zr50-1e11-1.xyz.gz")[0]
    prediction = load_model("stiffness-cuzr").predict(frame.structure)
    predicted = prediction.stiffness
    assert rest.atoms == len(true)
    assert rest.correlation == pytest.approx(np.corrcoef(predicted, true)[0, 1])
    assert cage.coverage == pytest.approx(
        np.mean(np.abs(prediction.cage - frame.columns["Cage_Stiffness"]) <= prediction.cage_error)
    )
    assert rest.bias == pytest.approx(predicted.mean() / true.mean() - 1)
    assert rest.flagged == pytest.approx(np.mean(prediction.extrapolation > 1))
    apart = [values - np.array([values[kinds == kind].mean() for kind in kinds]) for values in (predicted, true)]
    assert rest.within == pytest.approx(np.corrcoef(*apart)[0, 1])
    coarse = [means_within(frame.structure.positions, frame.structure.cell, v, 6.0) for v in (predicted, true)]
    assert rest.coarse == pytest.approx(np.corrcoef(*coarse)[0, 1], abs=1e-6)
    rest_of = [values - means for values, means in zip((predicted, true), coarse, strict=True)]
    assert rest.remainder == pytest.approx(np.corrcoef(*rest_of)[0, 1], abs=1e-6)
    assert rest.auc is None


def test_barriers_are_scored_as_by_hand(tmp_path):
    folder = folder_with(tmp_path, "barriers/barriers-cu80zr20-1.xyz.gz", "barriers/barriers-cu80zr20-2.xyz.gz")
    (row,) = scores(folder, ["scnn-cuzr"])
    assert row.sample == "barriers-cu80zr20-2"
    (frame,) = read_frames(folder / "barriers/barriers-cu80zr20-2.xyz.gz")
    barrier = frame.columns["Activation_Energy"]
    prediction = load_model("scnn-cuzr").predict(frame.structure)
    known = np.isfinite(barrier)
    logit, probability, barrier = prediction.logit[known], prediction.probability[known], barrier[known]
    high = barrier > np.quantile(barrier, 0.8)
    called = logit >= np.sort(logit)[-high.sum()]
    assert row.auc == pytest.approx(sklearn.metrics.roc_auc_score(high, logit))
    assert row.accuracy == pytest.approx(sklearn.metrics.balanced_accuracy_score(high, probability > 0.5))
    assert row.average_precision == pytest.approx(sklearn.metrics.average_precision_score(high, logit))
    assert row.precision == pytest.approx(sklearn.metrics.precision_score(high, called))
    assert row.mcc == pytest.approx(sklearn.metrics.matthews_corrcoef(high, called))
    assert row.events == pytest.approx(0.2)
    assert row.correlation == pytest.approx(np.corrcoef(logit, barrier)[0, 1])


def test_activity_is_scored_among_all_atoms_of_its_species(tmp_path):
    folder = folder_with(tmp_path, "activity/thermal-wahnstrom-2.xyz.gz", "activity/thermal-wahnstrom-9.xyz.gz")
    (row,) = scores(folder, ["activity-wahnstrom-thermal"])
    (frame,) = read_frames(folder / "activity/thermal-wahnstrom-2.xyz.gz")
    moved = frame.columns["Replica_Nonaffine_Squared_Displacement"].mean(axis=1)
    probability = load_model("activity-wahnstrom-thermal").predict(frame.structure).probability
    species = np.isfinite(probability)
    order = np.argsort(moved[species])
    event = np.zeros(species.sum(), dtype=bool)
    event[order[-25:]] = True
    values = probability[species]
    clear = np.r_[order[:25], order[-25:]]
    assert (row.atoms, row.events) == (500, 0.05)
    assert row.average_precision == pytest.approx(sklearn.metrics.average_precision_score(event, values))
    assert row.auc == pytest.approx(sklearn.metrics.roc_auc_score(event[clear], values[clear]))
    assert row.correlation == pytest.approx(np.corrcoef(values, np.log(moved[species]))[0, 1])


def test_energies_are_scored_as_by_hand():
    row = stored("ule-zr44cu56", "glass-zr44cu56")
    (frame,) = read_frames(SAMPLES / "barcode/glass-zr44cu56.xyz.gz")
    prediction = load_model("ule-zr44cu56").predict(frame.structure)
    energies = frame.columns["Potential_Energy"]
    assert row.bias == pytest.approx(1000 * (prediction.energy - energies.mean()), abs=0.01)
    copper = frame.structure.species == frame.structure.species_names.index("Cu")
    wanted = np.corrcoef(prediction.contribution[copper], energies[copper])[0, 1]
    assert row.by_species.startswith(f"Cu {wanted:.3f}")


def test_a_stated_error_has_a_coverage():
    rng = np.random.default_rng(1)
    gas = Structure(rng.uniform(0, 30, (2000, 3)), np.zeros(2000, int), ("A",), np.eye(3) * 30, pbc=(True,) * 3)
    true = rng.normal(size=2000)
    shown = Shown(gas, true + rng.normal(0, 0.5, 2000), true, np.zeros(2000), np.full(2000, 0.5))
    assert agreement([shown], 3.0)["coverage"] == pytest.approx(0.683, abs=0.03)
    assert agreement([shown._replace(error=None)], 3.0)["coverage"] is None
    halves = [shown._replace(true=np.where(np.arange(2000) % 2 == half, true, np.nan)) for half in (0, 1)]
    for name in ("atoms", "correlation", "within"):
        assert agreement(halves, 3.0)[name] == pytest.approx(agreement([shown], 3.0)[name])


def test_every_model_is_in_the_stored_table_on_nothing_that_it_learned_from():
    """But for the Kob-Andersen ensembles, which are a third party's, and for what left-out tables judge instead."""
    propensity = {name for name in list_models() if read_header(name).kind == "propensity"}
    assert {row.model for row in STORED} == set(list_models()) - {"activity-ka-thermal"} - propensity
    for row in STORED:
        assert row.sample not in read_header(row.model).training["samples"]
    assert {read_header(name).kind for name in list_models()} == set(module._SCORES_OF) | {"propensity"}


def test_rows_survive_the_file_and_show_the_columns_that_they_have(tmp_path):
    write_scores(STORED, tmp_path / "scores.csv")
    assert read_scores(tmp_path / "scores.csv") == STORED
    numbers = scores_table(STORED, classifiers=False).splitlines()
    classes = scores_table(STORED, classifiers=True).splitlines()
    assert len(numbers) + len(classes) == len(STORED) + 4
    heads = {
        "material",
        "composition",
        "cooled",
        "state",
        "R",
        "R within species",
        "R of 6 Å averages",
        "R of the rest",
    }
    assert heads | {"bias", "flagged"} <= set(numbers[0].strip("| ").split(" | "))
    wanted = heads | {"AUC", "balanced accuracy", "rate of events", "average precision", "precision", "MCC"}
    assert wanted <= set(classes[0].strip("| ").split(" | "))
    with_error = scores_table([replace(STORED[-1], coverage=0.7)])
    assert "coverage" in with_error
    assert "70 %" in with_error
    assert len(fields(Scored)) == len((tmp_path / "scores.csv").read_text().splitlines()[0].split(","))
