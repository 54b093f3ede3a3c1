"""Structures on which a stiffness model is judged besides glasses at rest.

Thermal snapshots are what most users have; liquids, crystals and glasses of another composition
are what a model trained on one glass must recognise as foreign. Needs the extra `simulate`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.progress import Report, silent
from ovito_glassml.structure import Structure

__all__ = ["FOREIGN_STRUCTURES", "crystal", "foreign_path", "foreign_structures", "thermal_snapshot"]

TIMESTEP = 0.003  # ps, as in the quenches
SNAPSHOT_TIME = 4.0  # ps, a few relaxation times of temperature and cell
LIQUID_TIME = 10.0  # ps at 2000 K, where the structure relaxes in less than one

#: Lattice constants in Å of the Cu-Zr potential's crystals at zero pressure.
B2_LATTICE_CONSTANT = 3.258
FCC_LATTICE_CONSTANT = 3.639


def thermal_snapshot(structure: Structure, folder: Path, *, temperature: float = 300.0, seed: int = 1) -> Structure:
    """A Cu-Zr structure after a few picoseconds at a temperature and zero pressure.

    Parameters
    ----------
    structure : Structure
        Inherent structure, Cu-Zr, orthogonal periodic cell.
    folder : Path
        For the checkpoint; nothing is left there.
    temperature : float
        K; 300 by default, where people look at their glasses.
    seed : int
        Starts the velocities.

    Returns
    -------
    Structure
        The same atoms in the same order, vibrating.
    """
    return _heated(structure, folder, temperature, SNAPSHOT_TIME, seed, _as_it_is)


def _heated(
    structure: Structure,
    folder: Path,
    temperature: float,
    picoseconds: float,
    seed: int,
    finish: Callable[[Any], dict[str, NDArray]],
) -> Structure:
    from ovito_glassml.simulate.atoms import create_atoms
    from ovito_glassml.simulate.engine import Stage, run_stages
    from ovito_glassml.simulate.material import load_material
    from ovito_glassml.simulate.minima import Configuration

    material = load_material("cu-zr")

    def start(lammps: Any) -> None:
        create_atoms(lammps, structure, material)
        # Equipartition takes half of the kinetic energy that a minimum starts with.
        lammps.command(f"velocity all create {2 * temperature} {seed} mom yes rot no dist gaussian")

    steps = round(picoseconds / TIMESTEP)
    stages = [Stage("heating", steps, temperature, temperature, TIMESTEP, pressure=0.0)]
    with TemporaryDirectory(prefix=".heated-", dir=folder) as alone:  # others may heat there at the same time
        checkpoint = Path(alone) / "checkpoint.npz"
        final = run_stages(material, stages, checkpoint, start, silent, finish)
    return Configuration(**final).structure(material.species)


def _as_it_is(lammps: Any) -> dict[str, NDArray]:
    from ovito_glassml.simulate.minima import FIELDS, configuration_of

    found = configuration_of(lammps)
    return {name: getattr(found, name) for name in FIELDS}


def _relaxed(lammps: Any) -> dict[str, NDArray]:
    """Positions and cell at zero pressure, as the glasses are relaxed."""
    lammps.command("reset_timestep 0")
    # A liquid's cell shrinks by several percent, and is measured against the one it began with.
    for _ in range(3):
        lammps.command("fix relax all box/relax iso 0.0 vmax 0.002")
        lammps.command("minimize 0 1e-2 500 5000")
        lammps.command("unfix relax")
    return _as_it_is(lammps)


def crystal(name: str, cells: int = 7) -> Structure:
    """A perfect crystal: ``B2 CuZr`` or ``fcc Cu``, `cells` conventional cells in each direction."""
    basis, kinds, constant = {
        "B2 CuZr": ([[0, 0, 0], [0.5, 0.5, 0.5]], [0, 1], B2_LATTICE_CONSTANT),
        "fcc Cu": ([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]], [0, 0, 0, 0], FCC_LATTICE_CONSTANT),
    }[name]
    corners = np.stack(np.meshgrid(*[np.arange(cells)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    positions = (corners + np.array(basis)).reshape(-1, 3) * constant
    species = np.tile(kinds, len(corners))
    return Structure(positions, species, ("Cu", "Zr"), np.eye(3) * cells * constant, pbc=(True, True, True))


#: What a Cu50Zr50 model must tell from its own glass.
FOREIGN_STRUCTURES = (
    "liquid at 2000 K",
    "liquid at 2000 K, minimised",
    "B2 CuZr",
    "B2 CuZr at 300 K",
    "fcc Cu",
    "fcc Cu at 300 K",
    "Cu80Zr20 glass",
)


def foreign_structures(
    glass: Structure, folder: Path, progress: Report, *, atoms: int = 2000, seed: int = 1
) -> dict[str, Structure]:
    """Make the structures named in `FOREIGN_STRUCTURES`, keeping finished ones in `folder`.

    Parameters
    ----------
    glass : Structure
        The Cu50Zr50 glass that is melted.
    folder : Path
        Each structure becomes ``NAME.xyz.gz`` there and is read from there the next time.
    progress : callable
        Fraction and text.
    atoms : int
        Of the Cu80Zr20 glass. Two thousand give the score to better than 0.01.
    seed : int
        For velocities and the quench.
    """
    from ovito_glassml.simulate.snapshots import provenance, read_snapshot, write_snapshot

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    structures = {}
    for number, name in enumerate(FOREIGN_STRUCTURES):
        progress(number / len(FOREIGN_STRUCTURES), name)
        path = foreign_path(folder, name)
        if not path.exists() and name == "Cu80Zr20 glass":
            _other_composition(path, atoms, seed)
        elif not path.exists():
            structure = _foreign(name, glass, folder, seed)
            write_snapshot(path, structure, {}, provenance("foreign", {"name": name, "seed": seed}))
        structures[name] = read_snapshot(path).structure
    return structures


def foreign_path(folder: Path, name: str) -> Path:
    """Where `foreign_structures` keeps the structure of that name."""
    return Path(folder) / f"{name.lower().replace(',', '').replace(' ', '-')}.xyz.gz"


def _foreign(name: str, glass: Structure, folder: Path, seed: int) -> Structure:
    if name == "liquid at 2000 K":
        return _heated(glass, folder, 2000.0, LIQUID_TIME, seed, _as_it_is)
    if name == "liquid at 2000 K, minimised":
        return _heated(glass, folder, 2000.0, LIQUID_TIME, seed, _relaxed)
    if name.endswith(" at 300 K"):
        return thermal_snapshot(crystal(name.removesuffix(" at 300 K")), folder, seed=seed)
    return crystal(name)


def _other_composition(path: Path, atoms: int, seed: int) -> None:
    from ovito_glassml.simulate.material import load_material
    from ovito_glassml.simulate.protocols.quench import QuenchSettings, quench

    settings = QuenchSettings(atoms=atoms, cooling_rate=4e13, seed=seed, melt_time=10.0)
    quench(load_material("cu-zr", "Cu80Zr20"), settings, path, silent)
