"""Embedded-atom energy and forces of a small mobile region inside a glass that stands still.

The energy is that of LAMMPS' ``eam/fs`` or ``eam/alloy``, up to a constant: every pair with a mobile atom, the
embedding of the mobile atoms, and that of the fixed atoms around, whose density the mobile ones change. Pairs of
fixed atoms are never visited; their share of the density is computed once.

Source of the potential form: M. W. Finnis, J. E. Sinclair, Philos. Mag. A 50, 45 (1984); of the
interpolation: the documentation of LAMMPS' ``pair_style eam/fs``.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.compile import compiled
from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.material import Material

__all__ = [
    "NEIGHBOURS",
    "SKIN",
    "STYLES",
    "LocalForces",
    "PotentialTables",
    "Surroundings",
    "energy_and_forces",
    "read_tables",
]

#: Embedded-atom styles of LAMMPS that this module knows.
STYLES = ("eam/fs", "eam/alloy")

#: Intervals of the tables, uniform in r². Energies of a whole glass then follow LAMMPS to 10⁻⁹ eV an atom.
INTERVALS = 2048

#: Place of the cutoff, and interval of all beyond it, where everything is zero.
LAST = INTERVALS - 1

#: Å. The neighbour list holds pairs up to cutoff + SKIN and is renewed when an atom has moved half of that.
SKIN = 0.6

#: Atoms per Å³ that no part of a solid exceeds; sizes the neighbour lists.
DENSEST = 0.15

#: Å, distance of neighbours in Cu-Zr. Other materials are searched in units of length in which theirs is the same.
NEIGHBOURS = 2.7

#: Å beyond the interaction range of the region's rim: how far a mobile atom may leave the region.
MARGIN = 1.5


class PotentialTables(NamedTuple):
    """An embedded-atom potential as cubic polynomials.

    Attributes
    ----------
    species : int
        K, the number of species.
    pairs : (K * K * INTERVALS, 12) array
        For species a, b and an interval of r², the last varying fastest: coefficients, constant first, of
        the pair energy, of the density at a due to b and of the density at b due to a.
    embedding : (K, R, 4) array
        Coefficients of the embedding energy in an interval of the density.
    per_square, per_density : float
        Intervals per Å² and per unit of density.
    cutoff : float
        Å.
    pair_reach, density_reach : (K, K) arrays
        Å; where the pair energy and both densities of two species have come to zero.
    """

    species: int
    pairs: NDArray[np.float64]
    embedding: NDArray[np.float64]
    per_square: float
    per_density: float
    cutoff: float
    pair_reach: NDArray[np.float64]
    density_reach: NDArray[np.float64]


def read_tables(material: Material, length: float = 1.0, energy: float = 1.0) -> PotentialTables:
    """Tables of the embedded-atom potential that a material names, species in its order.

    Parameters
    ----------
    material : Material
    length, energy : float
        Units of the tables, in those of the material.

    Raises
    ------
    SimulationError
        If the material has another kind of interaction or the file does not hold its species.
    """
    functions = read_functions(material).in_units(length, energy)
    order = range(len(functions.species))
    squares = np.linspace(0.0, functions.cutoff**2, LAST + 1)
    pairs = np.array([[_pair_table(functions, a, b, np.sqrt(squares)) for b in order] for a in order])
    used = np.abs(pairs).reshape(len(order), len(order), INTERVALS, 3, 4).max(axis=-1) > 1e-14
    last = INTERVALS - used[:, :, ::-1].argmax(axis=2)
    reach = np.sqrt(squares[last])
    return PotentialTables(
        species=len(order),
        pairs=pairs.reshape(-1, 12),
        embedding=np.array([coefficients(*lammps_knots(functions.embedding[a])) for a in order]),
        per_square=LAST / functions.cutoff**2,
        per_density=1 / functions.density_step,
        cutoff=functions.cutoff,
        pair_reach=reach.max(axis=-1),
        density_reach=reach[:, :, 1:].max(axis=-1),
    )


class Functions(NamedTuple):
    """An embedded-atom potential as tabulated, for the species of a material in their order.

    Attributes
    ----------
    species : list of str
    embedding : list of (R,) arrays
        Energy over the density.
    density : list of lists of (P,) arrays
        ``density[a][b]`` is what an atom of species a adds to the density at one of b.
    pair : dict of (P,) arrays
        r times the energy of two species.
    density_step, step, cutoff : float
        Of the tables over density and distance, and where all ends.
    """

    species: list[str]
    embedding: list[NDArray]
    density: list[list[NDArray]]
    pair: dict[tuple[int, int], NDArray]
    density_step: float
    step: float
    cutoff: float

    def in_units(self, length: float, energy: float) -> Functions:
        """The same in other units of length and energy, given in the present ones."""
        return self._replace(
            embedding=[values / energy for values in self.embedding],
            pair={kinds: values / (length * energy) for kinds, values in self.pair.items()},
            step=self.step / length,
            cutoff=self.cutoff / length,
        )


def is_embedded_atom(material: Material) -> bool:
    """Whether the material has one embedded-atom potential in one file and nothing else."""
    return _potential_file(material.interactions, len(material.species)) is not None  # without looking for the file


def _potential_file(commands: Sequence[str], species: int) -> tuple[str, Path, list[str]] | None:
    """Style, file, and which of its elements every type is; None for others."""
    if len(commands) != 2:
        return None
    style, coefficients = (shlex.split(command) for command in commands)
    if (
        style[0] != "pair_style"
        or len(style) != 2
        or style[1] not in STYLES
        or coefficients[:3] != ["pair_coeff", "*", "*"]
    ):
        return None
    elements = coefficients[4:]
    return (style[1], Path(coefficients[3]), elements) if len(elements) == species else None


def read_functions(material: Material) -> Functions:
    """Tables of the embedded-atom potential that a material names.

    Raises
    ------
    SimulationError
        If the material has another kind of interaction, or the file cannot be read or does not hold its species.
    """
    found = _potential_file(material.commands, len(material.species))
    if found is None:
        raise SimulationError(f"This needs one eam/fs or eam/alloy potential, not {material.commands[0]!r}.")
    style, file, elements = found
    try:
        whole = _parsed(file, style)
    except (OSError, ValueError, IndexError, StopIteration) as error:
        raise SimulationError(f"The potential file {file} is no whole {style} file ({error}).") from error
    missing = set(elements) - set(whole.species)
    if missing:
        raise SimulationError(f"The potential file {file} does not describe {', '.join(sorted(missing))}.")
    order = [whole.species.index(name) for name in elements]
    return whole._replace(
        species=list(material.species),
        embedding=[whole.embedding[a] for a in order],
        density=[[whole.density[a][b] for b in order] for a in order],
        pair={(p, q): whole.pair[a, b] for p, a in enumerate(order) for q, b in enumerate(order)},
    )


def _parsed(file: Path, style: str) -> Functions:
    lines = [line.partition("#")[0] for line in file.read_text().splitlines()]
    species = lines[3].split()[1:]
    density_points, density_step, points, step, cutoff = (float(word) for word in lines[4].split()[:5])
    words = iter(" ".join(lines[5:]).split())

    def values(count: float) -> NDArray:
        return np.array([float(next(words)) for _ in range(int(count))])

    embedding, density = [], []
    for _ in species:
        for _ in range(4):  # atomic number, mass, lattice constant, lattice
            next(words)
        embedding.append(values(density_points))
        if style == "eam/fs":
            density.append([values(points) for _ in species])
        else:  # the same density wherever the atom is
            density.append([values(points)] * len(species))
    pair = {}
    for a in range(len(species)):
        for b in range(a + 1):
            pair[a, b] = pair[b, a] = values(points)
    return Functions(species, embedding, density, pair, density_step, step, cutoff)


def lammps_knots(values: NDArray) -> tuple[NDArray, NDArray]:
    """Values and slopes per interval at the knots, by LAMMPS' five-point rule."""
    slopes = np.empty_like(values)
    slopes[2:-2] = (values[:-4] - values[4:] + 8 * (values[3:-1] - values[1:-3])) / 12
    slopes[[1, -2]] = (values[[2, -1]] - values[[0, -3]]) / 2
    slopes[[0, -1]] = values[[1, -1]] - values[[0, -2]]
    return values, slopes


