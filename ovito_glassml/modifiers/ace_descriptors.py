##### Glass ML: ACE descriptors #####
#
# Compute invariant correlations of the neighbours of every atom. They are the
# terms of two, three and four bodies of the atomic cluster expansion, purified:
# no neighbour counts twice in a correlation.

"""Purified ACE correlations as a particle property."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ovito.data import DataCollection
from ovito.pipeline import ModifierInterface
from traits.api import Bool, HasStrictTraits, Range, Str

from ovito_glassml.adapter.descriptors import describe_particles
from ovito_glassml.descriptors.ace import ACEDescriptors

__all__ = ["ACEDescriptorsModifier"]


class ACEDescriptorsModifier(HasStrictTraits, ModifierInterface):
    """Compute invariant correlations of the neighbours of every atom.

    They are the terms of two, three and four bodies of the atomic cluster expansion, purified: no neighbour counts
    twice in a correlation.

    A correlation of order ν sums products of ν one-neighbour functions R_n(r) Y_lm(r̂) over distinct neighbours,
    coupled so that it changes neither under rotation nor reflection. It is linear in the number of such ν-tuples:
    order 1 is a radial histogram with smooth bins, order 2 sees angles, order 3 dihedrals. The radial functions are::

        R_n = (x − 1) P_(n−1)(x)
        x = 1 − (y(s) − y(s_c)) / (y(0) − y(s_c)) · (1 − (r/r_c)⁴)
        y(s) = (1 + s³) / (1 + s³ + 3/11 s⁴),  s = r/r_0,  s_c = r_c/r_0

    with the cutoff r_c, the nearest-neighbour distance r_0, and Legendre polynomials P orthonormal on the range of x.
    The defaults suit Cu-Zr in Å; for Lennard-Jones units set the cutoff to 4 and the nearest distance to 1.

    Outputs:

    * ``ACE Descriptors``: particle property; columns by order, those of the first species alone first, named by
      species, n and l of every factor: ``Cu_n1``, ``Cu_n1_l1_Zr_n2_l1``. NaN for unselected atoms.
    * ``ACEDescriptors.features``: attribute, the number of columns: 574 for two species.
    * ``ACEDescriptors.undefined``: attribute, the number of atoms without values.
    * ``ACEDescriptors.no_cell``: attribute, 1 if there is no simulation cell: all boundaries are open,
      which is said in a line. Else 0.
    * ``ACEDescriptors.foreign_unit``: attribute, 1 if atoms are too dense for lengths in Å and those of this
      modifier keep their defaults in Å, which is said in a line. Else 0.

    An error is raised for two atoms in one place.

    Source: J. Rottler, C. Ortner, Analysis of local structure of mechanical and thermal rearrangements in glasses with
    the atomic cluster expansion, arXiv:2410.03216 (2024); R. Drautz, Phys. Rev. B 99, 014104 (2019).
    """

    cutoff = Range(low=0.0, value=10.8, exclude_low=True, label="Cutoff (Å)", ovito_group="ACE descriptors")
    """
    Neighbours up to here count; value and slope of every function vanish here.

    :Default: ``10.8``, four times the nearest-neighbour distance, as published for Lennard-Jones mixtures.
    """

    nearest = Range(
        low=0.0, value=2.7, exclude_low=True, label="Nearest-neighbour distance (Å)", ovito_group="ACE descriptors"
    )
    """
    Distances around this one are resolved best.

    :Default: ``2.7``, the position of the first RDF peak of Cu-Zr glasses.
    """

    order = Range(low=1, high=3, value=3, label="Correlation order", ovito_group="ACE descriptors")
    """
    Largest number of neighbours in a correlation.

    :Default: ``3``
    """

    n_max = Range(low=1, high=40, value=10, label="Radial functions", ovito_group="ACE descriptors")
    """
    Number of radial functions n.

    :Default: ``10`` (binary mixtures); published for a polymer: 20.
    """

    degree = Range(low=1.0, high=24.0, value=10.0, label="Total degree (number)", ovito_group="ACE descriptors")
    """
    Correlations of two and three neighbours are kept if the sum of n + weight · l over their factors is at most this.

    :Default: ``10.0`` (binary mixtures); published for a polymer: 18.
    """

    degree_weight = Range(
        low=0.0, value=1.5, exclude_low=True, label="Weight of l in the degree (number)", ovito_group="ACE descriptors"
    )
    """
    How much a degree l counts against a radial index n.

    :Default: ``1.5``, as published.
    """

    purified = Bool(True, label="Distinct neighbours only", ovito_group="ACE descriptors")
    """
    Leave out the terms of the sums in which a neighbour occurs twice.

    :Default: ``True``
    """

    species = Str("", label="Species of unnamed types", ovito_group="ACE descriptors", ovito_placeholder="Cu,Zr")
    """
    Names of particle types 1, 2 and so on, such as ``"Cu,Zr"``, or of any types, as ``"0=Cu,7=Zr"``. All frames
    get columns of these species, whether they have such particles or not, in the order of atomic number (of the
    alphabet, if not all are elements).

    :Default: ``""``, the names in this frame, the first and the last; types without a name count as species
              all the same.
    """

    only_selected = Bool(False, label="Use only selected particles", ovito_group="ACE descriptors")
    """
    Compute values for selected atoms only. The others still count as neighbours.

    :Default: ``False``
    """

    def modify(self, data: DataCollection, **kwargs: Any) -> Generator[str | float, None, None]:
        def descriptor(species: tuple[str, ...]) -> ACEDescriptors:
            return ACEDescriptors(
                species,
                self.cutoff,
                self.nearest,
                int(self.order),
                int(self.n_max),
                self.degree,
                self.degree_weight,
                self.purified,
            )

        yield from describe_particles(data, "ACE Descriptors", descriptor, self, ("cutoff", "nearest"), **kwargs)
