"""Training prototype networks on the command line, with labels of every kind of trouble."""

import numpy as np
import pytest
from shaken_crystals import shaken_crystal
from typer.testing import CliRunner

from ovito_glassml.cli import app
from ovito_glassml.errors import GlassMLError
from ovito_glassml.learn.prototypes.model import ScnnModel
from ovito_glassml.neighbours import neighbour_lists
from ovito_glassml.simulate.snapshots import write_snapshot


def crowded(seed):
    """A disordered arrangement and a label that counts near neighbours."""
    structure = shaken_crystal(seed, repeat=9)
    lists = neighbour_lists(structure, 5.0)
    centre = np.repeat(np.arange(729), np.diff(lists.offsets))
    return structure, np.bincount(centre, np.exp(-((lists.distances / 3.0) ** 4)), minlength=729)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("barriers")
    written = []
    for seed in (1, 2, 3):
        structure, barrier = crowded(seed)
        barrier[:5] = np.nan
        written.append(folder / f"barriers-{seed}.xyz.gz")
        write_snapshot(written[-1], structure, {"Activation_Energy": barrier, "Nothing": np.ones(729)}, {})
    return written


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_model_is_trained_judged_and_described(files, tmp_path):
    model = tmp_path / "mine.safetensors"
    result = run("train", "scnn", *files, "-o", model, "--design", "bessel")
    assert result.exit_code == 0, result.output
    assert "10 atoms without a label were left out" in result.output
    header = ScnnModel.load(model).header
    assert header.training["samples"] == ["barriers-1", "barriers-2"]
    assert [table.title for table in header.results] == ["Held-out samples", "Prototypes"]
    assert header.results[0].rows[0][0] == "barriers-3"
    card = model.with_suffix(".md").read_text()
    assert "barriers-3" in card
    assert "(unit of length not stated)" in card
    assert not any(word in card for word in ("Mendelev", "eV", "angstrom", "MIT"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--label", "Nothing"], "all of one class"),
        (["--label", "Absent"], "no column 'Absent'"),
        (["--design", "soap"], "no design 'soap'"),
    ],
)
def test_useless_requests_are_refused(files, tmp_path, arguments, message):
    result = run("train", "scnn", *files, "-o", tmp_path / "mine.safetensors", "--design", "bessel", *arguments)
    assert isinstance(result.exception, GlassMLError)
    assert message in str(result.exception)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("part", ["Describing", "Training"])
def test_an_interrupted_training_leaves_no_file(files, tmp_path, interrupted, part):
    with interrupted(part, 0.3):
        result = run("train", "scnn", *files, "-o", tmp_path / "mine.safetensors", "--design", "bessel")
    assert result.exit_code != 0
    assert not list(tmp_path.iterdir())


def test_one_file_is_too_few(files, tmp_path):
    result = run("train", "scnn", files[0], "-o", tmp_path / "mine.safetensors")
    assert "at least two" in str(result.exception)


def test_figures_need_two_samples(files, tmp_path):
    result = run("figures", "scnn", files[0], "--output", tmp_path / "figures")
    assert "give two" in str(result.exception)
