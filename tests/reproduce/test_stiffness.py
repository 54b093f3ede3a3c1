"""Samples are found, grouped by cooling rate, and kept apart."""

import pytest

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.stiffness.data import PUBLISHED
from ovito_glassml.reproduce.stiffness import cooling_rate, leave_one_out, read_samples, transfer
from ovito_glassml.workflow.sample_data import SLOWEST_SAMPLE, TEST_SAMPLES, sample_file


def test_cooling_rates_are_read_from_names():
    assert cooling_rate("vibrations-cu50zr50-1e12-3") == "1e12 K/s"
    assert cooling_rate("my own glass") == "unknown rate"


def test_shipped_samples_have_a_label_for_every_atom():
    samples = read_samples(sample_file(f"stiffness/{TEST_SAMPLES[1]}.xyz.gz").parent)
    assert set(TEST_SAMPLES) <= {sample.name for sample in samples}
    for sample in samples:
        assert len(sample.structure) == len(sample.stiffness) == (2000 if sample.name == SLOWEST_SAMPLE else 4000)
        assert 0.7 < sample.stiffness.mean() < 0.9  # eV/Å²


def test_folders_without_samples_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="holds no vibrations"):
        read_samples(tmp_path)


def test_every_sample_is_left_out_once_and_hot_ones_where_given(spring_glasses):
    samples = [
        sample._replace(name=f"x-{rate}-1") for sample, rate in zip(spring_glasses, ("1e13", "1e12"), strict=False)
    ]
    hot = {samples[0].name: samples[0].structure}
    rest, vibrating, differences = leave_one_out(samples, hot, PUBLISHED, lambda fraction, text: None)
    assert [row[0] for row in rest.rows] == [sample.name for sample in samples]
    assert vibrating.rows == rest.rows[:1]
    assert differences.rows[0][0] == "1e12 K/s minus 1e13 K/s"


def test_transfer_goes_both_ways(spring_glasses):
    samples = [
        sample._replace(name=f"x-{rate}-1") for sample, rate in zip(spring_glasses, ("1e13", "1e12"), strict=False)
    ]
    table = transfer(samples, PUBLISHED)
    assert [row[:2] for row in table.rows] == [("1e13 K/s", "1e12 K/s"), ("1e12 K/s", "1e13 K/s")]
