"""Largest standard clusters: crystals, Kasper polyhedra, and an independent slow search on a real glass."""

import itertools

import networkx as nx
import numpy as np
import pytest
from scipy.spatial import cKDTree

from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.threads import limit_threads
from ovito_glassml.topology.signature import (
    cluster_label,
    format_signature,
    label_name,
    parse_signature,
    signature_number,
)
from ovito_glassml.topology.standard_clusters import SUBCLUSTERS, LaSCA

KASPER = {12: "[12/555]", 14: "[12/555, 2/666]", 15: "[12/555, 3/666]", 16: "[12/555, 4/666]"}


def signatures(structure, **settings):
    """The signature of every selected atom, as text."""
    result = LaSCA(**settings).compute(structure, spelled=None)
    names = [format_signature(signature) for signature in result.signatures]
    return [names[index] for index in result.signature_indices]


def icosahedron(radius=2.5):
    golden = (1 + np.sqrt(5)) / 2
    corners = [np.roll([0, a, b * golden], shift) for shift in range(3) for a in (-1, 1) for b in (-1, 1)]
    return Structure(np.vstack([np.zeros(3), radius * np.array(corners) / np.hypot(1, golden)]))


@pytest.mark.parametrize("settings", [{}, {"stop": "no obtuse triangle"}], ids=["auto", "no obtuse triangle"])
@pytest.mark.parametrize("scale", [1.0, 0.1, 1 / 2.7])
def test_perfect_crystals_in_any_unit(crystals, settings, scale):
    assert set(signatures(crystals.fcc(scale=scale), **settings)) == {"[12/421]"}
    assert set(signatures(crystals.hcp(scale=scale), **settings)) == {"[6/421, 6/422]"}
    assert set(signatures(crystals.bcc(scale=scale), **settings)) == {"[6/444, 8/666]"}


def test_crystals_rattled_by_two_per_cent(crystals):
    """Halfway between the shells; the displacements are 2 % of the nearest distance in each direction."""
    assert set(signatures(crystals.fcc(rattle=0.02), max_cutoff=2.556 * 1.2)) == {"[12/421]"}
    assert set(signatures(crystals.hcp(rattle=0.02), max_cutoff=2.95 * 1.2)) == {"[6/421, 6/422]"}
    assert set(signatures(crystals.bcc(rattle=0.02), max_cutoff=2.87 * 1.2)) == {"[6/444, 8/666]"}


def test_isolated_icosahedron():
    result = LaSCA().compute(icosahedron())
    assert format_signature(result.signatures[result.signature_indices[0]]) == "[12/555]"
    assert label_name(result.labels[0]) == "Z12"
    assert result.coordination[0] == 12
    # Its shell atoms have five neighbours in the shell and the centre, which these five surround.
    assert format_signature(result.signatures[result.signature_indices[1]]) == "[5/322, 1/555]"


