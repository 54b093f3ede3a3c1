##### Glass ML: Bessel descriptors #####
#
# Compute Bessel and orientation parameters of every atom and their shell
# averages. With the averages over one and two shells of neighbours these are
# the 264 structural parameters of the SCNN.

"""Bessel and orientation parameters of every atom as a particle property."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ovito.data import DataCollection
from ovito.pipeline import ModifierInterface
from traits.api import Bool, Enum, HasStrictTraits, Range, Str

from ovito_glassml.adapter.descriptors import describe_particles
from ovito_glassml.descriptors.bessel import NORMALIZATIONS, BesselDescriptors

__all__ = ["BesselDescriptorsModifier"]


class BesselDescriptorsModifier(HasStrictTraits, ModifierInterface):
    """Compute Bessel and orientation parameters of every atom and their shell averages.

    With the averages over one and two shells of neighbours these are the 264 structural parameters of the SCNN.

    B sums the radial functions R_n over the neighbours of each species, and Q measures how strongly bonds to all
    neighbours, weighted by R_n, prefer directions of degree l (a Steinhardt parameter for every n). Averages weight
    neighbours by exp(−r/r_c)::

        R_n(r) = √(2/r_c) sin(nπr/r_c) / r
        B_tn   = Σ_j δ(t, t_j) R_n(r_ij)
        q_nlm  = Σ_j R_n(r_ij) Y_lm(r̂_ij) / Σ_j |R_n(r_ij)|
        Q_nl   = √(4π/(2l+1) Σ_m |q_nlm|²)
        X^(k)_i = Σ_j exp(−r_ij/r_c) X^(k−1)_j / Σ_j exp(−r_ij/r_c)

    These are the inputs of the structural constraint neural network. Lengths are in Å. Inherent structures give
    sharper values than thermal snapshots.

    Outputs:

    * ``Bessel Descriptors``: particle property; columns B0, B1, B2 (by species, then n), then Q0, Q1, Q2 (by n,
      then l), the digit counting averages: ``B0_Cu_n1``, ``Q2_n8_l9``. NaN for unselected atoms, and Q and
      averages are NaN for atoms without neighbours.
    * ``BesselDescriptors.features``: attribute, the number of columns: 264 for two species.
    * ``BesselDescriptors.undefined``: attribute, the number of atoms without a complete row.
    * ``BesselDescriptors.no_cell``: attribute, 1 if there is no simulation cell: all boundaries are open,
      which is said in a line. Else 0.
    * ``BesselDescriptors.foreign_unit``: attribute, 1 if atoms are too dense for lengths in Å and those of this
      modifier keep their defaults in Å, which is said in a line. Else 0.

    An error is raised for two atoms in one place.

    Source: X. Jiang, Z. Tian, K. Li, W. Hu, Towards interpreting the thermally activated β dynamics in metallic glass
    with the structural constraint neural network, arXiv:2401.03743 (2024).
    """

    cutoff = Range(low=0.0, value=5.0, exclude_low=True, label="Cutoff (Å)", ovito_group="Bessel descriptors")
    """
    r_c: neighbours up to here count. The default contains the first two shells of a metallic glass.

    :Default: ``5.0``, as published.
    """

    n_max = Range(low=1, high=64, value=8, label="Radial functions", ovito_group="Bessel descriptors")
    """
    Number of radial functions n.

    :Default: ``8``
    """

    l_max = Range(low=1, high=30, value=9, label="Highest degree", ovito_group="Bessel descriptors")
    """
    Orientation parameters are computed for l = 1 up to here.

    :Default: ``9``, which gives the published total of 264.
    """

    shells = Range(low=0, high=20, value=2, label="Shell averages", ovito_group="Bessel descriptors")
    """
    How many times values are averaged over neighbours; each average reaches one shell further.

    :Default: ``2``
    """

    normalization = Enum(*NORMALIZATIONS, label="Normalization of Q", ovito_group="Bessel descriptors")
    """
    What orientation parameters are divided by: ``'absolute'``, the sum of |R_n|, or ``'published'``, the sum of
    R_n, which passes through zero, so that Q diverges.

    :Default: ``'absolute'``
    """

    species = Str("", label="Species of unnamed types", ovito_group="Bessel descriptors", ovito_placeholder="Cu,Zr")
    """
    Names of particle types 1, 2 and so on, such as ``"Cu,Zr"``, or of any types, as ``"0=Cu,7=Zr"``. All frames
    get columns of these species, whether they have such particles or not, in the order of atomic number (of the
    alphabet, if not all are elements).

    :Default: ``""``, the names in this frame, the first and the last; types without a name count as species
              all the same.
    """

    only_selected = Bool(False, label="Use only selected particles", ovito_group="Bessel descriptors")
    """
    Compute values for selected atoms only. The others still count as neighbours.

    :Default: ``False``
    """

    def modify(self, data: DataCollection, **kwargs: Any) -> Generator[str | float, None, None]:
        def descriptor(species: tuple[str, ...]) -> BesselDescriptors:
            return BesselDescriptors(
                species,
                float(self.cutoff),
                int(self.n_max),
                int(self.l_max),
                int(self.shells),
                self.normalization,
            )

        yield from describe_particles(data, "Bessel Descriptors", descriptor, self, ("cutoff",), **kwargs)
