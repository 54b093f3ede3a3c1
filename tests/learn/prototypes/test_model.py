"""Prototype networks: real atoms as prototypes, the same from a file, on part of a structure and turned around."""

from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.learn.format import ModelError, read_model, save_model
from ovito_glassml.learn.prototypes.model import CLASSES, PrototypeNetwork, ScnnModel, centre_of, in_double_precision
from ovito_glassml.structure import Structure

ROTATION = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
FIELDS = ("similarity", "prototype", "logit", "probability", "extrapolation")


@pytest.fixture(params=["bessel_scnn", "environment_scnn"])
def model(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def glass(barrier_glasses):
    return barrier_glasses[2].structure


def identity_network(prototypes, head, calibration=(1.0, 0.0)):
    """Rows of two numbers pass nearly unchanged: tanh is linear near zero."""
    unit = np.eye(2, dtype=np.float32)
    zero = np.zeros(2, dtype=np.float32)
    return PrototypeNetwork(
        zero,
        1e3 * np.ones(2, dtype=np.float32),
        unit,
        zero,
        unit,
        zero,
        np.asarray(prototypes, dtype=np.float32),
        np.asarray(head, dtype=np.float32),
        np.asarray(calibration),
    )


def test_similarities_are_cosines_and_logits_their_weighted_sum():
    network = identity_network([[1, 0], [0, 2], [-3, 0], [1, 1]], [[1, 1, -0.5, -0.5], [-0.5, -0.5, 1, 1]])
    angle = np.array([0.0, 0.5, 2.0])
    rows = np.column_stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    expected = np.cos(angle[:, None] - np.array([0, np.pi / 2, np.pi, np.pi / 4]))
    similarity = network.similarities(network.embed(rows))
    np.testing.assert_allclose(similarity, expected, atol=1e-5)
    np.testing.assert_allclose(network.logits(similarity), expected @ [-1.5, -1.5, 1.5, 1.5], atol=1e-4)


def test_calibration_is_a_line_under_the_logistic_function():
    network = identity_network(np.eye(4, 2), np.zeros((2, 4)), calibration=(2.0, -1.0))
    np.testing.assert_allclose(network.probabilities(np.array([0.5, 1.0])), [0.5, 1 / (1 + np.exp(-1))])


def test_each_prototype_is_its_atom(model, barrier_glasses):
    """From the sample that it names, and from the environment in the file, comes the stored embedding."""
    samples = {sample.name: sample for sample in barrier_glasses}
    for number, prototype in enumerate(model.prototypes):
        sample = samples[prototype.sample]
        chosen = sample.structure.ids == prototype.atom
        assert prototype.barrier == pytest.approx(sample.barrier[chosen][0])
        stored = model.network.prototypes[number]
        for structure in (replace(sample.structure, mask=chosen), centre_of(prototype.environment)):
            np.testing.assert_allclose(model.embed_exactly(structure)[0], stored, atol=1e-6)
        prediction = model.predict(sample.structure)
        assert prediction.similarity[chosen][0, number] == pytest.approx(1.0, abs=1e-5)


def test_low_prototypes_have_lower_barriers_than_high_ones(model):
    barriers = np.array([prototype.barrier for prototype in model.prototypes])
    assert barriers[CLASSES == 0].max() < barriers[CLASSES == 1].min()


def test_moving_turning_and_renumbering_changes_nothing(model, glass, transformed):
    permutation = np.random.default_rng(2).permutation(len(glass))
    seen = model.predict(transformed(glass, ROTATION, (3.0, -20.0, 0.7), permutation))
    before = model.predict(glass)
    for name in ("similarity", "logit", "probability", "extrapolation"):
        np.testing.assert_allclose(getattr(seen, name), getattr(before, name)[permutation], rtol=1e-3, atol=1e-3)


def test_order_of_species_names_does_not_matter(model, glass):
    other = Structure(glass.positions, 1 - glass.species, ("Zr", "Cu"), glass.cell, glass.origin, glass.pbc)
    np.testing.assert_allclose(model.predict(other).logit, model.predict(glass).logit, atol=1e-4)


def test_selected_atoms_get_what_they_get_in_the_whole(model, glass):
    mask = np.zeros(len(glass), dtype=bool)
    mask[::50] = True
    part, whole = model.predict(replace(glass, mask=mask)), model.predict(glass)
    for name in ("similarity", "logit", "probability", "extrapolation"):
        np.testing.assert_allclose(getattr(part, name)[mask], getattr(whole, name)[mask], rtol=1e-4, atol=1e-4)
        assert np.isnan(getattr(part, name)[~mask]).all()
    np.testing.assert_array_equal(part.prototype[mask], whole.prototype[mask])
    assert (part.prototype[~mask] == -1).all()


def test_rows_that_are_there_already_give_the_same(model, glass):
    mask = np.arange(len(glass)) % 3 == 0
    for structure in (glass, replace(glass, mask=mask)):
        rows = model.describe(structure)
        known, fresh = model.predict(structure, rows=rows), model.predict(structure)
        for name in FIELDS:
            np.testing.assert_allclose(getattr(known, name), getattr(fresh, name), rtol=1e-5, atol=1e-5)


def test_rows_of_other_descriptors_are_refused(bessel_scnn, environment_scnn, glass):
    with pytest.raises(ModelError, match="descriptor settings that the model was trained with"):
        bessel_scnn.predict(glass, rows=environment_scnn.describe(glass))


def test_a_saved_model_predicts_the_same(model, glass, tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, model.header, model.tensors())
    again = ScnnModel.load(path)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(again.predict(glass), name), getattr(model.predict(glass), name))
    for first, second in zip(again.prototypes, model.prototypes, strict=True):
        assert (first.sample, first.atom, first.barrier) == (second.sample, second.atom, second.barrier)
        np.testing.assert_array_equal(first.environment.positions, second.environment.positions)