@pytest.mark.parametrize(("phase", "cutoff"), [("a15", 2.95), ("c15", 3.5), ("zr4al3", 3.6)])
def test_kasper_polyhedra_in_frank_kasper_crystals_and_cut_out(crystals, phase, cutoff):
    structure, coordination = getattr(crystals, f"frank_kasper_{phase}")()
    sites = np.tile(coordination, len(structure) // len(coordination))
    assert signatures(structure, max_cutoff=cutoff) == [KASPER[size] for size in sites]
    for site, size in enumerate(coordination):
        cluster = LaSCA(max_cutoff=cutoff).cluster(structure, site)
        alone = Structure(np.vstack([np.zeros(3), cluster.vectors]))
        assert signatures(alone, max_cutoff=cutoff)[0] == KASPER[size]


def test_growth_stops_where_the_next_shell_breaks_the_standard(crystals):
    """Without a cap fcc grows to its second shell at the lattice constant, and not beyond."""
    result = LaSCA(max_cutoff=6.0).compute(crystals.fcc())
    np.testing.assert_allclose(result.cutoffs, 3.615)
    assert not result.capped.any()
    capped = LaSCA(max_cutoff=3.0).compute(crystals.fcc())
    np.testing.assert_allclose(capped.cutoffs, 3.0)
    assert capped.capped.all()
    # At a right angle precisely: the triangle of two neighbours and one of the second shell is not obtuse.
    acute = LaSCA(stop="no obtuse triangle").compute(crystals.fcc())
    np.testing.assert_allclose(acute.cutoffs, 3.615)


def test_a_shell_exactly_at_the_cap_is_left_out_as_a_whole(crystals):
    result = LaSCA(max_cutoff=2.87).compute(crystals.bcc())
    assert {format_signature(signature) for signature in result.signatures} == {"[8/000]"}


def test_an_obtuse_triangle_stops_the_growth():
    """Three atoms in a bow: the far pair is bonded from 3.6 on, and then the angle is 92.2° wide."""
    bow = Structure([[0.0, 0, 0], [2.5, 0, 0], [-0.1, 2.5, 0]])
    assert LaSCA(max_cutoff=4.0).compute(bow).coordination.tolist() == [2, 2, 2]
    result = LaSCA(stop="no obtuse triangle").compute(bow)
    assert result.coordination.tolist() == [2, 1, 1]
    np.testing.assert_allclose(result.cutoffs, np.hypot(2.6, 2.5))
    assert result.capped.all()


def test_no_more_than_sixty_neighbours_are_ever_needed():
    """A dense shell of a hundred: the search looks at the nearest sixty, and still finds where the growth ends."""
    rng = np.random.default_rng(1)
    directions = rng.normal(size=(100, 3))
    directions *= (1 + 0.001 * np.arange(100))[:, None] / np.linalg.norm(directions, axis=1)[:, None]
    structure = Structure(np.vstack([np.zeros(3), directions]), mask=[True] + [False] * 100)
    result = LaSCA(max_cutoff=1.5).compute(structure)
    reference = slow_cluster(structure.positions[1:], 1.5)
    assert not result.capped[0]
    assert result.cutoffs[0] == pytest.approx(reference[1])
    assert format_signature(result.signatures[0]) == reference[0]


# The slow search: one pair after the other in ascending distance, general graph algorithms at every step.


def grown_pair_by_pair(vectors, limit):
    """Yield (pair, graph of the centre −1 and its surroundings, affected neighbours) after each pair."""
    points = {-1: np.zeros(3), **dict(enumerate(vectors))}
    pairs = [(np.linalg.norm(points[a] - points[b]), a, b) for a, b in itertools.combinations(points, 2)]
    graph = nx.Graph()
    graph.add_node(-1)
    for pair in sorted(pair for pair in pairs if pair[0] < limit):
        a, b = pair[1:]
        graph.add_edge(a, b)
        involved = ({a, b} | (set(graph[a]) & set(graph[b]))) & set(graph[-1])
        yield pair, graph, involved if {a, b} <= {-1, *graph[-1]} else ()


def is_standard(subcluster):
    if any(degree > 2 for _, degree in subcluster.degree):
        return False
    return all(len(ring) == len(subcluster) for ring in nx.cycle_basis(subcluster))


def longest_chain(subcluster):
    chains = [subcluster.subgraph(part) for part in nx.connected_components(subcluster)]
    return max((len(part) if nx.cycle_basis(part) else nx.diameter(part) for part in chains), default=0)


def subcluster_of(graph, neighbour):
    return graph.subgraph(set(graph[-1]) & set(graph[neighbour]))


def has_obtuse(graph, vectors):
    """Whether the centre and two bonded neighbours make an obtuse triangle."""
    for a, b in itertools.combinations(sorted(set(graph[-1])), 2):
        if graph.has_edge(a, b):
            corners = np.array([np.zeros(3), vectors[a], vectors[b]])
            edges = np.roll(corners, -1, axis=0) - corners
            if (np.einsum("ij,ij->i", edges, np.roll(edges, -1, axis=0)) > 1e-6).any():
                return True
    return False


def slow_cluster(vectors, limit, acute=False):
    """Signature, cutoff and whether the cap ended the growth."""
    graph, end, capped = nx.Graph({-1: []}), limit, True
    for (distance, *last), graph, involved in grown_pair_by_pair(vectors, limit):
        stopped = acute and involved and has_obtuse(graph, vectors)
        if stopped or not all(is_standard(subcluster_of(graph, neighbour)) for neighbour in involved):
            end, capped = distance, bool(stopped)
            graph.remove_edge(*last)
            break
    kinds = []
    for neighbour in graph[-1]:
        common = subcluster_of(graph, neighbour)
        kinds.append((len(common), common.number_of_edges(), longest_chain(common)))
    entries = sorted((kind, kinds.count(kind)) for kind in set(kinds))
    text = "[" + ", ".join(f"{count}/{''.join(map(str, kind))}" for kind, count in entries) + "]"
    return text, end, capped


def surroundings(structure, atoms, limit):
    """Vectors to all neighbours, for a rectangular periodic cell."""
    lengths = np.diag(structure.cell)
    wrapped = (structure.positions - structure.origin) % lengths
    tree = cKDTree(wrapped, boxsize=lengths)
    for atom in atoms:
        near = [other for other in tree.query_ball_point(wrapped[atom], limit) if other != atom]
        vectors = wrapped[near] - wrapped[atom]
        yield vectors - lengths * np.round(vectors / lengths)


def chosen(structure, mask):
    return Structure(
        structure.positions, structure.species, structure.species_names, structure.cell, structure.origin,
        structure.pbc, structure.ids, mask,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "limit", "every"),
    [
        pytest.param({"max_cutoff": 3.8}, 3.8, 20, id="sample"),
        pytest.param({"max_cutoff": 3.8}, 3.8, 2, id="2000 atoms", marks=pytest.mark.slow),
        pytest.param({"max_cutoff": 5.0}, 5.0, 80, id="uncapped"),
        pytest.param({"stop": "no obtuse triangle"}, 5.5, 80, id="no obtuse triangle"),
    ],
)
def test_agrees_with_a_slow_search_atom_by_atom(glass, settings, limit, every):
    selected = np.arange(len(glass)) % every == 0
    result = LaSCA(**settings).compute(chosen(glass, selected), spelled=None)
    names = [format_signature(signature) for signature in result.signatures]
    found = zip(result.signature_indices, result.cutoffs, result.capped, strict=True)
    for (index, cutoff, capped), vectors in zip(
        found, surroundings(glass, np.flatnonzero(selected), limit), strict=True
    ):
        text, end, ended_by_stop = slow_cluster(vectors, limit, acute="stop" in settings)
        assert (names[index], capped) == (text, ended_by_stop)
        assert cutoff == pytest.approx(end, abs=1e-6)


