"""How the shipped models of propensity were made."""

import numpy as np
import pytest

from ovito_glassml.learn.propensity.model import PropensityModel
from ovito_glassml.reproduce.propensity import LIQUIDS, archive_samples, make_liquid_model, nonaffine_sample
from ovito_glassml.simulate.material import load_material
from ovito_glassml.workflow.sample_data import sample_file

ACTIVITY = sample_file("activity/thermal-wahnstrom-1.xyz.gz").parent


@pytest.mark.parametrize("liquid", LIQUIDS, ids=lambda liquid: liquid.system)
def test_the_command_makes_the_shipped_model(liquid, tmp_path):
    made = PropensityModel.load(make_liquid_model(liquid, ACTIVITY, tmp_path, lambda fraction, text: None))
    shipped = PropensityModel.load(f"propensity-{liquid.system}")
    material = load_material(liquid.system)
    sample = nonaffine_sample(ACTIVITY / f"thermal-{liquid.system}-3.xyz.gz", material)
    expected = shipped.predict(sample.structure).propensity
    np.testing.assert_allclose(made.predict(sample.structure).propensity, expected, rtol=1e-3)
    assert made.header.training == shipped.header.training


def test_labels_are_root_mean_squares_over_neighbours():
    sample = nonaffine_sample(ACTIVITY / "thermal-wahnstrom-1.xyz.gz", load_material("wahnstrom"))
    assert sample.displacement.shape == (1000, 24)
    assert 0.1 < np.median(sample.propensity) < 1  # a part of a nearest-neighbour distance


def test_an_archive_gives_its_start_to_judge_by_and_its_ends_to_learn_from(tmp_path):
    random, edge = np.random.default_rng(0), 5.0
    lattice = np.stack(np.meshgrid(*[np.arange(4) * edge / 4] * 3), axis=-1).reshape(-1, 3)
    start = (lattice + random.normal(0, 0.05, lattice.shape)) % edge
    ends = (start + random.normal(0, 0.05, (2, 64, 3))) % edge
    kinds = (np.arange(64) % 5 == 0).astype(int)
    source = tmp_path / "liquid_1_tc07.npz"
    np.savez(source, initial_positions=start, final_positions=ends, types=kinds, box_length=edge)
    samples = list(archive_samples(source, tmp_path))
    assert [sample.judged for sample in samples] == [True, False, False]
    assert {sample.configuration for sample in samples} == {"ka-1"}
    assert samples[0].displacement.shape == (64, 2)
    assert samples[0].displacement.max() < 0.4  # through the boundary, too
    np.testing.assert_array_equal(samples[1].displacement[:, 0], samples[0].displacement[:, 0])
    again = list(archive_samples(source, tmp_path))
    np.testing.assert_array_equal(again[2].structure.positions, samples[2].structure.positions)
