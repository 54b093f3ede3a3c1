"""What all families of descriptors share: where rows are written, and that they fit."""

from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.descriptors.bessel import BesselDescriptors
from ovito_glassml.descriptors.rdf import RDFDescriptors
from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.structure import StructureError

SPECIES = ("Cu", "Zr")
FAMILIES = {
    "rdf": RDFDescriptors(number_density=0.05),
    "bessel": BesselDescriptors(SPECIES, n_max=2, l_max=2),
    "soap": SOAPDescriptors(SPECIES, n_max=2, l_max=2),
    "ace": ACEDescriptors(SPECIES, cutoff=5.0, degree=3.0),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_are_written_at_the_indices_of_their_atoms(family, triclinic):
    descriptor = FAMILIES[family]
    mask = np.arange(len(triclinic)) % 3 == 0
    some = replace(triclinic, mask=mask)
    out = np.full((len(triclinic), len(descriptor.feature_names)), -7, dtype=descriptor.dtype)
    assert descriptor.compute(some, out=out) is out
    np.testing.assert_array_equal(out[mask], descriptor.compute(some))
    assert (out[~mask] == -7).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_that_no_machine_could_hold_are_refused(family, triclinic, monkeypatch):
    monkeypatch.setattr("ovito_glassml.memory.physical_memory", lambda: 1000.0)
    with pytest.raises(StructureError, match="more than this machine's memory"):
        FAMILIES[family].compute(triclinic)
