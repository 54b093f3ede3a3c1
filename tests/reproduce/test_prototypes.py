"""Shipping: samples are found, kept apart, and a model with its card comes out."""

from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.format import read_model
from ovito_glassml.learn.prototypes import network as scnn_network
from ovito_glassml.learn.prototypes import train as scnn_training
from ovito_glassml.learn.prototypes.model import ScnnModel
from ovito_glassml.reproduce import prototypes as reproduce_scnn
from ovito_glassml.simulate.snapshots import read_snapshot, write_snapshot
from ovito_glassml.workflow.sample_data import sample_file


@pytest.fixture
def folder(barrier_glasses, tmp_path):
    """Snapshots as the barrier simulation writes them; single barriers scatter about the mean."""
    rng = np.random.default_rng(1)
    for sample in barrier_glasses:
        scatter = sample.barrier[:, None] + rng.normal(0, sample.barrier.std(), (len(sample.barrier), 6))
        columns = {"Activation_Energy": np.where(np.arange(len(scatter)) == 0, np.nan, sample.barrier)}
        write_snapshot(
            tmp_path / f"barriers-{sample.name}.xyz.gz", sample.structure, {**columns, "Barriers": scatter}, {}
        )
    return tmp_path


def test_ceilings_follow_from_the_scatter(folder):
    """Six barriers as noisy as the truth varies: reliability 6/7."""
    for row in reproduce_scnn.ceilings(folder).rows:
        assert row[1] == pytest.approx(6 / 7, abs=0.03)
        assert 0.94 < row[2] < 0.98


def test_folders_with_few_samples_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="holds 0 files"):
        reproduce_scnn.read_samples(tmp_path)


def test_names_kept_aside_must_exist(folder):
    with pytest.raises(TrainingError, match="0 to judge by"):
        reproduce_scnn.make_models(folder, folder, lambda fraction, text: None, tested=["barriers-9"])


def test_a_model_with_its_card_comes_out(folder, monkeypatch):
    brief = scnn_network.TrainingSettings(
        starts=1, first=scnn_network.Pass(2, 3e-3), cycle=scnn_network.Pass(3, 1e-3), most_cycles=1
    )
    monkeypatch.setattr(scnn_training, "TrainingSettings", lambda: brief)
    monkeypatch.setattr(reproduce_scnn, "by_atom_table", lambda data, design: reproduce_scnn.ceilings(folder))
    (path,) = reproduce_scnn.make_models(folder, folder, lambda fraction, text: None, names=["scnn-cuzr-264"])
    header, _ = read_model(path, kind="scnn")
    assert header.training["kept_aside"] == "barriers-sample-2"
    assert header.training["samples"] == ["barriers-sample-1", "barriers-sample-3"]
    assert header.training["atoms_without_label"] == 2
    assert header.training["atoms"] == 2 * round(0.8 * 728)
    titles = [table.title for table in header.results]
    assert titles[0] == "This model on samples kept aside"
    assert "Five seeds, judged by barriers-sample-2" in titles
    assert path.with_suffix(".md").is_file()
    assert {prototype.sample for prototype in ScnnModel.load(path).prototypes} <= set(header.training["samples"])


@pytest.mark.parametrize("name", reproduce_scnn.RECIPES)
def test_prototypes_of_shipped_models_are_atoms_of_the_samples(name):
    """From the sample that comes with the package to the embedding in the model, and what the prototypes must be."""
    model = ScnnModel.load(name)
    for number, prototype in enumerate(model.prototypes):
        snapshot = read_snapshot(sample_file(f"barriers/{prototype.sample}.xyz.gz"))
        chosen = snapshot.structure.ids == prototype.atom
        assert prototype.barrier == pytest.approx(snapshot.columns["Activation_Energy"][chosen][0], abs=1e-4)
        embedding = model.embed_exactly(replace(snapshot.structure, mask=chosen))[0]
        np.testing.assert_allclose(embedding, model.network.prototypes[number], atol=1e-6)
    cosines = model.network.cosines()
    assert cosines[:2, 2:].max() < 0
    assert min(cosines[0, 1], cosines[2, 3]) >= 0
    assert max(cosines[0, 1], cosines[2, 3]) < 0.95
    aside = [
        read_snapshot(sample_file(f"barriers/{one}.xyz.gz")) for one in model.header.training["kept_aside"].split(", ")
    ]
    nearest = [model.predict(snapshot.structure).prototype for snapshot in aside]
    assert np.bincount(np.concatenate(nearest), minlength=4).min() >= 0.05 * sum(map(len, nearest))
    assert all(np.bincount(one, minlength=4).min() >= 0.02 * len(one) for one in nearest)


@pytest.mark.parametrize("name", reproduce_scnn.RECIPES)
def test_shipped_models_know_glasses_at_rest_from_vibrating_ones(name):
    """At 300 K they rank atoms much worse, so nearly all of these must be marked."""
    model = ScnnModel.load(name)
    glass = "vibrations-cu50zr50-1e12-1.xyz.gz"
    at_rest, vibrating = (
        model.predict(read_snapshot(sample_file(f"stiffness/{one}")).structure).extrapolation
        for one in (glass, f"snapshots/300K-{glass}")
    )
    assert (at_rest > 1).mean() < 0.05
    assert (vibrating > 1).mean() > 0.8
