"""Displacements between two frames of a periodic system, whatever cell vectors describe its lattice in each of them.

The lattice of periodic images has many bases: simulations flip a tilted cell, programs reduce it, exchange its
vectors or turn it. Fractional coordinates in two frames can be compared only in bases that the deformation of the
system carries into each other.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.structure import Structure, StructureError

__all__ = [
    "closest_axes",
    "crossings_in",
    "displacements_between",
    "fractions_of",
    "matched_axes",
    "product",
    "reduced_axes",
]

#: Atoms that decide between bases; so many tell a coherent motion from chance by e⁻¹⁰⁰⁰.
SAMPLE = 1000

#: Agreement (1: all atoms move alike, 0: anyhow) above which no better basis need be sought.
CERTAIN = 0.9

#: Agreement below which the nearest image of many atoms is the wrong one: 4 % at this value for normal displacements.
LEAST_AGREEMENT = 0.3

#: Logarithm of the odds for another basis than that closest to the reference, for one to be taken.
ODDS = 5.0

#: Largest stretch that is sought and believed: a simple shear by nearly 6, beyond what frames are compared over.
MOST_STRETCH = 6.0

#: A solid that is compressed or torn to this ratio of volumes is not the same any more.
MOST_EXPANSION = 2.0

#: Wave vectors tried for one cell vector.
MOST_TRIALS = 200_000


def displacements_between(
    start: Structure, later: Structure, ends: NDArray, minimum_image: bool = True
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How atoms moved from one frame to another, apart from the deformation of the cell.

    Parameters
    ----------
    start : Structure
        M atoms in the reference frame.
    later : Structure
        The other frame, for its cell.
    ends : (M, 3) array
        Positions of the same atoms there.
    minimum_image : bool
        Undo crossings of periodic boundaries: no atom moves by half a cell relative to the others.

    Returns
    -------
    displacements : (M, 3) array
        In the reference frame's cell.
    deformation : (3, 3) array
        Maps (column) vectors of the reference frame's cell to those of the other's: an atom ends at
        ``deformation @ (position + displacement)``, but for a shift of all.

    Raises
    ------
    StructureError
        As `matched_axes`. Without `minimum_image`, for displacements by more than half a cell.
    """
    axes, ends_axes, periodic = matched_axes(start, later, ends)
    shift = fractions_of(ends, later, ends_axes) - fractions_of(start.positions, start, axes)
    crossings = crossings_in(shift[:, :periodic])
    if not minimum_image and (crossings != crossings[:1]).any():
        jumping = int((crossings != np.median(crossings, axis=0)).any(axis=1).sum())
        raise StructureError(
            f"{jumping} particles move by more than half the periodic cell; "
            "switch minimum_image_convention on or unwrap the trajectory."
        )
    shift[:, :periodic] -= crossings
    return product(shift, axes), product(np.linalg.inv(axes), ends_axes).T


def crossings_in(shift: NDArray) -> NDArray[np.float64]:
    """Whole periods in displacements, in units of the periods, beyond half a period from the drift of all atoms."""
    # A mean on the circle, since crossings must not count in the drift that they are judged by.
    drift = np.angle(np.exp(2j * np.pi * shift).sum(axis=0)) / (2 * np.pi)
    return np.rint(shift - drift)