def coefficients(values: NDArray, slopes: NDArray) -> NDArray:
    """Cubic Hermite polynomials (intervals, 4) of a variable that runs from 0 to 1 in each interval."""
    rise = values[1:] - values[:-1]
    first, last = slopes[:-1], slopes[1:]
    return np.stack([values[:-1], first, 3 * rise - 2 * first - last, first + last - 2 * rise], axis=-1)


def _interpolated(values: NDArray, step: float, radii: NDArray) -> tuple[NDArray, NDArray]:
    """A tabulated function of r, and its slope, as LAMMPS interpolates it."""
    polynomials = coefficients(*lammps_knots(values))
    interval = np.minimum((radii / step).astype(int), len(polynomials) - 1)
    t = np.minimum(radii / step - interval, 1.0)
    c = polynomials[interval].T
    return c[0] + t * (c[1] + t * (c[2] + t * c[3])), (c[1] + t * (2 * c[2] + 3 * t * c[3])) / step


def _pair_table(functions: Functions, a: int, b: int, edges: NDArray) -> NDArray:
    radii = np.maximum(edges, 0.5)  # nothing in a solid comes closer, and the pair energy diverges at zero
    product, product_slope = _interpolated(functions.pair[a, b], functions.step, radii)
    energy = product / radii
    parts = [
        (energy, (product_slope - energy) / radii),
        _interpolated(functions.density[b][a], functions.step, radii),
        _interpolated(functions.density[a][b], functions.step, radii),
    ]
    width = edges[-1] ** 2 / LAST
    table = [coefficients(value, slope / (2 * radii) * width) for value, slope in parts]
    return np.concatenate([np.concatenate(table, axis=-1), np.zeros((1, 12))])


