"""A material is a file: what it says, what LAMMPS is told, and what is refused."""

import hashlib
import json
import math

import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.material import load_material, material_of, parse_composition, shipped_materials

ALLOY = {
    "name": "alloy",
    "species": ["Cu", "Ta"],
    "fractions": [0.3, 0.7],
    "units": "metal",
    "commands": ["pair_style eam/alloy", "pair_coeff * * CuTa.eam.alloy Cu Ta"],
}
MIXTURE = {"name": "mixture", "species": ["A"], "units": "lj", "commands": ["pair_style lj/cut 2.5"]}


@pytest.mark.parametrize("name", shipped_materials())
def test_shipped_materials_are_complete_and_survive_their_header(name):
    material = load_material(name).check_complete()
    assert material.name == name
    written = json.dumps(material.described())
    assert material_of(json.loads(written), material.folder) == material
    assert len(material.reference) > 20


def test_what_the_file_leaves_out_follows_from_the_rest():
    material = material_of(ALLOY)
    assert material.masses == (63.546, 180.94788)
    assert (material.atom_style, material.active_species, material.chain_length) == ("atomic", "Ta", 1)
    assert material.boltzmann == pytest.approx(8.617e-5, rel=1e-4)
    assert math.isnan(material.melt_temperature)
    with pytest.raises(SimulationError, match=r"lacks melt_temperature, glass_temperature.*material check"):
        material.check_complete()


def test_a_composition_does_in_place_of_fractions():
    told = {key: value for key, value in ALLOY.items() if key not in ("species", "fractions")}
    material = material_of({**told, "composition": "Cu30Ta70"})
    assert (material.species, material.fractions) == (("Cu", "Ta"), (0.3, 0.7))
    assert material.composition == "Cu30Ta70"


def test_another_composition_forgets_the_density_of_the_glass_but_not_one_that_is_fixed():
    assert math.isnan(load_material("cu-zr", "Cu64Zr36").number_density)
    assert load_material("cu-zr", "Zr50Cu50") == load_material("cu-zr")
    assert load_material("kob-andersen", "A65B35").number_density == 1.2


def test_potentials_are_found_beside_the_file_and_in_the_folders_of_the_environment(tmp_path, monkeypatch):
    beside, elsewhere = tmp_path / "my materials", tmp_path / "potentials of others"
    for folder in (beside, elsewhere):
        folder.mkdir()
        (folder / "one.eam.alloy").write_text(folder.name)
    commands = ["pair_style eam/alloy", "pair_coeff * * one.eam.alloy Cu Ta"]
    material = material_of({**ALLOY, "commands": commands}, beside)
    assert material.commands[1] == f'pair_coeff * * "{beside / "one.eam.alloy"}" Cu Ta'
    (beside / "one.eam.alloy").unlink()
    with pytest.raises(SimulationError, match=r"needs the potential file one\.eam\.alloy"):
        _ = material.commands
    monkeypatch.setenv("GLASSML_POTENTIALS", str(elsewhere))
    assert str(elsewhere) in material.commands[1]


def test_another_file_of_the_same_name_is_refused(tmp_path):
    file = tmp_path / "CuTa.eam.alloy"
    file.write_text("not a potential")
    told = {**ALLOY, "potential": [{"file": file.name, "sha256": hashlib.sha256(b"not a potential").hexdigest()}]}
    assert str(file) in material_of(told, tmp_path).commands[1]
    file.write_text("another one")
    with pytest.raises(SimulationError, match="is not the potential that material alloy was made for"):
        _ = material_of(told, tmp_path).commands


def test_a_missing_potential_names_its_reference(tmp_path):
    potential = {"file": "nowhere.eam.alloy", "source": "A. Author, Phys. Rev. B 1, 2 (2003)"}
    commands = ["pair_style eam/alloy", "pair_coeff * * nowhere.eam.alloy Cu Ta"]
    material = material_of({**ALLOY, "commands": commands, "potential": [potential]}, tmp_path)
    with pytest.raises(SimulationError, match=r"nowhere\.eam\.alloy \(A. Author, Phys\. Rev\. B 1, 2.*--potentials"):
        _ = material.commands


