"""Bessel, SOAP and ACE inside OVITO give what the plain functions give, under documented names."""

import numpy as np
import pytest

from ovito_glassml import ACEDescriptorsModifier, BesselDescriptorsModifier, SOAPDescriptorsModifier
from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.descriptors.bessel import BesselDescriptors
from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.structure import Structure

FAMILIES = [
    (BesselDescriptorsModifier, BesselDescriptors, "Bessel Descriptors", 264, {"normalization": "published"}),
    (SOAPDescriptorsModifier, SOAPDescriptors, "SOAP Descriptors", 3289, {"n_max": 4, "l_max": 3, "rbf": "gto"}),
    (ACEDescriptorsModifier, ACEDescriptors, "ACE Descriptors", 574, {"order": 2, "cutoff": 5.0, "purified": False}),
]


def applied(data, modifier):
    result = data.clone()
    result.apply(modifier)
    return result


@pytest.mark.parametrize(("modifier", "descriptor", "name", "features", "settings"), FAMILIES)
def test_same_rows_and_names_as_the_plain_function(as_data, triclinic, modifier, descriptor, name, features, settings):
    for parameters in ({}, settings):
        result = applied(as_data(triclinic), modifier(**parameters))
        plain = descriptor(("Cu", "Zr"), **parameters)
        rows = result.particles[name]
        np.testing.assert_array_equal(rows[...], plain.compute(triclinic))
        assert tuple(rows.component_names) == plain.feature_names
        prefix = name.replace(" ", "")
        assert result.attributes[f"{prefix}.features"] == (rows.shape[1] if parameters else features)
        assert result.attributes[f"{prefix}.undefined"] == 0


@pytest.mark.parametrize(("modifier", "name"), [(family[0], family[2]) for family in FAMILIES])
def test_a_species_that_has_left_keeps_its_columns(as_data, triclinic, modifier, name):
    data = as_data(triclinic)
    names = applied(data, modifier(cutoff=4.0)).particles[name].component_names
    data.particles_.delete_elements(data.particles.particle_types == 2)
    assert applied(data, modifier(cutoff=4.0)).particles[name].component_names == names


@pytest.mark.parametrize(("modifier", "name"), [(family[0], family[2]) for family in FAMILIES])
def test_unselected_atoms_have_no_values_and_are_counted(as_data, triclinic, modifier, name):
    data = as_data(triclinic)
    data.particles_.create_property("Selection", data=(np.arange(len(triclinic)) < 10).astype(int))
    result = applied(data, modifier(only_selected=True))
    rows = result.particles[name][...]
    assert np.isfinite(rows[:10]).all()
    assert np.isnan(rows[10:]).all()
    assert result.attributes[f"{name.replace(' ', '')}.undefined"] == len(triclinic) - 10


def test_atoms_without_neighbours_are_counted(as_data, fcc):
    lonely = np.vstack([fcc.positions[:30], [[100.0, 0, 0]]])
    data = as_data(Structure(lonely, species_names=("Cu",)))
    assert applied(data, BesselDescriptorsModifier()).attributes["BesselDescriptors.undefined"] == 1
    assert applied(data, SOAPDescriptorsModifier()).attributes["SOAPDescriptors.undefined"] == 0
