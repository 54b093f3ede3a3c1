"""Pictures of what the modifiers show: scales with units, names of colours, and the numbers behind them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovito_glassml.adapter.render import RenderingUnavailable
from ovito_glassml.cli.common import UsageError
from ovito_glassml.cli.figures import figures_gallery
from ovito_glassml.learn.format import read_header
from ovito_glassml.modifiers.registry import OVERLAYS, by_name
from ovito_glassml.reproduce import gallery
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.workflow.sample_data import sample_file

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A folder of pictures whose particles are a disc, since renderers are not everywhere, and their figures."""
    folder, figures, original = tmp_path_factory.mktemp("pictures") / "new", {}, gallery.save_figure
    disc = np.zeros((60, 80, 4), np.uint8)
    disc[10:50, 20:70] = 255

    def save(figure, file):
        figures[file.stem] = figure
        return original(figure, file)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "save_figure", save)
        patch.setattr(gallery, "render_property", lambda *arguments, **options: disc)
        patch.setattr(gallery, "render_colours", lambda *arguments, **options: disc)
        chosen = [*(by_name()[name] for name in ("rdf", "lasca", "evaluate")), *OVERLAYS]
        written = gallery.draw_gallery(folder, lambda fraction, text: None, chosen)
    assert sorted(written) == sorted(folder.iterdir())
    return folder, figures


def columns(file):
    with open(file, encoding="utf-8") as source:
        rows = list(csv.DictReader(source))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_a_scale_says_what_it_shows_and_the_table_has_the_atoms_of_the_slice(drawn):
    folder, figures = drawn
    label = figures["rdf"].axes[-1].get_xlabel()
    assert label == by_name()["rdf"].example.meaning
    table = columns(folder / "rdf.csv")
    structure = read_snapshot(sample_file("stiffness/vibrations-cu50zr50-1e12-1.xyz.gz")).structure
    place = {identifier: number for number, identifier in enumerate(structure.ids)}
    chosen = np.array([place[int(identifier)] for identifier in table["id"]])
    height = structure.positions[:, 2] - structure.positions[chosen, 2].mean()
    layer = 2 * structure.number_density ** (-1 / 3)
    assert len(chosen) == pytest.approx((np.abs(height) < layer / 2).sum(), rel=0.1)
    distances = structure.positions[chosen][:, None] - structure.positions
    distances -= np.round(distances @ np.linalg.inv(structure.cell)) @ structure.cell
    lengths = np.linalg.norm(distances, axis=2)
    counts = ((lengths >= 2.6) & (lengths < 2.8)).sum(axis=1)
    expected = counts / (4 * np.pi * 2.7**2 * structure.number_density * 0.2)
    np.testing.assert_allclose(table[label].astype(float), expected, rtol=1e-4)


def test_a_legend_names_the_most_frequent_kinds(drawn):
    folder, figures = drawn
    (legend,) = figures["lasca"].legends
    assert legend.get_title().get_text() == "TCP Label"
    names, counts = np.unique(columns(folder / "lasca.csv")["TCP Label"], return_counts=True)
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[0] == names[counts.argmax()]
    assert len(texts) <= gallery.MOST_KINDS
    assert "Z12" in texts


def stated_correlation():
    """What the card of the default model says of the glass that is drawn."""
    return next(row[1] for row in read_header("stiffness-cuzr").results[0].rows if row[0].endswith("1e12-1"))


def test_a_comparison_is_a_parity_plot_with_units(drawn):
    folder, figures = drawn
    (axis,) = figures["evaluate"].axes
    assert axis.get_xlabel() == "Predicted Stiffness (eV/Å²)"
    assert axis.get_ylabel() == "Stiffness (eV/Å²)"
    assert f"R = {stated_correlation():.2f}" in axis.texts[0].get_text()
    table = columns(folder / "evaluate.csv")
    predicted, measured = (table[label].astype(float) for label in (axis.get_xlabel(), axis.get_ylabel()))
    assert np.corrcoef(predicted, measured)[0, 1] > 0.98


def test_pictures_are_small(drawn):
    for file in drawn[0].glob("*.png"):
        with Image.open(file) as picture:
            assert picture.mode == "P"
            assert 400 < picture.width < 500 or file.stem == "legend"


def test_the_reference_shows_every_modifier_and_every_picture_exists():
    pictures = ROOT / "sample_data" / "pictures"
    assert {file.stem for file in (pictures / "gallery").iterdir()} == {*by_name(), *(layer.name for layer in OVERLAYS)}
    docs = ROOT / "ovito_glassml" / "docs"
    for file in (pictures / "gallery").iterdir():
        for page in ("README.md", f"{file.stem}.md"):
            assert f"(../../sample_data/pictures/gallery/{file.name})" in (docs / page).read_text(encoding="utf-8")
        assert file.stat().st_size < 150_000


def test_without_a_renderer_the_command_says_what_to_install(monkeypatch, tmp_path):
    def fail(*arguments, **options):
        raise RenderingUnavailable("Install a driver.")

    monkeypatch.setattr(gallery, "render_property", fail)
    with pytest.raises(UsageError, match=r"Install a driver\."):
        figures_gallery(tmp_path)
