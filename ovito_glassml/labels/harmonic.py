"""How stiffly every atom is held when all forces are linear: the inverse of the Hessian of a structure at rest.

In the harmonic limit the covariance of the displacements is k_B T H⁻¹, exactly and at every temperature.

How much of it is long waves: in a face-centred crystal of springs u² is 11.8 % below that of an infinite one with
500 atoms and 5.9 % with 4 000, as one over the edge of the periodic cell, while u² relative to the first shell is right
to 10⁻⁴ with 500. So harmonic stiffness compares samples of one size, and cage stiffness any.

Large samples cannot be pieced together from small ones. In a Cu50Zr50 glass of 4 000 atoms, regions of 1 200 of them
in frozen surroundings make the atoms within 8 Å of the middle too stiff by 10 % and their cages by 5 %; with 243 plane
waves of the whole cell beside them, by 7 and 4 %, single soft atoms by a factor of two: soft modes reach that far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array, kron

from ovito_glassml.errors import GlassMLError
from ovito_glassml.neighbours import neighbour_lists
from ovito_glassml.structure import Structure
from ovito_glassml.threads import Progress, one_blas_thread, run_tasks

__all__ = [
    "HarmonicError",
    "HarmonicMotion",
    "first_shells",
    "harmonic_motion",
    "rigid_motions",
]

#: Rows and columns of the tiles that matrices are worked on in: products of them run at full speed, and a callback
#: hears from them several times a second.
TILE = 256

#: Share of the modes that are called soft, as in the source of `HarmonicMotion.soft_mode_share`.
SOFT_SHARE = 0.01

#: Coordinates up to which all modes are found at once. Beyond it, a subspace of so many times as many vectors as there
#: are soft modes is iterated until no share changes by more than the tolerance, or so many times.
FEW_COORDINATES, SURPLUS, TOLERANCE, SUBSPACE_STEPS = 1500, 2, 1e-4, 30

#: A coordinate held this much more weakly than by its neighbours alone is loose.
LOOSE = 1e-5


class HarmonicError(GlassMLError):
    """The structure has no harmonic limit; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class HarmonicMotion:
    """Amplitudes of every atom in the harmonic limit.

    Attributes
    ----------
    msd : (N,) array
        u²/k_BT, all three components together: tr[(H⁻¹)_ii]. In length²/energy.
    cage_msd : (N,) array
        The same for the displacement relative to the mean of the first shell; NaN without neighbours.
    soft_mode_share : (N,) array
        Share of the atom in the softest 1 % of the modes, mean of |e_i|² over them times N: 1 on average, N if the atom
        alone moves in them. NaN where it was not computed.
    """

    msd: NDArray[np.float64]
    cage_msd: NDArray[np.float64]
    soft_mode_share: NDArray[np.float64]

    @property
    def stiffness(self) -> NDArray[np.float64]:
        """k_B T / u² in energy/length², u² of all three components as in `labels.vibrations.stiffness_from_msd`."""
        return 1 / self.msd

    @property
    def cage_stiffness(self) -> NDArray[np.float64]:
        """k_B T / u², u relative to the mean of the first shell."""
        return 1 / self.cage_msd


def first_shells(structure: Structure, cutoff: float) -> csr_array:
    """Matrix (N, N) that takes the mean over the neighbours of every atom within `cutoff`; empty rows without any."""
    lists = neighbour_lists(structure, cutoff)
    counts = np.diff(lists.offsets)
    weights = np.repeat(1 / np.maximum(counts, 1), counts)
    return csr_array((weights, lists.indices, lists.offsets), shape=(len(structure), len(structure)))


def rigid_motions(structure: Structure) -> NDArray[np.float64]:
    """Orthonormal motions (3N, k) that cost no energy: three translations, and the rotations that boundaries leave.

    A cluster has all three, a wire that is periodic along one cell vector the one around it.
    """
    positions = structure.positions - structure.positions.mean(axis=0)
    motions = [np.tile(axis, (len(positions), 1)) for axis in np.eye(3)]
    periodic = [] if structure.cell is None else list(structure.cell[list(structure.pbc)])
    axes = {0: list(np.eye(3)), 1: periodic}.get(len(periodic), [])
    motions += [np.cross(axis, positions) for axis in axes]
    vectors, sizes, _ = np.linalg.svd(np.stack(motions, axis=-1).reshape(-1, len(motions)), full_matrices=False)
    return vectors[:, sizes > 1e-6 * sizes[0]]


