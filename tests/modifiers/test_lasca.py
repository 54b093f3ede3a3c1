"""Clusters of atoms inside OVITO: properties, tables by group, bonds that show a cluster."""

import numpy as np
import pytest
from ovito.data import BondType, ElementType
from ovito.modifiers import CommonNeighborAnalysisModifier
from traits.api import TraitError

from ovito_glassml import LaSCAModifier
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.topology.signature import label_number, parse_signature, signature_number
from ovito_glassml.workflow.sample_data import sample_file


@pytest.fixture(scope="module")
def glass():
    """4000 atoms of Cu50Zr50."""
    return read_snapshot(sample_file("stiffness/vibrations-cu50zr50-1e13-1.xyz.gz")).structure


def analysed(data, **parameters):
    result = data.clone()
    result.apply(LaSCAModifier(**parameters))
    return result


def test_a_crystal_is_named_as_by_ovitos_own_analysis(as_data, fcc):
    result = analysed(as_data(fcc))
    particles = result.particles
    assert (particles["LaSC Coordination"][...] == 12).all()
    assert (particles["TCP Label"][...] == label_number("fcc")).all()
    assert (particles["LaSC Signature"][...] == signature_number(parse_signature("[12/421]"))).all()
    column = particles["CNS Fractions"].component_names.index("S421")
    np.testing.assert_allclose(particles["CNS Fractions"][:, column], 1)
    assert result.attributes["LaSCA.crystalline_fraction"] == 1
    assert result.attributes["LaSCA.tcp_fraction"] == 0
    result.apply(CommonNeighborAnalysisModifier())
    assert result.attributes["CommonNeighborAnalysis.counts.FCC"] == len(fcc)


def test_icosahedra_are_those_of_ovitos_own_analysis(as_data, glass):
    """With the same cutoff an icosahedron is one for both; the growing cutoff finds further ones."""
    result = analysed(as_data(glass))
    result.apply(CommonNeighborAnalysisModifier(mode=CommonNeighborAnalysisModifier.Mode.FixedCutoff, cutoff=3.858))
    ovito = result.particles["Structure Type"][...] == CommonNeighborAnalysisModifier.Type.ICO
    ours = result.particles["TCP Label"][...] == label_number("Z12")
    assert result.attributes["LaSCA.max_cutoff"] == pytest.approx(3.858)
    assert ovito.sum() > 50
    assert ours[ovito].all()
    at_the_cap = ours & (result.particles["LaSC Cutoff"][...] == result.attributes["LaSCA.max_cutoff"])
    np.testing.assert_array_equal(at_the_cap, ovito)


def test_attributes_follow_from_the_properties(as_data, glass):
    result = analysed(as_data(glass))
    labels = result.particles["TCP Label"][...]
    fractions = result.particles["CNS Fractions"]
    attributes = result.attributes
    assert attributes["LaSCA.z12_fraction"] == pytest.approx((labels == 12).mean())
    assert attributes["LaSCA.tcp_fraction"] == pytest.approx((labels > 3).mean())
    five_fold = fractions[:, fractions.component_names.index("S555")]
    assert attributes["LaSCA.mean_five_fold_fraction"] == pytest.approx(five_fold.mean(), rel=1e-5)
    assert attributes["LaSCA.distinct_signatures"] == len(np.unique(result.particles["LaSC Signature"]))
    cut = result.particles["LaSC Cutoff"][...] == attributes["LaSCA.max_cutoff"]
    assert attributes["LaSCA.capped_fraction"] == pytest.approx(cut.mean())


def test_types_name_labels_and_frequent_signatures(as_data, glass):
    particles = analysed(as_data(glass)).particles
    labels = particles["TCP Label"]
    names = {kind.id: kind.name for kind in labels.types}
    assert set(names) == set(np.unique(labels)) | {0}
    assert names[label_number("1-Z12")] == "1-Z12"
    assert names[0] == "none"
    signatures = {kind.id: kind.name for kind in particles["LaSC Signature"].types}
    assert signatures[signature_number(parse_signature("[12/555]"))] == "[12/555]"
    assert len(signatures) == 101  # a hundred and 0