class Region(NamedTuple):
    """Atoms that matter to a search, the mobile ones first.

    Attributes
    ----------
    kinds : (M,) int32 array
        Species.
    fixed_density : (M,) array
        What fixed atoms contribute to the density at every atom.
    lengths : (3,) array
        Periods of the rectangular cell.
    """

    kinds: NDArray[np.int32]
    fixed_density: NDArray[np.float64]
    lengths: NDArray[np.float64]


class PairList(NamedTuple):
    """Partners of every mobile atom, mobile ones only with a larger index, so that each pair occurs once.

    Attributes
    ----------
    starts : (m + 1,) int64 array
        First entry of every mobile atom, and the end.
    partners, rows : (P,) int32 arrays
        Index of the partner; first row of the two species in the table of pairs.
    vectors : (3, P) array
        From the mobile atom to the partner.
    values, slopes : (3, P) arrays
        The three tabulated functions and their slopes over r², in intervals.
    crossing : (P + 1,) int64 array
        Entries whose partner is a periodic image; the number of them comes first.
    shifts : (P, 3) array
        What to add to the vectors of those entries.
    """

    starts: NDArray[np.int64]
    partners: NDArray[np.int32]
    rows: NDArray[np.int32]
    vectors: NDArray[np.float64]
    values: NDArray[np.float64]
    slopes: NDArray[np.float64]
    crossing: NDArray[np.int64]
    shifts: NDArray[np.float64]


class Workspace(NamedTuple):
    """What `energy_and_forces` remembers between calls, and scratch space.

    Attributes
    ----------
    positions : (M, 3) array
        Of all atoms, the mobile ones first.
    listed_at : (m, 3) array
        Mobile positions for which the lists were made; NaN: none yet.
    near, far : PairList
        Pairs that can come within reach of the densities, and those that only have a pair energy.
    density, embedding_slope : (M,) arrays
        Of all atoms.
    squares : (M,) array, images : (3, M) array
        Scratch of `_make_lists`.
    """

    positions: NDArray[np.float64]
    listed_at: NDArray[np.float64]
    near: PairList
    far: PairList
    density: NDArray[np.float64]
    embedding_slope: NDArray[np.float64]
    squares: NDArray[np.float64]
    images: NDArray[np.float64]


class LocalForces(NamedTuple):
    """A force field for `mobile` atoms; what compiled code takes."""

    tables: PotentialTables
    region: Region
    work: Workspace