def harmonic_motion(
    hessian: NDArray, shells: csr_array, rigid: NDArray, progress: Progress | None = None
) -> HarmonicMotion:
    """Amplitudes of all atoms from the dense Hessian of a structure at rest.

    The motions that cost no energy get a large curvature c, H + c T Tᵀ, whose inverse is H⁻¹ + T Tᵀ/c: what it adds
    to the amplitudes is known exactly and taken off again. With the Cholesky factor L, (H⁻¹)_ii is the sum of the
    squares of a column of L⁻¹.

    Parameters
    ----------
    hessian : (3N, 3N) float32 or float64 array
        Second derivatives of the energy, atom by atom, in energy/length²; the lower triangle is used. **Overwritten**,
        as it may fill half of the memory. Single precision makes an error of 10⁻⁵ in a glass.
    shells : (N, N) sparse array
        See `first_shells`.
    rigid : (3N, k) array
        See `rigid_motions`.
    progress : callable, optional
        Called with the fraction done several times a second; may raise to stop.

    Raises
    ------
    HarmonicError
        If there is a single atom, or the energy does not rise in every other direction.

    References
    ----------
    Soft modes: A. Widmer-Cooper, H. Perry, P. Harrowell, D. R. Reichman, Nat. Phys. 4, 711 (2008), whose
    participation of a particle in the lowest modes it is. The inverse of the stiffness is what is called vibrality:
    H. Tong, N. Xu, Phys. Rev. E 90, 010401 (2014).
    """
    count = len(hessian)
    if rigid.shape[1] >= count:
        raise HarmonicError("A single atom has nothing to move against; give a structure of more atoms.")
    stiff = float(np.mean(np.diagonal(hessian)))
    report = _counting(progress, (count / TILE) ** 3 / 3 + 10 * (count > FEW_COORDINATES))
    add_rigid(hessian, rigid, stiff)
    invert_factor(hessian, report)
    relative = _relative(shells)
    msd, cage = np.zeros(count), np.zeros(count)
    for rows in _tiles(0, count):
        part = hessian[rows, : rows.stop]
        msd[: rows.stop] += np.einsum("ki,ki->i", part, part)
        moves = relative[:, : rows.stop] @ part.T
        cage += np.einsum("ik,ik->i", moves, moves)
        report(0.0)
    msd -= (rigid**2).sum(axis=1) / stiff
    cage -= ((relative @ rigid) ** 2).sum(axis=1) / stiff
    cage = _per_atom(cage)
    cage[np.diff(shells.indptr) == 0] = np.nan
    return HarmonicMotion(_per_atom(msd), cage, _soft_mode_share(hessian, rigid, report))


def add_rigid(matrix: NDArray, rigid: NDArray, curvature: float) -> None:
    """Add a curvature along rigid motions to the lower triangle of a matrix."""
    scaled = (np.sqrt(curvature) * rigid).astype(matrix.dtype)
    for rows in _tiles(0, len(matrix)):
        matrix[rows, : rows.stop] += scaled[rows] @ scaled[: rows.stop].T


@one_blas_thread()
def invert_factor(matrix: NDArray, report: Progress) -> None:
    """Replace the lower triangle of a symmetric matrix by L⁻¹, L its Cholesky factor, and zero the rest of its tiles.

    In place and tile by tile, so that a callback hears of it.
    """
    diagonal = np.diagonal(matrix).copy()
    _factorise(matrix, report)
    if (np.diagonal(matrix) ** 2 < LOOSE * diagonal).any():
        raise HarmonicError(
            "Atoms or groups of atoms are held by nothing; delete loose ones, or make all boundaries of a cluster open."
        )
    _invert(matrix, report)


def _tiles(first: int, last: int) -> list[slice]:
    return [slice(k, min(k + TILE, last)) for k in range(first, last, TILE)]


