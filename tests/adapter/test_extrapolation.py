"""What a user reads of extrapolation: scores, two attributes, and a sentence each for atoms and for the sample."""

import numpy as np
import pytest
from ovito.data import DataCollection

from ovito_glassml.adapter.extrapolation import Predicted, write_extrapolation

STIFFNESS = Predicted("Predicted stiffness", "PredictedStiffness", "Predicted Stiffness", "stiffness-cuzr")


def written(atoms, sample):
    data = DataCollection()
    data.create_particles(count=len(atoms)).create_property("Position", data=np.zeros((len(atoms), 3)))
    write_extrapolation(data, STIFFNESS, np.asarray(atoms, dtype=float), sample)
    return data


@pytest.mark.parametrize(
    ("atoms", "sample", "sentences"),
    [
        ([0.5, 0.9, np.nan], 0.8, []),
        ([0.5, 1.2, np.nan], 0.8, ["50% of the atoms are unlike the training data of stiffness-cuzr"]),
        (
            [0.5, 0.9, np.nan],
            2.51,
            ["those that stiffness-cuzr was trained on (score 2.5"],
        ),
        ([0.5, 0.9, np.nan], np.nan, []),
        ([np.nan, np.nan], np.nan, []),
    ],
)
def test_what_is_unlike_the_training_data_is_said(atoms, sample, sentences, capsys):
    data = written(atoms, sample)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == len(sentences)
    assert all(sentence in line for sentence, line in zip(sentences, said, strict=True))
    np.testing.assert_array_equal(data.particles["Predicted Stiffness Extrapolation"], atoms)
    scored = np.array(atoms)[np.isfinite(atoms)]
    expected = (scored > 1).mean() if len(scored) else 0.0
    assert data.attributes["PredictedStiffness.extrapolating_fraction"] == pytest.approx(expected)
    np.testing.assert_equal(data.attributes["PredictedStiffness.sample_extrapolation"], sample)
