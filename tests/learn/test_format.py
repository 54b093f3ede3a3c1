"""Model files: what is written comes back, and nothing that is damaged is ever used."""

import json
import os
import pickle

import numpy as np
import pytest
from safetensors import numpy as safetensors_numpy

from ovito_glassml.learn import format as model_file
from ovito_glassml.learn.card import render_card, write_card
from ovito_glassml.learn.format import (
    ModelError,
    ModelHeader,
    ResultTable,
    list_installed,
    list_models,
    model_path,
    read_header,
    read_model,
    remembered,
    save_model,
    take_tensor,
)

TENSORS = {
    "weights": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "radial.edges": np.linspace(2, 10, 5),
    "empty": np.empty((0, 2), dtype=np.int64),
}


def example_header(**changes):
    entries = {
        "kind": "example",
        "title": "a model for tests",
        "summary": "Predicts nothing, with an umlaut: Å.",
        "species": ("Cu", "Zr"),
        "cutoff": 10.0,
        "descriptor": {"bin_width": 0.2},
        "architecture": {"widths": [4, 1]},
        "output": {"property": "Nothing", "unit": "eV/Å²"},
        "training": {"how": "invented", "atoms": 12, "samples": ["one", "two"]},
        "results": (ResultTable("Held-out R", ("sample", "R"), (("one", 0.5), ("two", 0.25)), "higher is better"),),
        "limits": ("good for nothing",),
        "references": ("A. Author, J. Example 1, 1 (2000)",),
        "length_unit": "angstrom",
    }
    return ModelHeader(**(entries | changes))


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "example.safetensors"
    save_model(path, example_header(), TENSORS)
    return path


def test_what_is_saved_comes_back(model):
    header, tensors = read_model(model, kind="example")
    assert header == example_header()
    assert tensors.keys() == TENSORS.keys()
    for name, expected in TENSORS.items():
        np.testing.assert_array_equal(tensors[name], expected)
        assert tensors[name].dtype == expected.dtype


def test_header_may_be_a_mapping_and_equal_content_gives_equal_bytes(model, tmp_path):
    again = tmp_path / "again.safetensors"
    entries = {name: getattr(example_header(), name) for name in ModelHeader.__dataclass_fields__}
    save_model(again, entries, dict(reversed(TENSORS.items())))
    assert again.read_bytes() == model.read_bytes()


def test_header_is_read_without_the_tensors(tmp_path):
    path = tmp_path / "large.safetensors"
    save_model(path, example_header(), {"weights": np.zeros(1_000_000)})
    # Overwriting the end of the tensors does not disturb who only asks what the model is.
    with open(path, "r+b") as file:
        file.seek(-8, 2)
        file.write(b"altered!")
    assert read_header(path).title == "a model for tests"
    with pytest.raises(ModelError, match=r"large\.safetensors is truncated, altered"):
        read_model(path, kind="example")