def _factorise(matrix: NDArray, report: Progress) -> None:
    for columns in _tiles(0, len(matrix)):
        left, corner = matrix[columns, : columns.start], matrix[columns, columns]
        corner -= left @ left.T
        try:
            corner[:] = np.linalg.cholesky(corner)
        except np.linalg.LinAlgError as error:
            raise HarmonicError(
                "The structure is not at rest: its energy falls in some direction; minimise it first."
            ) from error
        below = matrix[columns.stop :]
        _by_rows(_update, below, report, left.T, np.linalg.inv(corner).T)
        report((len(matrix) - columns.start) * columns.stop / TILE**2)


def _update(begin: int, end: int, below: NDArray, left: NDArray, divided: NDArray) -> None:
    """Rows of the next columns of the factor, from the columns before."""
    rows, done = below[begin:end], len(left)
    columns = slice(done, done + len(divided))
    rows[:, columns] = (rows[:, columns] - rows[:, :done] @ left) @ divided


def _invert(factor: NDArray, report: Progress) -> None:
    for columns in reversed(_tiles(0, len(factor))):
        corner = factor[columns, columns]
        corner[:] = np.tril(np.linalg.inv(corner))
        below = factor[columns.stop :]
        _by_rows(_multiply, below, report, below[:, columns] @ -corner, columns)
        factor[columns, columns.stop :] = 0.0
        report((len(factor) - columns.start) ** 2 / 2 / TILE**2)


def _multiply(begin: int, end: int, below: NDArray, moved: NDArray, columns: slice) -> None:
    """Rows of some columns of the inverse, from the columns behind, which are inverted already."""
    inner = slice(columns.stop, columns.stop + end)
    below[begin:end, columns] = below[begin:end, inner] @ moved[:end]


def _by_rows(work: Callable[..., None], rows: NDArray, report: Progress, *arguments: Any) -> None:
    """On all threads, as those of the linear algebra library would wait for each other at every product."""
    run_tasks(work, len(rows), rows, *arguments, progress=lambda fraction: report(0.0), around=one_blas_thread)


def _relative(shells: csr_array) -> csr_array:
    """What takes displacements to those relative to the mean of the shell."""
    return csr_array(kron(eye_array(shells.shape[0]) - shells, eye_array(3)))


def _per_atom(values: NDArray) -> NDArray[np.float64]:
    return values.reshape(-1, 3).sum(axis=1)


def _soft_mode_share(inverse_factor: NDArray, rigid: NDArray, report: Progress) -> NDArray[np.float64]:
    """See `HarmonicMotion`, from the inverse Hessian, whose largest eigenvalues belong to the soft modes."""
    count = len(inverse_factor)
    modes = max(1, round(SOFT_SHARE * (count - rigid.shape[1])))
    if count <= FEW_COORDINATES:
        return _share(np.linalg.eigh(inverse_factor.T @ inverse_factor)[1][:, -modes:])
    vectors = np.random.default_rng(0).normal(size=(count, SURPLUS * modes)).astype(inverse_factor.dtype)
    share = np.zeros(count // 3)
    for _ in range(SUBSPACE_STEPS):
        vectors, _ = np.linalg.qr(vectors)
        solved = _solved(inverse_factor, vectors, report)
        before, share = share, _share(vectors @ np.linalg.eigh(vectors.T @ solved)[1][:, -modes:])
        if np.abs(share - before).max() < TOLERANCE * share.max():
            break
        vectors = solved
    return share


def _share(modes: NDArray) -> NDArray[np.float64]:
    """Mean square of the components of every atom in modes (3N, k), times N."""
    return _per_atom((modes.astype(np.float64) ** 2).mean(axis=1)) * (len(modes) // 3)


def _solved(inverse_factor: NDArray, vectors: NDArray, report: Progress) -> NDArray:
    """H⁻¹ times vectors."""
    product = np.zeros_like(vectors)
    for rows in _tiles(0, len(vectors)):
        part = inverse_factor[rows, : rows.stop]
        product[: rows.stop] += part.T @ (part @ vectors[: rows.stop])
        report(TILE / len(vectors))
    return product


def _counting(progress: Progress | None, total: float) -> Progress:
    """A callback that takes amounts of work."""
    done = 0.0

    def report(amount: float) -> None:
        nonlocal done
        done += amount
        if progress is not None:
            progress(min(done / total, 1.0))

    return report
