"""Cards of users' own models: units and sources are those of the data or of the user, never assumed."""

import re

import numpy as np
import pytest
from shaken_crystals import shaken_crystal
from typer.testing import CliRunner

from ovito_glassml.adapter.files import attributes_of
from ovito_glassml.cli import app
from ovito_glassml.learn.format import read_header
from ovito_glassml.simulate.material import header_text, load_material, shipped_materials
from ovito_glassml.simulate.material_header import stated
from ovito_glassml.simulate.snapshots import provenance, write_snapshot
from ovito_glassml.workflow.sample_data import sample_file

OPTIONS = {
    "stiffness": ["--design", "rdf40"],
    "activity": ["--active-species", "Cu", "--nearest", 2.7, "--cutoff", 1.5, "--order", 1],
}


def write(folder, header=lambda number: {}):
    """Three glasses with labels of every kind, and what their headers say."""
    files = []
    for number in (1, 2, 3):
        structure = shaken_crystal(number)
        near = np.linalg.norm(structure.positions - structure.positions.mean(axis=0), axis=1)
        labels = {
            "Stiffness": 1 + 0.1 * np.sin(near),
            "Activity": (np.sin(near) > 0).astype(int),
        }
        files.append(folder / f"glass-{number}.xyz.gz")
        write_snapshot(files[-1], structure, labels, header(number))
    return files


def train(method, files, folder, *arguments):
    model = folder / "mine.safetensors"
    words = ["train", method, *files, "-o", model, *OPTIONS[method], *arguments]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return read_header(model), model.with_suffix(".md").read_text(encoding="utf-8") + result.output


ASSUMED = re.compile(r"angstrom|eV|Å|sigma|Mendelev|interatomic potential|thermal|shear|\bMIT\b")


@pytest.mark.parametrize("method", OPTIONS)
def test_what_nobody_states_is_not_on_the_card(method, tmp_path):
    header, text = train(method, write(tmp_path), tmp_path)
    assert ASSUMED.findall(text) == []
    assert header.length_unit == "not stated"
    assert "(unit of length not stated)" in text
    assert "Source: not stated" in text
    assert "Licence: not stated" in text


@pytest.mark.parametrize("method", OPTIONS)
def test_what_the_user_states_is_on_the_card(method, tmp_path):
    energy = [] if method == "activity" else ["--energy-unit", "epsilon"]
    sources = ["--reference", "A. Author (2020)", "--reference", "B. Author (2021)"]
    header, text = train(method, write(tmp_path), tmp_path, "--length-unit", "sigma", *energy, *sources)
    assert header.length_unit == "sigma"
    assert header.references[-2:] == ("A. Author (2020)", "B. Author (2021)")
    assert not re.search("Mendelev|eV|Å|angstrom", text)
    if method == "stiffness":
        assert header.output["unit"] == "ε/σ²"
        assert "RMSE (ε/σ²)" in text


@pytest.mark.parametrize("method", OPTIONS)
def test_what_the_files_state_is_on_the_card(method, tmp_path):
    header, text = train(method, write(tmp_path, lambda number: provenance("vibrations", {"seed": number})), tmp_path)
    assert header.length_unit == "angstrom"
    assert sum("Mendelev" in reference for reference in header.references) == 1
    assert "(eV/Å²)" in text or method != "stiffness"


#: Every protocol whose files are learned from, and what it says about the cause of activity.
PROTOCOLS = {
    "quench": None,
    "harmonic": None,
    "vibrations": None,
    "barriers": None,
    "anneal": None,
    "shear-aqs": "shear",
    "shear-md": "shear",
    "isoconfigurational": "thermal",
}


@pytest.mark.parametrize("name", shipped_materials())
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_files_of_every_protocol_and_material_state_units_and_sources(protocol, name, tmp_path):
    """As the trainers read them: by OVITO, which has its own ways with quotes."""
    material = load_material(name)
    # Whoever learns from the files need not have the potential.
    header = {**provenance(protocol, {"seed": 1}), "material": header_text(material.described())}
    write_snapshot(tmp_path / "glass.xyz.gz", shaken_crystal(1, repeat=2), {}, header)
    found = stated(attributes_of(tmp_path / "glass.xyz.gz"))
    reduced = material.units == "lj"
    assert (found["length_unit"], found["energy_unit"]) == (("sigma", "epsilon") if reduced else ("angstrom", "eV"))
    assert found.get("reference", "") == material.reference != ""
    assert found.get("activation") == PROTOCOLS[protocol]


def test_a_card_of_harmonic_stiffness_of_a_lennard_jones_glass_is_in_its_units(tmp_path):
    material = load_material("kob-andersen")
    files = write(tmp_path, lambda number: provenance("harmonic", {"seed": number}, material))
    header, text = train("stiffness", files, tmp_path)
    assert (header.length_unit, header.output["unit"]) == ("sigma", "ε/σ²")
    assert header.references[-1] == material.reference
    assert "RMSE (ε/σ²)" in text
    assert not re.search("eV|Å|angstrom|Mendelev", text)


def test_a_card_tells_the_data_from_others_in_files_of_the_same_names(tmp_path):
    digests = []
    for folder, seed in (("one", 1), ("again", 1), ("other", 2)):
        (tmp_path / folder).mkdir()
        files = write(tmp_path / folder, lambda number, seed=seed: {"seed": seed})
        digests.append(train("activity", files, tmp_path / folder)[0].training["data_sha256"])
    assert digests[0] == digests[1] != digests[2]


def test_labels_of_other_species_teach_nothing(tmp_path):
    """The column may hold labels of all atoms; the model is of one species."""
    header, _ = train("activity", write(tmp_path), tmp_path)
    labelled = [np.count_nonzero(shaken_crystal(number).species == 0) for number in (1, 2)]
    assert header.training["active_atoms"] + header.training["inactive_atoms"] == sum(labelled)


def test_what_only_some_files_state_is_not_known_of_all(tmp_path):
    header, _ = train("activity", write(tmp_path, lambda number: {"length_unit": "nm"} if number > 1 else {}), tmp_path)
    assert header.length_unit == "not stated"


def test_lennard_jones_data_of_this_package_are_in_units_of_sigma(tmp_path):
    files = [sample_file(f"activity/shear-kob-andersen-{number}.xyz.gz") for number in (1, 2, 3)]
    options = ["--active-species", "A", "--nearest", 1, "--cutoff", 1.5, "--average-radius", 0]
    model = tmp_path / "mine.safetensors"
    words = ["train", "activity", *files, *options, "-o", model]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    header = read_header(model)
    assert (header.length_unit, header.training["activation"]) == ("sigma", "shear")
    assert any("Kob" in reference for reference in header.references)
    assert "up to: 1.5 sigma" in model.with_suffix(".md").read_text(encoding="utf-8")