@dataclass(frozen=True, eq=False)
class Surroundings:
    """A whole glass from which regions are cut.

    Parameters
    ----------
    tables : PotentialTables
        The potential.
    positions : (N, 3) array
        Å.
    kinds : (N,) integer array
        Species in the order of the tables.
    lengths : (3,) array
        Edges of the periodic rectangular cell; at least twice the cutoff and the skin.

    Raises
    ------
    SimulationError
        If the cell is too small for every pair to have one image within the cutoff.
    """

    tables: PotentialTables
    positions: NDArray[np.float64]
    kinds: NDArray[np.int32]
    lengths: NDArray[np.float64]
    density: NDArray[np.float64]

    def __init__(self, tables: PotentialTables, positions: NDArray, kinds: NDArray, lengths: NDArray) -> None:
        smallest = 2 * (tables.cutoff + SKIN)
        if min(lengths) < smallest:
            raise SimulationError(
                f"The cell is only {min(lengths) / NEIGHBOURS:.1f} nearest-neighbour distances wide; searches need "
                f"{smallest / NEIGHBOURS:.1f}, a glass of about {1.14 * (smallest / NEIGHBOURS) ** 3:.0f} atoms."
            )
        store = object.__setattr__
        store(self, "tables", tables)
        # Copies: of read-only or strided arrays the kernels would be compiled again.
        store(self, "positions", np.array(positions, dtype=np.float64))
        store(self, "kinds", np.array(kinds, dtype=np.int32))
        store(self, "lengths", np.array(lengths, dtype=np.float64))
        everything = _forces(tables, self.positions, np.empty((0, 3)), self.kinds, np.zeros(len(kinds)), self.lengths)
        energy_and_forces(everything, self.positions, np.empty_like(self.positions))
        store(self, "density", everything.work.density)

    def moved(self, positions: NDArray) -> Surroundings:
        """The same atoms at other positions."""
        return Surroundings(self.tables, positions, self.kinds, self.lengths)

    def shortest(self, vectors: NDArray) -> NDArray[np.float64]:
        """Vectors between atoms (…, 3) to the nearest periodic image."""
        return vectors - self.lengths * np.round(vectors / self.lengths)

    def around(self, atom: int, radius: float) -> tuple[NDArray[np.int64], LocalForces]:
        """Indices of the atoms within `radius` (Å) of an atom, itself first, and the forces on them."""
        distances = np.linalg.norm(self.shortest(self.positions - self.positions[atom]), axis=1)
        order = np.argsort(distances, kind="stable")
        mobile = order[distances[order] <= radius]
        near = order[(distances[order] > radius) & (distances[order] < radius + self.tables.cutoff + MARGIN)]
        return mobile, self.of(mobile, near)

    def of(self, mobile: NDArray, near: NDArray) -> LocalForces:
        """Forces on the atoms `mobile`; all atoms in their reach must be among these and `near`."""
        atoms = np.concatenate([mobile, near])
        kinds = self.kinds[atoms]
        forces = _forces(
            self.tables, self.positions[mobile], self.positions[near], kinds, np.zeros(len(atoms)), self.lengths
        )
        energy_and_forces(forces, self.positions[mobile], np.empty((len(mobile), 3)))
        forces.region.fixed_density[:] = self.density[atoms] - forces.work.density
        return forces


def _forces(
    tables: PotentialTables, mobile: NDArray, fixed: NDArray, kinds: NDArray, density: NDArray, lengths: NDArray
) -> LocalForces:
    count, total = len(mobile), len(kinds)
    work = Workspace(
        positions=np.concatenate([mobile, fixed]),
        listed_at=np.full((count, 3), np.nan),
        near=_empty_list(count, total, tables.density_reach.max(), 3),
        far=_empty_list(count, total, tables.pair_reach.max(), 1),
        density=np.empty(total),
        embedding_slope=np.empty(total),
        squares=np.empty(total),
        images=np.empty((3, total)),
    )
    region = Region(np.ascontiguousarray(kinds), density, lengths)
    return LocalForces(tables, region, work)


def _empty_list(count: int, total: int, reach: float, functions: int) -> PairList:
    room = count * min(total, int(4.19 * (reach + SKIN) ** 3 * DENSEST))
    return PairList(
        starts=np.zeros(count + 1, dtype=np.int64),
        partners=np.empty(room, dtype=np.int32),
        rows=np.empty(room, dtype=np.int32),
        vectors=np.empty((3, room)),
        values=np.empty((functions, room)),
        slopes=np.empty((functions, room)),
        crossing=np.zeros(room + 1, dtype=np.int64),
        shifts=np.empty((room, 3)),
    )


@compiled()
def energy_and_forces(field, positions, forces):
    """Energy (eV) of a region, and into `forces` (m, 3) those on its mobile atoms at `positions` (eV/Å).

    The energy is that of the whole glass up to a constant of the region.
    """
    tables, region, work = field
    _copy_rows(positions, work.positions)
    if _must_list(work, positions):
        _make_lists(tables, region, work)
        _copy_rows(positions, work.listed_at)
    forces[:] = 0.0
    _find_vectors(work.far, work.positions)
    energy = _look_up_energy(tables, work.far)
    _add_forces(work.far, forces)
    _find_vectors(work.near, work.positions)
    energy += _look_up_all(tables, work.near)
    energy += _embedding(tables, region, work)
    _combine_slopes(work)
    _add_forces(work.near, forces)
    return energy


