"""Predicted activity: the right model for the glass, probabilities that know real rearrangements, honest limits."""

import numpy as np
import pytest
from ovito.data import DataCollection
from ovito.pipeline import Pipeline, StaticSource

from ovito_glassml import PredictedActivityModifier
from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.learn.activity.model import ActivityModel
from ovito_glassml.learn.evaluation import area_under_roc
from ovito_glassml.learn.format import ModelError, save_model
from ovito_glassml.workflow.sample_data import sample_file


def glass(system):
    """A sheared glass that no model was trained on, just before a plastic event with labels."""
    return open_trajectory(sample_file(f"activity/shear-{system}-1.xyz.gz"))


def computed(system, **parameters):
    pipeline = glass(system)
    pipeline.modifiers.append(PredictedActivityModifier(**parameters))
    return pipeline.compute(0)


@pytest.mark.parametrize(
    ("system", "activation", "name"),
    [
        ("kob-andersen", "thermal", "activity-ka-thermal"),
        ("kob-andersen", "shear", "activity-ka-shear"),
        ("wahnstrom", "thermal", "activity-wahnstrom-thermal"),
        ("wahnstrom", "shear", "activity-wahnstrom-shear"),
        ("polymer", "thermal", "activity-polymer-thermal"),
        ("polymer", "shear", "activity-polymer-shear"),
        ("cu50zr50", "thermal", "activity-cuzr-shear"),
    ],
)
def test_the_model_follows_species_and_composition(system, activation, name):
    assert computed(system, activation=activation).attributes["PredictedActivity.model"] == name


@pytest.mark.parametrize("system", ["kob-andersen", "wahnstrom", "polymer", "cu50zr50"])
def test_atoms_that_rearrange_under_shear_are_known_beforehand(system):
    pipeline = glass(system)
    pipeline.modifiers.append(PredictedActivityModifier(activation="shear"))
    active, inactive = [], []
    for frame in range(pipeline.num_frames):
        particles = pipeline.compute(frame).particles
        labels, probability = particles["Activity"][...], particles["Activity Probability"][...]
        active.append(probability[labels == 1])
        inactive.append(probability[labels == 0])
    assert area_under_roc(np.concatenate(inactive), np.concatenate(active)) > 0.65


def test_only_the_active_species_gets_a_value():
    data = computed("cu50zr50")
    kinds = data.particles.particle_types
    copper = kinds[...] == kinds.type_by_name("Cu").id
    probability = data.particles["Activity Probability"][...]
    np.testing.assert_array_equal(np.isfinite(probability), copper)
    assert data.attributes["PredictedActivity.undefined"] == (~copper).sum()
    assert data.attributes["PredictedActivity.mean"] == pytest.approx(probability[copper].mean())


def test_selected_atoms_get_the_values_they_have_in_the_whole():
    whole = computed("cu50zr50")
    data = glass("cu50zr50").compute(0)
    data.particles_.create_property("Selection", data=(np.arange(data.particles.count) % 7 == 0).astype(np.int32))
    data.apply(PredictedActivityModifier(only_selected=True))
    chosen = data.particles["Selection"][...] == 1
    for name in ("Activity Probability", "Activity Probability Extrapolation"):
        np.testing.assert_allclose(data.particles[name][chosen], whole.particles[name][chosen], rtol=1e-5)
        assert np.isnan(data.particles[name][~chosen]).all()


def test_an_atom_without_neighbours_has_no_probability():
    data, whole = glass("cu50zr50").compute(0), computed("cu50zr50")
    copper = int(np.flatnonzero(np.isfinite(whole.particles["Activity Probability"]))[0])
    data.cell_.pbc = (False, False, False)
    data.particles_.positions_[copper] += 500.0
    data.apply(PredictedActivityModifier())
    for name in ("Activity Probability", "Activity Probability Extrapolation"):
        lost = np.isfinite(whole.particles[name]) & np.isnan(data.particles[name])
        assert np.flatnonzero(lost).tolist() == [copper]
    before = whole.attributes["PredictedActivity.undefined"]
    assert data.attributes["PredictedActivity.undefined"] == before + 1


def test_a_molten_structure_is_called_unlike_the_training_data(capsys):
    data = glass("cu50zr50").compute(0)
    rng = np.random.default_rng(1)
    data.particles_.positions_[...] += rng.normal(scale=0.35, size=(data.particles.count, 3))
    data.apply(PredictedActivityModifier())
    assert data.attributes["PredictedActivity.extrapolating_fraction"] > 0.5
    assert "unlike the training data" in capsys.readouterr().out


def test_species_that_no_model_knows_are_refused():
    data = DataCollection()
    data.create_particles(count=2).create_property("Position", data=[[0, 0, 0], [2, 0, 0]])
    pipeline = Pipeline(source=StaticSource(data=data))
    pipeline.modifiers.append(PredictedActivityModifier(species="Ge"))
    with pytest.raises(ModelError, match=r"No activity model knows Ge"):
        pipeline.compute()


def test_a_model_of_another_kind_is_refused():
    with pytest.raises(ModelError, match="is a model of kind stiffness"):
        computed("cu50zr50", model="stiffness-cuzr")


def test_a_model_of_ones_own_is_used_by_path(tmp_path):
    path = tmp_path / "mine.safetensors"
    source = ActivityModel.load("activity-cuzr-shear")
    save_model(path, source.header, source.tensors())
    assert computed("cu50zr50", model=str(path)).attributes["PredictedActivity.model"] == "mine"
