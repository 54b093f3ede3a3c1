import numpy as np

from ovito_glassml import PredictedActivityModifier
from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.workflow.sample_data import sample_file


def test_a_model_of_propensity_gives_every_atom_of_its_species_a_displacement():
    pipeline = open_trajectory(sample_file("activity/shear-kob-andersen-1.xyz.gz"))
    pipeline.modifiers.append(PredictedActivityModifier(model="propensity-ka", color_by_result=True))
    data = pipeline.compute(0)
    kinds = data.particles.particle_types
    of_a = kinds[...] == kinds.type_by_name("A").id
    propensity = data.particles["Predicted Propensity"][...]
    assert np.isfinite(propensity[of_a]).all()
    assert (propensity[of_a] >= 0).all()
    assert np.isnan(propensity[~of_a]).all()
    assert np.isfinite(data.particles["Predicted Propensity Error"][...][of_a]).all()
    assert data.attributes["PredictedActivity.model"] == "propensity-ka"
    assert 0 < data.attributes["PredictedActivity.expected_correlation"] < 1
    assert data.attributes["PredictedActivity.mean_error"] > 0
    assert "Color" in data.particles


def test_the_structure_chooses_a_model_of_propensity_where_that_is_asked_for():
    pipeline = open_trajectory(sample_file("activity/thermal-wahnstrom-1.xyz.gz"))
    pipeline.modifiers.append(PredictedActivityModifier(quantity="propensity"))
    data = pipeline.compute(0)
    assert data.attributes["PredictedActivity.model"] == "propensity-wahnstrom"
    assert "Activity Probability" not in data.particles
