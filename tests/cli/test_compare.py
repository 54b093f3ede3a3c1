"""Why one glass has less energy than another, on the command line."""

import csv

import numpy as np
import pytest
import ule_glasses
from typer.testing import CliRunner

from ovito_glassml.cli import app
from ovito_glassml.errors import GlassMLError
from ovito_glassml.learn.format import save_model
from ovito_glassml.simulate.snapshots import Snapshot, write_frames


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and the frames of three glasses, a file each."""
    place = tmp_path_factory.mktemp("glasses")
    trained = ule_glasses.soft_model()
    save_model(place / "ule.safetensors", trained.header, trained.tensors())
    for number in (1, 2, 3):
        run = [sample for sample in ule_glasses.samples() if sample.run == f"shear-{number}"]
        write_frames(place / f"glass-{number}.xyz.gz", [Snapshot(sample.structure, {}, {}) for sample in run])
    return place


def compare(folder, *arguments):
    model = ["--model", folder / "ule.safetensors"]
    return CliRunner().invoke(app, [str(argument) for argument in ("compare", *arguments, *model)])


def test_parts_add_up_to_the_difference_of_the_energies(folder, tmp_path):
    result = compare(folder, folder / "glass-1.xyz.gz", folder / "glass-2.xyz.gz", "-o", tmp_path / "why")
    assert result.exit_code == 0, result.output
    model = ule_glasses.soft_model()
    first, second = (
        model.predict([one.structure for one in ule_glasses.samples() if one.run == f"shear-{number}"][-1])
        for number in (1, 2)
    )
    assert f"glass-1 minus glass-2: {1000 * (first.energy - second.energy):+.2f} ±" in result.output
    with open(tmp_path / "why/stability.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    parts = sum(float(row[name]) for row in rows for name in ("from shares (meV/atom)", "from energies (meV/atom)"))
    assert parts == pytest.approx(1000 * (first.energy - second.energy), abs=1e-3)
    assert rows[-1]["environment"] == "none"
    assert (tmp_path / "why/stability.png").stat().st_size > 10_000


def test_several_glasses_give_errors_from_their_scatter(folder):
    pattern = folder / "glass-*.xyz.gz"
    of_all = compare(folder, pattern, folder / "glass-1.xyz.gz", "--frames", "0:2")
    assert of_all.exit_code == 0, of_all.output
    assert "glass minus glass-1" in of_all.output
    assert "nan" not in of_all.output.split("meV/atom")[0]


def test_the_same_file_twice_has_no_difference(folder):
    result = compare(folder, folder / "glass-1.xyz.gz", folder / "glass-1.xyz.gz")
    assert "glass-1 (first) minus glass-1 (second): +0.00" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}/glass-9.xyz.gz", "{folder}/glass-1.xyz.gz"], "No file matches"),
        (["{folder}/glass-1.xyz.gz", "{folder}/glass-2.xyz.gz", "--frames", "50:"], "none of those asked for"),
        (["{folder}/glass-1.xyz.gz", "{folder}/glass-2.xyz.gz", "-o", "{folder}/glass-1.xyz.gz"], "name a folder"),
    ],
)
def test_mistakes_are_one_sentence(folder, arguments, message):
    result = compare(folder, *[argument.format(folder=folder) for argument in arguments])
    assert isinstance(result.exception, GlassMLError)
    assert message in str(result.exception)
    assert np.isin(".", list(str(result.exception)))
