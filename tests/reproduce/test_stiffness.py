"""Samples are found with their labels, grouped by cooling rate, and kept apart."""

import numpy as np
import pytest

from ovito_glassml.errors import TrainingError
from ovito_glassml.reproduce.stiffness import HARMONIC_COLUMNS, add_harmonic_labels, cooling_rate, read_samples
from ovito_glassml.simulate.snapshots import read_snapshot, write_snapshot
from ovito_glassml.workflow.sample_data import TEST_SAMPLES, is_kept_aside, sample_file


@pytest.fixture(scope="module")
def samples():
    return {sample.name: sample for sample in read_samples(sample_file("README.md").parent)}


def test_cooling_rates_are_read_from_names():
    assert cooling_rate("vibrations-cu50zr50-1e12-3") == "1e12 K/s"
    assert cooling_rate("my own glass") == "unknown rate"


def test_shipped_samples_have_one_label_or_both_for_every_atom(samples):
    for sample in samples.values():
        known = [np.isfinite(label) for label in (sample.stiffness, sample.cage)]
        assert [mask.all() for mask in known] == [mask.any() for mask in known]
        assert known[1].all()
        assert 1.1 < sample.cage.mean() < 1.5  # eV/Å²
        if known[0].any():
            assert 0.7 < sample.stiffness.mean() < 1.05


def test_a_glass_with_a_file_for_each_label_is_one_sample(samples):
    assert "harmonic-cu35zr65-1e13-1" not in samples
    assert np.isfinite(samples["vibrations-cu35zr65-1e13-1"].stiffness).all()
    assert "harmonic-cu35zr65-1e13-2" in samples


def test_samples_of_every_composition_are_kept_aside(samples):
    aside = {name for name in samples if is_kept_aside(name)}
    assert set(TEST_SAMPLES) < aside
    for composition in ("cu35zr65", "cu50zr50", "cu64zr36", "cu80zr20"):
        named = {name for name in samples if composition in name}
        assert named & aside
        assert named - aside
    assert {name for name in samples if "zr44cu56" in name} <= aside


def test_no_glass_is_there_twice(samples):
    """Or one of the two could be learned from and the other kept aside."""
    seen = [sample.structure.positions[:, 0] for sample in samples.values()]
    for number, one in enumerate(seen):
        for other in seen[:number]:
            assert len(one) != len(other) or np.abs(one - other).max() > 0.1


def test_folders_without_samples_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="holds no labelled glasses"):
        read_samples(tmp_path)


def test_harmonic_labels_can_be_made_again(tmp_path):
    shipped = read_snapshot(sample_file("barriers/quench-barriers-cu64zr36-3.xyz.gz"))
    others = {name: column for name, column in shipped.columns.items() if name not in HARMONIC_COLUMNS}
    file = tmp_path / "glass.xyz.gz"
    write_snapshot(file, shipped.structure, others, shipped.header)
    add_harmonic_labels(file)
    again = read_snapshot(file)
    assert set(again.columns) == set(shipped.columns)
    for name in HARMONIC_COLUMNS:
        np.testing.assert_allclose(again.columns[name], shipped.columns[name], rtol=1e-3)
