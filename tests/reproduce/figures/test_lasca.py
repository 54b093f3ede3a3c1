"""The figures of LaSCA, and its frequencies beside the published ones on third-party glasses."""

import csv
from pathlib import Path

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

BARRIERS = Path(__file__).parents[2].parent / "shared" / "data" / "cu64zr36_barriers"


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


@pytest.mark.skipif(not BARRIERS.is_dir(), reason="third-party data are not here")
def test_frequencies_and_barriers_of_third_party_glasses(tmp_path):
    glasses = read_barriers(BARRIERS)
    _, report = draw_lasca_figures(glasses[:1], tmp_path, lambda fraction, text: None, glasses)
    print("\n".join(report))
    results = [LaSCA().compute(glass.structure) for glass in glasses]
    shares = np.array([share_of(text, results) for text in PUBLISHED_SHARES])
    published = np.array(list(PUBLISHED_SHARES.values()))
    # Other compositions, potentials and histories: the same order of magnitude and of rank.
    assert shares.argmax() == published.argmax()
    assert np.exp(np.abs(np.log(shares / published)).mean()) < 1.6
    barriers = {label: mean for label, _, mean, _ in mean_by_label(glasses, results)}
    assert barriers["Z12"] > barriers["1-Z12"] > barriers["2-Z12"] > barriers["none"]
