"""The figures of LaSCA, and its frequencies beside the published ones."""

import csv

import numpy as np
import pytest

from ovito_glassml.errors import GlassMLError
from ovito_glassml.reproduce.figures.lasca import (
    PUBLISHED_SHARES,
    draw_lasca_figures,
    mean_by_label,
    read_barriers,
    read_glass,
    share_of,
)
from ovito_glassml.topology.standard_clusters import LaSCA
from ovito_glassml.workflow.sample_data import sample_file


@pytest.fixture(scope="module")
def glass():
    return read_glass(sample_file("stiffness/vibrations-cu50zr50-1e13-1.xyz.gz"))


def columns(file):
    with open(file) as source:
        rows = list(csv.DictReader(source))
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_figures_and_tables_are_written(glass, tmp_path):
    written, report = draw_lasca_figures([glass], tmp_path, lambda fraction, text: None)
    pictures = [file for file in written if file.suffix == ".png"]
    assert {file.stem for file in pictures} == {"frequencies", "subclusters", "clusters"}
    assert all(file.read_bytes().startswith(b"\x89PNG") and file.stat().st_size > 10_000 for file in pictures)
    assert glass.name == "Cu50Zr50, 1e13 K/s"
    shares = columns(tmp_path / "frequencies.csv")
    assert shares["label"][:3] == ["Z12", "1-Z12", "A13"]
    result = LaSCA().compute(glass.structure)
    assert float(shares[f"{glass.name} (%)"][0]) == pytest.approx(100 * (result.labels == 12).mean())
    assert "most frequent in Cu50Zr50, 1e13 K/s:" in report
    assert report[-10].split()[:3] == ["[12/555]", "Z12", "3.45"]
    fractions = columns(tmp_path / "subclusters.csv")
    five_fold = fractions["subcluster"].index("S555")
    assert float(fractions["stiffest tenth"][five_fold]) > float(fractions["softest tenth"][five_fold])
    assert columns(tmp_path / "clusters.csv")["label"] == ["Z12", "B12", "C13", "1-Z12"]


def test_a_folder_without_barriers_is_refused(tmp_path):
    with pytest.raises(GlassMLError, match=r"has no files config\*\.npz"):
        read_barriers(tmp_path)


def test_barriers_are_read_and_averaged_by_label(glass, tmp_path):
    """From a file as third parties publish them, with the origin in the centre of the box."""
    structure, random = glass.structure, np.random.default_rng(1)
    edges = np.diag(structure.cell)
    result = LaSCA().compute(structure)
    heights = random.normal(1.0, 0.1, len(structure)) + (result.labels == 12)
    centred = structure.positions - structure.origin - edges / 2
    columns = {"positions": centred, "types": structure.species + 1, "energy_barrier": heights}
    np.savez(tmp_path / "config1.npz", box=edges, **columns)
    (read,) = read_barriers(tmp_path)
    assert read.name == "Cu64Zr36 config1"
    np.testing.assert_array_equal(LaSCA().compute(read.structure).labels, result.labels)
    rows = mean_by_label([read], [result])
    assert sum(count for _, count, _, _ in rows) == len(structure)
    assert [count for _, count, _, _ in rows] == sorted((count for _, count, _, _ in rows), reverse=True)
    for label, count, mean, error in rows:
        assert mean == pytest.approx(2.0 if label == "Z12" else 1.0, abs=5 * 0.1 / np.sqrt(count))
        assert count < 100 or error == pytest.approx(0.1 / np.sqrt(count), rel=0.3)


def test_frequencies_are_of_the_published_order(glass):
    """Another composition, potential and history: the same label is the most frequent."""
    shares = np.array([share_of(text, [LaSCA().compute(glass.structure)]) for text in PUBLISHED_SHARES])
    published = np.array(list(PUBLISHED_SHARES.values()))
    assert shares.argmax() == published.argmax()