@pytest.mark.parametrize("tenth", range(10))
def test_truncation_is_noticed(model, tenth):
    content = model.read_bytes()
    model.write_bytes(content[: len(content) * tenth // 10])
    with pytest.raises(ModelError, match=r"example\.safetensors is truncated, altered or no model file"):
        read_model(model, kind="example")
    with pytest.raises(ModelError):
        read_header(model)


def test_every_flipped_byte_is_noticed(model):
    content = bytearray(model.read_bytes())
    for position in range(len(content)):
        for bits in (0x20, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= bits
            model.write_bytes(damaged)
            with pytest.raises(ModelError):
                read_model(model, kind="example")


def test_appended_bytes_are_noticed(model):
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="truncated, altered"):
        read_model(model, kind="example")


def test_a_header_rewritten_with_a_fitting_file_is_noticed(model):
    """Somebody edits the species with a safetensors editor: the digest no longer fits."""
    tensors = safetensors_numpy.load(model.read_bytes())
    header = read_header(model)
    entries = {name: getattr(header, name) for name in ModelHeader.__dataclass_fields__}
    entries["species"] = ["Ni", "Zr"]
    entries["results"] = []
    text = json.dumps(entries)
    model.write_bytes(safetensors_numpy.save(tensors, metadata={model_file.METADATA_KEY: text}))
    with pytest.raises(ModelError, match="digest does not fit"):
        read_model(model, kind="example")


def test_pickles_are_never_loaded(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was executed",))

    path = tmp_path / "bomb.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match="no model file"):
        read_model(path, kind="example")


def test_foreign_safetensors_file_is_named_as_such(tmp_path):
    path = tmp_path / "foreign.safetensors"
    path.write_bytes(safetensors_numpy.save({"a": np.zeros(3)}))
    with pytest.raises(ModelError, match="no model of this package"):
        read_header(path)


def test_another_kind_is_refused(model):
    with pytest.raises(ModelError, match="is a model of kind example and one of kind stiffness is needed"):
        read_model(model, kind="stiffness")


def test_a_newer_format_is_refused(model, monkeypatch, tmp_path):
    newer = tmp_path / "newer.safetensors"
    monkeypatch.setattr(model_file, "FORMAT_VERSION", model_file.FORMAT_VERSION + 1)
    save_model(newer, example_header(), TENSORS)
    monkeypatch.undo()
    with pytest.raises(ModelError, match="has model format 3 and this package reads format 2"):
        read_header(newer)


def test_strange_species_are_refused_and_known_ones_pass(model):
    header = read_header(model)
    header.check_species(["Zr"])
    with pytest.raises(ModelError, match=r"for Cu, Zr and the structure contains Al; .*`species`"):
        header.check_species(["Cu", "Al"])


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("absent", (3, 4), "lacks the tensor absent"),
        ("weights", (3, 5), r"shape \(3, 4\), expected 3 x 5"),
        ("weights", (12,), r"shape \(3, 4\), expected 12"),
    ],
)
def test_wrong_tensors_are_refused(name, shape, message):
    with pytest.raises(ModelError, match=message):
        take_tensor(example_header(), TENSORS, name, shape)


def test_tensors_that_fit_are_taken_and_infinities_are_not():
    assert take_tensor(example_header(), TENSORS, "weights", (None, 4)).shape == (3, 4)
    with pytest.raises(ModelError, match="not finite"):
        take_tensor(example_header(), {"weights": np.array([np.inf])}, "weights", (1,))


def test_incomplete_or_unknown_header_entries_are_refused(tmp_path):
    with pytest.raises(ModelError, match=r"incomplete .*cutoff"):
        save_model(tmp_path / "a.safetensors", {"kind": "example"}, {})
    with pytest.raises(ModelError, match="unknown entries"):
        ModelHeader.from_mapping({"kind": "example", "colour": "red"})
    assert not list(tmp_path.iterdir())


def test_wrong_suffix_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"does not end in \.safetensors"):
        save_model(tmp_path / "model.pkl", example_header(), TENSORS)


