"""Figures of the barcode, drawn for sheared glasses by a small model trained on some of them."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import ule_glasses
from ule_barcodes import planted

from ovito_glassml.errors import TrainingError
from ovito_glassml.labels.strain import von_mises_strain
from ovito_glassml.reproduce.figures.barcode import Sheared, draw_ule_figures, read_barcodes, shell_of
from ovito_glassml.structure import Structure

FIGURES = (
    "energies", "barcodes", "correlations", "deviations", "sums", "contributions", "environments", "strain", "learning",
)  # fmt: skip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    samples = [sample._replace(kind=sample.run) for sample in ule_glasses.samples()]
    first, last = samples[10].structure, samples[14].structure
    sheared = [Sheared("sheared-3", last, von_mises_strain(first, last))]
    part = planted(runs=4, each=10)
    tables = {"20": part, "10": replace(part, counts=part.counts[:, :10])}
    found = draw_ule_figures(
        ule_glasses.model(), samples, folder, lambda fraction, text: None, sheared=sheared, tables=tables
    )
    return folder, *found


def columns(folder, name):
    with open(folder / f"{name}.csv") as source:
        rows = list(csv.DictReader(source))
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_a_picture_with_its_numbers(drawn, name):
    folder, written, _ = drawn
    picture = folder / f"{name}.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 10_000
    assert columns(folder, name)
    assert {picture, picture.with_suffix(".csv")} <= set(written)


def test_energies_are_those_of_the_report(drawn):
    folder, _, report = drawn
    table = columns(folder, "energies")
    true, predicted = (table[f"{name}_eV_per_atom"].astype(float) for name in ("energy", "predicted"))
    error = 1000 * np.sqrt(np.mean((predicted - true) ** 2))
    assert f"15 samples: RMSE {error:.3f}" in report[0]


def test_waterfalls_are_drawn_for_the_lowest_and_the_highest_energy(drawn):
    folder, written, _ = drawn
    for end in ("lowest", "highest"):
        picture = folder / f"contributions-{end}.png"
        assert picture in written
        assert picture.stat().st_size > 10_000


def test_barcodes_and_groups_sum_to_one(drawn):
    folder, _, _ = drawn
    barcode = columns(folder, "barcodes")
    assert barcode["lowest_fifth_percent"].astype(float).sum() == pytest.approx(100)
    sums = columns(folder, "sums")
    total = sums["Group_1_(Kasper)_percent"].astype(float) + sums["Group_2_percent"].astype(float)
    np.testing.assert_allclose(total, 100)


def test_correlations_are_pearson_s(drawn):
    folder, _, _ = drawn
    found = read_barcodes(ule_glasses.model(), ule_glasses.samples(), lambda fraction, text: None)
    expected = np.corrcoef(found.fractions[:, 4], found.energies)[0, 1]
    assert float(columns(folder, "correlations")["R"][4]) == pytest.approx(expected)


def test_environments_have_as_many_neighbours_as_faces(drawn):
    folder, _, _ = drawn
    table, model = columns(folder, "environments"), ule_glasses.model()
    agreeing = 0
    for name, faces in zip(model.names, model.voronoi, strict=True):
        agreeing += (table["environment"] == name).sum() - 1 == faces.sum()
    assert agreeing >= len(model) - 2  # the open cluster and large faces may change a few


def test_the_shell_of_an_icosahedron_has_twelve_atoms():
    golden = (1 + 5**0.5) / 2
    corners = np.array([np.roll([0, a, b * golden], k) for k in range(3) for a in (-1, 1) for b in (-1, 1)])
    kernel = Structure(np.vstack([[[0, 0, 0]], corners, 2 * corners]))
    assert shell_of(kernel).tolist() == list(range(1, 13))


def test_two_samples_are_too_few():
    with pytest.raises(TrainingError, match="2 samples; give at least three"):
        read_barcodes(ule_glasses.model(), ule_glasses.samples()[:2], lambda fraction, text: None)
