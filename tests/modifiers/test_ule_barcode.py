"""The barcode in OVITO, by a small model trained on sheared glasses."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import ule_glasses

from ovito_glassml.learn.format import ModelError, save_model
from ovito_glassml.modifiers.ule_barcode import ULEBarcodeModifier
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.sample_data import sample_file

PROPERTIES = ("ULE", "ULE Similarity", "ULE Energy Contribution", "ULE Extrapolation")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return saved(ule_glasses.model(), tmp_path_factory)


@pytest.fixture(scope="module")
def soft_model(tmp_path_factory):
    return saved(ule_glasses.soft_model(), tmp_path_factory)


def saved(trained, tmp_path_factory):
    file = tmp_path_factory.mktemp("models") / "ule.safetensors"
    save_model(file, trained.header, trained.tensors())
    return str(file)


@pytest.fixture(scope="module")
def glass():
    return ule_glasses.samples()[-1].structure


def barcode(data, model="ule-zr44cu56", **parameters):
    result = data.clone()
    result.apply(ULEBarcodeModifier(model=model, **parameters))
    return result


def test_the_modifier_writes_what_the_model_says(as_data, glass, model):
    result = barcode(as_data(glass), model)
    found = ule_glasses.model().predict(glass)
    fields = (found.environment, found.similarity, found.contribution, found.extrapolation)
    for name, expected in zip(PROPERTIES, fields, strict=True):
        np.testing.assert_allclose(result.particles[name], expected, rtol=1e-5)
    for name in ("matched_fraction", "heterogeneity", "excess_variance", "group1_fraction", "energy_from_absent"):
        assert result.attributes[f"ULEBarcode.{name}"] == pytest.approx(getattr(found, name))
    assert result.attributes["ULEBarcode.undefined"] == (found.environment < 0).sum() > 0
    assert result.attributes["ULEBarcode.same_composition"] == 1


@pytest.mark.parametrize("energies", ["model", "soft_model"])
def test_atoms_without_neighbours_have_no_energy_and_no_part_in_that_of_the_sample(as_data, glass, energies, request):
    model = request.getfixturevalue(energies)
    cluster = Structure(glass.positions, glass.species, glass.species_names)
    positions = [*glass.positions, [500.0, 0, 0], [0, 500.0, 0]]
    gas = Structure(positions, [*glass.species, 0, 1], glass.species_names)
    expected, found = (barcode(as_data(structure), model) for structure in (cluster, gas))
    name = "ULE Energy Contribution"
    assert np.flatnonzero(np.isnan(found.particles[name])).tolist() == [len(cluster), len(cluster) + 1]
    np.testing.assert_allclose(found.particles[name][:-2], expected.particles[name], atol=1e-4)
    np.testing.assert_array_equal(found.particles["ULE"][-2:], -1)
    for number in ("energy_per_atom", "matched_fraction", "heterogeneity"):
        assert found.attributes[f"ULEBarcode.{number}"] == pytest.approx(expected.attributes[f"ULEBarcode.{number}"])
    assert found.attributes["ULEBarcode.undefined"] == expected.attributes["ULEBarcode.undefined"] + 2


@pytest.mark.parametrize("energies", ["model", "soft_model"])
def test_energies_add_up_in_the_output_alone(as_data, glass, energies, request):
    data, model = as_data(glass), request.getfixturevalue(energies)
    data.particles_.create_property("Selection", data=(np.arange(len(glass)) % 3 == 0).astype(int))
    for only_selected in (False, True):
        result = barcode(data, model, only_selected=only_selected)
        values = result.attributes
        shares = result.particles["ULE Energy Contribution"][...]
        total = values["ULEBarcode.base_energy"] + np.nanmean(shares) + values["ULEBarcode.energy_from_absent"]
        assert total == pytest.approx(values["ULEBarcode.energy_per_atom"], abs=2e-8)
    assert np.isnan(shares).sum() == (np.arange(len(glass)) % 3 > 0).sum()
    assert values["ULEBarcode.undefined"] == (result.particles["ULE"][...] < 0).sum()


def test_types_are_named_with_their_voronoi_index(as_data, glass, model):
    trained = ule_glasses.model()
    kinds = {kind.id: kind.name for kind in barcode(as_data(glass), model).particles["ULE"].types}
    assert kinds == {-1: "none", **dict(enumerate(trained.names))}
    assert kinds[7] == "s07 ⟨" + ",".join(map(str, trained.voronoi[7, :4])) + "⟩"


def test_the_table_shows_the_barcode_beside_its_reference(as_data, glass, model):
    result = barcode(as_data(glass), model)
    table = result.tables["ule-barcode"]
    shares = table.y[...]
    np.testing.assert_allclose(shares.sum(axis=0), 100, rtol=1e-6)
    counts = np.bincount(result.particles["ULE"][...][result.particles["ULE"][...] >= 0], minlength=20)
    np.testing.assert_allclose(shares[:, 0], 100 * counts / counts.sum())
    in_kasper = table["Group"][...] == 1
    assert shares[in_kasper, 0].sum() / 100 == pytest.approx(result.attributes["ULEBarcode.group1_fraction"])
    by_environment = table["Energy contribution (meV per atom)"][...].sum() / 1000
    total = result.attributes["ULEBarcode.base_energy"] + by_environment
    assert total == pytest.approx(result.attributes["ULEBarcode.energy_per_atom"], abs=2e-8)


def test_no_match_is_said_and_gives_no_numbers(as_data, model, capsys):
    crystal = Structure([[0, 0, 0]], [0], ("Cu",), np.eye(3) * 2.2, pbc=(True,) * 3)
    result = barcode(as_data(crystal), model, color_by_result=True)
    assert "none of the 1 atoms is similar to an environment" in capsys.readouterr().out
    assert np.isnan(result.attributes["ULEBarcode.energy_per_atom"])
    assert np.isnan(result.attributes["ULEBarcode.heterogeneity"])
    assert result.attributes["ULEBarcode.matched_fraction"] == 0


def test_nothing_selected_is_no_crash(as_data, glass, model, capsys):
    data = as_data(glass)
    data.particles_.create_property("Selection", data=np.zeros(len(glass), dtype=int))
    result = barcode(data, model, only_selected=True)
    assert np.isnan(result.attributes["ULEBarcode.matched_fraction"])
    assert not capsys.readouterr().out


def test_another_composition_is_reported(as_data, glass, model, capsys):
    barcode(as_data(glass), model)
    assert "composition" not in capsys.readouterr().out
    kinds = np.where(np.arange(len(glass)) % 4 == 0, 0, glass.species)
    result = barcode(as_data(replace(glass, species=kinds)), model)
    said = capsys.readouterr().out
    assert "50.0 % Cu, 50.0 % Zr and this sample is another composition" in said
    assert result.attributes["ULEBarcode.extrapolating_fraction"] > 0.5
    assert "unlike the training data" in said


def test_energies_that_no_sample_had_are_reported(as_data, capsys):
    """Atoms displaced as at some hundred kelvin; at rest it is a glass like those that were learned from."""
    glass = read_snapshot(sample_file("barcode/glass-zr44cu56.xyz.gz")).structure
    assert barcode(as_data(glass)).attributes["ULEBarcode.energy_in_range"] == 1
    assert not capsys.readouterr().out
    displaced = glass.positions + np.random.default_rng(1).normal(0, 0.15, glass.positions.shape)
    result = barcode(as_data(replace(glass, positions=displaced)))
    assert result.attributes["ULEBarcode.energy_in_range"] == 0
    assert "minimise the structure, or do not trust it" in capsys.readouterr().out


def test_colours_are_those_of_the_types_and_only_on_request(as_data, glass, model):
    data = as_data(glass)
    assert barcode(data, model).particles.colors is None
    result = barcode(data, model, color_by_result=True)
    colours = {kind.id: kind.color for kind in result.particles["ULE"].types}
    numbers = result.particles["ULE"][...]
    for number in np.unique(numbers):
        shown = result.particles.colors[numbers == number]
        np.testing.assert_allclose(shown, np.tile(colours[number], (len(shown), 1)), atol=1e-6)
    assert result.particles.selection is None


def test_foreign_species_and_missing_models_are_refused(as_data, three_species, glass, model):
    with pytest.raises(ModelError, match="contains Al"):
        barcode(as_data(three_species), model)
    with pytest.raises(ModelError, match="no model 'nothing'"):
        barcode(as_data(glass), "nothing")


def test_modifiers_pickle_and_refuse_unknown_parameters(model):
    again = pickle.loads(pickle.dumps(ULEBarcodeModifier(model=model, only_selected=True)))
    assert (again.model, again.only_selected) == (model, True)
    with pytest.raises(Exception, match="cutof"):
        ULEBarcodeModifier(cutof=3)


def test_the_energy_table_adds_up_to_the_mean_contribution(as_data, glass, soft_model, model):
    result = barcode(as_data(glass), soft_model)
    table = result.tables["ule-energy"]
    parts, shares = table.y[...], table["Share of atoms (%)"][...]
    assert parts.sum() == pytest.approx(1000 * result.particles["ULE Energy Contribution"][...].mean(), rel=1e-6)
    assert shares.sum() == pytest.approx(100)
    there = shares > 0
    np.testing.assert_allclose(parts[there], (shares / 100 * table["Mean energy of its atoms (meV)"][...])[there])
    assert (table["Energy error"][...] >= 0).all()
    assert "ule-energy" not in barcode(as_data(glass), model).tables
