##### Glass ML: SOAP descriptors #####
#
# Compute the smooth overlap of atomic positions (SOAP) of every atom. In
# DScribe's conventions. The defaults give the 3289 numbers (for two species)
# that the ULE barcode is made from.

"""SOAP power spectra as a particle property."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ovito.data import DataCollection
from ovito.pipeline import ModifierInterface
from traits.api import Bool, Enum, HasStrictTraits, Range, Str

from ovito_glassml.adapter.descriptors import describe_particles
from ovito_glassml.descriptors.soap import RADIAL_BASES, SOAPDescriptors

__all__ = ["SOAPDescriptorsModifier"]


class SOAPDescriptorsModifier(HasStrictTraits, ModifierInterface):
    """Compute the smooth overlap of atomic positions (SOAP) of every atom.

    In DScribe's conventions. The defaults give the 3289 numbers (for two species) that the ULE barcode is made from.

    Each neighbour, and the atom itself, is a Gaussian; their density is expanded in radial functions and
    spherical harmonics by species, and the power spectrum of the expansion does not change under rotation::

        c_znlm    = ∫ g_nl(r) Y_lm(r̂) Σ_j δ(z, z_j) exp(−|r − r_ij|² / 2σ²) d³r
        p_zz'nn'l = π √(8 / (2l + 1)) Σ_m c_znlm c_z'n'lm

    Order of columns, prefactors and cutoffs are those of DScribe. Lengths are in Å. A row of the default settings has
    13 kB for two species: a million atoms need 13 GB.

    Outputs:

    * ``SOAP Descriptors``: particle property; columns named by both species, both radial indices and the degree:
      ``Cu_n1_Zr_n2_l3``. NaN for unselected atoms.
    * ``SOAPDescriptors.features``: attribute, the number of columns.
    * ``SOAPDescriptors.undefined``: attribute, the number of atoms without values.
    * ``SOAPDescriptors.no_cell``: attribute, 1 if there is no simulation cell: all boundaries are open,
      which is said in a line. Else 0.
    * ``SOAPDescriptors.foreign_unit``: attribute, 1 if atoms are too dense for lengths in Å and those of this
      modifier keep their defaults in Å, which is said in a line. Else 0.

    Errors are raised for two atoms in one place and for rows that exceed the memory.

    Source: A. P. Bartók, R. Kondor, G. Csányi, On representing chemical environments, Phys. Rev. B 87, 184115 (2013).
    """

    cutoff = Range(low=0.0, value=5.0, exclude_low=True, label="Cutoff (Å)", ovito_group="SOAP descriptors")
    """
    Range of the radial functions. Neighbours count a little further, as long as their Gaussian reaches in: to
    6.86 Å with the other defaults.

    :Default: ``5.0``, as published with the ULE barcode.
    """

    n_max = Range(low=1, high=20, value=11, label="Radial functions", ovito_group="SOAP descriptors")
    """
    Number of radial functions n.

    :Default: ``11``
    """

    l_max = Range(low=0, high=20, value=12, label="Highest degree", ovito_group="SOAP descriptors")
    """
    Highest degree l of the spherical harmonics.

    :Default: ``12``
    """

    sigma = Range(low=0.0, value=0.5, exclude_low=True, label="Gaussian width (Å)", ovito_group="SOAP descriptors")
    """
    Standard deviation of the Gaussian that stands for an atom.

    :Default: ``0.5``
    """

    rbf = Enum(*RADIAL_BASES, label="Radial basis", ovito_group="SOAP descriptors")
    """
    ``'polynomial'``, (r_c − r) to the powers 3 and up, or ``'gto'``, Gaussian-type orbitals. Both are
    orthonormalised.

    :Default: ``'polynomial'``, the choice of the published ULE code.
    """

    species = Str("", label="Species of unnamed types", ovito_group="SOAP descriptors", ovito_placeholder="Cu,Zr")
    """
    Names of particle types 1, 2 and so on, such as ``"Cu,Zr"``, or of any types, as ``"0=Cu,7=Zr"``. All frames
    get columns of these species, whether they have such particles or not, in the order of atomic number (of the
    alphabet, if not all are elements).

    :Default: ``""``, the names in this frame, the first and the last; types without a name count as species
              all the same.
    """

    only_selected = Bool(False, label="Use only selected particles", ovito_group="SOAP descriptors")
    """
    Compute values for selected atoms only. The others still count as neighbours.

    :Default: ``False``
    """

    def modify(self, data: DataCollection, **kwargs: Any) -> Generator[str | float, None, None]:
        def descriptor(species: tuple[str, ...]) -> SOAPDescriptors:
            return SOAPDescriptors(species, self.cutoff, int(self.n_max), int(self.l_max), self.sigma, self.rbf)

        yield from describe_particles(data, "SOAP Descriptors", descriptor, self, ("cutoff",), **kwargs)
