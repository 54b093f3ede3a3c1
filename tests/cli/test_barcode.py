"""Training a barcode model on the command line, and energies that files do or do not have."""

import pytest
import ule_glasses
from typer.testing import CliRunner

from ovito_glassml.adapter.energies import read_energies
from ovito_glassml.adapter.files import FileError
from ovito_glassml.cli import app
from ovito_glassml.errors import GlassMLError
from ovito_glassml.learn.barcode.model import UleModel
from ovito_glassml.learn.format import save_model
from ovito_glassml.simulate.snapshots import Snapshot, write_frames


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    written = []
    for number in (1, 2, 3):
        run = [sample for sample in ule_glasses.samples() if sample.run == f"shear-{number}"][:4]
        frames = []
        for place, sample in enumerate(run):
            shares = {"Atomic_Energy": sample.atom_energies}
            header = {"energy_per_atom": f"{sample.energy:.8f}", "stage": place // 2}
            frames.append(Snapshot(sample.structure, shares, header))
        written.append(folder / f"run-{number}.xyz.gz")
        write_frames(written[-1], frames)
    return written


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.mark.parametrize("name", ["energy_per_atom", "Energy per atom", "Atomic Energy"])
def test_energies_are_attributes_or_means_of_columns(files, name):
    expected = [sample.energy for sample in ule_glasses.samples()[:4]]
    assert [energy for _, energy, _, _ in read_energies(files[0], name)] == pytest.approx(expected, abs=1e-5)


def test_files_without_energies_or_kinds_say_what_they_have(files):
    with pytest.raises(FileError, match=r"'enthalpy'.*energy_per_atom.*Atomic_Energy"):
        list(read_energies(files[0], "enthalpy"))
    with pytest.raises(FileError, match=r"attribute 'mood'.*energy_per_atom"):
        list(read_energies(files[0], "energy_per_atom", kind="mood"))
    assert [kind for _, _, kind, _ in read_energies(files[0], "energy_per_atom", kind="stage")][:2] == [
        "stage 0",
        "stage 0",
    ]


@pytest.mark.parametrize(("energy", "learned"), [("energy_per_atom", "trees"), ("Atomic_Energy", "linear similarity")])
def test_a_model_is_trained_judged_and_described(files, tmp_path, energy, learned):
    model = tmp_path / "mine.safetensors"
    settings = ["--folds", 2, "--trials", 1, "--environments", 15, "--energy", energy]
    result = run("train", "ule", *files, "-o", model, *settings)
    assert result.exit_code == 0, result.output
    header = UleModel.load(model).header
    assert header.architecture["energy"] == learned
    assert header.training["samples"] == ["run-1", "run-2"]
    table = header.results[-1]
    assert table.title == "Held-out runs"
    assert [row[0] for row in table.rows] == ["15 environments", "constant"]
    assert "run-3" in table.note
    assert "Held-out runs" in result.output
    card = model.with_suffix(".md").read_text()
    assert "(unit of length not stated)" in card
    assert not any(word in card for word in ("Mendelev", "eV", "angstrom", "MIT"))


def test_an_interrupted_training_leaves_no_file(files, tmp_path, interrupted):
    settings = ["--folds", 2, "--trials", 1, "--environments", 15]
    with interrupted("Training", 0.5):
        result = run("train", "ule", *files, "-o", tmp_path / "mine.safetensors", *settings)
    assert result.exit_code != 0
    assert not list(tmp_path.iterdir())


def test_fewer_runs_than_folds_are_refused(files, tmp_path):
    result = run("train", "ule", *files, "-o", tmp_path / "mine.safetensors")
    assert isinstance(result.exception, GlassMLError)
    assert "2 runs and 5 folds" in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_figures_are_drawn_from_files_and_a_model(files, tmp_path):
    trained = ule_glasses.model()
    save_model(tmp_path / "small.safetensors", trained.header, trained.tensors())
    figures = tmp_path / "figures"
    result = run("figures", "ule", *files, "--model", tmp_path / "small.safetensors", "-o", figures, "--kind", "stage")
    assert result.exit_code == 0, result.output
    assert "12 samples: RMSE" in result.output
    assert "stage 1" in (figures / "energies.csv").read_text()
    assert (figures / "environments.png").is_file()
    assert not (figures / "strain.png").exists()
