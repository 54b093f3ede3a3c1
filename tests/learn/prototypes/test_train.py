"""Training: losses as defined, prototypes that are atoms, classes kept apart, clear refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from shaken_crystals import crowding, shaken_crystal

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.lengths import two_shells
from ovito_glassml.learn.prototypes import network as scnn_network
from ovito_glassml.learn.prototypes.data import PUBLISHED, BarrierSample, TrainingData, describe_samples
from ovito_glassml.learn.prototypes.evaluate import area_of_highest, interpretation_table
from ovito_glassml.learn.prototypes.model import CLASSES
from ovito_glassml.learn.prototypes.network import LossWeights, Pass, TrainingSettings, balanced
from ovito_glassml.learn.prototypes.train import balanced_logistic, fit_prototypes, train_plain, train_scnn
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.workflow.sample_data import stiffness_samples

QUICK = TrainingSettings(starts=1, first=Pass(10, 3e-3), cycle=Pass(3, 1e-3), most_cycles=2, dropout=0.3)
#: For eight thousand atoms.
LONGER = replace(QUICK, first=Pass(40, 3e-3), cycle=Pass(20, 1e-3))


@pytest.fixture(scope="module")
def data(barrier_glasses):
    return describe_samples(barrier_glasses, PUBLISHED)


@pytest.fixture(scope="module")
def parts(data):
    return data.of_samples([0]), data.of_samples([1])


@pytest.fixture(scope="module")
def fitted(data, parts):
    return fit_prototypes(data, *parts, design=PUBLISHED, settings=QUICK)


def network_under_training(data, parts, settings):
    rows = scnn_network.split(data, *parts, settings)
    torch.manual_seed(3)
    scnn = scnn_network.PrototypesInTraining(rows, PUBLISHED, settings)
    scnn.prototypes.data = torch.randn(4, PUBLISHED.embedding)
    return scnn


def loss_by_hand(scnn, batch, settings):
    """The terms written out in NumPy, one atom at a time."""
    weights = settings.weights
    embeddings = scnn.encoder(scnn.rows.inputs[batch]).detach().numpy().astype(float)
    prototypes = scnn.prototypes.detach().numpy().astype(float)
    directions = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    vectors = directions if settings.unit_prototypes else prototypes
    entropy, cluster, separation = [], [], []
    for embedding, high in zip(embeddings, scnn.rows.high[batch], strict=True):
        unit = embedding / np.linalg.norm(embedding)
        logits = scnn.head.detach().numpy() @ (directions @ unit)
        entropy.append(np.log(np.exp(logits).sum()) - logits[int(high)])
        closeness = vectors @ unit
        cluster.append(-closeness[int(high) == CLASSES].max())
        other = closeness[int(high) != CLASSES]
        separation.append(other.max() if settings.separation == "max" else other.min())
    pairs = [vectors[number == CLASSES].T for number in (0, 1)]
    orthogonality = sum(np.linalg.norm(pair.T @ pair - np.eye(2)) ** 2 for pair in pairs)
    subspace = -(np.linalg.norm(pairs[0] @ pairs[0].T - pairs[1] @ pairs[1].T) ** 2) / np.sqrt(2)
    return (
        np.mean(entropy)
        + weights.cluster * np.mean(cluster)
        + weights.separation * np.mean(separation)
        + weights.orthogonality * orthogonality
        + weights.subspace * subspace
    )


@pytest.mark.parametrize("changes", [{}, {"separation": "min"}, {"unit_prototypes": False}])
def test_the_loss_is_the_one_that_is_documented(data, parts, changes):
    settings = replace(QUICK, dropout=0.0, weights=LossWeights(0.3, 0.5, 0.7, 0.11), **changes)
    scnn = network_under_training(data, parts, settings)
    batch = np.arange(40)
    assert scnn.loss(batch).item() == pytest.approx(loss_by_hand(scnn, batch, settings), rel=1e-4)


def test_prototypes_become_distinct_atoms_of_their_class(data, parts):
    scnn = network_under_training(data, parts, QUICK)
    scnn.become_atoms()
    assert len(set(scnn.chosen)) == 4
    np.testing.assert_array_equal(scnn.rows.high[scnn.chosen], CLASSES == 1)
    embeddings = scnn.embed(scnn.rows.inputs)
    np.testing.assert_allclose(scnn.prototypes.detach(), embeddings[scnn.chosen])


def test_the_head_starts_as_published():
    np.testing.assert_array_equal(scnn_network.FIRST_HEAD, [[1, 1, -0.5, -0.5], [-0.5, -0.5, 1, 1]])


def test_the_head_learns_alone_and_forgets_the_other_class(data, parts):
    scnn = network_under_training(data, parts, replace(QUICK, weights=LossWeights(sparsity=0.5)))
    scnn.become_atoms()
    before = scnn.state()
    scnn.fit_head(balanced(scnn.rows.high, np.random.default_rng(1)))
    after = scnn.state()
    assert all(torch.equal(before["encoder"][key], after["encoder"][key]) for key in before["encoder"])
    assert torch.equal(before["prototypes"], after["prototypes"])
    foreign = np.arange(2)[:, None] != CLASSES
    assert np.abs(after["head"].numpy()[foreign]).max() < 0.05
    assert np.abs(after["head"].numpy()[~foreign]).max() > 0.2


@pytest.fixture(scope="module")
def glasses():
    """Shipped glasses; the stiffness that simulations gave takes the place of the barrier."""
    training, testing = stiffness_samples()
    snapshots = [read_snapshot(file) for file in (*training, *testing)]
    samples = [
        BarrierSample(snapshot.structure, snapshot.columns["Stiffness"], str(k)) for k, snapshot in enumerate(snapshots)
    ]
    return describe_samples(samples, PUBLISHED, learned=[0, 1])


@pytest.fixture(scope="module")
def glass_parts(glasses):
    return glasses.of_samples([0, 1]), glasses.of_samples([2])


@pytest.fixture(scope="module")
def glass_network(glasses, glass_parts):
    return fit_prototypes(glasses, *glass_parts, design=PUBLISHED, settings=LONGER).network


def test_stiff_atoms_are_recognised_on_a_glass_never_seen(glasses, glass_network):
    tested = glasses.of_samples([3])
    logits = glass_network.logits(glass_network.similarities(glass_network.embed(glasses.rows[tested])))
    assert area_of_highest(glasses.barrier[tested], logits) > 0.75


def test_the_classes_point_apart_and_their_prototypes_differ(glass_network):
    cosines = glass_network.cosines()
    np.testing.assert_allclose(np.diag(cosines), 1, atol=1e-6)
    _, low, high, _, between, *_ = interpretation_table([("", cosines, np.zeros(4))]).rows[0]
    assert between < min(low, high)
    assert max(low, high) < 0.95


def test_plain_networks_classify_and_regress(glasses, glass_parts):
    tested = glasses.of_samples([3])
    barrier, rows = glasses.barrier[tested], glasses.rows[tested]
    classifier = train_plain(glasses, *glass_parts, design=PUBLISHED, settings=LONGER)
    assert area_of_highest(barrier, classifier.predict(rows)) > 0.75
    regressor = train_plain(glasses, *glass_parts, design=PUBLISHED, settings=LONGER, regression=True)
    assert np.corrcoef(regressor.predict(rows), barrier)[0, 1] > 0.5
    assert regressor.predict(rows).mean() == pytest.approx(barrier.mean(), rel=0.05)


def test_training_again_gives_the_same_bits_and_another_seed_does_not(data, parts, fitted):
    again = fit_prototypes(data, *parts, design=PUBLISHED, settings=QUICK)
    np.testing.assert_array_equal(again.network.hidden, fitted.network.hidden)
    np.testing.assert_array_equal(again.places, fitted.places)
    other = fit_prototypes(data, *parts, design=PUBLISHED, settings=QUICK, seed=2)
    assert not np.array_equal(other.network.hidden, fitted.network.hidden)


def test_atoms_without_labels_are_left_out_and_counted(barrier_glasses):
    structure, barrier, name = barrier_glasses[0]
    some = np.where(np.arange(len(barrier)) % 3 == 0, np.nan, barrier)
    data = describe_samples([(structure, some, name), barrier_glasses[1]], PUBLISHED)
    assert data.left_out == np.isnan(some).sum()
    assert len(data.rows) == len(data.barrier) == np.isfinite(some).sum() + len(barrier_glasses[1].barrier)
    assert np.isfinite(data.barrier).all()
    np.testing.assert_array_equal(data.barrier[data.of_samples([0])], some[data.atom[data.of_samples([0])]])


def test_the_last_fifth_of_every_sample_along_the_first_cell_vector_stops_the_training(barrier_glasses):
    """A cell that leans and does not begin at zero; some atoms stand in other images, some have no label."""
    structure, barrier, name = barrier_glasses[0]
    rng = np.random.default_rng(1)
    fractions = rng.permutation((np.arange(len(barrier)) + 0.5) / len(barrier))
    cell = structure.cell + np.array([[0, 0, 0], [3.0, 0, 0], [0, 0, 0]])
    places = np.column_stack([fractions + rng.integers(-1, 2, len(barrier)), rng.uniform(size=(len(barrier), 2))])
    leaning = replace(structure, cell=cell, origin=np.array([7.0, 0, 0]), positions=places @ cell + [7.0, 0, 0])
    labels = np.where(fractions < 0.5, np.nan, barrier)
    samples = [barrier_glasses[1], BarrierSample(leaning, labels, name), barrier_glasses[2]]
    everything = np.concatenate([np.arange(len(sample.barrier)) for sample in samples])
    numbers = np.repeat(np.arange(3), len(barrier))
    known = np.isfinite(np.concatenate([sample.barrier for sample in samples]))
    data = TrainingData(
        tuple(samples), None, np.zeros((len(known), 1)), np.zeros(len(known)), numbers[known], everything[known], 0
    )
    learned, stopping = data.divided([0, 1])
    np.testing.assert_array_equal(np.sort([*learned, *stopping]), data.of_samples([0, 1]))
    inside = data.sample[stopping] == 1
    np.testing.assert_array_equal(np.sort(data.atom[stopping[inside]]), np.flatnonzero(fractions > 0.9))
    assert np.count_nonzero(~inside) == round(0.2 * len(barrier))
    cluster = BarrierSample(replace(structure, cell=None), barrier, name)
    _, stopping = describe_samples([cluster], PUBLISHED).divided([0])
    np.testing.assert_allclose(
        structure.positions[np.sort(stopping), 0].min(), np.sort(structure.positions[:, 0])[-len(stopping)]
    )


def test_headers_say_how_the_model_was_made(environment_scnn, barrier_glasses):
    training = environment_scnn.header.training
    assert training["samples"] == [barrier_glasses[0].name]
    assert training["atoms"] == len(barrier_glasses[0].barrier)
    threshold = np.quantile(barrier_glasses[0].barrier, 0.8)
    assert f"above {threshold:.4g} (unit not stated)," in training["high_barrier"]
    assert not any("interatomic potential" in reference for reference in environment_scnn.header.references)
    shells = two_shells([barrier_glasses[0].structure])
    assert environment_scnn.header.cutoff == pytest.approx(5 * shells)  # own sums and four averages


def test_both_classes_weigh_the_same_in_calibration():
    """Logits of two normal distributions one apart have a slope of one, however rare the higher one is."""
    rng = np.random.default_rng(1)
    high = np.arange(50_000) % 10 == 0
    slope, constant = balanced_logistic(rng.normal(size=len(high)) + high, high)
    assert slope == pytest.approx(1, abs=0.05)
    assert constant == pytest.approx(-0.5, abs=0.05)


def test_balanced_takes_all_of_the_rarer_class():
    high = np.arange(100) < 20
    chosen = balanced(high, np.random.default_rng(1))
    assert len(set(chosen)) == 40
    assert set(np.flatnonzero(high)) <= set(chosen)


def one_value(barrier):
    return np.ones_like(barrier)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (one_value, "all of one class"),
        (lambda barrier: np.where(np.arange(len(barrier)) < 3, barrier, np.nan), "3 labelled atoms; 4 prototypes"),
        (lambda barrier: np.where(np.arange(len(barrier)) == 0, 9.0, 1.0), "1 training atom of one class"),
        (lambda barrier: barrier[:3], r"labels of shape \(3,\) for 729 atoms"),
    ],
)
def test_useless_labels_are_refused(barrier_glasses, change, message):
    structure, barrier, name = barrier_glasses[0]
    samples = [BarrierSample(structure, change(barrier), name), barrier_glasses[1]]

    def train():
        data = describe_samples(samples, PUBLISHED)
        fit_prototypes(data, data.of_samples([0]), data.of_samples([1]), design=PUBLISHED, settings=QUICK)

    with pytest.raises(TrainingError, match=message):
        train()


def test_training_needs_samples():
    with pytest.raises(TrainingError, match="no labelled structures"):
        describe_samples([], PUBLISHED)


def scaled(structure, factor):
    return replace(structure, positions=structure.positions * factor, cell=structure.cell * factor)


def test_a_second_glass_of_each_kind_is_the_unit_of_the_score():
    """Two kinds differ in density. One glass of each says only that densities differ, and hides a third density."""
    first, second = shaken_crystal(1), scaled(shaken_crystal(2), 1.05)
    samples = [BarrierSample(one, crowding(one), name) for one, name in ((first, "dense"), (second, "loose"))]
    data = describe_samples(samples, PUBLISHED)
    parts = data.divided([0, 1])
    twins = [shaken_crystal(3), scaled(shaken_crystal(4), 1.05)]
    alone, together = (
        train_scnn(data, *parts, design=PUBLISHED, settings=QUICK, familiar=more) for more in ((), twins)
    )
    new, foreign = shaken_crystal(5), scaled(shaken_crystal(6), 1.12)
    assert np.median(alone.predict(foreign).extrapolation) < 1
    assert np.median(together.predict(foreign).extrapolation) > 1
    assert np.median(together.predict(new).extrapolation) < 1
