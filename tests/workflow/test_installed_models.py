"""Models of the user's own: found by name after they are installed, and nothing else is ever left in their folder."""

import errno
import os
import shutil
import threading

import pytest
from typer.testing import CliRunner

from ovito_glassml.cli import app
from ovito_glassml.errors import BusyError
from ovito_glassml.learn.format import ModelError, list_installed, model_path, read_header
from ovito_glassml.learn.model import load_model
from ovito_glassml.locks import locked
from ovito_glassml.workflow import installed_models
from ovito_glassml.workflow.installed_models import InstallError, add_models, listed_models, remove_model

#: Two models of the package, to be installed under other names.
ONE, OTHER = model_path("activity-polymer-shear"), model_path("activity-polymer-thermal")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The folder of installed models, which does not exist yet."""
    monkeypatch.setenv("GLASSML_MODELS", str(tmp_path / "installed"))
    return tmp_path / "installed"


@pytest.fixture
def mine(tmp_path):
    """A model file of the user's."""
    return shutil.copy(ONE, tmp_path / "mine.safetensors")


def test_an_installed_model_is_found_by_name_with_its_card(place, mine):
    assert add_models(mine) == ["mine"]
    assert list_installed() == ("mine",)
    assert load_model("mine").header == read_header(ONE)
    assert (place / "mine.md").read_text(encoding="utf-8").startswith("# mine: ")
    assert sorted(os.listdir(place)) == ["mine.md", "mine.safetensors"]
    assert add_models(mine) == ["mine"]  # once more


@pytest.mark.parametrize("inside", ["", "models"])
def test_a_folder_of_models_is_installed_as_a_whole(place, tmp_path, inside):
    folder = tmp_path / "results"
    (folder / inside).mkdir(parents=True)
    for name, source in (("a", ONE), ("b", OTHER), (".hidden", ONE)):
        shutil.copy(source, folder / inside / f"{name}.safetensors")
    (folder / "notes.txt").write_text("no model")
    assert add_models(folder) == ["a", "b"]
    assert list_installed() == ("a", "b")


def test_one_damaged_file_and_none_of_the_folder_is_installed(place, tmp_path, mine):
    damaged = tmp_path / "other.safetensors"
    damaged.write_bytes(bytes(reversed(OTHER.read_bytes())))
    with pytest.raises(ModelError, match=r"other\.safetensors"):
        add_models(tmp_path)
    assert not place.exists()


def test_a_file_with_one_altered_number_is_not_installed(place, mine):
    content = bytearray(mine.read_bytes())
    content[-5] ^= 1
    mine.write_bytes(content)
    with pytest.raises(ModelError, match="digest does not fit"):
        add_models(mine)
    assert not place.exists()


def test_a_name_is_not_taken_from_another_model_unless_that_is_wanted(place, mine):
    add_models(mine)
    shutil.copy(OTHER, mine)
    with pytest.raises(InstallError, match="Another model is installed as mine; rename the file, or use --replace"):
        add_models(mine)
    assert read_header("mine") == read_header(ONE)
    add_models(mine, replace=True)
    assert read_header("mine") == read_header(OTHER)
    assert (place / "mine.md").read_text(encoding="utf-8").count(read_header(OTHER).sha256) == 1


def test_names_of_the_package_cannot_be_taken_or_removed(place, tmp_path):
    shipped = shutil.copy(ONE, tmp_path / OTHER.name)
    for replace in (False, True):
        with pytest.raises(InstallError, match="is the name of a model of this package"):
            add_models(shipped, replace=replace)
    with pytest.raises(InstallError, match="comes with the package"):
        remove_model(OTHER.stem)


@pytest.mark.parametrize("what", ["nothing.safetensors", "text.txt", "empty folder"])
def test_what_is_no_model_is_refused(place, tmp_path, what):
    (tmp_path / "text.txt").write_text("no model")
    (tmp_path / "empty folder").mkdir()
    with pytest.raises(InstallError, match=r"no \.safetensors file"):
        add_models(tmp_path / what)
    assert not place.exists()


def test_a_removed_model_is_gone_with_its_card(place, mine):
    add_models(mine)
    remove_model("mine")
    assert os.listdir(place) == []
    with pytest.raises(InstallError, match=r"No model 'mine' is installed.*installed are: none"):
        remove_model("mine")


def test_a_folder_that_cannot_be_made_is_named(tmp_path, monkeypatch, mine):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GLASSML_MODELS", str(tmp_path / "file" / "models"))
    with pytest.raises(InstallError, match=r"file/models cannot be changed .*GLASSML_MODELS"):
        add_models(mine)


@pytest.mark.parametrize("number", [1, 2])
def test_a_full_disk_leaves_what_was_there(place, mine, monkeypatch, number):
    """Whichever of the two files does not fit."""
    add_models(mine)
    before = {file: (place / file).read_bytes() for file in os.listdir(place)}
    shutil.copy(OTHER, mine)
    calls = []

    def full(descriptor):
        calls.append(descriptor)
        if len(calls) >= number:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InstallError, match=r"No space left on device.*make room"):
        add_models(mine, replace=True)
    assert {file: (place / file).read_bytes() for file in os.listdir(place)} == before


def test_another_process_at_work_is_waited_for_and_named(place, mine, monkeypatch):
    monkeypatch.setattr(installed_models, "PATIENCE", 0.1)
    place.mkdir()
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with locked(place / ".lock", 1.0):
            entered.set()
            leave.wait(20)

    other = threading.Thread(target=hold)
    other.start()
    assert entered.wait(20)
    with pytest.raises(BusyError, match="is being written by"):
        add_models(mine)
    assert list_installed() == ()
    leave.set()
    other.join()
    assert add_models(mine) == ["mine"]


def test_what_a_killed_process_left_is_cleared_away(place, mine):
    place.mkdir()
    (place / ".mine.safetensors.123-0a1b2c3d.tmp").write_bytes(b"half")
    add_models(mine)
    assert sorted(os.listdir(place)) == ["mine.md", "mine.safetensors"]


def test_a_broken_installed_file_is_listed_with_its_fault(place, mine):
    add_models(mine)
    (place / "broken.safetensors").write_bytes(b"x" * 50)
    by_name = {model.name: model for model in listed_models() if model.origin == "installed"}
    assert (by_name["mine"].header, by_name["mine"].problem) == (read_header(ONE), "")
    assert by_name["broken"].header is None
    assert "broken.safetensors" in by_name["broken"].problem


def run(*words):
    return CliRunner().invoke(app, ["models", *map(str, words)], env={"COLUMNS": "200"})


def test_the_commands_list_add_show_and_remove(place, mine):
    assert "Installed mine" in run("add", mine).output
    (place / "broken.safetensors").write_bytes(b"x" * 50)
    for words in ((), ("list",)):
        lines = run(*words).output.splitlines()
        assert any(line.split()[:2] == ["mine", "installed"] for line in lines)
        assert any(line.split()[:2] == ["stiffness-cuzr", "shipped"] for line in lines)
        assert [line for line in lines if line.startswith("broken (installed): broken.safetensors is")]
    assert run("show", "mine").output.startswith("# mine: ")
    assert run("show", mine).output.startswith("# mine: ")
    assert "Removed mine" in run("remove", "mine").output
    assert "Removed broken" in run("remove", "broken").output
    assert isinstance(run("remove", "mine").exception, InstallError)
