"""The glass formers: interaction, state point, and how a random start is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.engine import Interaction, apply_interaction
from ovito_glassml.simulate.potentials import copper_zirconium, kob_andersen, polymer, wahnstrom
from ovito_glassml.simulate.snapshots import made_with

__all__ = ["MENDELEV", "SYSTEMS", "System", "fill", "molten", "stated", "system"]

MENDELEV = "M. I. Mendelev, D. J. Sordelet, M. J. Kramer, J. Appl. Phys. 102, 043501 (2007): the interatomic potential."

#: Units of the systems, and where their interactions were published.
_STATED = {
    "cu50zr50": ("angstrom", "eV", MENDELEV),
    "kob-andersen": ("sigma", "epsilon", "W. Kob, H. C. Andersen, Phys. Rev. E 51, 4626 (1995): the interactions."),
    "wahnstrom": ("sigma", "epsilon", "G. Wahnström, Phys. Rev. A 44, 3752 (1991): the interactions."),
    "polymer": ("sigma", "epsilon", "K. Kremer, G. S. Grest, J. Chem. Phys. 92, 5057 (1990): the interactions."),
}

#: What moves the atoms; protocols that are not named here label no activity.
_ACTIVATION = {"isoconfigurational": "thermal", "shear-aqs": "shear", "shear-md": "shear"}
_PROTOCOLS = {"quench", "vibrations", "barriers", "anneal", *_ACTIVATION}


@dataclass(frozen=True)
class System:
    """A glass former and the values of its state point, in the units of its interaction.

    Attributes
    ----------
    name : str
        As in settings and on the command line.
    interaction : Interaction
        Force field.
    fractions : tuple of float
        Share of every species.
    number_density : float
        Of the starting arrangement, and of the glass where `pressure` is None.
    pressure : float or None
        None: everything happens at fixed density.
    active_species : str
        The species whose rearrangements are labelled.
    length : float
        Nearest-neighbour distance of the active species: the unit of cutoffs and of D²min.
    melt_temperature, temperature, timestep : float
        Of the liquid, of the deeply supercooled liquid whose thermal rearrangements are studied
        (about τ_α = 1000 to 5000 time units there), and of the integration.
    force_tolerance : float
        Largest force component on any atom of a minimised structure.
    chain_length : int
        Beads of a chain; 1 means atoms.
    """

    name: str
    interaction: Interaction
    fractions: tuple[float, ...]
    number_density: float
    pressure: float | None
    active_species: str
    length: float
    melt_temperature: float
    temperature: float
    timestep: float
    force_tolerance: float
    chain_length: int = 1


def _kob_andersen() -> System:
    return System("kob-andersen", kob_andersen(), (0.8, 0.2), 1.2, None, "A", 1.0, 1.0, 0.44, 0.005, 1e-6)


def _wahnstrom() -> System:
    return System("wahnstrom", wahnstrom(), (0.5, 0.5), 1.3, None, "A", 1.0, 1.0, 0.58, 0.005, 1e-6)


def _polymer() -> System:
    return System("polymer", polymer(), (1.0,), 1.04, 1.0, "A", 1.0, 1.0, 0.47, 0.005, 1e-6, chain_length=20)


def _copper_zirconium() -> System:
    interaction = copper_zirconium()
    return System("cu50zr50", interaction, (0.5, 0.5), 0.058, 0.0, "Cu", 2.7, 2000.0, 800.0, 0.003, 1e-5)


#: Names → functions that return the system; functions, because Cu-Zr needs LAMMPS' potential file.
SYSTEMS: dict[str, Callable[[], System]] = {
    "kob-andersen": _kob_andersen,
    "wahnstrom": _wahnstrom,
    "polymer": _polymer,
    "cu50zr50": _copper_zirconium,
}


def system(name: str) -> System:
    """The system called `name`.

    Raises
    ------
    SimulationError
        If there is none of that name.
    """
    if name not in SYSTEMS:
        raise SimulationError(f"There is no system {name!r}; choose from {', '.join(SYSTEMS)}.")
    return SYSTEMS[name]()


def stated(header: Mapping[str, object]) -> dict[str, str]:
    """What the header of a simulated file says about units and sources.

    Parameters
    ----------
    header : mapping
        Entries of the comment line of a frame, of any origin.

    Returns
    -------
    dict
        ``length_unit``, ``energy_unit``, ``reference`` and ``activation``, those that are known: as the entries of
        these names, or as follows from a protocol of this package. Empty for other files.
    """
    found: dict[str, str] = {}
    protocol = str(header.get("protocol", ""))
    if protocol in _PROTOCOLS and {"settings", "lammps"} <= header.keys():
        # Protocols that do not name their system simulate Cu-Zr.
        name = _settings(header).get("system", "cu50zr50")
        found |= dict(zip(("length_unit", "energy_unit", "reference"), _STATED.get(name, ()), strict=False))
        if protocol in _ACTIVATION:
            found["activation"] = _ACTIVATION[protocol]
    given = ("length_unit", "energy_unit", "reference", "activation")
    return found | {name: str(header[name]) for name in given if name in header}


def _settings(header: Mapping[str, object]) -> dict[str, Any]:
    try:
        return made_with(header)
    except ValueError:  # not written by us
        return {"system": None}


def molten(matter: System, atoms: int, seed: int) -> Callable[[Any], None]:
    """Start of a protocol: a random arrangement with the velocities of the melt."""

    def start(lammps: Any) -> None:
        fill(lammps, matter, atoms, seed)
        lammps.command(f"velocity all create {matter.melt_temperature} {seed} mom yes rot no dist gaussian")

    return start


def fill(lammps: Any, matter: System, atoms: int, seed: int) -> None:
    """Put a relaxed random arrangement into an empty LAMMPS instance: atoms, or chains for a polymer.

    Atoms of one chain have consecutive ids.
    """
    interaction = matter.interaction
    edge = (atoms / matter.number_density) ** (1 / 3)
    if matter.chain_length > 1:
        _fill_with_chains(lammps, matter, atoms, edge, seed)
        return
    _open_box(lammps, interaction, edge, "")
    counts = np.diff(np.round(np.cumsum([0.0, *matter.fractions]) * atoms)).astype(int)
    overlap = 0.65 * matter.length
    for kind, count in enumerate(counts, start=1):
        placing = f"{count} {seed + 7919 * (kind - 1)} box overlap {overlap} maxtry 10000"
        lammps.command(f"create_atoms {kind} random {placing}")
    if lammps.get_natoms() != atoms:
        raise SimulationError(f"Only {lammps.get_natoms()} of {atoms} atoms fit; choose another seed.")
    apply_interaction(lammps, interaction)
    lammps.command("minimize 0 1e-2 300 3000")


def _open_box(lammps: Any, interaction: Interaction, edge: float, options: str) -> None:
    lammps.commands_string(f"""
        units {interaction.units}
        atom_style {interaction.atom_style}
        boundary p p p
        region box block 0 {edge} 0 {edge} 0 {edge}
        create_box {len(interaction.species)} box {options}
    """)


def _fill_with_chains(lammps: Any, matter: System, atoms: int, edge: float, seed: int) -> None:
    """Random walks that may overlap, pushed apart by a soft repulsion before the real one acts."""
    length = matter.chain_length
    if atoms % length:
        raise SimulationError(f"{atoms} beads are not whole chains of {length}; give a multiple of {length}.")
    _open_box(lammps, matter.interaction, edge, "bond/types 1 extra/bond/per/atom 2 extra/special/per/atom 8")
    rng = np.random.default_rng(seed)
    positions = np.concatenate([_walk(rng, length, edge) for _ in range(atoms // length)]) % edge
    lammps.create_atoms(atoms, list(range(1, atoms + 1)), [1] * atoms, positions.ravel().tolist())
    for command in ("mass * 1", "pair_style soft 1.12", "pair_coeff * * 60", "bond_style harmonic"):
        lammps.command(command)
    for command in ("bond_coeff 1 500 0.97", "special_bonds fene", "neighbor 0.4 bin", "comm_modify cutoff 3.0"):
        lammps.command(command)
    bonds = [first for first in range(1, atoms) if first % length]
    for first in bonds:
        last = "yes" if first == bonds[-1] else "no"
        lammps.command(f"create_bonds single/bond 1 {first} {first + 1} special {last}")
    lammps.command("minimize 0 1e-3 500 5000")
    apply_interaction(lammps, matter.interaction)
    lammps.command("minimize 0 1e-2 500 5000")


def _walk(rng: np.random.Generator, length: int, edge: float) -> NDArray:
    """A random walk with steps of one bond that does not fold back on itself."""
    bond = 0.97
    points = [rng.uniform(0.0, edge, 3)]
    while len(points) < length:
        step = rng.normal(size=3)
        candidate = points[-1] + bond * step / np.linalg.norm(step)
        if len(points) < 2 or np.linalg.norm(candidate - points[-2]) > 1.02:
            points.append(candidate)
    return np.array(points)