def test_every_atom_has_the_cluster_that_it_would_have_alone(any_structure, true_neighbours):
    """Periodic images, tilted cells, open boundaries."""
    result = signatures(any_structure, max_cutoff=3.4)
    every = slice(None, None, 1 + len(any_structure) // 30)
    for name, (_, vectors) in zip(result[every], true_neighbours(any_structure, 3.4)[every], strict=True):
        assert name == slow_cluster(vectors, 3.4)[0]


def test_fractions_add_up_and_follow_from_the_signature(glass):
    result = LaSCA().compute(glass, spelled=None)
    np.testing.assert_allclose(result.fractions.sum(axis=1), 1, rtol=1e-5)
    for atom in range(0, len(glass), 100):
        signature = {kind: count for count, kind in result.signatures[result.signature_indices[atom]]}
        size = sum(signature.values())
        assert result.coordination[atom] == size
        expected = [signature.get(kind, 0) / size for kind in SUBCLUSTERS]
        np.testing.assert_allclose(result.fractions[atom, :-1], expected, rtol=1e-5)


def test_signatures_are_ordered_by_frequency(glass):
    result = LaSCA().compute(glass)
    np.testing.assert_array_equal(result.counts, np.bincount(result.signature_indices))
    assert (np.diff(result.counts) <= 0).all()
    assert len(result.signatures) == 100
    assert result.signatures[0] == parse_signature("[12/555]")


def test_numbers_and_labels_are_those_of_the_spelled_signatures(glass):
    result = LaSCA().compute(glass, spelled=None)
    assert len(set(result.signatures)) == len(result.signatures) == len(result.numbers)
    assert result.numbers.tolist() == [signature_number(signature) for signature in result.signatures]
    labels = np.array([cluster_label(signature) for signature in result.signatures])[result.signature_indices]
    assert [label_name(number) for number in result.labels] == labels.tolist()


def test_members_and_bonds_of_one_cluster(glass):
    settings = LaSCA()
    result = settings.compute(glass)
    atom = int(np.flatnonzero(result.signature_indices == 0)[0])
    cluster = settings.cluster(glass, atom)
    assert cluster.signature == parse_signature("[12/555]")
    assert len(cluster.shell_bonds) == 30  # edges of an icosahedron
    assert set(np.bincount(cluster.shell_bonds.ravel())) == {5}
    distances = np.linalg.norm(cluster.vectors, axis=1)
    assert (np.diff(distances) >= 0).all()
    assert distances[-1] < result.cutoffs[atom]
    shift = glass.positions[cluster.neighbours] - glass.positions[atom] - cluster.vectors
    images = shift @ np.linalg.inv(glass.cell)
    np.testing.assert_allclose(images, np.round(images), atol=1e-9)


def test_the_automatic_cap_is_that_of_cu64zr36_scaled(glass):
    """3.7 Å times the ratio of the peaks; the atoms of Cu50Zr50 are larger."""
    assert LaSCA().largest_cutoff(glass) == pytest.approx(3.7 * 2.833 / 2.717, rel=0.01)
    assert LaSCA().compute(glass).max_cutoff == LaSCA().largest_cutoff(glass)


def test_rotation_translation_permutation(triclinic, transformed):
    rng = np.random.default_rng(4)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    permutation = rng.permutation(len(triclinic))
    moved = transformed(triclinic, rotation, (3.0, -20.0, 0.1), permutation)
    expected = LaSCA().compute(triclinic)
    result = LaSCA().compute(moved)
    assert result.signatures == expected.signatures
    np.testing.assert_array_equal(result.signature_indices, expected.signature_indices[permutation])
    np.testing.assert_allclose(result.cutoffs, expected.cutoffs[permutation], rtol=1e-9)
    np.testing.assert_allclose(result.fractions, expected.fractions[permutation], atol=1e-6)


def test_selected_atoms_have_the_same_clusters(glass):
    mask = np.arange(len(glass)) % 7 == 3
    everyone = LaSCA().compute(glass)
    result = LaSCA().compute(chosen(glass, mask))
    numbers = everyone.numbers[everyone.signature_indices]
    np.testing.assert_array_equal(result.numbers[result.signature_indices], numbers[mask])
    np.testing.assert_array_equal(result.cutoffs, everyone.cutoffs[mask])


def test_threads_do_not_change_a_bit(glass):
    with limit_threads(1):
        one = LaSCA().compute(glass)
    with limit_threads(3):
        result = LaSCA().compute(glass)
    for name in ("coordination", "cutoffs", "capped", "fractions", "labels", "signature_indices", "counts"):
        np.testing.assert_array_equal(getattr(result, name), getattr(one, name))
    assert result.signatures == one.signatures


def test_progress_reaches_one_and_can_stop(glass):
    seen = []
    LaSCA().compute(glass, progress=seen.append)
    assert seen[-1] == 1.0
    assert seen == sorted(seen)

    def stop(fraction):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        LaSCA().compute(glass, progress=stop)


@pytest.mark.parametrize("settings", [{}, {"max_cutoff": 3.0}, {"stop": "no obtuse triangle"}])
def test_no_atoms_and_lonely_atoms(settings):
    nothing = LaSCA(**settings).compute(Structure(np.empty((0, 3)), cell=np.eye(3), pbc=(True, True, True)))
    assert nothing.coordination.shape == (0,)
    assert nothing.signatures == ()
    lonely = LaSCA(**settings).compute(Structure([[1.0, 2.0, 3.0]]))
    assert lonely.coordination.tolist() == [0]
    assert lonely.signatures == ((),)
    assert not lonely.fractions.any()


def test_an_evaporated_atom_among_others(glass):
    positions = np.vstack([glass.positions, glass.positions.max(axis=0) + 50])
    result = LaSCA(max_cutoff=3.7).compute(Structure(positions))
    assert result.coordination[-1] == 0
    assert not result.fractions[-1].any()
    only = Structure(positions, mask=np.arange(len(positions)) == len(positions) - 1)
    assert LaSCA(max_cutoff=3.7).compute(only).coordination.tolist() == [0]


def test_a_wrong_unit_is_noticed(glass):
    with pytest.raises(StructureError, match=r"No atom has a neighbour within max_cutoff = 0\.37.*at 2\.8"):
        LaSCA(max_cutoff=0.37).compute(glass)
    with pytest.raises(StructureError, match="neighbours within max_cutoff = 15 on average"):
        LaSCA(max_cutoff=15.0).compute(glass)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_cutoff": 0.0}, r"max_cutoff is 0\.0"),
        ({"max_cutoff": float("nan")}, "max_cutoff is nan"),
        ({"stop": "later"}, "no stop 'later'"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(StructureError, match=message):
        LaSCA(**settings)