def test_failed_write_leaves_the_old_model(model, monkeypatch):
    before = model.read_bytes()

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(model_file.os, "replace", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_model(model, example_header(title="newer"), TENSORS)
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_unknown_names_list_the_shipped_models():
    with pytest.raises(ModelError, match="no model 'absent'"):
        model_path("absent")


def test_shipped_models_are_found_by_name_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(model_file, "SHIPPED_MODELS", tmp_path / "shipped")
    (tmp_path / "shipped").mkdir()
    save_model(tmp_path / "shipped" / "b-model.safetensors", example_header(), TENSORS)
    save_model(tmp_path / "shipped" / "a-model.safetensors", example_header(), TENSORS)
    assert list_models() == ("a-model", "b-model")
    assert model_path("a-model") == tmp_path / "shipped" / "a-model.safetensors"
    (tmp_path / "a-model").mkdir()  # a folder of that name does not hide the model
    assert read_header("a-model").kind == "example"


def test_card_says_all_that_the_header_says(model):
    card = write_card(model)
    text = card.read_text(encoding="utf-8")
    assert card == model.with_suffix(".md")
    header = read_header(model)
    assert text == render_card(header, "example")
    for expected in (
        "Cu, Zr",
        "10 angstrom",
        "eV/Å²",
        "one, two",
        "| one | 0.500 |",
        "good for nothing",
        header.sha256,
    ):
        assert expected in text


def test_a_card_says_what_nobody_has_stated(tmp_path):
    """A unit or a licence that is not known must not be guessed."""
    entries = {key: value for key, value in vars(example_header()).items() if key not in ("length_unit", "licence")}
    card = render_card(ModelHeader(**entries), "mine")
    assert "up to: 10 (unit of length not stated)" in card
    assert "Licence: not stated" in card


def test_tables_with_missing_values_are_refused():
    with pytest.raises(ModelError, match="fill every column"):
        ResultTable("broken", ("a", "b"), ((1,),))


def test_a_model_is_read_again_only_when_its_file_changed(model):
    loads = []

    def load(path):
        loads.append(path)
        return read_header(path).title

    title = remembered(load)
    assert [title(str(model)), title(str(model))] == ["a model for tests"] * 2
    assert len(loads) == 1
    save_model(model, example_header(title="a newer one"), TENSORS)
    os.utime(model, ns=(1, 1))
    assert title(str(model)) == "a newer one"


@pytest.fixture
def titles():
    """A function that remembers the titles of models."""
    return remembered(lambda path: read_header(path).title)


def test_the_same_relative_path_in_another_folder_is_another_model(titles, tmp_path, monkeypatch):
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        save_model(tmp_path / name / "mine.safetensors", example_header(title=f"from {name:>5}"), TENSORS)
        os.utime(tmp_path / name / "mine.safetensors", ns=(1, 1))
    for name in ("here", "there", "here"):
        monkeypatch.chdir(tmp_path / name)
        assert titles("mine.safetensors") == f"from {name:>5}"


@pytest.mark.parametrize("way", ["replaced", "written over"])
def test_a_file_of_equal_size_and_time_is_another_model(way, titles, model, tmp_path):
    other = tmp_path / "other.safetensors"
    save_model(model, example_header(title="the first"), TENSORS)
    save_model(other, example_header(title="the other"), TENSORS)
    for file in (model, other):
        os.utime(file, ns=(1, 1))
    assert model.stat().st_size == other.stat().st_size
    assert titles(str(model)) == "the first"
    if way == "replaced":
        os.replace(other, model)
    else:
        model.write_bytes(other.read_bytes())
        os.utime(model, ns=(1, 1))
    assert titles(str(model)) == "the other"


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(model):
    def load(path):
        title = read_header(path).title
        if title == "a model for tests":
            save_model(model, example_header(title="a newer one"), TENSORS)
        return title

    assert remembered(load)(str(model)) == "a newer one"


def test_only_the_models_used_last_stay_in_memory(model, tmp_path):
    loads = []

    def load(path):
        loads.append(path.stem)
        return path

    get, files = remembered(load, count=2), [tmp_path / f"{name}.safetensors" for name in "abc"]
    for file in files:
        save_model(file, example_header(title=file.stem), TENSORS)
    for name in "abaca":
        get(str(tmp_path / f"{name}.safetensors"))
    assert "".join(loads) == "abc"
    get(str(files[1]))
    assert "".join(loads) == "abcb"


@pytest.mark.parametrize("chosen", ["", "~/models"])
def test_a_user_without_a_home_has_no_installed_models(chosen, monkeypatch):
    """In a container, a user may have a number and nothing else."""

    def unknown(*arguments, **options):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("GLASSML_MODELS", chosen)
    monkeypatch.setattr("ovito_glassml.learn.format.user_data_path", unknown)
    monkeypatch.setattr("pathlib.Path.expanduser", unknown)
    assert list_installed() == ()
    assert model_path("stiffness-cuzr").is_file()
    with pytest.raises(ModelError, match="mine"):
        model_path("mine")
