"""Training a stiffness model on the command line, using it, and what is said of files that do not do."""

import numpy as np
import pytest
from shaken_crystals import shaken_crystal
from typer.testing import CliRunner

from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.cli import app
from ovito_glassml.errors import GlassMLError
from ovito_glassml.learn.stiffness.model import StiffnessModel
from ovito_glassml.neighbours import neighbour_lists
from ovito_glassml.simulate.snapshots import write_snapshot


def crowded(seed):
    """A disordered arrangement, and a stiffness that grows with the number of near neighbours."""
    structure = shaken_crystal(seed)
    lists = neighbour_lists(structure, 6.0)
    centre = np.repeat(np.arange(343), np.diff(lists.offsets))
    return structure, 0.3 + 0.05 * np.bincount(centre, np.exp(-((lists.distances / 3.2) ** 4)), minlength=343)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("glasses")
    written = []
    for seed in (1, 2, 3):
        structure, stiffness = crowded(seed)
        written.append(folder / f"glass-{seed}.xyz.gz")
        write_snapshot(written[-1], structure, {"Stiffness": stiffness, "Nothing": np.full(343, np.nan)}, {})
    return written


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_model_is_trained_judged_and_used(files, tmp_path):
    model, output = tmp_path / "mine.safetensors", tmp_path / "out.xyz"
    result = run("train", "stiffness", *files, "-o", model, "--design", "rdf40")
    assert result.exit_code == 0, result.output
    header = StiffnessModel.load(model).header
    assert header.training["samples"] == ["glass-1", "glass-2"]
    (table,) = header.results
    assert [row[0] for row in table.rows] == ["glass-3"]
    assert float(table.rows[0][1]) > 0.6
    assert "glass-3" in model.with_suffix(".md").read_text()
    assert "Held-out samples" in result.output
    assert run("apply", files[2], "-m", "stiffness", "--model", model, "-o", output).exit_code == 0
    predicted = np.asarray(open_trajectory(str(output)).compute().particles["PredictedStiffness"])
    assert np.corrcoef(predicted, crowded(3)[1])[0, 1] == pytest.approx(table.rows[0][1], abs=1e-4)


def test_a_cage_stiffness_is_learned_beside_another_and_never_in_its_place(tmp_path):
    files = []
    for seed in (1, 2):
        structure, stiffness = crowded(seed)
        files.append(tmp_path / f"glass-{seed}.xyz.gz")
        columns = {"Harmonic_Stiffness": stiffness, "Cage_Stiffness": 2 * stiffness}
        write_snapshot(files[-1], structure, columns, {})
    model = tmp_path / "mine.safetensors"
    trained = ("train", "stiffness", *files, "-o", model, "--design", "rdf40", "--label")
    assert run(*trained, "Harmonic_Stiffness").exit_code == 0
    assert StiffnessModel.load(model).header.output["also"] == "Predicted Cage Stiffness"
    refused = run(*trained, "cage stiffness")
    assert isinstance(refused.exception, GlassMLError)
    assert "beside another stiffness" in str(refused.exception)


def test_the_files_to_judge_by_can_be_named(files, tmp_path):
    result = run(
        "train", "stiffness", *files, "--test", files[0], "-o", tmp_path / "mine.safetensors", "--design", "rdf40"
    )
    assert result.exit_code == 0, result.output
    header = StiffnessModel.load(tmp_path / "mine.safetensors").header
    assert header.training["samples"] == ["glass-2", "glass-3"]
    assert header.results[0].rows[0][0] == "glass-1"


@pytest.mark.parametrize(
    ("count", "arguments", "message"),
    [
        (3, ["--design", "soap"], "no design 'soap'"),
        (3, ["--label", "Absent"], "no column 'Absent'"),
        (3, ["--label", "Nothing"], "glass-1 has 0 atoms with a finite stiffness"),
        (1, [], "No file is left to train on"),
    ],
)
def test_useless_requests_are_refused(files, tmp_path, count, arguments, message):
    result = run("train", "stiffness", *files[:count], "-o", tmp_path / "mine.safetensors", *arguments)
    assert isinstance(result.exception, GlassMLError)
    assert message in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_training_leaves_no_file(files, tmp_path, interrupted):
    with interrupted("Training", 0.5):
        result = run("train", "stiffness", *files, "-o", tmp_path / "mine.safetensors", "--design", "rdf40")
    assert result.exit_code != 0
    assert not list(tmp_path.iterdir())