def test_the_digest_sees_the_potential_and_the_commands_but_not_the_composition(tmp_path):
    (tmp_path / "x.eam.alloy").write_text("1")
    told = {**ALLOY, "commands": ["pair_style eam/alloy", "pair_coeff * * x.eam.alloy Cu Ta"]}
    first = material_of(told, tmp_path)
    assert first.digest() == first.with_composition("Cu50Ta50").digest()
    assert first.digest() != material_of({**told, "units": "real"}, tmp_path).digest()
    before = first.digest()
    (tmp_path / "x.eam.alloy").write_text("22")
    assert first.digest() != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fractions": [0.3, 0.6]}, "add to 0.9; make them add to 1"),
        ({"fractions": [0.3]}, "1 fractions for 2 species"),
        ({"units": "electron"}, "units are 'electron'; use one of metal, real, lj"),
        ({"melt_temp": 2000}, "unknown key 'melt_temp'; do you mean melt_temperature"),
        ({"melt_temperature": -5}, "melt_temperature is -5; it must be positive"),
        ({"melt_temperature": "hot"}, "give a number"),
        ({"melt_temperature": 500, "glass_temperature": 900}, "is not below the melt temperature"),
        ({"species": ["Cu", "Cu"]}, "different names"),
        ({"species": ["Cu", "X"]}, "maps the types|X is no element; give masses"),
        ({"commands": ["pair_coeff * * CuTa.eam.alloy Ta Cu", "pair_style eam/alloy"]}, "write both in one order"),
        ({"commands": [*ALLOY["commands"], "pair_style eam/fs"]}, "2 pair_style lines"),
        ({"commands": [*ALLOY["commands"], "pair_coeff * * other.eam Cu Ta"]}, "two lines 'pair_coeff"),
        ({"commands": [*ALLOY["commands"], "run 100"]}, "'run 100' does not say how atoms interact"),
        ({"commands": []}, "0 pair_style lines"),
        ({"masses": [1.0]}, "1 masses for 2 species"),
        ({"composition": "Cu30Ta70"}, "either composition or fractions"),
        ({"fixed_density": True}, "there is no number_density"),
        ({"active_species": "Zr"}, "choose from Cu, Ta"),
        ({"potential": [{"path": "x"}]}, "give a \\[\\[potential\\]\\] table"),
    ],
)
def test_what_cannot_be_a_material_is_refused_in_one_sentence(change, message):
    with pytest.raises(SimulationError, match=message) as caught:
        material_of({**ALLOY, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["species", "units", "commands", "fractions"])
def test_what_a_file_must_say(missing):
    with pytest.raises(SimulationError, match=f"lacks {missing}"):
        material_of({key: value for key, value in ALLOY.items() if key != missing})


def test_a_file_that_is_no_toml_and_a_name_that_does_not_exist(tmp_path):
    file = tmp_path / "broken.toml"
    file.write_text("species = [Cu]")
    with pytest.raises(SimulationError, match=r"broken\.toml cannot be read"):
        load_material(file)
    with pytest.raises(SimulationError, match=r"no material 'window-glass'; give a .toml file, or choose from .*cu-zr"):
        load_material("window-glass")


@pytest.mark.parametrize(
    ("text", "expected"), [("Cu50Zr50", {"Cu": 0.5, "Zr": 0.5}), ("Zr44Cu56", {"Zr": 0.44, "Cu": 0.56})]
)
def test_compositions_are_read(text, expected):
    assert parse_composition(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "CuZr", "50Cu", "Cu50 Zr50", "Cu50-Zr50", "Cu0"])
def test_an_unreadable_composition_is_refused(text):
    with pytest.raises(SimulationError, match="write it like Cu50Zr50"):
        parse_composition(text)


def test_a_composition_of_other_species_is_refused():
    with pytest.raises(SimulationError, match="use the species Cu and Zr"):
        load_material("cu-zr", "Ni50Zr50")