@compiled()
def _copy_rows(rows, target):
    """Rows of three numbers into the first rows of `target`; assigning slices takes seconds to compile."""
    for i in range(len(rows)):
        for k in range(3):
            target[i, k] = rows[i, k]


@compiled()
def _must_list(work, positions):
    """Whether a mobile atom has moved more than half the skin since the lists were made."""
    limit = (0.5 * SKIN) ** 2
    for i in range(len(positions)):
        square = 0.0
        for k in range(3):
            square += (positions[i, k] - work.listed_at[i, k]) ** 2
        if not square < limit:
            return True
    return False


@compiled()
def _make_lists(tables, region, work):
    kinds, count = region.kinds, len(work.listed_at)
    near, far = work.near, work.far
    lx, ly, lz = region.lengths[0], region.lengths[1], region.lengths[2]
    near.crossing[0], far.crossing[0] = 0, 0
    filled_near, filled_far = 0, 0
    widest = (tables.cutoff + SKIN) ** 2
    for i in range(count):
        near.starts[i], far.starts[i] = filled_near, filled_far
        _nearest_images(work.positions, i, lx, ly, lz, work.squares, work.images)
        for j in range(i + 1, len(kinds)):
            square = work.squares[j]
            if square < widest:
                if square < (tables.density_reach[kinds[i], kinds[j]] + SKIN) ** 2:
                    filled_near = _enter(near, filled_near, i, j, region, work.images, tables.species)
                elif square < (tables.pair_reach[kinds[i], kinds[j]] + SKIN) ** 2:
                    filled_far = _enter(far, filled_far, i, j, region, work.images, tables.species)
    near.starts[count], far.starts[count] = filled_near, filled_far


@compiled(fastmath=True, error_model="numpy")
def _nearest_images(at, i, lx, ly, lz, squares, images):
    """Squared distances of atom i to the nearest images of all later atoms, and which images these are."""
    x, y, z = at[i, 0], at[i, 1], at[i, 2]
    per_x, per_y, per_z = 1 / lx, 1 / ly, 1 / lz
    for j in range(i + 1, len(squares)):
        dx, dy, dz = at[j, 0] - x, at[j, 1] - y, at[j, 2] - z
        sx, sy, sz = -np.floor(dx * per_x + 0.5), -np.floor(dy * per_y + 0.5), -np.floor(dz * per_z + 0.5)
        images[0, j], images[1, j], images[2, j] = sx, sy, sz
        dx, dy, dz = dx + sx * lx, dy + sy * ly, dz + sz * lz
        squares[j] = dx * dx + dy * dy + dz * dz


@compiled()
def _enter(pairs, entry, i, j, region, images, species):
    """Write one pair into a list and return the number of its next entry."""
    if entry == len(pairs.partners):
        raise ValueError("There are more neighbours than in any solid.")
    pairs.partners[entry] = j
    pairs.rows[entry] = (region.kinds[i] * species + region.kinds[j]) * INTERVALS
    if images[0, j] != 0.0 or images[1, j] != 0.0 or images[2, j] != 0.0:
        number = pairs.crossing[0]
        pairs.crossing[0], pairs.crossing[number + 1] = number + 1, entry
        for k in range(3):
            pairs.shifts[number, k] = images[k, j] * region.lengths[k]
    return entry + 1


# The passes below are separate because each of them vectorises, which together they would not.


@compiled(fastmath=True, error_model="numpy")
def _find_vectors(pairs, at):
    starts, partners, vectors = pairs.starts, pairs.partners, pairs.vectors
    for i in range(len(starts) - 1):
        x, y, z = at[i, 0], at[i, 1], at[i, 2]
        for entry in range(starts[i], starts[i + 1]):
            j = partners[entry]
            vectors[0, entry] = at[j, 0] - x
            vectors[1, entry] = at[j, 1] - y
            vectors[2, entry] = at[j, 2] - z
    for number in range(pairs.crossing[0]):
        for k in range(3):
            vectors[k, pairs.crossing[number + 1]] += pairs.shifts[number, k]


