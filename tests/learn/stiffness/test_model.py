"""Inference: invariant, exact in parts, honest about species, the same from a file as from memory."""

import weakref
from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml import neighbours
from ovito_glassml.learn.format import ModelError, read_model, save_model
from ovito_glassml.learn.stiffness.model import TOGETHER, PreparedFeatures, StiffnessModel
from ovito_glassml.neighbours import average_within, within_reach
from ovito_glassml.structure import Structure

ROTATION = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]


@pytest.fixture(params=["species_model", "published_model"])
def model(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def glass(spring_glasses):
    return spring_glasses[2].structure


def assert_same(first, second, tolerance=1e-6):
    for name in ("stiffness", "coarse", "extrapolation"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), rtol=tolerance, atol=tolerance)


def test_moving_turning_and_renumbering_changes_nothing(model, glass, transformed):
    permutation = np.random.default_rng(2).permutation(len(glass))
    seen = model.predict(transformed(glass, ROTATION, (3.0, -20.0, 0.7), permutation))
    before = model.predict(glass)
    for name in ("stiffness", "coarse", "extrapolation"):
        np.testing.assert_allclose(getattr(seen, name), getattr(before, name)[permutation], rtol=1e-4, atol=1e-5)


def test_order_of_species_names_does_not_matter(model, glass):
    other = Structure(glass.positions, 1 - glass.species, ("Zr", "Cu"), glass.cell, glass.origin, glass.pbc)
    assert_same(model.predict(other), model.predict(glass))


def test_predicting_twice_gives_the_same_bits(model, glass):
    first, second = model.predict(glass), model.predict(glass)
    np.testing.assert_array_equal(first.stiffness, second.stiffness)
    np.testing.assert_array_equal(first.extrapolation, second.extrapolation)


def test_selected_atoms_get_what_they_get_in_the_whole(model, glass):
    mask = np.zeros(len(glass), dtype=bool)
    mask[::50] = True
    part, whole = model.predict(replace(glass, mask=mask)), model.predict(glass)
    for name in ("stiffness", "coarse", "extrapolation"):
        np.testing.assert_allclose(getattr(part, name)[mask], getattr(whole, name)[mask], rtol=1e-5, atol=1e-6)
        assert np.isnan(getattr(part, name)[~mask]).all()


