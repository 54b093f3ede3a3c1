"""Training models of propensity on the command line, from columns of the user."""

import numpy as np
import pytest
from typer.testing import CliRunner

from ovito_glassml.cli import app
from ovito_glassml.errors import GlassMLError
from ovito_glassml.learn.propensity.model import PropensityModel
from ovito_glassml.neighbours import build_cell_list, neighbour_counts
from ovito_glassml.simulate.snapshots import write_snapshot
from ovito_glassml.structure import Structure

EDGE = 6.0


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Atoms that move the less, the more neighbours they have, in three runs each."""
    folder, written = tmp_path_factory.mktemp("labels"), []
    for seed in (1, 2, 3):
        random = np.random.default_rng(seed)
        kinds = (random.random(216) < 0.3).astype(int)
        structure = Structure(random.random((216, 3)) * EDGE, kinds, ("A", "B"), EDGE * np.eye(3), pbc=(True,) * 3)
        crowd = neighbour_counts(build_cell_list(structure, 1.5))
        moved = (2 + random.random((216, 3))) / (5 + crowd[:, None])
        written.append(folder / f"labels-{seed}.xyz.gz")
        write_snapshot(written[-1], structure, {"Propensity": moved}, {})
    return written


def run(*arguments):
    return CliRunner().invoke(app, ["train", "propensity", *map(str, arguments)])


def test_a_model_is_trained_and_every_configuration_judged_by_the_others(files, tmp_path):
    model = tmp_path / "mine.safetensors"
    result = run(*files, "-o", model, "--active-species", "A", "--nearest", "1", "--cutoff", "2", "--n-max", "4")
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    loaded = PropensityModel.load(model)
    assert loaded.header.title == "how far A atoms of A-B will move"
    assert loaded.descriptor.cutoff == 2.0
    assert loaded.header.cutoff == pytest.approx(2.0 + EDGE / 2)  # averages end at half of the box
    left_out = loaded.header.results[0]
    assert [row[0] for row in left_out.rows] == ["labels-1", "labels-2", "labels-3", "mean", "standard error"]
    assert left_out.rows[3][2] > 0.5


def test_two_configurations_are_too_few(files, tmp_path):
    result = run(*files[:2], "-o", tmp_path / "x.safetensors", "--active-species", "A", "--nearest", "1")
    assert isinstance(result.exception, GlassMLError)
    assert "give at least 3" in str(result.exception)