def test_a_model_of_other_descriptor_settings_is_refused(model, tmp_path):
    settings = dict(model.header.descriptor)
    if settings["family"] == "bessel":
        settings["n_max"] = 7
    else:
        settings["radial_shells"] = 3
    path = tmp_path / "model.safetensors"
    save_model(path, replace(model.header, descriptor=settings), model.tensors())
    header, tensors = read_model(path, kind="scnn")
    with pytest.raises(ModelError, match=r"network\.mean .* has shape"):
        ScnnModel.from_tensors(header, tensors)


def test_headers_without_an_entry_are_refused(model):
    architecture = {key: value for key, value in model.header.architecture.items() if key != "prototypes"}
    with pytest.raises(ModelError, match="lacks 'prototypes'"):
        ScnnModel.from_tensors(replace(model.header, architecture=architecture), model.tensors())


def test_foreign_species_are_refused(model, glass):
    foreign = Structure(glass.positions, glass.species, ("Cu", "Al"), glass.cell, glass.origin, glass.pbc)
    with pytest.raises(ModelError, match="for Cu, Zr and the structure contains Al"):
        model.predict(foreign)


def test_lonely_atoms_have_no_prototype_and_harm_nobody(model, glass):
    far = np.vstack([glass.positions, [500.0, 0, 0]])
    kinds = np.append(glass.species, 0)
    together = model.predict(Structure(far, kinds, glass.species_names))
    alone = model.predict(Structure(glass.positions, glass.species, glass.species_names))
    assert together.prototype[-1] == -1
    assert np.isnan(together.logit[-1])
    assert np.isnan(together.extrapolation[-1])
    np.testing.assert_allclose(together.logit[:-1], alone.logit, atol=1e-4)


def test_structures_without_atoms_give_empty_results(model):
    prediction = model.predict(Structure(np.empty((0, 3)), np.empty(0, int), ("Cu", "Zr")))
    assert prediction.similarity.shape == (0, 4)
    assert prediction.prototype.shape == prediction.extrapolation.shape == (0,)


def test_double_precision_agrees_with_single(model, glass):
    exact = in_double_precision(model.descriptor).compute(glass)
    np.testing.assert_allclose(model.describe(glass), exact, rtol=1e-3, atol=2e-4 * np.abs(exact).max())


def test_progress_rises_to_one_and_may_stop_the_work(model, glass):
    fractions = []
    model.predict(glass, progress=fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)

    def stop(fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.predict(glass, progress=stop)
