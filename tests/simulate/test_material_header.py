"""What the header of a file says about its material, also one written before there were materials."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.adapter.files import attributes_of
from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.material import header_text, load_material, material_of
from ovito_glassml.simulate.material_header import FORMERLY, former_record, material_for, material_of_header, stated
from ovito_glassml.simulate.snapshots import Snapshot, provenance, read_frames, write_frames
from ovito_glassml.structure import Structure


@pytest.mark.parametrize("protocol", ["quench", "vibrations", "barriers", "anneal", "shear-md"])
def test_files_of_copper_and_zirconium_state_their_units_and_potential(protocol):
    found = stated(provenance(protocol, {"atoms": 1000, "labelled": None}))
    assert (found["length_unit"], found["energy_unit"], found["reference"]) == (
        "angstrom",
        "eV",
        load_material("cu-zr").reference,
    )


@pytest.mark.parametrize("name", sorted(FORMERLY))
def test_files_of_every_system_state_its_units(name):
    found = stated(provenance("shear-aqs", {"system": name}))
    reduced = load_material(FORMERLY[name]).units == "lj"
    assert (found["length_unit"], found["energy_unit"]) == (("sigma", "epsilon") if reduced else ("angstrom", "eV"))
    assert found["activation"] == "shear"
    assert ("Mendelev" in found["reference"]) == (not reduced)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({}, {}),
        ({"protocol": "quench"}, {}),
        ({"protocol": "quench", "settings": "fast", "lammps": "2025"}, {}),
        ({"protocol": "of our own", "settings": "{}", "lammps": "2025"}, {}),
        (provenance("quench", {"system": "silica"}), {}),
        ({"length_unit": "nm", "reference": "Ours"}, {"length_unit": "nm", "reference": "Ours"}),
        (provenance("anneal", {}) | {"energy_unit": "kJ"}, {"length_unit": "angstrom", "energy_unit": "kJ"}),
    ],
)
def test_what_other_files_do_not_state_is_not_assumed(header, expected):
    found = stated(header)
    assert expected.items() <= found.items()
    assert bool(found) == bool(expected)


ATOM = Structure(np.zeros((1, 3)), [0], ("Cu",), 20.0 * np.eye(3), pbc=(True, True, True))


def structure_of(*species):
    count = len(species)
    return Structure(np.eye(count, 3), np.arange(count), species, 20.0 * np.eye(3), pbc=(True, True, True))


def test_a_header_holds_the_whole_material_whatever_its_reference_says(tmp_path):
    material = replace(load_material("cu-zr", "Cu64Zr36"), reference='O\'Neil, "Glasses" (2001); Wahnström = 1')
    file = tmp_path / "x.xyz.gz"
    write_frames(file, [Snapshot(ATOM, {}, provenance("quench", {"seed": 1}, material, composition=True))])
    header = read_frames(file)[0].header
    assert material_of_header(header) == material.fingerprinted()
    assert stated(header)["reference"] == material.reference


@pytest.mark.parametrize(
    ("protocol", "settings", "expected"),
    [
        ("shear-aqs", {"system": "cu50zr50"}, ("cu-zr", "Cu50Zr50")),
        ("shear-aqs", {"system": "polymer"}, ("polymer", "A100")),
        ("anneal", {"composition": "Zr44Cu56"}, ("cu-zr", "Cu56Zr44")),
        ("vibrations", {"seed": 3}, ("cu-zr", "Cu50Zr50")),
    ],
)
def test_a_header_from_before_there_were_materials_names_one_of_the_four(protocol, settings, expected):
    material = material_of_header(provenance(protocol, settings))
    assert (material.name, material.composition) == expected


def test_a_former_record_of_settings_says_which_material_it_meant():
    record = former_record({"system": "cu50zr50", "seed": 1})
    assert record == {"seed": 1, "material": load_material("cu-zr").digest(), "composition": "Cu50Zr50"}
    assert former_record({"composition": "Zr44Cu56"})["composition"] == "Cu56Zr44"
    assert former_record({"material": "abc", "seed": 1}) == {"material": "abc", "seed": 1}


def test_a_structure_without_a_header_is_of_the_shipped_material_of_its_species():
    assert material_for(structure_of("Cu", "Zr"), {}).name == "cu-zr"
    with pytest.raises(SimulationError, match=r"hold A, B; say which it is with --material"):
        material_for(structure_of("A", "B"), {})
    with pytest.raises(SimulationError, match=r"No shipped material holds Xe; say which it is with --material"):
        material_for(structure_of("Xe"), {})


def test_a_header_reads_the_same_through_ovito(tmp_path):
    """Commands of alloys hold quotes, references apostrophes, backslashes and umlauts."""
    material = replace(
        load_material("kob-andersen"),
        reference='O\'Neil, "50 %27" by Wahnström, \\n',
        interactions=("pair_style lj/cut 2.5", 'pair_coeff * * "a file.alloy" 1'),
    )
    structure = structure_of("A", "B")
    write_frames(tmp_path / "x.xyz.gz", [Snapshot(structure, {}, {"material": header_text(material.described())})])
    assert material_of_header(attributes_of(tmp_path / "x.xyz.gz")) == material
    assert material_of_header(read_frames(tmp_path / "x.xyz.gz")[0].header) == material


def test_headers_written_with_escapes_are_read_as_before():
    material = load_material("wahnstrom")
    text = json.dumps(material.described()).replace('"', "'")
    assert "\\u00f6" in text
    assert material_of_header({"material": text}) == material


def test_a_material_of_a_header_is_that_of_its_json():
    material = load_material("kob-andersen")
    assert material_of(json.loads(str(material.provenance()["material"]))) == material
