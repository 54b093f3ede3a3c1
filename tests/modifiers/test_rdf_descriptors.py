"""The RDF of every atom inside OVITO, against OVITO's own RDF and perfect crystals."""

import numpy as np
import pytest
from ovito.modifiers import CoordinationAnalysisModifier

from ovito_glassml import RDFDescriptorsModifier
from ovito_glassml.structure import StructureError


def descriptors(data, **parameters):
    result = data.clone()
    result.apply(RDFDescriptorsModifier(**parameters))
    return result


def test_the_first_shells_of_fcc_are_counted(as_data, fcc):
    result = descriptors(as_data(fcc))
    rows = result.particles["RDF Descriptors"]
    assert rows.shape == (256, 40)
    assert rows.component_names[0] == "r2_1"
    assert rows.component_names[39] == "r9_9"
    r = np.array([2.9, 4.1])  # bins of the shells at 4/√2 = 2.83 Å (12 atoms) and at 4 Å (6)
    density = 4 / 4.0**3
    expected = np.array([12, 6]) / (4 * np.pi * r**2 * density * 0.2)
    np.testing.assert_allclose(rows[0][[4, 10]], expected, rtol=1e-6)
    assert not rows[0][:4].any()


def test_the_mean_is_ovitos_own_rdf(as_data, triclinic):
    result = descriptors(as_data(triclinic))
    result.apply(CoordinationAnalysisModifier(cutoff=10.0, number_of_bins=50))
    ours = result.tables["rdf-descriptors"].xy()
    theirs = result.tables["coordination-rdf"].xy()[10:]
    np.testing.assert_allclose(ours[:, 0], theirs[:, 0], rtol=1e-6)
    shell = 1 + 0.2**2 / (12 * ours[:, 0] ** 2)  # OVITO divides by the exact volume of a shell, not by 4πr²Δr
    np.testing.assert_allclose(ours[:, 1] / shell, theirs[:, 1], rtol=1e-5, atol=1e-6)


def test_partial_functions_add_up_to_the_total(as_data, three_species):
    data = as_data(three_species)
    partial = descriptors(data, partial=True).particles["RDF Descriptors"]
    assert partial.shape == (60, 120)
    assert partial.component_names[::40] == ("Al_r2_1", "Cu_r2_1", "Zr_r2_1")
    total = descriptors(data).particles["RDF Descriptors"][...]
    np.testing.assert_allclose(partial[...].reshape(60, 3, 40).sum(axis=1), total, rtol=1e-5, atol=1e-6)


def test_a_species_that_has_left_keeps_its_columns(as_data, triclinic):
    data = as_data(triclinic)
    gone = data.particles.particle_types == 2
    data.particles_.delete_elements(gone)
    partial = descriptors(data, partial=True).particles["RDF Descriptors"]
    assert partial.component_names[40] == "Zr_r2_1"
    assert not partial[:, 40:].any()
    assert partial[:, :40].any()


def test_selected_atoms_have_the_same_values_and_the_others_none(as_data, triclinic):
    data = as_data(triclinic)
    everyone = descriptors(data).particles["RDF Descriptors"][...]
    selection = np.arange(len(triclinic)) % 3 == 0
    data.particles_.create_property("Selection", data=selection.astype(int))
    result = descriptors(data, only_selected=True)
    rows = result.particles["RDF Descriptors"][...]
    np.testing.assert_array_equal(rows[selection], everyone[selection])
    assert np.isnan(rows[~selection]).all()
    assert result.attributes["RDFDescriptors.undefined"] == (~selection).sum()
    mean = result.tables["rdf-descriptors"].xy()[:, 1]
    np.testing.assert_allclose(mean, everyone[selection].mean(axis=0), rtol=1e-5)


def test_the_density_scales_the_values(as_data, triclinic):
    data = as_data(triclinic)
    automatic = descriptors(data)
    assert automatic.attributes["RDFDescriptors.number_density"] == pytest.approx(triclinic.number_density)
    halved = descriptors(data, number_density=triclinic.number_density / 2)
    np.testing.assert_allclose(
        halved.particles["RDF Descriptors"][...], 2 * automatic.particles["RDF Descriptors"][...], rtol=1e-6
    )


def test_without_a_cell_the_density_must_be_given(as_data, cluster):
    with pytest.raises(StructureError, match="number_density"):
        descriptors(as_data(cluster))
    rows = descriptors(as_data(cluster), number_density=0.05).particles["RDF Descriptors"]
    assert np.isfinite(rows[...]).all()


def test_names_are_needed_only_for_partial_functions(as_data, triclinic):
    data = as_data(triclinic)
    for kind in data.particles_.particle_types_.types_:
        kind.name = ""
    descriptors(data)
    with pytest.raises(StructureError, match="set species"):
        descriptors(data, partial=True)
    named = descriptors(data, partial=True, species="Zr,Cu").particles["RDF Descriptors"]
    assert named.component_names[0] == "Cu_r2_1"