def test_tables_by_element(as_data, glass):
    result = analysed(as_data(glass), group_by="Particle Type")
    copper = result.particles.particle_types[...] == 1
    table = result.tables["lasc-signatures"]
    assert table.y.component_names == ("all atoms", "Cu", "Zr")
    first = np.array([kind.name for kind in table.x.types])[0]
    numbers = result.particles["LaSC Signature"][...] == signature_number(parse_signature(first))
    expected = 100 * np.array([numbers.mean(), numbers[copper].mean(), numbers[~copper].mean()])
    np.testing.assert_allclose(table.y[0], expected)
    assert table["Atoms"][0] == numbers.sum()
    fractions = result.particles["CNS Fractions"][...]
    by_group = [fractions[chosen].mean(axis=0) for chosen in (slice(None), copper, ~copper)]
    np.testing.assert_allclose(result.tables["cns-fractions"].y[...], 100 * np.column_stack(by_group), rtol=1e-4)
    labels = result.tables["tcp-labels"]
    row = [kind.name for kind in labels.x.types].index("Z12")
    is_z12 = result.particles["TCP Label"][...] == 12
    expected = 100 * np.array([is_z12.mean(), is_z12[copper].mean(), is_z12[~copper].mean()])
    np.testing.assert_allclose(labels.y[row], expected)


def test_groups_count_analysed_atoms_only_and_names_need_not_be_distinct(as_data, glass):
    data = as_data(glass)
    kinds = np.arange(len(glass)) % 3
    prototypes = data.particles_.create_property("Prototype", data=kinds)
    for number in (0, 1):
        prototypes.types.append(ElementType(id=number, name="low 0.5"))
    data.particles_.create_property("Selection", data=(kinds < 2).astype(int))
    table = analysed(data, group_by="Prototype", only_selected=True).tables["cns-fractions"]
    assert table.y.component_names == ("all atoms", "low 0_5 (0)", "low 0_5 (1)", "class 2 (2)")
    assert np.isfinite(table.y[:, :3]).all()
    assert np.isnan(table.y[:, 3]).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Prototype", "no particle property 'Prototype'"),
        ("Particle Identifier", "has 4000 classes"),
        ("Position", "has no classes"),
    ],
)
def test_what_cannot_be_grouped_by_is_refused(as_data, glass, name, message):
    with pytest.raises(StructureError, match=message):
        analysed(as_data(glass), group_by=name)


def test_bonds_show_the_cluster_of_one_atom(as_data, glass):
    data = as_data(glass)
    result = analysed(data)
    atom = int(np.flatnonzero(result.particles["TCP Label"][...] == 12)[-1])
    shown = analysed(data, show_clusters_of=str(glass.ids[atom])).particles
    bonds = shown.bonds
    ends, kinds = bonds.topology[...], bonds["Sub-Cluster"]
    central = (ends == atom).any(axis=1)
    assert central.sum() == 12
    assert len(ends) == 42  # and the 30 edges of the icosahedron
    assert (kinds[...][central] == 555).all()
    assert {kind.id: kind.name for kind in kinds.types} == {-1: "shell", 555: "S555"}
    steps = glass.positions[ends[:, 1]] - glass.positions[ends[:, 0]] + bonds.pbc_vectors[...] @ glass.cell
    assert np.linalg.norm(steps, axis=1).max() < shown["LaSC Cutoff"][atom]


def test_bonds_of_small_cells_reach_images(as_data, one_atom):
    """Simple cubic: six bonds of one atom with itself."""
    bonds = analysed(as_data(one_atom), show_clusters_of="1", max_cutoff=3.5).particles.bonds
    assert bonds.topology[...].tolist() == [[0, 0]] * 6
    images = sorted(map(tuple, bonds.pbc_vectors[...].tolist()))
    assert images == [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (0, 0, 1), (0, 1, 0), (1, 0, 0)]


