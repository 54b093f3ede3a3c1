"""A study finds what was planted: how far atoms look, what noise of labels costs, which positions decide."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from ovito_glassml.cli import app
from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.propensity.data import propensity_sample
from ovito_glassml.reproduce.figures.propensity import draw_propensity_study
from ovito_glassml.structure import Structure
from ovito_glassml.study.propensity import Ensemble, PropensityStudy, findings, propensity_steps
from ovito_glassml.study.steps import run_steps
from ovito_glassml.workflow.sample_data import sample_file

TRUE = ACEDescriptors(("A", "B"), cutoff=2.0, nearest=1.0, order=1, n_max=3)
STUDY = PropensityStudy("A", 1.0, cutoffs=(1.2, 2.0), cutoff=2.0, n_max=3)
RUNS, NOISE = 8, 0.5


def liquid(seed):
    random = np.random.default_rng(seed)
    kinds = (random.random(300) < 0.3).astype(int)
    return Structure(random.random((300, 3)) * 6, kinds, ("A", "B"), np.eye(3) * 6, pbc=(True,) * 3)


def ensemble(name="early", noise=NOISE, count=5):
    """Atoms that move by what their own shells within 2 say, in runs that scatter."""
    samples, thermal = [], []
    for seed in range(count):
        structure, random = liquid(seed), np.random.default_rng(seed)
        moved = 5 + TRUE.compute(structure) @ np.arange(1, 7) * 0.1
        runs = moved[:, None] + noise * random.normal(size=(len(moved), RUNS))
        samples.append(propensity_sample(structure, np.abs(runs), f"liquid-{seed}"))
        shaken = structure.moved(structure.positions + random.normal(0, 0.3, structure.positions.shape))
        thermal.append(samples[-1]._replace(structure=shaken))
    return Ensemble(name, samples, thermal, name)


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    ensembles = [ensemble(), ensemble("late", noise=2 * NOISE)]
    return ensembles, run_steps(propensity_steps(STUDY, ensembles), folder, lambda fraction, text: None), folder


def mean(numbers):
    return float(np.mean(numbers["r"]))


def test_sight_shorter_than_what_decides_costs_and_shaken_positions_do(studied):
    _, results, _ = studied
    assert mean(results["cutoff-2"]) == pytest.approx(mean(results["base"]))
    assert mean(results["cutoff-1.2"]) < mean(results["base"]) - 0.1
    assert mean(results["thermal"]) < mean(results["base"]) - 0.1


def test_own_shells_are_all_that_matters_and_averages_add_nothing(studied):
    _, results, _ = studied
    base = results["base"]
    lost = dict(zip(base["names"].tolist(), (base["r"] - base["without"]).mean(axis=1), strict=True))
    assert max(lost, key=lost.get) == "own shells"
    assert base["generations"][0].mean() == pytest.approx(mean(base), abs=0.02)


def test_learned_from_more_it_is_better_and_the_ceiling_is_that_of_the_noise(studied):
    _, results, _ = studied
    assert results["configurations"]["sizes"].tolist() == [2, 3, 4]
    curve = results["configurations"]["r"].mean(axis=1)
    assert curve[-1] == pytest.approx(mean(results["base"]))
    assert results["runs"]["counts"].tolist() == [1, 2, 4, 8]
    assert (np.diff(results["runs"]["r"].mean(axis=1)) > 0).all()
    assert mean(results["base"]) == pytest.approx(np.sqrt(results["base"]["reliability"].mean()), abs=0.03)


def test_findings_say_so_in_words(studied):
    ensembles, results, _ = studied
    text = findings(STUDY, ensembles, results)
    assert "5 configurations, label early" in text
    assert "extrapolated to many runs" in text
    assert "Label late: by itself" in text
    assert text.index("own shells") < text.index("shells of B within")
    assert "Angles, in all" in text


def test_noisier_labels_are_predicted_as_well_by_what_the_others_taught(studied):
    _, results, _ = studied
    late = results["label-late"]
    assert late["by_first"].mean() >= late["r"].mean() - 0.01


def test_what_was_computed_is_not_computed_again(studied, monkeypatch):
    ensembles, results, folder = studied
    monkeypatch.setattr("ovito_glassml.study.propensity.describe", None)
    again = run_steps(propensity_steps(STUDY, ensembles), folder, lambda fraction, text: None)
    np.testing.assert_array_equal(again["base"]["r"], results["base"]["r"])
    wider = replace(STUDY, cutoffs=(1.5, 2.0))
    with pytest.raises(TypeError):  # what is new is
        run_steps(propensity_steps(wider, ensembles), folder, lambda fraction, text: None)


def test_figures_hold_every_number(studied, tmp_path):
    _, results, _ = studied
    picture, table = draw_propensity_study(results, tmp_path)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == 2 + 3 + 3 + 4 + (2 + len(results["base"]["names"]) + 1 + 1)
    of_base = next(row for row in rows if row["value"] == "all features")
    assert float(of_base["r"]) == pytest.approx(mean(results["base"]), abs=1e-6)


def test_two_configurations_are_too_few():
    with pytest.raises(TrainingError, match="2 configurations; give at least 3"):
        propensity_steps(STUDY, [ensemble(count=2)])


def test_the_command_studies_files(tmp_path):
    files = [str(sample_file(f"activity/thermal-wahnstrom-{number}.xyz.gz")) for number in (1, 2, 3)]
    command = ["study", "propensity", *files, "--active-species", "A", "--nearest", "1", "--n-max", "3"]
    result = CliRunner().invoke(app, [*command, "--cutoffs", "2", "--cutoff", "3", "-o", str(tmp_path / "study")])
    assert result.exit_code == 0, result.output
    assert "Thermal positions" in (tmp_path / "study" / "findings.md").read_text()
    assert (tmp_path / "study" / "propensity-study.png").exists()
    refused = CliRunner().invoke(app, [*command[:3], "--active-species", "A", "-o", str(tmp_path / "other")])
    assert refused.exit_code != 0
