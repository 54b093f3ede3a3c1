"""The frozen description of one configuration that every numeric function takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovito_glassml.errors import GlassMLError

__all__ = ["Structure", "StructureError", "chemical_order", "combined_species"]

_SYMBOLS = """
H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu
Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr
Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""
_ATOMIC_NUMBER = {symbol: number for number, symbol in enumerate(_SYMBOLS.split(), start=1)}


#: Larger coordinates have no digits left for the distances between atoms: rounding errors are above 10⁻⁵.
LARGEST_COORDINATE = 1e11


class StructureError(GlassMLError):
    """The configuration cannot be analysed; the message says why and what to change."""


def _frozen(array: NDArray) -> NDArray:
    array = np.ascontiguousarray(array)
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Structure:
    """Positions, species and cell of one configuration, checked once and then immutable.

    Parameters
    ----------
    positions : (N, 3) array
        Cartesian coordinates. Any length unit; the functions that take a structure say
        which unit their own lengths are in.
    species : (N,) integer array
        Index of every atom's species in `species_names`.
    species_names : sequence of str
        Names in the order of `chemical_order`.
    cell : (3, 3) array or None
        Cell vectors as *rows*. None means no cell: open boundaries in all directions.
    origin : (3,) array
        Corner of the cell.
    pbc : three bool
        Periodic directions (cell vectors).
    ids : (N,) integer array or None
        Unique particle identifiers; None numbers the atoms from 1.
    mask : (N,) bool array or None
        Atoms for which results are wanted; the others still count as neighbours.
        None means all.

    Raises
    ------
    StructureError
        For shapes that do not fit, non-finite or huge coordinates, or a degenerate or huge cell.

    Examples
    --------
    A simple cubic crystal of 27 atoms that are 2.5 Å apart:

    >>> import numpy as np
    >>> from ovito_glassml.structure import Structure
    >>> corners = 2.5 * np.mgrid[0:3, 0:3, 0:3].reshape(3, -1).T
    >>> crystal = Structure(corners, species_names=["Cu"], cell=7.5 * np.eye(3), pbc=(True, True, True))
    >>> len(crystal), round(crystal.number_density, 3)
    (27, 0.064)
    """

    positions: NDArray[np.float64]
    species: NDArray[np.int32]
    species_names: tuple[str, ...]
    cell: NDArray[np.float64] | None = None
    origin: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    pbc: tuple[bool, bool, bool] = (False, False, False)
    ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    mask: NDArray[np.bool_] | None = None

    def __init__(
        self,
        positions: ArrayLike,
        species: ArrayLike | None = None,
        species_names: Sequence[str] = ("X",),
        cell: ArrayLike | None = None,
        origin: ArrayLike = (0.0, 0.0, 0.0),
        pbc: Sequence[bool] = (False, False, False),
        ids: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> None:
        coordinates = np.asarray(positions, dtype=np.float64)
        if coordinates.ndim != 2 or coordinates.shape[1] != 3:
            raise StructureError(
                f"Positions have shape {coordinates.shape}; give one row of three coordinates per atom."
            )
        count = len(coordinates)
        _check_finite(coordinates)
        kinds = _per_atom("species", np.zeros(count) if species is None else species, count, np.int32)
        names = tuple(str(name) for name in species_names)
        if count and (kinds.min() < 0 or kinds.max() >= len(names)):
            raise StructureError(
                f"Species indices run from {kinds.min()} to {kinds.max()} but {len(names)} species are named; "
                "name every species."
            )
        store = object.__setattr__
        store(self, "positions", _frozen(coordinates))
        store(self, "species", _frozen(kinds))
        store(self, "species_names", names)
        store(self, "cell", None if cell is None else _frozen(_checked_cell(cell)))
        store(self, "origin", _frozen(_checked_origin(origin)))
        flags = (False, False, False) if cell is None else tuple(bool(flag) for flag in pbc)
        store(self, "pbc", flags)
        identifiers = np.arange(1, count + 1) if ids is None else ids
        store(self, "ids", _frozen(_per_atom("ids", identifiers, count, np.int64)))
        chosen = None if mask is None else _frozen(_per_atom("mask", mask, count, np.bool_))
        store(self, "mask", chosen)

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def volume(self) -> float:
        """Cell volume, in the cube of the length unit."""
        if self.cell is None:
            raise StructureError("The structure has no simulation cell, so it has no volume; give number_density.")
        return float(abs(np.linalg.det(self.cell)))

    @property
    def number_density(self) -> float:
        """N / V. Wrong for structures with free surfaces, where callers pass their own value."""
        return len(self) / self.volume

    def moved(self, positions: ArrayLike) -> Structure:
        """The same atoms at other positions (N, 3)."""
        kinds, names = self.species, self.species_names
        return Structure(positions, kinds, names, self.cell, self.origin, self.pbc, self.ids, self.mask)

    @property
    def selected(self) -> NDArray[np.int64]:
        """Indices of the atoms for which results are wanted."""
        if self.mask is None:
            return np.arange(len(self))
        return np.flatnonzero(self.mask)

    def of_species(self, name: str) -> NDArray[np.bool_]:
        """Which atoms are of a species; none where the structure does not name it."""
        if name not in self.species_names:
            return np.zeros(len(self), dtype=np.bool_)
        return self.species == self.species_names.index(name)

    @property
    def shares(self) -> dict[str, float]:
        """Share of the atoms that each species has, of those present."""
        counts = np.bincount(self.species, minlength=len(self.species_names))
        return {name: count / len(self) for name, count in zip(self.species_names, counts, strict=True) if count}


def _per_atom(name: str, values: ArrayLike, count: int, dtype: type) -> NDArray:
    array = np.asarray(values)
    if array.shape != (count,):
        raise StructureError(f"{name} has shape {array.shape}; give one value for each of the {count} atoms.")
    return array.astype(dtype)


def _check_finite(coordinates: NDArray) -> None:
    broken = ~np.isfinite(coordinates).all(axis=1)
    if broken.any():
        first = int(np.flatnonzero(broken)[0])
        raise StructureError(
            f"{int(broken.sum())} atoms have non-finite coordinates (first: index {first}); "
            "repair or delete them before analysing the structure."
        )
    if len(coordinates) and (largest := float(np.abs(coordinates).max())) > LARGEST_COORDINATE:
        raise StructureError(
            f"Coordinates reach {largest:.3g}, and beyond {LARGEST_COORDINATE:.0e} no digits are left for distances; "
            "delete the atoms that have flown off, or check the file."
        )


def _checked_origin(origin: ArrayLike) -> NDArray[np.float64]:
    corner = np.asarray(origin, dtype=np.float64)
    if corner.shape != (3,) or not np.isfinite(corner).all():
        raise StructureError(f"The origin of the cell is {corner}; give three coordinates.")
    if np.abs(corner).max() > LARGEST_COORDINATE:
        raise StructureError(f"The origin of the cell is {corner}, too far away for its atoms; check the file.")
    return corner


def _checked_cell(cell: ArrayLike) -> NDArray[np.float64]:
    vectors = np.asarray(cell, dtype=np.float64)
    if vectors.shape != (3, 3) or not np.isfinite(vectors).all():
        raise StructureError(f"The cell has shape {vectors.shape} or non-finite entries; give three cell vectors.")
    if np.abs(vectors).max() > LARGEST_COORDINATE:
        raise StructureError(
            f"A cell vector has a component of {np.abs(vectors).max():.3g}, where no digits are left for "
            "distances; give a smaller cell, or none."
        )
    lengths = np.linalg.norm(vectors, axis=1)
    if abs(np.linalg.det(vectors)) <= 1e-9 * np.prod(lengths) or not lengths.all():
        raise StructureError("The cell vectors are linearly dependent (zero volume); give a three-dimensional cell.")
    return vectors


def chemical_order(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct names in the order that columns, models and files of this package have.

    By atomic number where every name is an element, otherwise alphabetically: A comes before B in a Lennard-Jones
    mixture, although B is boron too.
    """
    distinct = sorted(set(names))
    if all(name in _ATOMIC_NUMBER for name in distinct):
        distinct.sort(key=_ATOMIC_NUMBER.__getitem__)
    return tuple(distinct)


def combined_species(structures: Iterable[Structure]) -> tuple[str, ...]:
    """Species of all structures, in `chemical_order`."""
    return chemical_order(name for structure in structures for name in structure.species_names)
