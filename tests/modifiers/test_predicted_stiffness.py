"""Predicted stiffness in OVITO, by a model whose answer is known: it counts the first shell of an fcc crystal."""

import os
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from ovito_glassml import PredictedStiffnessModifier
from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.descriptors.rdf import RDFDescriptors
from ovito_glassml.learn.extrapolation import ExtrapolationScore
from ovito_glassml.learn.format import ModelError, ModelHeader, save_model
from ovito_glassml.learn.model import ANY_SPECIES
from ovito_glassml.learn.stiffness.model import Head, LocalFeatures, StiffnessModel
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.workflow.sample_data import sample_file

DENSITY = 4 / 4.0**3
FIRST_SHELL = 4  # bin of 2.8 to 3.0 Å


@pytest.fixture(scope="module")
def neighbour_counter():
    """Function: a model with K = 0.5 + slope × first neighbours, unsure where their mean within 6 Å is not 12."""

    def build(slope=0.01):
        descriptor = RDFDescriptors()
        per_neighbour = 1 / (4 * np.pi * descriptor.radii[FIRST_SHELL] ** 2 * DENSITY * descriptor.bin_width)
        count = np.zeros(40)
        count[FIRST_SHELL] = 1 / per_neighbour
        head = Head(
            mean=np.zeros(40),
            scale=np.ones(40),
            linear=slope * count,
            offset=np.array(0.5),
            hidden=np.zeros((1, 40, 2)),
            hidden_bias=np.zeros((1, 2)),
            output=np.zeros((1, 2)),
            output_bias=np.zeros(1),
        )
        usual = np.zeros(40)
        usual[FIRST_SHELL] = 12 * per_neighbour
        score = ExtrapolationScore(
            radius=6.0,
            means={ANY_SPECIES: usual},
            spreads={ANY_SPECIES: np.ones(40)},
            axes={ANY_SPECIES: np.column_stack([count, np.eye(40)[:, 1:]])},
            components=1,
            centre=np.zeros(4),
            whitening=np.diag([10.0, 0.0, 0.0, 0.0]),
        )
        header = ModelHeader(
            kind="stiffness",
            title="Counts first neighbours",
            summary="For tests.",
            species=("Cu", "Zr"),
            cutoff=10.0,
            descriptor={**asdict(RDFDescriptors()), "partial": None},
            architecture={
                "networks": 1,
                "hidden": 2,
                "heads": [ANY_SPECIES],
                "angular_cutoff": None,
                "neighbour_cutoff": None,
                "extrapolation_radius": 6.0,
            },
            output={"property": "Predicted Stiffness", "unit": "eV/Å²"},
            training={"atoms": 0},
        )
        return StiffnessModel(header, LocalFeatures(descriptor), None, {ANY_SPECIES: head}, score)

    return build


def saved(model, file):
    save_model(file, model.header, model.tensors())
    return str(file)


@pytest.fixture(scope="module")
def model(neighbour_counter, tmp_path_factory):
    return saved(neighbour_counter(), tmp_path_factory.mktemp("models") / "counter.safetensors")


def test_cage_stiffness_is_written_where_the_model_was_taught_it(neighbour_counter, model, fcc, as_data, tmp_path):
    alone = neighbour_counter()
    (head,) = alone.heads.values()
    header = replace(alone.header, output={**alone.header.output, "also": "Predicted Cage Stiffness", "unit": "ε/σ²"})
    cage = {ANY_SPECIES: replace(head, offset=np.array(1.5))}
    both = saved(replace(alone, header=header, cage_heads=cage), tmp_path / "both.safetensors")
    result = predicted(as_data(fcc), both)
    np.testing.assert_allclose(result.particles["Predicted Stiffness"], 0.5 + 0.12, rtol=1e-6)
    np.testing.assert_allclose(result.particles["Predicted Cage Stiffness"], 1.5 + 0.12, rtol=1e-6)
    assert "ε/σ²" in result.tables["predicted-stiffness-histogram"].axis_label_x
    assert "Predicted Cage Stiffness" not in predicted(as_data(fcc), model).particles


def predicted(data, model, **parameters):
    result = data.clone()
    result.apply(PredictedStiffnessModifier(model=model, **parameters))
    return result


def test_a_perfect_crystal_has_one_stiffness(as_data, fcc, model):
    result = predicted(as_data(fcc), model)
    np.testing.assert_allclose(result.particles["Predicted Stiffness"], 0.5 + 0.12, rtol=1e-6)
    np.testing.assert_allclose(result.particles["Predicted Stiffness Coarse"], 0.5 + 0.12, rtol=1e-6)
    np.testing.assert_allclose(result.particles["Predicted Stiffness Extrapolation"], 0.0, atol=1e-4)
    assert result.attributes["PredictedStiffness.mean"] == pytest.approx(0.62)
    assert result.attributes["PredictedStiffness.std"] == pytest.approx(0.0, abs=1e-6)
    assert result.attributes["PredictedStiffness.extrapolating_fraction"] == 0.0
    assert result.attributes["PredictedStiffness.undefined"] == 0
    assert result.tables["predicted-stiffness-histogram"].y[...].sum() == 256