@compiled(fastmath=True, error_model="numpy")
def _look_up_energy(tables, pairs):
    """Sum of the pair energies; their slopes into the list."""
    table, scale, vectors, rows, slopes = tables.pairs, tables.per_square, pairs.vectors, pairs.rows, pairs.slopes
    energy = 0.0
    for entry in range(pairs.starts[-1]):
        place = (vectors[0, entry] ** 2 + vectors[1, entry] ** 2 + vectors[2, entry] ** 2) * scale
        interval = int(min(place, LAST))
        t = min(place - interval, 1.0)
        row = rows[entry] + interval
        c0, c1, c2, c3 = table[row, 0], table[row, 1], table[row, 2], table[row, 3]
        energy += c0 + t * (c1 + t * (c2 + t * c3))
        slopes[0, entry] = 2 * scale * (c1 + t * (2 * c2 + 3 * t * c3))
    return energy


@compiled(fastmath=True, error_model="numpy")
def _look_up_all(tables, pairs):
    """Sum of the pair energies; values and slopes of all three functions into the list."""
    table, scale, vectors, rows = tables.pairs, tables.per_square, pairs.vectors, pairs.rows
    values, slopes = pairs.values, pairs.slopes
    energy = 0.0
    for entry in range(pairs.starts[-1]):
        place = (vectors[0, entry] ** 2 + vectors[1, entry] ** 2 + vectors[2, entry] ** 2) * scale
        interval = int(min(place, LAST))
        t = min(place - interval, 1.0)
        row = rows[entry] + interval
        for k in range(3):
            c0, c1, c2, c3 = table[row, 4 * k], table[row, 4 * k + 1], table[row, 4 * k + 2], table[row, 4 * k + 3]
            values[k, entry] = c0 + t * (c1 + t * (c2 + t * c3))
            slopes[k, entry] = 2 * scale * (c1 + t * (2 * c2 + 3 * t * c3))
        energy += values[0, entry]
    return energy


@compiled(error_model="numpy")
def _embedding(tables, region, work):
    """Embedding energy of all atoms; its slopes into the workspace."""
    density, pairs, curves = work.density, work.near, tables.embedding
    for i in range(len(density)):
        density[i] = region.fixed_density[i]
    for i in range(len(pairs.starts) - 1):
        own = 0.0
        for entry in range(pairs.starts[i], pairs.starts[i + 1]):
            own += pairs.values[1, entry]
            density[pairs.partners[entry]] += pairs.values[2, entry]
        density[i] += own
    energy = 0.0
    for i in range(len(density)):
        place = max(density[i], 0.0) * tables.per_density
        interval = min(int(place), curves.shape[1] - 1)
        t = place - interval
        kind = region.kinds[i]
        c0, c1 = curves[kind, interval, 0], curves[kind, interval, 1]
        c2, c3 = curves[kind, interval, 2], curves[kind, interval, 3]
        energy += c0 + t * (c1 + t * (c2 + t * c3))
        work.embedding_slope[i] = (c1 + t * (2 * c2 + 3 * t * c3)) * tables.per_density
    return energy


@compiled(fastmath=True, error_model="numpy")
def _combine_slopes(work):
    """Add to the slope of each near pair's energy what its densities contribute."""
    starts, partners, slopes = work.near.starts, work.near.partners, work.near.slopes
    embedding = work.embedding_slope
    for i in range(len(starts) - 1):
        own = embedding[i]
        for entry in range(starts[i], starts[i + 1]):
            slopes[0, entry] += own * slopes[1, entry] + embedding[partners[entry]] * slopes[2, entry]


@compiled(error_model="numpy")
def _add_forces(pairs, forces):
    """Add the forces of a list's pairs, whose energy rises with r² by the first of the slopes."""
    starts, partners, vectors, slopes = pairs.starts, pairs.partners, pairs.vectors, pairs.slopes
    count = len(forces)
    for i in range(count):
        fx, fy, fz = 0.0, 0.0, 0.0
        for entry in range(starts[i], starts[i + 1]):
            j, slope = partners[entry], slopes[0, entry]
            px, py, pz = slope * vectors[0, entry], slope * vectors[1, entry], slope * vectors[2, entry]
            fx, fy, fz = fx + px, fy + py, fz + pz
            if j < count:
                forces[j, 0] -= px
                forces[j, 1] -= py
                forces[j, 2] -= pz
        forces[i, 0] += fx
        forces[i, 1] += fy
        forces[i, 2] += fz
