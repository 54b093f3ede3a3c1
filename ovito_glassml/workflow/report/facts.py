"""What a structure is: composition, density, g(r), crystals, mixing; with its potential energy, pressure and moduli."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.adapter.notices import MOST_PER_CUBIC_ANGSTROM
from ovito_glassml.descriptors.rdf import RDFDescriptors
from ovito_glassml.errors import GlassMLError, SimulationError
from ovito_glassml.learn.choice import choose_model
from ovito_glassml.learn.format import read_header, remembered
from ovito_glassml.learn.stiffness.model import KIND, StiffnessModel
from ovito_glassml.progress import Report
from ovito_glassml.simulate.crystals import crystalline_shares
from ovito_glassml.simulate.elastic import Elasticity, elastic_constants
from ovito_glassml.simulate.elements import ATOMIC_MASS
from ovito_glassml.simulate.forces import LammpsForces
from ovito_glassml.simulate.harmonic import resting_force
from ovito_glassml.simulate.material import Material, load_material
from ovito_glassml.simulate.material_header import material_for, material_of_header
from ovito_glassml.structure import Structure
from ovito_glassml.topology.length_scale import first_minimum, first_peak
from ovito_glassml.topology.short_range_order import by_pair, warren_cowley

__all__ = ["UNKNOWN_LENGTH", "Facts", "Mechanics", "PairFunctions", "facts_of", "is_glassy", "with_elasticity"]

#: g(r) reaches to so many nearest-neighbour distances, in so many bins.
REACH, BINS = 4, 120
#: g/cm³ of one atomic mass unit in a cubic ångström.
GRAMS = 1.66053907
#: Of more atoms LAMMPS's forces take longer than a page should.
MOST_ATOMS_FOR_FORCES = 200_000
#: Share of atoms in crystals above which a structure is hardly a glass.
GLASSY = 0.2

#: Symbol of a unit that nothing tells.
UNKNOWN_LENGTH = "ℓ"

_stiffness = remembered(StiffnessModel.load)


@dataclass(frozen=True, eq=False)
class PairFunctions:
    """Radial distribution functions.

    Attributes
    ----------
    radii : (B,) array
    total : (B,) array
    by_pair : mapping of ``Cu-Zr`` to (B,) array
    neighbours : mapping of ``Cu-Zr`` to float
        Zr atoms in the first shell of a Cu atom, in both orders of the two.
    peak, minimum : float
        First peak of all atoms, and where the first shell ends.
    """

    radii: NDArray[np.float64]
    total: NDArray[np.float64]
    by_pair: Mapping[str, NDArray[np.float64]]
    neighbours: Mapping[str, float]
    peak: float
    minimum: float


@dataclass(frozen=True)
class Mechanics:
    """What a potential says of a structure.

    Attributes
    ----------
    material : Material
    is_stated : bool
        By the user or the file; otherwise it was chosen by the species, and the structure may be of another.
    energy : float
        Per atom, in the unit of the material.
    largest_force : float
        On any atom.
    at_rest : bool
    pressure : float
        Of the positions, without heat, in the unit of stress; NaN with open boundaries.
    """

    material: Material
    is_stated: bool
    energy: float
    largest_force: float
    at_rest: bool
    pressure: float


@dataclass(frozen=True, eq=False)
class Facts:
    """What a structure is. What could not be found is None, and `missing` says why.

    Attributes
    ----------
    atoms : int
    counts : mapping of species to int
    length, energy : str
        Symbols of the units.
    number_density, mass_density : float or None
        Per cubed unit of length, and g/cm³ for elements in Å.
    cell : (3, 3) array or None
    pbc : three bool
    spacing : float
        Distance of neighbours: the first peak of g(r), or a guess where there is none.
    pairs : PairFunctions or None
    crystals : mapping or None
        Share of the atoms in each crystal, and ``total``.
    order : mapping or None
        Warren-Cowley parameters of the pairs.
    mechanics : Mechanics or None
    state : {'inherent', 'thermal', ''}
    why : str
        What tells the state.
    missing : mapping of str to str
    elasticity : Elasticity or None
        Where it was asked for: see `with_elasticity`.
    """

    atoms: int
    counts: Mapping[str, int]
    length: str
    energy: str
    number_density: float | None
    mass_density: float | None
    cell: NDArray[np.float64] | None
    pbc: tuple[bool, bool, bool]
    spacing: float
    pairs: PairFunctions | None
    crystals: Mapping[str, float] | None
    order: Mapping[str, float] | None
    mechanics: Mechanics | None
    state: str
    why: str
    missing: Mapping[str, str]
    elasticity: Elasticity | None = None

    @property
    def composition(self) -> str:
        """Such as ``Cu50Zr50``, in percent."""
        return "".join(
            f"{name}{100 * count / self.atoms:.3g}" if len(self.counts) > 1 else name
            for name, count in self.counts.items()
        )


def facts_of(structure: Structure, header: Mapping[str, object], material: str = "") -> Facts:
    """Find out what a structure is.

    Parameters
    ----------
    structure : Structure
        With at least one atom.
    header : mapping
        Attributes of its file, which may name the material.
    material : str
        Name or file of the material whose potential gives energy and forces; "": found by header or species.
    """
    missing: dict[str, str] = {}

    def found(what: str, compute: Callable[[], Any]) -> Any:
        try:
            return compute()
        except (GlassMLError, OSError) as error:
            missing[what] = str(error)
            return None

    names = structure.species_names
    counts = np.bincount(structure.species, minlength=len(names))
    density = found("density", lambda: structure.number_density)
    is_stated = bool(material) or found("potential", lambda: material_of_header(header)) is not None
    of_file = found("potential", lambda: load_material(material) if material else material_for(structure, header))
    mechanics = found("potential", lambda: _mechanics(structure, of_file, is_stated)) if of_file else None
    length, energy = _units(structure, density, of_file)
    state, why = found("state", lambda: _state(structure, mechanics)) or ("", "")
    return Facts(
        atoms=len(structure),
        counts=dict(zip(names, counts.tolist(), strict=True)),
        length=length,
        energy=energy,
        number_density=density,
        mass_density=_mass_density(structure) if density and length == "Å" else None,
        cell=structure.cell,
        pbc=structure.pbc,
        spacing=_spacing(structure),
        pairs=found("g(r)", lambda: _pair_functions(structure)),
        crystals=found("crystals", lambda: _crystals(structure)),
        order=found("order", lambda: by_pair(names, warren_cowley(structure))) if len(names) > 1 else None,
        mechanics=mechanics,
        state=state,
        why=why,
        missing=missing,
    )


def with_elasticity(facts: Facts, structure: Structure, report: Report) -> Facts:
    """The same with elastic constants, which take far longer than all else, or with why there are none."""
    try:
        if facts.mechanics is None:
            raise SimulationError("They need the potential.")
        return replace(facts, elasticity=elastic_constants(structure, facts.mechanics.material, report))
    except GlassMLError as error:
        return replace(facts, missing={**facts.missing, "elastic constants": str(error)})


def is_glassy(facts: Facts) -> bool:
    """Whether few atoms are in crystals, as far as is known."""
    return facts.crystals is None or facts.crystals["total"] <= GLASSY


def _units(structure: Structure, density: float | None, material: Material | None) -> tuple[str, str]:
    """Symbols of the units of length and energy, as far as one can tell."""
    if material is not None:
        units = material.unit_system
        return {"angstrom": "Å", "sigma": "σ"}.get(units.length, units.length), units.energy.replace("epsilon", "ε")
    elements = all(name in ATOMIC_MASS for name in structure.species_names)
    if elements and (density or 0.0) <= MOST_PER_CUBIC_ANGSTROM:
        return "Å", "eV"
    return UNKNOWN_LENGTH, "ε"


def _mass_density(structure: Structure) -> float | None:
    if not all(name in ATOMIC_MASS for name in structure.species_names):
        return None
    masses = np.array([ATOMIC_MASS[name] for name in structure.species_names])
    return float(GRAMS * masses[structure.species].sum() / structure.volume)


def _spacing(structure: Structure) -> float:
    try:
        peak = first_peak(structure)
    except GlassMLError:  # atoms in one place
        peak = None
    if peak is not None:
        return peak
    extent = np.ptp(structure.positions, axis=0) + 1.0
    return float((extent.prod() / len(structure)) ** (1 / 3))


def _crystals(structure: Structure) -> dict[str, float]:
    if not all(structure.pbc):
        raise SimulationError("Crystals are looked for in structures that are periodic in all directions only.")
    return crystalline_shares(structure)


def _pair_functions(structure: Structure) -> PairFunctions:
    """Sums block by block, so that memory does not grow with the atoms."""
    peak, minimum = first_peak(structure), first_minimum(structure)
    if peak is None or minimum is None:
        raise SimulationError("No atom has a neighbour, so there is no g(r).")
    names, kinds = structure.species_names, structure.species
    width = REACH * peak / BINS
    descriptor = RDFDescriptors(0.0, BINS * width, width, partial=names)
    sums = np.zeros((len(names), len(names) * BINS))
    for atoms, rows in descriptor.iterate_blocks(structure):
        for kind in range(len(names)):
            sums[kind] += rows[kinds[atoms] == kind].sum(axis=0, dtype=np.float64)
    counts = np.bincount(kinds, minlength=len(names))
    shares = counts / len(structure)
    radii = descriptor.radii
    # Of the neighbours of one atom of kind a, by kind b, relative to the density of all atoms.
    around = sums.reshape(len(names), len(names), BINS) / counts[:, None, None]
    partial = around / shares[None, :, None]
    shell = 4 * np.pi * structure.number_density * radii**2 * width * (radii < minimum)
    return PairFunctions(
        radii,
        np.einsum("a,abr->r", shares, around),
        {f"{names[a]}-{names[b]}": partial[a, b] for a, b in combinations_with_replacement(range(len(names)), 2)},
        {
            f"{names[a]}-{names[b]}": float((around[a, b] * shell).sum())
            for a in range(len(names))
            for b in range(len(names))
        },
        peak,
        minimum,
    )


def _mechanics(structure: Structure, material: Material, is_stated: bool) -> Mechanics:
    if len(structure) > MOST_ATOMS_FOR_FORCES:
        raise SimulationError(
            f"Energy and forces are left out of reports on more than {MOST_ATOMS_FOR_FORCES} atoms, they take too long."
        )
    with LammpsForces(structure, material) as forces:
        energy, on_atoms = forces(structure.positions)
        pressure = forces.pressure() * material.unit_system.stress if all(structure.pbc) else math.nan
    largest = float(np.linalg.norm(on_atoms, axis=1).max())
    at_rest = largest <= resting_force(material)
    return Mechanics(material, is_stated, energy / len(structure), largest, at_rest, pressure)


def _state(structure: Structure, mechanics: Mechanics | None) -> tuple[str, str]:
    """By its forces, or else by which of the models of one glass it resembles.

    Large forces tell nothing where the potential may be another than that of the structure.
    """
    if mechanics is not None and (mechanics.at_rest or mechanics.is_stated):
        state = "inherent" if mechanics.at_rest else "thermal"
        return state, f"by its forces in the potential {mechanics.material.name}"
    choice = choose_model(structure, KIND, _stiffness)
    if len(choice.scores) < 2:
        raise SimulationError("No potential is at hand, and there are no models of several states to compare with.")
    state = "inherent" if "inherent" in str(read_header(choice.name).training.get("shown")) else "thermal"
    return state, f"it resembles most what {choice.name} was trained on"