@pytest.fixture
def vacancy(fcc):
    """The crystal without its first atom, which twelve neighbours miss."""
    keep = slice(1, None)
    return Structure(fcc.positions[keep], fcc.species[keep], fcc.species_names, fcc.cell, pbc=fcc.pbc)


def test_neighbours_of_a_vacancy_are_softer(as_data, fcc, vacancy, model):
    result = predicted(as_data(vacancy), model, number_density=DENSITY)
    distance = np.linalg.norm(
        (vacancy.positions - fcc.positions[0] + 8) % 16 - 8,
        axis=1,
    )
    near = distance < 3
    assert near.sum() == 12
    stiffness = result.particles["Predicted Stiffness"][...]
    np.testing.assert_allclose(stiffness[near], 0.5 + 0.11, rtol=1e-6)
    np.testing.assert_allclose(stiffness[~near], 0.5 + 0.12, rtol=1e-6)
    small = predicted(as_data(vacancy), model, number_density=DENSITY, coarse_graining_radius=3.0)
    # A neighbour of the vacancy has itself and 11 others within 3 Å, 4 of them neighbours of it too.
    np.testing.assert_allclose(small.particles["Predicted Stiffness Coarse"][near], 0.62 - 0.01 * 5 / 12, rtol=1e-6)


def test_an_atom_without_neighbours_has_no_stiffness(as_data, fcc, model):
    """And no part in the means of others."""
    gas = Structure([*fcc.positions, [8, 8, 60]], [*fcc.species, 0], fcc.species_names, np.diag([16, 16, 100]))
    result = predicted(as_data(gas), model, number_density=DENSITY)
    for name in ("Predicted Stiffness", "Predicted Stiffness Coarse", "Predicted Stiffness Extrapolation"):
        np.testing.assert_array_equal(np.isnan(result.particles[name]), np.arange(len(gas)) == 256)
    assert result.attributes["PredictedStiffness.undefined"] == 1
    assert result.attributes["PredictedStiffness.negative"] == 0


def test_a_stiffness_below_zero_becomes_zero_and_is_said(as_data, vacancy, neighbour_counter, tmp_path, capsys):
    """A model that comes to 0.5 − 0.0431 × 12 in the crystal and to more than 0 beside the vacancy."""
    sinking = saved(neighbour_counter(slope=-0.0431), tmp_path / "sinking.safetensors")
    result = predicted(as_data(vacancy), sinking, number_density=DENSITY)
    stiffness = result.particles["Predicted Stiffness"][...]
    assert (stiffness == 0).sum() == 255 - 12
    np.testing.assert_allclose(stiffness[stiffness > 0], 0.5 - 0.0431 * 11, rtol=1e-5)
    assert result.attributes["PredictedStiffness.negative"] == 255 - 12
    assert result.attributes["PredictedStiffness.undefined"] == 0
    assert result.attributes["PredictedStiffness.mean"] == pytest.approx(stiffness.mean())
    assert "came to less than 0 for 243 atoms" in capsys.readouterr().out


def test_many_unusual_atoms_are_reported_once(as_data, fcc, vacancy, model, capsys):
    predicted(as_data(fcc), model)
    assert capsys.readouterr().out == ""
    result = predicted(as_data(vacancy), model, number_density=DENSITY)
    score = result.particles["Predicted Stiffness Extrapolation"][...]
    fraction = result.attributes["PredictedStiffness.extrapolating_fraction"]
    assert fraction == pytest.approx((score > 1).mean())
    assert fraction > 0.1
    warning = capsys.readouterr().out
    assert warning.count("\n") == 1
    assert f"{fraction:.0%} of the atoms" in warning


def test_selected_atoms_are_predicted_and_the_others_counted(as_data, vacancy, model):
    data = as_data(vacancy)
    everyone = predicted(data, model)
    selection = np.arange(len(vacancy)) < 40
    data.particles_.create_property("Selection", data=selection.astype(int))
    result = predicted(data, model, only_selected=True)
    for name in ("Predicted Stiffness", "Predicted Stiffness Coarse", "Predicted Stiffness Extrapolation"):
        values = result.particles[name][...]
        np.testing.assert_allclose(values[selection], everyone.particles[name][selection], rtol=1e-9)
        assert np.isnan(values[~selection]).all()
    assert result.attributes["PredictedStiffness.undefined"] == len(vacancy) - 40
    assert result.attributes["PredictedStiffness.mean"] == pytest.approx(
        everyone.particles["Predicted Stiffness"][selection].mean()
    )