def test_bonds_of_several_atoms_are_added_to_those_that_are_there(as_data, cluster):
    data = as_data(cluster)
    old = data.particles_.create_bonds(count=1)
    old.create_property("Topology", data=[[0, 1]])
    kinds = old.create_property("Sub-Cluster", data=[555])
    kinds.types.append(BondType(id=555, name="S555"))
    result = analysed(data, show_clusters_of=f"{cluster.ids[3]}, {cluster.ids[4]}", max_cutoff=3.4)
    bonds = result.particles.bonds
    assert bonds.topology[0].tolist() == [0, 1]
    sizes = result.particles["LaSC Coordination"][...]
    assert (bonds["Sub-Cluster"][1:] != -1).sum() == sizes[3] + sizes[4]
    names = [kind.name for kind in bonds["Sub-Cluster"].types]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("text", ["999999", "x", "1 999999"])
def test_unknown_identifiers_are_refused(as_data, fcc, text):
    with pytest.raises(StructureError, match="no particle with the identifier"):
        analysed(as_data(fcc), show_clusters_of=text)


def test_too_many_clusters_are_refused(as_data, fcc):
    with pytest.raises(StructureError, match="list at most 100"):
        analysed(as_data(fcc), show_clusters_of=" ".join(map(str, fcc.ids)))


def test_the_cutoff_is_a_length_or_auto(as_data, fcc):
    assert analysed(as_data(fcc), max_cutoff=3.0).attributes["LaSCA.max_cutoff"] == 3.0
    assert analysed(as_data(fcc), max_cutoff="3.0").attributes["LaSCA.max_cutoff"] == 3.0
    for value in ("", "wide", -1.0, "0", "nan", "inf", None):
        with pytest.raises(TraitError, match="'auto' or a positive length"):
            LaSCAModifier(max_cutoff=value)


def test_other_stop(as_data, glass):
    automatic, acute = analysed(as_data(glass)), analysed(as_data(glass), stop="no obtuse triangle")
    assert acute.attributes["LaSCA.z12_fraction"] > automatic.attributes["LaSCA.z12_fraction"]
    assert acute.particles["LaSC Cutoff"][...].max() < 0.9 * acute.attributes["LaSCA.max_cutoff"]


def test_atoms_without_neighbours_are_counted(as_data, glass):
    positions = np.vstack([glass.positions, glass.positions.max(axis=0) + 50])
    data = as_data(Structure(positions))
    result = analysed(data)
    assert result.attributes["LaSCA.without_neighbours"] == 1
    assert result.attributes["LaSCA.undefined"] == 0
    assert result.particles["LaSC Coordination"][-1] == 0
    assert result.particles["LaSC Signature"][-1] == 0
    assert result.particles["TCP Label"][-1] == 0
    assert not result.particles["CNS Fractions"][-1].any()
    table = result.tables["cns-fractions"]
    assert table.y[...].sum() == pytest.approx(100)  # the mean is over the others
    alone = analysed(as_data(Structure([[1.0, 2.0, 3.0]])))
    assert alone.attributes["LaSCA.undefined"] == 1


def test_coloring_by_label_leaves_the_selection_alone(as_data, glass):
    data = as_data(glass)
    selection = np.arange(len(glass)) % 2
    data.particles_.create_property("Selection", data=selection)
    result = analysed(data, color_by_result=True)
    np.testing.assert_array_equal(result.particles.selection, selection)
    labels = result.particles["TCP Label"]
    color = {kind.id: kind.color for kind in labels.types}
    for atom in range(0, len(glass), 500):
        np.testing.assert_allclose(result.particles.colors[atom], color[labels[atom]], atol=1e-6)