def test_inputs_are_computed_once_and_soon_forgotten(species_model, glass, monkeypatch):
    """Of a long box, inputs are kept only of atoms whose neighbours' bare stiffness is not known yet."""
    copies = 12
    cell = glass.cell * [[copies], [1], [1]]
    shifts = np.repeat(np.arange(copies), len(glass))[:, None] * glass.cell[0]
    long = Structure(
        np.tile(glass.positions, (copies, 1)) + shifts,
        np.tile(glass.species, copies),
        ("Cu", "Zr"),
        cell,
        pbc=(1, 1, 1),
    )
    filled, alive = [], []
    fill = PreparedFeatures.fill

    def counted(self, begin, end, block, rows):
        filled.extend(self.grid.atom[block[begin:end]])
        if begin == 0:
            alive.append(weakref.ref(rows))
            most.append(sum(kept() is not None for kept in alive))
        fill(self, begin, end, block, rows)

    most = []
    monkeypatch.setattr(PreparedFeatures, "fill", counted)
    monkeypatch.setattr(neighbours, "BLOCK_SIZE", 256 // TOGETHER)
    prediction = species_model.predict(long)
    np.testing.assert_array_equal(np.sort(filled), np.arange(len(long)))
    assert max(most) < len(alive) / 2
    expected = species_model.predict(glass)
    for name in ("stiffness", "coarse", "extrapolation"):
        np.testing.assert_allclose(
            getattr(prediction, name), np.tile(getattr(expected, name), copies), rtol=1e-5, atol=1e-6
        )


def test_coarse_is_the_mean_of_predictions_in_the_sphere(model, glass):
    prediction = model.predict(glass, coarse_graining_radius=4.5)
    np.testing.assert_allclose(prediction.coarse, average_within(glass, prediction.stiffness, 4.5))


def test_a_saved_model_predicts_the_same(model, glass, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, model.header, model.tensors())
    again = StiffnessModel.load(path)
    assert_same(again.predict(glass), model.predict(glass))
    assert again.species == ("Cu", "Zr")
    assert again.cutoff == model.cutoff


def test_nothing_farther_than_the_cutoff_matters(model):
    """Two atoms beyond the cutoff of each other do not know of each other, nearer ones do."""
    near, far = model.cutoff - 0.5, model.cutoff + 0.5

    def middle(distance):
        positions = [[0, 0, 0], [2.8, 0, 0], [5.5, 0, 0], [distance, 0, 0]]
        structure = Structure(positions, [0, 1, 0, 1], ("Cu", "Zr"))
        return model.predict(structure, number_density=0.05).stiffness[0]

    alone = model.predict(
        Structure([[0, 0, 0], [2.8, 0, 0], [5.5, 0, 0]], [0, 1, 0], ("Cu", "Zr")), number_density=0.05
    )
    assert middle(far) == pytest.approx(alone.stiffness[0], abs=2e-7)  # single precision
    if model.neighbours is None:
        assert middle(near) != pytest.approx(alone.stiffness[0], abs=1e-6)


def test_species_counted_models_need_no_density(species_model, glass):
    open_glass = Structure(glass.positions, glass.species, glass.species_names)
    inside = np.linalg.norm(glass.positions - glass.positions.mean(axis=0), axis=1).argmin()
    value = species_model.predict(open_glass).stiffness[inside]
    assert value == pytest.approx(species_model.predict(open_glass, number_density=0.01).stiffness[inside])


def test_density_scales_the_species_blind_rdf(published_model, glass):
    twice = 2 * glass.number_density
    assert not np.allclose(
        published_model.predict(glass).stiffness, published_model.predict(glass, number_density=twice).stiffness
    )
    same = published_model.predict(glass, number_density=glass.number_density)
    assert_same(same, published_model.predict(glass))


def test_foreign_species_are_refused_unless_no_atom_has_them(model, glass):
    named = Structure(glass.positions, glass.species, ("Cu", "Zr", "Al"), glass.cell, glass.origin, glass.pbc)
    assert_same(model.predict(named), model.predict(glass))
    foreign = Structure(glass.positions, glass.species, ("Cu", "Al"), glass.cell, glass.origin, glass.pbc)
    with pytest.raises(ModelError, match="for Cu, Zr and the structure contains Al"):
        model.predict(foreign)


def test_structures_without_atoms_give_empty_results(model):
    prediction = model.predict(Structure(np.empty((0, 3)), np.empty(0, int), ("Cu", "Zr")))
    assert prediction.stiffness.shape == prediction.coarse.shape == prediction.extrapolation.shape == (0,)


@pytest.mark.parametrize("name", ["small_periodic", "mixed_boundaries", "triclinic", "cluster"])
def test_every_kind_of_cell_gives_finite_values(model, name, request):
    structure = request.getfixturevalue(name)
    prediction = model.predict(structure, number_density=0.05)
    assert np.isfinite(prediction.stiffness).all()
    assert np.isfinite(prediction.coarse).all()
    assert np.isfinite(prediction.extrapolation).all()


def test_progress_rises_to_one_and_may_stop_the_work(model, glass):
    fractions = []
    model.predict(glass, progress=fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)

    def stop(fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.predict(glass, progress=stop)


def test_tensors_of_the_wrong_shape_are_refused(species_model, tmp_path):
    tensors = species_model.tensors()
    tensors["head.Cu.hidden"] = tensors["head.Cu.hidden"][:, :-1]
    path = tmp_path / "model.safetensors"
    save_model(path, species_model.header, tensors)
    header, tensors = read_model(path, kind="stiffness")
    with pytest.raises(ModelError, match=r"head\.Cu\.hidden .*has shape"):
        StiffnessModel.from_tensors(header, tensors)


def test_headers_without_an_entry_are_refused(species_model):
    architecture = {key: value for key, value in species_model.header.architecture.items() if key != "angular_cutoff"}
    with pytest.raises(ModelError, match="header of the stiffness model lacks 'angular_cutoff'"):
        StiffnessModel.from_tensors(replace(species_model.header, architecture=architecture), species_model.tensors())


def test_reach_is_the_union_of_spheres(glass):
    chosen = np.zeros(len(glass), dtype=bool)
    chosen[7] = True
    near = within_reach(glass, chosen, 5.0)
    offsets = glass.positions - glass.positions[7]
    lengths = np.diag(glass.cell)
    offsets -= np.round(offsets / lengths) * lengths
    np.testing.assert_array_equal(near, np.linalg.norm(offsets, axis=1) < 5.0)