def test_nothing_selected_is_no_crash(as_data, fcc, model):
    data = as_data(fcc)
    data.particles_.create_property("Selection", data=np.zeros(len(fcc), dtype=int))
    result = predicted(data, model, only_selected=True, color_by_result=True)
    assert np.isnan(result.attributes["PredictedStiffness.mean"])
    assert result.attributes["PredictedStiffness.extrapolating_fraction"] == 0.0
    assert result.particles.colors is None


def test_colours_are_changed_only_on_request(as_data, vacancy, model):
    assert predicted(as_data(vacancy), model).particles.colors is None
    colors = predicted(as_data(vacancy), model, color_by_result=True).particles.colors
    assert len(np.unique(colors, axis=0)) >= 2


def test_unknown_species_are_refused(as_data, model, three_species):
    with pytest.raises(ModelError, match="contains Al"):
        predicted(as_data(three_species), model)


def test_unnamed_types_are_refused_until_named(as_data, fcc, model):
    data = as_data(fcc)
    data.particles_.particle_types_.types_[0].name = ""
    with pytest.raises(StructureError, match="set species"):
        predicted(data, model)
    named = predicted(data, model, species="Cu")
    np.testing.assert_allclose(named.particles["Predicted Stiffness"], 0.62, rtol=1e-6)


def test_a_missing_model_is_named(as_data, fcc):
    with pytest.raises(ModelError, match="no model 'stiffnes-cuzr'"):
        predicted(as_data(fcc), "stiffnes-cuzr")


def test_a_damaged_model_is_refused(as_data, fcc, model, tmp_path):
    damaged = tmp_path / "damaged.safetensors"
    content = bytearray(Path(model).read_bytes())
    content[-5] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ModelError):
        predicted(as_data(fcc), str(damaged))


def test_a_changed_model_file_is_read_again(as_data, fcc, neighbour_counter, tmp_path):
    file = tmp_path / "changing.safetensors"
    model = saved(neighbour_counter(), file)
    assert predicted(as_data(fcc), model).attributes["PredictedStiffness.mean"] == pytest.approx(0.62)
    saved(neighbour_counter(slope=0.02), file)
    os.utime(file, ns=(1, 1))
    assert predicted(as_data(fcc), model).attributes["PredictedStiffness.mean"] == pytest.approx(0.74)


# The choice of a model.

GLASS = "stiffness/vibrations-cu50zr50-1e12-1.xyz.gz"
SNAPSHOT = "stiffness/snapshots/300K-vibrations-cu50zr50-1e12-1.xyz.gz"


def frame_of(name):
    return open_trajectory(sample_file(name)).compute()


@pytest.mark.parametrize(("file", "right"), [(GLASS, "stiffness-cuzr"), (SNAPSHOT, "stiffness-cuzr-300k")])
def test_the_structure_gets_the_model_of_its_state(file, right):
    data = frame_of(file)
    chosen, named = predicted(data, ""), predicted(data, right)
    assert chosen.attributes["PredictedStiffness.model"] == named.attributes["PredictedStiffness.model"] == right
    np.testing.assert_array_equal(chosen.particles["Predicted Stiffness"], named.particles["Predicted Stiffness"])


def test_frames_choose_for_themselves_in_any_order_and_that_is_said_once(as_pipeline, capfd):
    frames = [frame_of(GLASS), frame_of(SNAPSHOT)]
    found = []
    for order in ((0, 1, 0, 1), (1, 0)):
        pipeline = as_pipeline(frames)
        pipeline.modifiers.append(PredictedStiffnessModifier())
        found.append({frame: pipeline.compute(frame).attributes["PredictedStiffness.model"] for frame in order})
        said = [line for line in capfd.readouterr().out.splitlines() if "PredictedStiffness.model says" in line]
        assert len(said) == 1
    assert found[0] == found[1] == {0: "stiffness-cuzr", 1: "stiffness-cuzr-300k"}


def test_an_installed_model_is_chosen_for_its_species_and_found_by_name(
    as_data, fcc, neighbour_counter, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("GLASSML_MODELS", str(tmp_path))
    model = neighbour_counter()
    saved(replace(model, header=replace(model.header, species=("Al", "Sm"))), tmp_path / "of-al.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"x" * 50)
    data = as_data(replace(fcc, species_names=("Al",)))
    for name in ("", "of-al"):
        result = predicted(data, name)
        assert result.attributes["PredictedStiffness.model"] == "of-al"
        np.testing.assert_allclose(result.particles["Predicted Stiffness"], 0.62, rtol=1e-6)
    assert capfd.readouterr().out.count("broken.safetensors") == 1


def test_species_without_a_model_are_told_what_to_do(as_data, fcc):
    with pytest.raises(ModelError, match=r"No stiffness model knows Al .*for Cu-Zr .*glassml train stiffness"):
        predicted(as_data(replace(fcc, species_names=("Al",))), "")
