"""A second target: cage stiffness by further heads on the same inputs, in the same file."""

from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.card import render_card
from ovito_glassml.learn.format import save_model
from ovito_glassml.learn.stiffness.data import PUBLISHED
from ovito_glassml.learn.stiffness.evaluate import score_sample, score_tables
from ovito_glassml.learn.stiffness.model import StiffnessModel
from ovito_glassml.learn.stiffness.train import train
from ovito_glassml.learn.units import METAL

#: Only as many springs as there are in the cage hold an atom against it.
CAGE = 1.7


@pytest.fixture(scope="module")
def caged_glasses(spring_glasses):
    return [sample._replace(cage=CAGE * sample.stiffness + 0.1) for sample in spring_glasses]


@pytest.fixture(scope="module")
def both(caged_glasses):
    return train(caged_glasses[:2], design=PUBLISHED)


def test_the_first_target_is_learned_as_if_there_were_no_second(both, published_model, spring_glasses):
    structure = spring_glasses[2].structure
    first, alone = both.predict(structure), published_model.predict(structure)
    np.testing.assert_array_equal(first.stiffness, alone.stiffness)
    np.testing.assert_array_equal(first.extrapolation, alone.extrapolation)
    assert alone.cage is None


def test_the_second_target_is_its_own(both, caged_glasses):
    sample = caged_glasses[2]
    prediction = both.predict(sample.structure)
    assert prediction.cage.mean() == pytest.approx(sample.cage.mean(), rel=0.03)
    assert score_sample(both, sample, label="cage").correlation == pytest.approx(
        np.corrcoef(prediction.cage, sample.cage)[0, 1]
    )


def test_both_are_in_one_file_and_on_its_card(both, caged_glasses, tmp_path):
    save_model(tmp_path / "both.safetensors", both.header, both.tensors())
    again = StiffnessModel.load(tmp_path / "both.safetensors")
    structure = caged_glasses[2].structure
    np.testing.assert_array_equal(again.predict(structure).cage, both.predict(structure).cage)
    assert "Predicted Stiffness and Predicted Cage Stiffness" in render_card(again.header, "both")
    titles = [table.title for table in score_tables(again, caged_glasses[2:], units=METAL)]
    assert titles == ["Held-out samples", "Held-out samples, cage stiffness"]


def test_a_model_without_it_has_no_such_scores(published_model, caged_glasses):
    assert len(score_tables(published_model, caged_glasses[2:], units=METAL)) == 1


def test_atoms_that_are_not_wanted_have_neither(both, caged_glasses):
    structure = caged_glasses[2].structure
    wanted = np.arange(len(structure)) < 5
    prediction = both.predict(replace(structure, mask=wanted))
    np.testing.assert_array_equal(np.isfinite(prediction.cage), wanted)


def test_a_sample_may_lack_either(both, caged_glasses):
    """Cage stiffness takes seconds, the published label core-hours: many samples have the first alone."""
    structure, _, name, cage = caged_glasses[2]
    unknown = np.full(len(structure), np.nan)
    more = train([*caged_glasses[:2], (structure, unknown, name, cage)], design=PUBLISHED)
    np.testing.assert_array_equal(more.predict(structure).stiffness, both.predict(structure).stiffness)
    errors = [np.abs(model.predict(structure).cage - cage).mean() for model in (more, both)]
    assert errors[0] < errors[1]
    with pytest.raises(TrainingError, match="No sample has a stiffness"):
        train([(structure, unknown, name, cage)], design=PUBLISHED)
