"""Prototype similarity in OVITO, by a small model trained on the spot on a shipped glass."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from ovito_glassml.learn.format import ModelError, save_model
from ovito_glassml.learn.prototypes.data import PUBLISHED, BarrierSample, describe_samples
from ovito_glassml.learn.prototypes.model import ScnnModel
from ovito_glassml.learn.prototypes.network import Pass, TrainingSettings
from ovito_glassml.learn.prototypes.train import train_scnn
from ovito_glassml.modifiers import prototype_similarity
from ovito_glassml.modifiers.prototype_similarity import PrototypeSimilarityModifier
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.sample_data import stiffness_samples

PROPERTIES = ("Prototype Similarity", "High Activation Probability", "SCNN Logit", "Prototype Similarity Extrapolation")


@pytest.fixture(scope="module")
def glasses():
    """Two shipped glasses; the measured stiffness stands for the barrier."""
    snapshots = [read_snapshot(file) for file in stiffness_samples()[0]]
    return [
        BarrierSample(snapshot.structure, snapshot.columns["Stiffness"], str(k)) for k, snapshot in enumerate(snapshots)
    ]


@pytest.fixture(scope="module")
def models(glasses, tmp_path_factory):
    """Two models of equal descriptors and different prototypes."""
    data = describe_samples(glasses, PUBLISHED)
    parts = data.of_samples([0]), data.of_samples([1])
    files = []
    for seed in (1, 2):
        settings = TrainingSettings(starts=1, first=Pass(12, 3e-3), cycle=Pass(20, 1e-3), most_cycles=1)
        model = train_scnn(data, *parts, design=PUBLISHED, settings=settings, seed=seed)
        file = tmp_path_factory.mktemp("models") / f"{seed}.safetensors"
        save_model(file, model.header, model.tensors())
        files.append(str(file))
    return files


@pytest.fixture(scope="module")
def part(glasses):
    """A slab of the second glass, to be quick."""
    whole = glasses[1].structure
    chosen = whole.positions[:, 2] < whole.positions[:, 2].min() + 15
    return Structure(whole.positions[chosen], whole.species[chosen], whole.species_names, ids=whole.ids[chosen])


def compared(data, model, **parameters):
    result = data.clone()
    result.apply(PrototypeSimilarityModifier(model=model, **parameters))
    return result


def test_the_modifier_writes_what_the_model_says(as_data, part, models):
    result = compared(as_data(part), models[0])
    prediction = ScnnModel.load(models[0]).predict(part)
    fields = (prediction.similarity, prediction.probability, prediction.logit, prediction.extrapolation)
    for name, expected in zip(PROPERTIES, fields, strict=True):
        np.testing.assert_allclose(result.particles[name], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(result.particles["Prototype"], prediction.prototype)
    assert result.particles["Prototype Similarity"].component_names[3] == "Prototype 3"
    shares = [result.attributes[f"PrototypeSimilarity.share_{number}"] for number in range(4)]
    np.testing.assert_allclose(shares, np.bincount(prediction.prototype, minlength=4) / len(part))
    assert result.attributes["PrototypeSimilarity.undefined"] == 0
    assert result.attributes["PrototypeSimilarity.mean_logit"] == pytest.approx(prediction.logit.mean(), abs=1e-5)


def test_prototypes_are_named_low_and_high(as_data, part, models):
    kinds = {kind.id: kind.name for kind in compared(as_data(part), models[0]).particles["Prototype"].types}
    assert kinds == {-1: "none", 0: "0 low barrier", 1: "1 low barrier", 2: "2 high barrier", 3: "3 high barrier"}


def test_tables_show_shares_and_the_prototypes_themselves(as_data, part, models):
    result = compared(as_data(part), models[0])
    assert result.tables["prototype-shares"].y[...].sum() == pytest.approx(100)
    table = result.tables["prototype-environments"]
    prototypes = ScnnModel.load(models[0]).prototypes
    np.testing.assert_allclose(table.y, [prototype.barrier for prototype in prototypes])
    signatures = {kind.id: kind.name for kind in table["LaSC Signature"].types}
    for place, count in zip(table["LaSC Signature"], table["LaSC Coordination"], strict=True):
        entries = signatures[int(place)].strip("[]").split(", ")
        assert sum(int(entry.split("/")[0]) for entry in entries) == count
    assert result.tables["high-activation-probability-histogram"].y[...].sum() == len(part)


def test_another_model_reuses_the_descriptors(as_data, part, models, monkeypatch):
    prototype_similarity._kept.clear()
    calls = []
    describe = ScnnModel.describe
    monkeypatch.setattr(ScnnModel, "describe", lambda *args: calls.append(1) or describe(*args))
    data = as_data(part)
    first, second, again = (compared(data, model) for model in (models[0], models[1], models[0]))
    assert len(calls) == 1
    assert not np.array_equal(first.particles["SCNN Logit"], second.particles["SCNN Logit"])
    np.testing.assert_array_equal(first.particles["SCNN Logit"], again.particles["SCNN Logit"])
    data.particles_.positions_[0] += 0.1
    compared(data, models[0])
    assert len(calls) == 2


def test_large_structures_are_not_kept_and_give_the_same(as_data, part, models, monkeypatch):
    kept = compared(as_data(part), models[0])
    prototype_similarity._kept.clear()
    monkeypatch.setattr(prototype_similarity, "MOST_KEPT_BYTES", 0)
    streamed = compared(as_data(part), models[0])
    assert not prototype_similarity._kept
    for name in PROPERTIES:
        np.testing.assert_allclose(streamed.particles[name], kept.particles[name], rtol=1e-5, atol=1e-5)


def test_selected_atoms_are_compared_and_the_others_counted(as_data, part, models):
    data = as_data(part)
    everyone = compared(data, models[0])
    selection = np.arange(len(part)) % 40 == 0
    data.particles_.create_property("Selection", data=selection.astype(int))
    result = compared(data, models[0], only_selected=True)
    for name in PROPERTIES:
        values = result.particles[name][...]
        np.testing.assert_allclose(values[selection], everyone.particles[name][selection], rtol=1e-4, atol=1e-4)
        assert np.isnan(values[~selection]).all()
    assert (result.particles["Prototype"][~selection] == -1).all()
    assert result.attributes["PrototypeSimilarity.undefined"] == (~selection).sum()


def test_nothing_selected_is_no_crash(as_data, part, models):
    data = as_data(part)
    data.particles_.create_property("Selection", data=np.zeros(len(part), dtype=int))
    result = compared(data, models[0], only_selected=True, color_by_result=True)
    assert np.isnan(result.attributes["PrototypeSimilarity.mean_probability"])
    assert result.attributes["PrototypeSimilarity.extrapolating_fraction"] == 0.0


def test_colours_are_those_of_the_prototypes_and_only_on_request(as_data, part, models):
    data = as_data(part)
    assert compared(data, models[0]).particles.colors is None
    result = compared(data, models[0], color_by_result=True)
    colours = {kind.id: kind.color for kind in result.particles["Prototype"].types}
    for number in np.unique(result.particles["Prototype"]):
        chosen = result.particles["Prototype"][...] == number
        np.testing.assert_allclose(
            result.particles.colors[chosen], np.tile(colours[number], (chosen.sum(), 1)), atol=1e-6
        )


def test_unlike_structures_are_reported(as_data, fcc, models, capsys):
    crystal = Structure(0.9 * fcc.positions, fcc.species, ("Cu",), 0.9 * fcc.cell, pbc=fcc.pbc)
    result = compared(as_data(crystal), models[0])
    assert result.attributes["PrototypeSimilarity.extrapolating_fraction"] > 0.9
    assert "unlike the training data" in capsys.readouterr().out


def test_foreign_species_and_missing_models_are_refused(as_data, three_species, part, models):
    with pytest.raises(ModelError, match="contains Al"):
        compared(as_data(three_species), models[0])
    with pytest.raises(ModelError, match="no model 'nothing'"):
        compared(as_data(part), "nothing")


def test_a_changed_model_file_is_read_again(as_data, part, models, tmp_path):
    file = tmp_path / "changing.safetensors"
    file.write_bytes(Path(models[0]).read_bytes())
    first = compared(as_data(part), str(file)).particles["SCNN Logit"][...].copy()
    file.write_bytes(Path(models[1]).read_bytes())
    os.utime(file, ns=(1, 1))
    assert not np.array_equal(compared(as_data(part), str(file)).particles["SCNN Logit"], first)


def test_modifiers_pickle_and_refuse_unknown_parameters(models):
    again = pickle.loads(pickle.dumps(PrototypeSimilarityModifier(model=models[0], only_selected=True)))
    assert again.model == models[0]
    assert again.only_selected
    with pytest.raises(Exception, match="cutof"):
        PrototypeSimilarityModifier(cutof=3)