def matched_axes(
    start: Structure, later: Structure, ends: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    """Vectors of two frames that the deformation between them carries into each other.

    Let fractional coordinates f in the reference and f' in the other frame belong to any two bases. If M is the
    unimodular matrix that leads to the right one, then f' = f M for all atoms, up to whole numbers, a drift and
    the motion of single atoms. Column j of M is thus the wave vector at which the Fourier transform of
    exp(2πi f'_j) over f has its peak, and the peak's height says how alike the atoms move. The cells
    alone cannot tell, since a sheared lattice comes back to itself; they decide where atoms are too few.

    Parameters
    ----------
    start, later, ends
        As for `displacements_between`.

    Returns
    -------
    axes, later_axes : (3, 3) arrays
        Rows: `periodic` vectors of the lattice, reduced in the reference, then unit vectors normal to them.
    periodic : int

    Raises
    ------
    StructureError
        If only one frame has a cell, if one is periodic in more directions, if no basis makes the atoms move
        alike, and for a cell stretched more than `MOST_STRETCH` or whose volume changes more than `MOST_EXPANSION`.
    """
    if (start.cell is None) != (later.cell is None):
        raise StructureError(
            "Only one of the two frames has a simulation cell; give both the same kind of cell, or none."
        )
    (axes, periodic), (other, periodic_later) = reduced_axes(start), reduced_axes(later)
    _check_same_boundaries(periodic, periodic_later)
    if periodic and len(start):
        sample = np.arange(len(start))
        if len(start) > SAMPLE:
            sample = np.random.default_rng(0).integers(0, len(start), SAMPLE)
        before = fractions_of(start.positions[sample], start, axes)[:, :periodic]
        after = fractions_of(ends[sample], later, other)[:, :periodic]
        other[:periodic] = _change_of_basis(axes, other, before, after) @ other[:periodic]
        _check_plausible(axes, other, periodic)
    _turn_normals(axes, other, periodic)
    return axes, other, periodic


def reduced_axes(structure: Structure) -> tuple[NDArray[np.float64], int]:
    """Rows of short vectors of the lattice of images and unit vectors normal to them; and how many are periodic.

    A cell's vectors in directions without periodic boundaries do not matter: they depend on the program and the moment.
    """
    if structure.cell is None or not any(structure.pbc):
        return np.eye(3), 0
    lattice = _reduced(structure.cell[np.array(structure.pbc)])
    normals = np.linalg.qr(lattice.T, mode="complete")[0].T[len(lattice) :]
    return np.vstack([lattice, normals]).astype(np.float64), len(lattice)


def _turn_normals(axes: NDArray, other: NDArray, periodic: int) -> None:
    """Give a second frame the normals of the first, turned with the lattice vectors, by as little as possible."""
    if periodic in (1, 2):
        spread = axes[:periodic].T @ other[:periodic] / (axes[:periodic] ** 2).sum()
        left, _, right = np.linalg.svd(spread + 1e-6 * np.eye(3))
        left[:, 2] *= np.linalg.det(left @ right)
        other[periodic:] = axes[periodic:] @ left @ right


def closest_axes(axes: NDArray, periodic: int, structure: Structure, tolerance: float) -> NDArray[np.float64]:
    """Vectors of the same lattice, seen a little later, that differ least from those of `reduced_axes`.

    Parameters
    ----------
    axes, periodic
        Of an earlier frame.
    structure : Structure
        The frame.
    tolerance : float
        Largest change of a length, as a share of it.

    Raises
    ------
    StructureError
        If the cell is periodic in another number of directions, or changes more than the tolerance.
    """
    other, found = reduced_axes(structure)
    _check_same_boundaries(periodic, found)
    if not periodic:
        return other
    inverse = np.linalg.pinv(axes[:periodic])
    other[:periodic] = np.rint(axes[:periodic] @ np.linalg.pinv(other[:periodic])) @ other[:periodic]
    change = np.linalg.norm(inverse @ (other[:periodic] - axes[:periodic]), 2)
    if change > tolerance:
        raise StructureError(
            f"The cell differs by {100 * change:.3g} % from that of the first frame, but atoms vibrate about fixed "
            "sites; choose a window in which the cell is at rest."
        )
    _turn_normals(axes, other, periodic)
    return other


def _check_same_boundaries(before: int, now: int) -> None:
    if before != now:
        raise StructureError(
            f"The reference is periodic in {before} directions and the other frame in {now}; "
            "give both the same boundary conditions."
        )


def _reduced(vectors: NDArray) -> NDArray[np.float64]:
    """Subtract vectors from each other as long as that makes them shorter."""
    reduced = np.array(vectors)
    shortened = True
    while shortened:
        shortened = False
        for i in range(len(reduced)):
            for j in range(len(reduced)):
                square = reduced[j] @ reduced[j]
                times = np.rint(reduced[i] @ reduced[j] / square) if i != j else 0.0
                trial = reduced[i] - times * reduced[j]
                if trial @ trial < (1 - 1e-9) * (reduced[i] @ reduced[i]):
                    reduced[i], shortened = trial, True
    return reduced


def _change_of_basis(axes: NDArray, other: NDArray, before: NDArray, after: NDArray) -> NDArray[np.int64]:
    """The matrix M of `matched_axes`."""
    count = before.shape[1]
    normals = np.linalg.inv(other)[:, :count]  # columns, to planes of lattice points
    columns = [np.rint(axes[:count] @ normal).astype(np.int64) for normal in normals.T]
    agreement = [_agreement(before, after[:, j], columns[j]) for j in range(count)]
    if min(agreement) < CERTAIN or not _is_unimodular(columns):
        columns = [_best_column(axes[:count], normals[:, j], before, after[:, j], columns[j]) for j in range(count)]
        agreement = [_agreement(before, after[:, j], columns[j]) for j in range(count)]
    if min(agreement) < LEAST_AGREEMENT or not _is_unimodular(columns):
        raise StructureError(
            "The particles do not follow any deformation of the periodic cell from the reference to this frame, so "
            "nobody can tell which periodic image each moved to; compare frames nearer in time, or of one simulation."
        )
    return np.column_stack(columns)


def _is_unimodular(columns: list[NDArray]) -> bool:
    return round(abs(np.linalg.det(np.column_stack(columns)))) == 1


def _agreement(before: NDArray, after: NDArray, column: NDArray) -> float:
    """How alike the shifts ``after - before @ column`` are, whole numbers aside; 1 for all the same."""
    return float(abs(np.exp(2j * np.pi * (after - before @ column)).mean()))


def _best_column(lattice: NDArray, normal: NDArray, before: NDArray, after: NDArray, closest: NDArray) -> NDArray:
    """Wave vector of the highest peak that is not chance.

    Of n random phases the squared mean exceeds c² with probability exp(−n c²), so the evidence for a peak is
    n c² less the logarithm of the number of wave vectors that are as close to an undeformed cell.
    """
    ranges = _trial_ranges(np.linalg.norm(lattice, axis=1) * np.linalg.norm(normal))
    waves = [np.exp(-2j * np.pi * np.outer(before[:, i], numbers)) for i, numbers in enumerate(ranges)]
    peaks = np.exp(2j * np.pi * after)[:, None] * waves[0]
    others = waves[1] if len(waves) > 1 else np.ones((len(before), 1))
    if len(waves) > 2:
        others = (others[:, :, None] * waves[2][:, None, :]).reshape(len(before), -1)
    agreement = np.abs(peaks.T @ others).ravel() / len(before)
    trials = np.stack([mesh.ravel() for mesh in np.meshgrid(*ranges, indexing="ij")], axis=1)
    evidence = len(before) * agreement**2 - np.log1p(_as_close(lattice, normal, trials))
    start = np.flatnonzero((trials == closest).all(axis=1))
    best = int(evidence.argmax())
    return closest if len(start) and evidence[best] < evidence[start[0]] + ODDS else trials[best]


def _trial_ranges(sizes: NDArray) -> list[NDArray[np.int64]]:
    """Components of all wave vectors that a cell stretched by up to `MOST_STRETCH` can lead to."""
    stretch = MOST_STRETCH
    while np.prod(2 * np.ceil(stretch * sizes) + 1) > MOST_TRIALS and stretch > 1:
        stretch *= 0.9
    return [np.arange(-most, most + 1) for most in np.ceil(stretch * sizes).astype(np.int64)]


def _as_close(lattice: NDArray, normal: NDArray, trials: NDArray) -> NDArray[np.float64]:
    """Expected number of wave vectors no further than each of these from the one of an undeformed cell."""
    count = len(lattice)
    distances = np.linalg.norm(trials @ np.linalg.pinv(lattice).T - normal, axis=1)
    volume = np.sqrt(np.linalg.det(lattice @ lattice.T))
    return volume * (math.pi ** (count / 2) / math.gamma(count / 2 + 1)) * distances**count


def _check_plausible(axes: NDArray, other: NDArray, periodic: int) -> None:
    """Refuse what is no deformation of one solid: another length unit, another cell."""
    stretches = np.linalg.svd(np.linalg.pinv(axes[:periodic]) @ other[:periodic], compute_uv=False)[:periodic]
    expansion = float(np.prod(stretches)) if periodic == 3 else 1.0
    worst = max(stretches[0], 1 / stretches[-1])
    if worst > MOST_STRETCH or not 1 / MOST_EXPANSION <= expansion <= MOST_EXPANSION:
        raise StructureError(
            f"From the reference to this frame the periodic cell is stretched by factors from {stretches[-1]:.3g} to "
            f"{stretches[0]:.3g}, which is no deformation of one solid; compare frames of one simulation, in one unit."
        )


def fractions_of(positions: NDArray, structure: Structure, axes: NDArray) -> NDArray[np.float64]:
    """Coordinates along three vectors from the corner of a structure's cell."""
    return product(positions - structure.origin, np.linalg.inv(axes))


def product(coefficients: NDArray, vectors: NDArray) -> NDArray[np.float64]:
    """Matrix product of (N, 3) and (3, 3); the threads of BLAS would cost more than they save here."""
    return np.einsum("ij,jk->ik", coefficients, vectors)
