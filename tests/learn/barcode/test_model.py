"""The barcode model: sums that must hold, statistics of its heterogeneity, files, and what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import ule_glasses
from scipy.spatial.transform import Rotation

from ovito_glassml.learn.barcode.environments import normalised
from ovito_glassml.learn.barcode.model import (
    ReferenceBarcode,
    UleModel,
    environment_name,
    heterogeneity,
    is_icosahedron,
    kasper_group,
    share_by_atom,
)
from ovito_glassml.learn.barcode.train import PUBLISHED_TREES, fit_trees
from ovito_glassml.learn.format import ModelError, save_model
from ovito_glassml.structure import Structure


@pytest.fixture(scope="module", params=["trees", "similarity"])
def model(request):
    return {"trees": ule_glasses.model, "similarity": ule_glasses.soft_model}[request.param]()


@pytest.fixture(scope="module")
def unseen():
    """A sample of the glass that the model was not trained on."""
    return ule_glasses.samples()[-1]


def test_kasper_s_condition_makes_group_one():
    faces = np.array(
        [[0, 0, 12, 0, 0, 0], [0, 2, 8, 2, 0, 0], [0, 1, 10, 5, 0, 0], [0, 3, 6, 4, 0, 0], [1, 3, 5, 3, 0, 0]]
    )
    assert kasper_group(faces).tolist() == [1, 1, 1, 1, 2]
    assert is_icosahedron(faces).tolist() == [True, False, False, False, False]
    assert environment_name(7, faces[0]) == "s07 ⟨0,0,12,0⟩"


def test_the_energy_is_the_base_and_what_atoms_and_absent_environments_add(model, unseen):
    for structure in (unseen.structure, ule_glasses.box()):
        found = model.predict(structure)
        assert 0 < found.matched_fraction < 1
        total = found.base + found.contribution.mean() + found.energy_from_absent
        assert total == pytest.approx(found.energy, abs=2e-8)
        np.testing.assert_allclose(found.fractions.sum(), 1)
        assert found.base + found.contributions.sum() == pytest.approx(found.energy, abs=2e-8)
        if model.header.architecture["energy"] == "trees":
            assert (found.contribution[found.environment < 0] == 0).all()
            assert found.energy_from_absent != 0
        else:
            assert found.contribution[found.environment < 0].std() > 0.01
            assert found.energy_from_absent == pytest.approx(0, abs=1e-9)


def test_energies_of_atoms_follow_their_similarities(unseen):
    """Atom by atom they come near those of the potential, beyond what the species says."""
    model = ule_glasses.soft_model()
    for sample, least in ((ule_glasses.samples()[0], 0.6), (unseen, 0.5)):
        found = model.predict(sample.structure)
        energies, kinds = sample.atom_energies.copy(), sample.structure.species
        for kind in (0, 1):
            energies[kinds == kind] -= energies[kinds == kind].mean()
        assert np.corrcoef(found.contribution, energies)[0, 1] > least


def test_energies_come_near_those_of_the_potential(model, unseen):
    trained = ule_glasses.samples()[0]
    for sample, width in ((trained, 0.003), (unseen, 0.02)):
        assert model.predict(sample.structure).energy == pytest.approx(sample.energy, abs=width)


def test_shares_follow_the_atoms_of_each_environment():
    """Four atoms, one unmatched: φ of environments with 2 and 1 atoms, and one that is absent."""
    environment = np.array([0, 0, 1, -1])
    shares = share_by_atom(environment, np.array([0.3, -0.2, 5.0]), np.array([2, 1, 0]), 4)
    np.testing.assert_allclose(shares, [0.6, 0.6, -0.8, 0.0])
    assert shares.mean() == pytest.approx(0.3 - 0.2)


def test_a_training_atom_is_its_own_environment(model):
    """Each kernel alone, as an open cluster, still has its row: everything that it depends on is stored."""
    for number, kernel in enumerate(model.kernels):
        found = model.predict(replace(kernel, mask=np.arange(len(kernel)) == 0))
        assert found.environment[0] == number
        assert found.similarity[0] == pytest.approx(1, abs=1e-3)  # the root of rounding


def test_atoms_belong_to_what_is_more_similar_than_the_threshold(model, unseen):
    found = model.predict(unseen.structure)
    np.testing.assert_array_equal(found.environment >= 0, found.similarity > 0.84)
    rows = normalised(model.descriptor.compute(unseen.structure)).astype(np.float64)
    distances = np.linalg.norm(rows[:, None, :] - model.rows[None].astype(np.float64), axis=2)
    np.testing.assert_allclose(found.similarity, 1 - distances.min(axis=1) / np.sqrt(2), atol=1e-5)
    matched = found.environment >= 0
    np.testing.assert_array_equal(found.environment[matched], distances.argmin(axis=1)[matched])


def test_mixtures_have_the_shares_of_their_parts(model, unseen):
    """Two samples side by side, too far apart to see each other."""
    first, second = unseen.structure, ule_glasses.samples()[0].structure
    apart = [replace(one, cell=None, pbc=(False,) * 3) for one in (first, second)]
    both = Structure(
        np.vstack([apart[0].positions, apart[1].positions + 100]),
        np.concatenate([first.species, second.species]),
        first.species_names,
    )
    counts = [model.predict(one).counts for one in (*apart, both)]
    np.testing.assert_array_equal(counts[0] + counts[1], counts[2])


def test_order_and_orientation_change_nothing(model, unseen, transformed):
    turn = Rotation.from_euler("xyz", [30, 60, 110], degrees=True).as_matrix()
    order = np.random.default_rng(1).permutation(len(unseen.structure))
    seen = model.predict(transformed(unseen.structure, turn, (3, 1, 2), order))
    found = model.predict(unseen.structure)
    np.testing.assert_array_equal(seen.environment, found.environment[order])
    np.testing.assert_allclose(seen.similarity, found.similarity[order], atol=1e-4)
    np.testing.assert_allclose(seen.extrapolation, found.extrapolation[order], rtol=1e-3)
    assert seen.energy == pytest.approx(found.energy, abs=1e-6)  # sums of single precision in another order


def test_selected_atoms_have_the_barcode_of_their_own(model, unseen):
    chosen = unseen.structure.positions[:, 2] < 12
    part = model.predict(replace(unseen.structure, mask=chosen))
    whole = model.predict(unseen.structure)
    np.testing.assert_array_equal(part.environment[chosen], whole.environment[chosen])
    np.testing.assert_allclose(part.extrapolation[chosen], whole.extrapolation[chosen], rtol=1e-4)
    assert (part.environment[~chosen] == -1).all()
    assert np.isnan(part.contribution[~chosen]).all()
    assert part.atoms == chosen.sum()
    assert part.counts.sum() == (whole.environment[chosen] >= 0).sum()
    total = part.base + part.contribution[chosen].mean() + part.energy_from_absent
    assert total == pytest.approx(part.energy, abs=2e-8)


@pytest.mark.parametrize("atoms", [60, 800, 20_000])
def test_heterogeneity_of_random_draws_is_standard_at_any_size(atoms):
    rng = np.random.default_rng(5)
    shares = rng.dirichlet(np.full(40, 0.7))
    members = np.arange(40) % 3 > 0
    draws = rng.multinomial(atoms, shares, size=4000)
    values = np.array([heterogeneity(draw, shares, np.inf, members) for draw in draws])
    z, excess = values.T
    assert abs(z.mean()) < 4 / np.sqrt(4000)
    assert z.std() == pytest.approx(1, abs=0.06)
    assert abs(excess.mean()) < 4 * excess.std() / np.sqrt(4000)


def test_noise_of_the_reference_counts_as_well():
    rng = np.random.default_rng(6)
    shares = rng.dirichlet(np.full(30, 2.0))
    members = np.ones(30, dtype=bool)
    z = []
    for _ in range(2000):
        reference = rng.multinomial(3000, shares) / 3000
        z.append(heterogeneity(rng.multinomial(1000, shares), reference, 3000, members)[0])
    assert abs(np.mean(z)) < 0.1
    assert np.std(z) == pytest.approx(1, abs=0.1)


def test_the_excess_of_a_deviating_sample_does_not_depend_on_its_size():
    rng = np.random.default_rng(7)
    shares = rng.dirichlet(np.full(30, 2.0))
    other = shares * rng.uniform(0.7, 1.3, 30)
    other /= other.sum()
    truth = ((other - shares) ** 2).mean()
    for atoms in (500, 50_000):
        draws = rng.multinomial(atoms, other, size=600)
        excess = [heterogeneity(draw, shares, np.inf, np.ones(30, dtype=bool))[1] for draw in draws]
        noise = (
            other * (1 - other) - shares * (1 - shares)
        ).mean() / atoms  # variance of the sample, not the reference
        assert np.mean(excess) == pytest.approx(truth + noise, abs=4 * np.std(excess) / np.sqrt(600))


def test_the_reference_is_interpolated_and_constant_beyond_its_ends():
    reference = ReferenceBarcode(np.array([-2.0, -1.0]), np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([100.0, 300.0]))
    np.testing.assert_allclose(reference.at(-1.5)[0], [0.4, 0.6])
    assert reference.at(-1.5)[1] == pytest.approx(1 / (0.25 / 100 + 0.25 / 300))
    np.testing.assert_allclose(reference.at(-9)[0], [0.2, 0.8])
    assert reference.at(0)[1] == pytest.approx(300)


def test_another_composition_and_a_liquid_are_marked(model, unseen):
    same = model.predict(unseen.structure)
    assert same.same_composition
    rng = np.random.default_rng(3)
    exchanged = unseen.structure.species.copy()
    zirconium = np.flatnonzero(exchanged == 1)
    exchanged[rng.permutation(zirconium)[: len(zirconium) // 2]] = 0
    other = model.predict(replace(unseen.structure, species=exchanged))
    assert not other.same_composition
    shaken = replace(unseen.structure, positions=unseen.structure.positions + rng.normal(0, 0.25, (len(exchanged), 3)))
    fractions = [(one.extrapolation > 1).mean() for one in (same, other, model.predict(shaken))]
    assert fractions[0] < 0.2
    assert min(fractions[1:]) > 0.8


def test_a_sample_without_any_match_has_no_numbers(model):
    crystal = Structure([[0, 0, 0]], [0], ("Cu",), np.eye(3) * 2.2, pbc=(True,) * 3)
    found = model.predict(crystal)
    assert found.environment.tolist() == [-1]
    assert found.matched_fraction == 0
    numbers = (found.energy, found.base, found.heterogeneity, found.excess_variance, found.group1_fraction)
    assert np.isnan([*numbers, *found.fractions, *found.contribution]).all()


def test_foreign_species_are_refused(model, three_species):
    with pytest.raises(ModelError, match="contains Al"):
        model.predict(three_species)


def test_models_come_back_from_their_files(model, unseen, tmp_path):
    file = tmp_path / "ule.safetensors"
    save_model(file, model.header, model.tensors())
    again = UleModel.load(file)
    first, second = (one.predict(unseen.structure) for one in (model, again))
    np.testing.assert_array_equal(first.environment, second.environment)
    np.testing.assert_array_equal(first.contribution, second.contribution)
    assert (first.energy, first.heterogeneity) == (second.energy, second.heterogeneity)
    assert again.names == model.names
    assert file.stat().st_size < 1.5e6


def trees_for(environments):
    table = np.random.default_rng(1).random((8, environments))
    return np.frombuffer(fit_trees(table, table[:, 0], PUBLISHED_TREES, 2, 1).trees, dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("environments.rows", lambda rows: rows[:-1], "shape"),
        ("energy.weights", lambda weights: weights[:-1], "shape"),
        ("energy.species", lambda species: species + 2, "species are none"),
        ("energy.means", lambda means: means * np.nan, "not finite"),
        ("energy.offsets", None, "lacks the tensor"),
        ("energy.trees", lambda trees: trees[:50], "trees of the barcode model cannot be read"),
        ("energy.trees", lambda trees: trees[:-1], "trees of the barcode model cannot be read"),
        ("energy.trees", lambda trees: trees[:0], "no trees"),
        ("energy.trees", lambda trees: trees_for(3), "trees of the barcode model are for 3 environments"),
        ("reference.fractions", lambda table: table * np.nan, "not finite"),
        ("kernels.positions", None, "lacks the tensor"),
    ],
)
def test_damaged_tensors_are_refused_when_a_model_is_loaded(name, change, message):
    model = ule_glasses.model()
    if name not in model.tensors():
        model = ule_glasses.soft_model()
    tensors = dict(model.tensors())
    if change is None:
        del tensors[name]
    else:
        tensors[name] = change(tensors[name])
    with pytest.raises(ModelError, match=message):
        UleModel.from_tensors(model.header, tensors)


def test_incomplete_headers_are_refused(model):
    header = replace(model.header, architecture={"environments": 20})
    with pytest.raises(ModelError, match="lacks 'similarity'"):
        UleModel.from_tensors(header, model.tensors())
    unknown = replace(model.header, architecture={**model.header.architecture, "energy": "tea leaves"})
    with pytest.raises(ModelError, match="'tea leaves' are unknown"):
        UleModel.from_tensors(unknown, model.tensors())
